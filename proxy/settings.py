"""The shape of `config.toml`: one struct per table, with every default and every range.

What these structs refuse is wrong wherever it stands; what is wrong only in the light of another
key, of the environment or of a file is refused by `config.py` and `credentials.py`.
`docs/configuration.md` explains each key to its reader, and a test holds the two together.
"""

import json
import re
import tomllib
from collections.abc import Iterable, Iterator
from decimal import Decimal
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, inspect

from proxy.aliases import Alias
from proxy.money import Pricing
from proxy.providers import Provider
from proxy.wire.listing import Parameter
from proxy.wire.preferences import Quantization
from proxy.wire.request import Tier

# Thirty-one days: no wait of a gateway is longer, and event loops refuse timers of years.
_SECONDS_MAX = 31 * 86_400

_TOML_PLACE = re.compile(r"(.*) \(at (.*)\)", re.DOTALL)
_MSGSPEC_PLACE = re.compile(r"(.*?)(?: - at `(\$.*)`)?", re.DOTALL)
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)
_REQUIRED = re.compile(r"Object missing required field `(.*)`")
_NO_CHOICE = re.compile(r"Invalid enum value '(.*)'", re.DOTALL)

Seconds = Annotated[float, Meta(gt=0, le=_SECONDS_MAX)]
Count = Annotated[int, Meta(ge=0)]
Positive = Annotated[int, Meta(ge=1)]
Word = Annotated[str, Meta(min_length=1)]

InputModality = Literal["text", "image", "file", "audio", "video"]
OutputModality = Literal[
    "text", "image", "audio", "embeddings", "video", "rerank", "speech", "transcription"
]
Variant = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]


class ConfigError(Exception):
    """The configuration is wrong at `path` (`$.providers[2].base_url`), for `reason`.

    Both go to logs and terminals: neither ever holds a key.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file: a key it does not know is an error."""


class Tls(_Table, frozen=True, kw_only=True):
    """PEM files, relative to the working directory."""

    certificate: str
    key: str


class Server(_Table, frozen=True, kw_only=True):
    """Where the gateway listens, and whose HTTP/1.1 it speaks; an address is `host:port` or
    `unix:/path`.
    """

    bind: Annotated[tuple[str, ...], Meta(min_length=1)] = ("127.0.0.1:8080",)
    workers: Positive = 1
    tls: Tls | None = None
    http1: Literal["weir", "hypercorn"] = "weir"


class Auth(_Table, frozen=True, kw_only=True):
    """Whether callers show a key; `none` is for loopback and unix sockets only."""

    mode: Literal["keys", "none"] = "keys"


class Credits(_Table, frozen=True, kw_only=True):
    """Whether a request is refused where the account's balance does not cover it, and what callers
    pay above the provider's price: 0.05 is five per cent.
    """

    enforce: bool = True
    margin: Decimal = Decimal(0)


class Routing(_Table, frozen=True, kw_only=True):
    """How endpoints are chosen beyond their health and price. `hedge` races a second endpoint when
    the first is slower than it nearly always was, for at most `hedge_share_max` of all requests.
    """

    hedge: bool = False
    hedge_share_max: Annotated[float, Meta(gt=0, le=1)] = 0.05


class Store(_Table, frozen=True, kw_only=True):
    """The database with keys and generations."""

    url: str = "sqlite:///weir.db"


class Limits(_Table, frozen=True, kw_only=True):
    """What one caller may take; 0 is no limit, except for `body_bytes_max`."""

    url: str = "memory://"
    requests_per_minute: Count = 0
    tokens_per_minute: Count = 0
    concurrent_requests: Count = 0
    account_requests_per_minute: Count = 0
    account_tokens_per_minute: Count = 0
    account_concurrent_requests: Count = 0
    body_bytes_max: Positive = 33_554_432
    free_requests_per_minute: Count = 20
    free_requests_per_day: Count = 50
    free_requests_per_day_with_credit: Count = 1000


class Timeouts(_Table, frozen=True, kw_only=True):
    """How long each wait may last."""

    connect_s: Seconds = 5
    first_byte_s: Seconds = 30
    first_token_s: Seconds = 60
    between_chunks_s: Seconds = 30
    answer_s: Seconds = 600
    client_stall_s: Seconds = 30
    drain_s: Annotated[float, Meta(ge=0, le=_SECONDS_MAX)] = 600


class Egress(_Table, frozen=True, kw_only=True):
    """What callers may have fetched for providers that take no URL: public addresses, and beyond
    them the networks and hosts of `allow`.
    """

    allow: tuple[Word, ...] = ()
    bytes_max: Positive = 20_971_520
    timeout_s: Seconds = 20


class Upstream(_Table, frozen=True, kw_only=True):
    """How providers are reached. `ca_file` is a PEM file of certificates that are trusted besides
    the system's; `proxy` the URL of an HTTP proxy. Neither is ever taken from the environment.
    """

    transport: Literal["weir", "aiohttp"] = "weir"
    ca_file: Word | None = None
    proxy: Word | None = None


class Catalogue(_Table, frozen=True, kw_only=True):
    """How often providers are asked for their list of models."""

    refresh_s: Seconds = 3600


class ProviderRow(Provider, frozen=True, kw_only=True):
    """What `[[providers]]` may say: all that is true of a provider, and its key.

    A known slug gives every other field its value, so that none but `slug` is required here.
    """

    name: Word = ""
    base_url: str = ""
    retains_prompts_days: Count | None = None
    api_key: str | tuple[str, ...] | None = None


class EndpointTimeouts(_Table, frozen=True, kw_only=True):
    """The waits an endpoint overrides; `None` leaves the general one."""

    connect_s: Seconds | None = None
    first_byte_s: Seconds | None = None
    first_token_s: Seconds | None = None
    between_chunks_s: Seconds | None = None
    answer_s: Seconds | None = None


class Endpoint(_Table, frozen=True, kw_only=True):
    """A model at one provider; `None` is "not said here"."""

    provider: str
    model: Word
    variant: Variant | None = None
    tier: Tier | None = None
    max_completion_tokens: Positive | None = None
    quantization: Quantization | None = None
    supported_parameters: tuple[Parameter, ...] | None = None
    timeouts: EndpointTimeouts = EndpointTimeouts()
    pricing: Pricing | None = None


class Model(_Table, frozen=True, kw_only=True):
    """A model the configuration adds, or what it says about a known one."""

    id: str
    name: Word | None = None
    context_length: Positive | None = None
    input_modalities: Annotated[tuple[InputModality, ...], Meta(min_length=1)] | None = None
    output_modalities: Annotated[tuple[OutputModality, ...], Meta(min_length=1)] | None = None
    distillable: bool | None = None
    quality: Annotated[float, Meta(ge=0, le=100)] | None = None
    endpoints: tuple[Endpoint, ...] = ()


class Settings(_Table, frozen=True, kw_only=True):
    """The whole file as it was written, before keys are looked up."""

    server: Server = Server()
    auth: Auth = Auth()
    credits: Credits = Credits()
    store: Store = Store()
    limits: Limits = Limits()
    timeouts: Timeouts = Timeouts()
    catalogue: Catalogue = Catalogue()
    routing: Routing = Routing()
    upstream: Upstream = Upstream()
    egress: Egress = Egress()
    providers: tuple[ProviderRow, ...] = ()
    models: tuple[Model, ...] = ()
    aliases: tuple[Alias, ...] = ()


def parse(text: str) -> dict[str, Any]:
    """The tables of a TOML document; raises ConfigError with line and column."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ConfigError("$", "nested too deeply") from None
    except ValueError as error:  # TOMLDecodeError, or a number of thousands of digits
        place = _TOML_PLACE.fullmatch(str(error))
        reason = f"{place[2]}: {place[1]}" if place else str(error)
        raise ConfigError("$", reason) from None


def shape(raw: dict[str, Any]) -> Settings:
    """The tables as structs; raises ConfigError, msgspec's complaints in the words of the file."""
    try:
        return msgspec.convert(raw, Settings)
    except msgspec.ValidationError as error:
        place = _MSGSPEC_PLACE.fullmatch(str(error))
        assert place is not None
        raise _explained(place[1], place[2] or "$") from None


def _explained(reason: str, path: str) -> ConfigError:
    choices = _choices().get(re.sub(r"\[\d+\]", "[]", path), ())
    if found := _UNKNOWN.fullmatch(reason):
        # A name that needs quotes in TOML is shown with them, its line breaks escaped.
        name = found[1] if _BARE.fullmatch(found[1]) else json.dumps(found[1])
        return ConfigError(f"{path}.{name}", f"unknown key{near(found[1], choices)}")
    if found := _REQUIRED.fullmatch(reason):
        return ConfigError(f"{path}.{found[1]}", "missing")
    if found := _NO_CHOICE.fullmatch(reason):
        wanted = ", ".join(f'"{choice}"' for choice in choices)
        return ConfigError(path, f'expected one of {wanted}, got "{found[1]}"')
    plain = reason.replace(" | null", "").replace("object", "table").replace("`", "")
    return ConfigError(path, plain[0].lower() + plain[1:])


@cache
def _choices() -> dict[str, tuple[str, ...]]:
    """What may stand where: the keys of each table, the values of each choice, by key path."""
    return dict(_walk(inspect.type_info(Settings), "$"))


def _walk(shape: inspect.Type, path: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    match shape:
        case inspect.StructType():
            yield path, tuple(field.name for field in shape.fields)
            for field in shape.fields:
                yield from _walk(field.type, f"{path}.{field.name}")
        case inspect.VarTupleType():
            yield from _walk(shape.item_type, f"{path}[]")
        case inspect.UnionType():
            for member in shape.types:
                yield from _walk(member, path)
        case inspect.LiteralType():
            yield path, tuple(str(value) for value in shape.values)


def near(word: str, words: Iterable[str]) -> str:
    """A hint to append where `word` looks like a slip of one of `words`; else nothing."""
    close = get_close_matches(word, list(words), n=1)
    return f', did you mean "{close[0]}"?' if close else ""
