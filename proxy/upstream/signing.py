"""How a call proves who we are: the gateway's own keys, one provider at a time.

Keys are the only secrets of the request path. They live here, go into one header, and can be named
by nobody else; several keys of one provider take turns.
"""

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit


class Signing:
    """The keys of each provider by its slug; a provider without one needs none. `addresses` are
    the base URLs, whose hosts are nobody's business either.
    """

    def __init__(
        self, keys: Mapping[str, Sequence[str]], addresses: Mapping[str, str] | None = None
    ) -> None:
        hosts = {slug: urlsplit(url).netloc for slug, url in (addresses or {}).items()}
        self._hosts = {slug: (host,) for slug, host in hosts.items() if host}
        self._keys = {slug: tuple(values) for slug, values in keys.items()}
        self._turns = dict.fromkeys(keys, 0)

    def headers(self, slug: str) -> Iterator[dict[str, str]]:
        """The headers to try for one request, one set per key, beginning with the key whose turn
        it is; one empty set where there is no key.
        """
        keys = self._keys.get(slug) or ()
        if not keys:
            yield {}
            return
        turn = self._turns[slug]
        self._turns[slug] = (turn + 1) % len(keys)
        for offset in range(len(keys)):
            yield {"Authorization": f"Bearer {keys[(turn + offset) % len(keys)]}"}

    def secrets(self, slug: str) -> tuple[str, ...]:
        """What must not be shown of this provider's answers."""
        return self._keys.get(slug, ())

    def hosts(self, slug: str) -> tuple[str, ...]:
        """Where the provider lives, which must not be shown either."""
        return self._hosts.get(slug, ())
