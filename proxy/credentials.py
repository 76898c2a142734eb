"""Which providers there are, and their keys: rows of the file, the known table, the environment.

A key is an opaque secret. It leaves this module inside a `Secret`, apart from what may be shown of
its provider, and no error here repeats it.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

import msgspec

from proxy.identity import VARIABLES, VARIABLES_TOO, Identity, identify
from proxy.options import addressed, lacking, with_accounts, with_options
from proxy.providers import DIALECTS, Provider, known
from proxy.settings import ConfigError, ProviderRow, near
from proxy.wire.request import WEB_SEARCH

TOOL_USD_MAX: Final = 1000  # as of all prices

_SLUG = re.compile(r"[a-z0-9][a-z0-9._-]*")

ReadFile = Callable[[str], str]


class Secret:
    """A value that no log, error or dump shows; `reveal` is the one way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself, for the one place that sends it."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "Secret(…)"


class ResolvedProvider(msgspec.Struct, frozen=True, kw_only=True):
    """A provider that can be asked; a local one may have no key."""

    provider: Provider
    keys: tuple[Secret, ...]


def discover(environ: Mapping[str, str]) -> tuple[ResolvedProvider, ...]:
    """Every known provider whose own key is in the environment, and what its URLs need, in the
    table's order. An account of a cloud is not enough: it is there for other work too.

    Raises ConfigError where such a variable holds what can not be a key or an address.
    """
    found = []
    for row in known().values():
        path = "$.providers"
        provider = with_options(row, environ, said={})
        keys = tuple(_Keys(provider, environ, None, path).own())
        if keys and not lacking(provider):
            found.append(ResolvedProvider(provider=addressed(provider, path=path), keys=keys))
    return tuple(found)


def keys_looked_for() -> list[str]:
    """The environment variables that `discover` reads, in the table's order."""
    return [variable for provider in known().values() for variable in provider.key_env]


def resolve(
    row: ProviderRow,
    *,
    given: Mapping[str, Any],
    path: str,
    environ: Mapping[str, str],
    read_file: ReadFile,
) -> ResolvedProvider:
    """The provider that `row`, at `path` of the file, stands for, and its keys.

    `given` is the row as it was written: what it says comes before what is known of the slug,
    quirk by quirk. Raises ConfigError.
    """
    if not _SLUG.fullmatch(row.slug):
        raise ConfigError(f"{path}.slug", "expected lower-case letters, digits, `.`, `_` and `-`")
    provider = _completed(row, given=given, path=path)
    provider = with_options(provider, environ, said=given.get("options", {}))
    if provider.dialect not in DIALECTS:
        hint = near(provider.dialect, DIALECTS) or f", only {', '.join(DIALECTS)}"
        raise ConfigError(f"{path}.dialect", f'there is no dialect "{provider.dialect}"{hint}')
    provider = addressed(provider, path=path)
    at = f"{path}.api_key"
    keys = _Keys(provider, environ, read_file, at)
    if row.api_key is None:
        found = tuple(keys.own()) or tuple(keys.accounts())
        if not found and not provider.local:
            raise ConfigError(at, _no_key(provider))
    elif isinstance(row.api_key, str):
        found = (keys.told(row.api_key),)
    else:
        told = enumerate(row.api_key)
        found = tuple(keys._replace(path=f"{at}[{number}]").told(key) for number, key in told)
        if not found:
            raise ConfigError(at, "the list is empty")
    provider = with_accounts(provider, keys.identities(found), path=path)
    return ResolvedProvider(provider=provider, keys=found)


def read_text(name: str, *, path: str, read_file: ReadFile) -> str:
    """The text of the file `name` that the key at `path` asks for; raises ConfigError."""
    try:
        return read_file(name)
    except OSError as error:
        raise ConfigError(path, f'can not read "{name}": {error.strerror or "I/O error"}') from None
    except ValueError:
        raise ConfigError(path, f'can not read "{name}": it is not text') from None


def _completed(row: ProviderRow, *, given: Mapping[str, Any], path: str) -> Provider:
    base = known().get(row.slug)
    if base is None and not row.base_url:
        hint = near(row.slug, known())
        raise ConfigError(f"{path}.base_url", f'missing: "{row.slug}" is not known here{hint}')
    told: dict[str, Any] = {"name": row.slug} if base is None else msgspec.to_builtins(base)
    if "base_url" in given:
        told.pop("models_url", None)  # a key that is for one host is not shown to another
    if "auth" in given:
        told.pop("auth_also", None)
    tables = {
        name: {**told.get(name, {}), **given.get(name, {})}
        for name in ("quirks", "options", "option_env", "tool_prices")
    }
    merged = {**told, **given, **tables}
    merged.pop("api_key", None)
    provider = msgspec.convert(merged, Provider)
    _check_patterns(provider, path)
    _check_tools(given.get("tool_prices", {}), f"{path}.tool_prices")
    return provider


def _check_patterns(provider: Provider, path: str) -> None:
    quirks = provider.quirks
    patterns = {"responses": provider.responses, "quirks.thinkers": quirks.thinkers}
    patterns |= {f'quirks.efforts_of."{pattern}"': pattern for pattern in quirks.efforts_of}
    patterns |= {f'tools."{pattern}"': pattern for pattern in provider.tools}
    for name, pattern in patterns.items():
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ConfigError(f"{path}.{name}", f"no regular expression: {error}") from None


def _check_tools(prices: Mapping[str, Any], path: str) -> None:
    for name, price in prices.items():
        at = f"{path}.{name}"
        if not isinstance(price, str):
            raise ConfigError(at, 'expected USD as a string, such as "0.01"')
        usd = Decimal(price)
        if not (usd.is_finite() and 0 <= usd <= TOOL_USD_MAX):
            raise ConfigError(at, f"expected a price from 0 to {TOOL_USD_MAX} USD")
        if usd and name != WEB_SEARCH:
            raise ConfigError(at, f'only "0" can be said: none but {WEB_SEARCH} is counted')


class _Keys(NamedTuple):
    """Where the keys of a provider may be, for the setting at `path`."""

    provider: Provider
    environ: Mapping[str, str]
    read_file: ReadFile | None
    path: str

    def own(self) -> Iterator[Secret]:
        """The key of the first variable of its own that is set, or none."""
        for variable in self.provider.key_env:
            if value := self._value(variable):
                yield self._of_variable(variable, value)
                return

    def accounts(self) -> Iterator[Secret]:
        """The account that a cloud's own variables name, or none."""
        for auth in (self.provider.auth, self.provider.auth_also):
            variables = VARIABLES.get(auth or "", ())
            values = [self._value(variable) for variable in variables]
            if values and all(values):
                more = (self._value(variable) for variable in VARIABLES_TOO.get(auth or "", ()))
                key = ":".join(filter(None, (*values, *more)))
                yield self._of_variable(" with ".join(variables), key)
                return

    def told(self, said: str) -> Secret:
        """The key behind `env:NAME`, `file:/path`, or the key itself."""
        kind, _, rest = said.partition(":")
        value, source = said, "the key"
        if kind == "env":
            if not (value := self._value(rest)):
                raise ConfigError(self.path, f"environment variable {rest} is not set")
            return self._of_variable(rest, value)
        if kind == "file":
            assert self.read_file is not None
            value = read_text(rest, path=self.path, read_file=self.read_file).strip()
            source = f'file "{rest}"'
        return self._checked(value, source=source)

    def identities(self, keys: tuple[Secret, ...]) -> tuple[Identity, ...]:
        provider = self.provider
        return tuple(identify(key.reveal(), provider.auth, provider.auth_also) for key in keys)

    def _value(self, variable: str) -> str:
        return self.environ.get(variable, "").strip()

    def _of_variable(self, variable: str, value: str) -> Secret:
        """Google's own variable names a file. What a variable holds may be a key, and is not said
        where it names none.
        """
        source = f"environment variable {variable}"
        if self.provider.auth == "google" and not value.startswith("{"):
            assert self.read_file is not None
            source = f"the file that {source} names"
            try:
                value = self.read_file(value).strip()
            except (OSError, ValueError):
                raise ConfigError(self.path, f"{source} can not be read") from None
        return self._checked(value, source=source)

    def _checked(self, value: str, *, source: str) -> Secret:
        try:
            identify(value, self.provider.auth, self.provider.auth_also)
        except ValueError as error:
            raise ConfigError(self.path, f"{source} {error}") from None
        return Secret(value)


def _no_key(provider: Provider) -> str:
    accounts = (VARIABLES.get(auth or "") for auth in (provider.auth, provider.auth_also))
    ways = (*provider.key_env, *(" with ".join(names) for names in accounts if names))
    if not ways:
        return 'no key: give api_key = "env:NAME", or local = true where none is needed'
    return f"no key: environment variable {' or '.join(ways)} is not set, and api_key is not given"
