"""Which providers there are, and their keys: rows of the file, the known table, the environment.

A key is an opaque secret. It leaves this module inside a `Secret`, apart from what may be shown of
its provider, and no error here repeats it.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec

from proxy.providers import Provider, known
from proxy.settings import ConfigError, ProviderRow, near

_SLUG = re.compile(r"[a-z0-9][a-z0-9._-]*")
# Printable ASCII without spaces: all that providers issue and that a header carries safely.
_KEY = re.compile(r"[!-~]+")

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
    """Every known provider with a key in the environment, in the table's order.

    Raises ConfigError where such a variable holds what can not be a key.
    """
    found = (
        ResolvedProvider(
            provider=provider, keys=_usual_keys(provider, environ=environ, path="$.providers")
        )
        for provider in known().values()
    )
    return tuple(resolved for resolved in found if resolved.keys)


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
    _check_base_url(provider.base_url, path=f"{path}.base_url")
    if provider.dialect != "openai":
        raise ConfigError(f"{path}.dialect", f'"{provider.dialect}" is not supported yet')
    at = f"{path}.api_key"
    if row.api_key is None:
        keys = _usual_keys(provider, environ=environ, path=at)
        if not keys and not provider.local:
            raise ConfigError(at, _missing(provider))
    elif isinstance(row.api_key, str):
        keys = (_one_key(row.api_key, path=at, environ=environ, read_file=read_file),)
    else:
        keys = tuple(
            _one_key(told, path=f"{at}[{number}]", environ=environ, read_file=read_file)
            for number, told in enumerate(row.api_key)
        )
        if not keys:
            raise ConfigError(at, "the list is empty")
    return ResolvedProvider(provider=provider, keys=keys)


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
    quirks = {**told.get("quirks", {}), **given.get("quirks", {})}
    merged = {**told, **given, "quirks": quirks}
    merged.pop("api_key", None)
    merged["base_url"] = merged["base_url"].rstrip("/")
    return msgspec.convert(merged, Provider)


def _check_base_url(url: str, *, path: str) -> None:
    """Refuse what is no plain http(s) URL; the URL itself stays unsaid, it may hold a password."""
    try:
        parts = urlsplit(url)
        absolute = parts.scheme in ("http", "https") and bool(parts.hostname)
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        absolute = port_fits = False
    if not absolute or not port_fits or not _KEY.fullmatch(url):
        raise ConfigError(path, 'expected an absolute URL, such as "https://api.example.com/v1"')
    if "@" in parts.netloc:
        raise ConfigError(path, "a URL here holds no user or password; keys belong in api_key")
    if "?" in url or "#" in url:
        raise ConfigError(path, "a URL here has no query and no fragment")


def _usual_keys(provider: Provider, *, environ: Mapping[str, str], path: str) -> tuple[Secret, ...]:
    """The key of the first variable that is set, or none."""
    for variable in provider.key_env:
        if value := environ.get(variable, "").strip():
            return (_checked(value, source=f"environment variable {variable}", path=path),)
    return ()


def _one_key(told: str, *, path: str, environ: Mapping[str, str], read_file: ReadFile) -> Secret:
    """The key behind `env:NAME`, `file:/path`, or the key itself."""
    kind, _, rest = told.partition(":")
    if kind == "env":
        value, source = environ.get(rest, "").strip(), f"environment variable {rest}"
        if not value:
            raise ConfigError(path, f"{source} is not set")
    elif kind == "file":
        value = read_text(rest, path=path, read_file=read_file).strip()
        source = f'file "{rest}"'
    else:
        value, source = told, "the key"
    return _checked(value, source=source, path=path)


def _checked(value: str, *, source: str, path: str) -> Secret:
    if not value:
        raise ConfigError(path, f"{source} is empty")
    if not _KEY.fullmatch(value):
        raise ConfigError(path, f"{source} holds a space or a character that no key has")
    return Secret(value)


def _missing(provider: Provider) -> str:
    if not provider.key_env:
        return 'no key: give api_key = "env:NAME", or local = true where none is needed'
    variables = " or ".join(provider.key_env)
    return f"no key: environment variable {variables} is not set, and api_key is not given"
