"""From providers and the text of their keys to what signs calls to them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from proxy.identity import (
    Application,
    AwsPair,
    AwsProfile,
    Identity,
    ServiceAccount,
    Word,
    identify,
)
from proxy.providers import Provider
from proxy.upstream import aws, tokens
from proxy.upstream.signing import Header, Signer, Signing, bearer
from proxy.upstream.tokens import Kept
from proxy.upstream.transport import Transport

_PLACES: Final = ("project", "endpoint", "authority")
"""Options that tell whose account it is."""


def keyring(
    providers: Iterable[tuple[Provider, Sequence[str]]],
    *,
    transport: Transport,
    wall: Callable[[], float],
) -> Signing:
    """What signs calls to `providers`, each with the text of its keys. Tokens come over
    `transport`; `wall` is seconds since 1970. Raises ValueError for a key that is none.
    """
    keys, places = {}, {}
    for provider, texts in providers:
        keys[provider.slug] = [
            signer(
                provider,
                identify(text, provider.auth, provider.auth_also),
                transport=transport,
                wall=wall,
            )
            for text in texts
        ]
        places[provider.slug] = tuple(_places(provider))
    return Signing(keys, places)


def signer(
    provider: Provider, identity: Identity, *, transport: Transport, wall: Callable[[], float]
) -> Signer:
    """What signs calls to `provider` for one key."""
    name, options = provider.slug, provider.options
    match identity:
        case AwsPair():
            return aws.SigV4(identity, region=options["region"], wall=wall)
        case AwsProfile():
            kept = aws.of_profile(identity, name=name)
            return aws.SigV4(kept, region=options["region"], wall=wall)
        case ServiceAccount():
            account = tokens.of_service_account(identity, transport=transport, wall=wall, name=name)
            return Bearer(account, identity)
        case Application():
            authority = options.get("authority", tokens.AUTHORITY)
            application = tokens.of_application(
                identity, transport=transport, authority=authority, name=name
            )
            return Bearer(application, identity)
    assert isinstance(identity, Word)
    if provider.auth in ("x-api-key", "x-goog-api-key", "api-key"):
        return Header(provider.auth, identity.value, secret=identity.value)
    return bearer(identity.value)


class Bearer:
    """A key that is lent tokens, and shows them as a bearer's."""

    def __init__(self, kept: Kept[str], identity: Identity) -> None:
        self.kept = kept
        self._identity = identity

    @property
    def secrets(self) -> tuple[str, ...]:
        return (*self.kept.recent, *self._identity.secrets)

    def sign(self, url: str, body: bytes | None) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.kept.value}"}


def _places(provider: Provider) -> Iterator[str]:
    yield provider.base_url
    if provider.models_url is not None:
        yield provider.models_url
    yield from (provider.options[name] for name in _PLACES if name in provider.options)
