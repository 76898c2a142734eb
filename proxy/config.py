"""The configuration: text, environment and files in; one frozen value or one clear error out.

`decode` refuses a file as a whole and names the key: `$.providers[2].base_url: …`. Only the roof
imports this module; the other rooms are handed the few values that they need.
"""

import re
import ssl
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from ipaddress import ip_address, ip_network
from operator import attrgetter
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from proxy.aliases import Alias, faults
from proxy.credentials import ReadFile, ResolvedProvider, discover, read_text, resolve
from proxy.settings import (
    Auth,
    Catalogue,
    ConfigError,
    Credits,
    Egress,
    Endpoint,
    Limits,
    Model,
    Routing,
    Server,
    Settings,
    Store,
    Timeouts,
    Upstream,
    near,
    parse,
    shape,
)

RESTART: Final = (
    "server.bind",
    "server.workers",
    "server.tls",
    "server.http1",
    "store.url",
    "auth.mode",
    "upstream",
)
"""Settings that a running gateway can not change. `auth.mode` is one because a reload that opens
the gateway to callers without a key should not happen in passing."""

_BUILT_OUTPUTS = ("text", "image", "audio", "embeddings", "rerank", "speech", "transcription")
_USD_MAX = 1000  # per token, request or image: no price is higher, and charges stay within 64 bits
_MARGIN_MAX = 10

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):([0-9]{1,5})")
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*", re.I)
_PROXY = re.compile(
    r"http://([^\s/?#@]+@)?([a-z0-9._-]+|\[[0-9a-f:.]+\])(:([0-9]{1,5}))?/?", re.ASCII | re.I
)
# The room for a path in a Unix socket's address on Linux, without the final zero; macOS has 103.
_SOCKET_PATH_BYTES_MAX = 107
_MODEL_ID = re.compile(r"[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]*(:[a-z0-9-]+)?", re.IGNORECASE)


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All that the gateway was told, with its providers' keys looked up.

    `timeouts_set` are the names of the `[timeouts]` that the file gives: where it gives none,
    reasoning models and local providers are waited for longer than `timeouts` says.
    """

    server: Server
    auth: Auth
    credits: Credits
    store: Store
    limits: Limits
    timeouts: Timeouts
    timeouts_set: frozenset[str]
    catalogue: Catalogue
    routing: Routing
    upstream: Upstream
    egress: Egress
    resolved: tuple[ResolvedProvider, ...]
    models: tuple[Model, ...]
    aliases: tuple[Alias, ...]


def decode(
    text: str,
    *,
    environ: Mapping[str, str],
    read_file: ReadFile,
    bind: Sequence[str] = (),
    workers: int | None = None,
) -> Config:
    """The configuration that `text`, a TOML document, describes; raises ConfigError.

    `bind` and `workers`, where given, come from the command line and stand for `server.bind` and
    `server.workers`. `read_file` returns a file's text and raises OSError.
    """
    raw = parse(text)
    settings = shape(raw)
    server = settings.server
    if bind:
        server = replace(server, bind=tuple(bind))
    if workers is not None:
        server = replace(server, workers=workers)
    settings = replace(settings, server=server)
    _check_server(settings, read_file=read_file)
    _check_built(settings)
    _check_upstream(settings.upstream, read_file=read_file)
    for number, entry in enumerate(settings.egress.allow):
        _check_allowed(entry, path=f"$.egress.allow[{number}]")
    margin = settings.credits.margin
    if not (margin.is_finite() and 0 <= margin <= _MARGIN_MAX):
        raise ConfigError("$.credits.margin", f"expected 0 to {_MARGIN_MAX}, 0.05 is 5 %")
    resolved = _providers(settings, raw=raw, environ=environ, read_file=read_file)
    _check_models(settings.models, raw=raw, slugs={one.provider.slug for one in resolved})
    for path, reason in faults(settings.aliases, [model.id for model in settings.models]):
        raise ConfigError(path, reason)
    return Config(
        server=server,
        auth=settings.auth,
        credits=settings.credits,
        store=settings.store,
        limits=settings.limits,
        timeouts=settings.timeouts,
        timeouts_set=frozenset(raw.get("timeouts", ())),
        catalogue=settings.catalogue,
        routing=settings.routing,
        upstream=settings.upstream,
        egress=settings.egress,
        resolved=resolved,
        models=settings.models,
        aliases=settings.aliases,
    )


def difference(old: Config, new: Config) -> list[str]:
    """The key paths that differ and that only a restart can change; a reload refuses them."""
    return [f"$.{key}" for key in RESTART if attrgetter(key)(old) != attrgetter(key)(new)]


def _check_server(settings: Settings, *, read_file: ReadFile) -> None:
    taken: dict[str, str] = {}
    for number, address in enumerate(settings.server.bind):
        path = f"$.server.bind[{number}]"
        private = _is_private(address, path=path)
        if settings.auth.mode == "none" and not private:
            reason = f'"none" needs loopback or unix: addresses, and "{address}" is neither'
            raise ConfigError("$.auth.mode", f"{reason} ({path})")
        if not address.endswith(":0"):  # which is any free port, another one each time
            _check_once(address, taken, path=path)
    if tls := settings.server.tls:
        for key, name in (("certificate", tls.certificate), ("key", tls.key)):
            path = f"$.server.tls.{key}"
            if "-----BEGIN " not in read_text(name, path=path, read_file=read_file):
                raise ConfigError(path, f'"{name}" is not a PEM file')


def _is_private(address: str, *, path: str) -> bool:
    """Whether only this machine reaches `address`; raises ConfigError where it is none."""
    if address.startswith("unix:"):
        if not 0 < len(address.removeprefix("unix:").encode()) <= _SOCKET_PATH_BYTES_MAX:
            raise ConfigError(path, f"expected a path of 1 to {_SOCKET_PATH_BYTES_MAX} bytes")
        return True
    parts = _ADDRESS.fullmatch(address)
    if parts is None or int(parts[2]) > 65_535:
        raise ConfigError(path, f'expected "host:port" or "unix:/path", got "{address}"')
    try:
        return ip_address(parts[1].strip("[]")).is_loopback
    except ValueError:
        return parts[1].lower() == "localhost"


def _check_upstream(upstream: Upstream, *, read_file: ReadFile) -> None:
    if upstream.ca_file:
        path = "$.upstream.ca_file"
        text = read_text(upstream.ca_file, path=path, read_file=read_file)
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
        except (ssl.SSLError, ValueError):  # ValueError: no text of ASCII, or none at all
            raise ConfigError(path, f'"{upstream.ca_file}" is not a PEM file') from None
    if upstream.proxy:
        parts = _PROXY.fullmatch(upstream.proxy)
        if parts is None or int(parts[4] or 80) > 65_535:  # what is given may hold a password
            expected = 'expected "http://host:port" or "http://user:password@host:port"'
            raise ConfigError("$.upstream.proxy", expected)


def _check_allowed(entry: str, *, path: str) -> None:
    """Raises ConfigError for what is neither a network nor a host; a slip here opens too much."""
    try:
        ip_network(entry)
    except ValueError as error:
        if "host bits" in str(error):
            network = ip_network(entry, strict=False)
            raise ConfigError(path, f'expected a network, such as "{network}"') from None
        if not _HOST.fullmatch(entry) or entry.rpartition(".")[2].isdigit():
            reason = 'expected a network, such as "10.0.0.0/8", or the name of a host'
            raise ConfigError(path, f'{reason}, got "{entry}"') from None


def _check_built(settings: Settings) -> None:
    """Refuse what nothing would heed: a setting is never accepted without effect."""
    if settings.limits.url != "memory://":
        raise ConfigError("$.limits.url", 'not supported yet, leave it at "memory://"')
    if settings.store.url.startswith("postgresql"):
        raise ConfigError("$.store.url", 'PostgreSQL is not supported yet, use "sqlite:///file"')
    if not re.fullmatch(r"sqlite:///.+", settings.store.url):
        raise ConfigError("$.store.url", 'expected "sqlite:///file"')


def _providers(
    settings: Settings, *, raw: dict[str, Any], environ: Mapping[str, str], read_file: ReadFile
) -> tuple[ResolvedProvider, ...]:
    if not settings.providers:
        return discover(environ)
    slugs: dict[str, str] = {}
    for number, row in enumerate(settings.providers):
        _check_once(row.slug, slugs, path=f"$.providers[{number}].slug")
    return tuple(
        resolve(
            row,
            given=raw["providers"][number],
            path=f"$.providers[{number}]",
            environ=environ,
            read_file=read_file,
        )
        for number, row in enumerate(settings.providers)
    )


def _check_once(name: str, seen: dict[str, str], *, path: str) -> None:
    if name in seen:
        raise ConfigError(path, f'"{name}" is given twice, first at {seen[name]}')
    seen[name] = path


def _check_models(
    models: tuple[Model, ...], *, raw: dict[str, Any], slugs: Collection[str]
) -> None:
    ids: dict[str, str] = {}
    for number, model in enumerate(models):
        path = f"$.models[{number}]"
        if not _MODEL_ID.fullmatch(model.id):
            raise ConfigError(f"{path}.id", f'expected "author/name", got "{model.id}"')
        _check_once(model.id, ids, path=f"{path}.id")
        for modality in model.output_modalities or ():
            if modality not in _BUILT_OUTPUTS:
                raise ConfigError(f"{path}.output_modalities", f'"{modality}" is not supported yet')
        served: dict[str, str] = {}
        for index, endpoint in enumerate(model.endpoints):
            at = f"{path}.endpoints[{index}]"
            _check_provider(endpoint, slugs, path=f"{at}.provider")
            tag = "/".join(filter(None, (endpoint.provider, endpoint.variant, endpoint.tier)))
            _check_once(f"{tag}: {endpoint.model}", served, path=at)
            prices = raw["models"][number]["endpoints"][index].get("pricing", {})
            _check_prices(prices, path=f"{at}.pricing")


def _check_provider(endpoint: Endpoint, slugs: Collection[str], *, path: str) -> None:
    if endpoint.provider not in slugs:
        hint = near(endpoint.provider, slugs) or (
            f", only {', '.join(sorted(slugs))}" if slugs else ": none is configured"
        )
        raise ConfigError(path, f'there is no provider "{endpoint.provider}"{hint}')


def _check_prices(prices: dict[str, Any], *, path: str) -> None:
    """Refuse prices that are no decimal strings: a TOML number is a binary fraction."""
    for key, value in prices.items():
        at = f"{path}.{key}"
        if key == "overrides":
            for number, override in enumerate(value):
                _check_prices(override, path=f"{at}[{number}]")
        elif key == "min_prompt_tokens":
            if value < 0:
                raise ConfigError(at, "expected int >= 0")
        elif not isinstance(value, str):
            raise ConfigError(at, 'expected USD per token as a string, such as "0.000003"')
        elif not (Decimal(value).is_finite() and 0 <= Decimal(value) <= _USD_MAX):
            raise ConfigError(at, f"expected a price from 0 to {_USD_MAX} USD")
