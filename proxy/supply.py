"""Where the catalogue comes from: what providers list, the price table, and the configuration."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import msgspec

from proxy import __version__, logs
from proxy.config import Config
from proxy.dialects import OUTBOUND, expressible, tasks_of
from proxy.dialects.asking import NO_HEADERS
from proxy.dialects.faults import decode_refusal, provider_error
from proxy.errors import GatewayError
from proxy.money import Pricing
from proxy.pipeline.provision import Provisioner
from proxy.providers import Provider
from proxy.routing.assembly import ModelRow, build
from proxy.routing.catalogue import Catalogue
from proxy.routing.waits import Timeouts
from proxy.upstream import prices
from proxy.upstream.client import Client
from proxy.upstream.egress import Egress
from proxy.upstream.fetch import fetch
from proxy.upstream.keyring import keyring
from proxy.upstream.listing import Listings, Put
from proxy.upstream.pdf import Reader
from proxy.upstream.signing import Credential, Signing
from proxy.upstream.transport import Call, Transport
from proxy.wire.listing import Listing

AGENT = f"weir/{__version__}"
LISTING_S = 20.0  # for one provider's whole list


def new_transport(config: Config) -> Transport:
    """How `config` reaches providers: by our own client, or by aiohttp, imported only then."""
    chosen = config.upstream
    ca_file, proxy = chosen.ca_file or "", chosen.proxy or ""
    if chosen.transport == "aiohttp":
        from proxy.upstream.session import AiohttpTransport

        return AiohttpTransport(ca_file=ca_file, proxy=proxy)
    return Client(ca_file=ca_file, proxy=proxy)


def new_signing(config: Config, transport: Transport) -> Signing:
    """The keys of `config`, of which nothing is known yet, and which no log shows."""
    keys = [(one.provider, [key.reveal() for key in one.keys]) for one in config.resolved]
    signing = keyring(keys, transport=transport, wall=time.time)
    logs.hide(secret for provider, _ in keys for secret in signing.secrets(provider.slug))
    return signing


def new_provisioner(config: Config) -> Provisioner:
    """Who fetches what providers do not, within the bounds of `config`."""
    bounds = config.egress
    egress = Egress(bounds.allow, agent=AGENT)
    return Provisioner(egress, Reader(), bytes_max=bounds.bytes_max, timeout_s=bounds.timeout_s)


def build_catalogue(config: Config, listings: Mapping[str, tuple[Listing, ...]]) -> Catalogue:
    """The models that `config` and the providers' lists give, priced as of now."""
    now = datetime.now(UTC)

    def price_of(provider: Provider, model: str) -> Pricing | None:
        return prices.price_of(provider.prices, model, now=now) if provider.prices else None

    rows = msgspec.convert(config.models, tuple[ModelRow, ...], from_attributes=True)
    waits = msgspec.structs.asdict(config.timeouts)
    return build(
        providers=[one.provider for one in config.resolved],
        listings=listings,
        configured=rows,
        aliases=config.aliases,
        timeouts=Timeouts(**{name: waits[name] for name in Timeouts.__struct_fields__}),
        timeouts_set=config.timeouts_set,
        price_of=price_of,
        expresses=expressible,
        does=tasks_of,
    )


def new_listings(
    config: Config,
    *,
    transport: Transport,
    signing: Callable[[], Signing],
    put: Put,
    on_change: Callable[[], None],
) -> Listings:
    """The lists of the providers of `config`, to be asked with the keys that `signing` has then."""

    async def ask(provider: Provider) -> bytes:
        connect_s = config.timeouts.connect_s
        return await fetch_listing(transport, provider, signing(), connect_s=connect_s)

    return Listings(
        [one.provider for one in config.resolved],
        fetch=ask,
        decode=decode_listing,
        fallback=fallback_listing,
        put=put,
        on_change=lambda _: on_change(),
        clock=time.time,
        jitter=lambda: random.uniform(0.9, 1.0),
        refresh_s=config.catalogue.refresh_s,
        lists=lists,
    )


async def fetch_listing(
    transport: Transport, provider: Provider, signing: Signing, *, connect_s: float
) -> bytes:
    """A provider's own list of models, as it sends it, asked with one key after another as long as
    they are refused, which `signing` then knows. Raises GatewayError, that of the last key.
    """
    clock = asyncio.get_running_loop().time
    await signing.prepare([provider.slug], clock())
    credentials = signing.credentials(provider.slug, clock())
    credential: Credential | None = next(credentials)
    while credential is not None:
        status, body = await _ask(transport, provider, credential, connect_s=connect_s)
        if status == 200:
            return body
        secrets = signing.secrets(provider.slug)
        failed = decode_refusal(status, body, NO_HEADERS)
        error = provider_error(failed, provider=provider.name, secrets=secrets)
        if error.kind != "provider_credential":
            break
        signing.refused(provider.slug, credential.number, clock())
        credential = next(credentials, None)
    raise error


async def _ask(
    transport: Transport, provider: Provider, credential: Credential, *, connect_s: float
) -> tuple[int, bytes]:
    url = _listing_url(provider)
    if url is None:
        raise GatewayError("not_found", "the provider lists no models")
    headers = {
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "User-Agent": AGENT,
        **OUTBOUND[provider.dialect].models_headers,
        **credential.sign(url, None),
    }
    return await fetch(transport, Call(url, headers, None, connect_s), timeout_s=LISTING_S)


def lists(provider: Provider) -> bool:
    """Whether a provider can be asked for its list; else the price table has it."""
    return _listing_url(provider) is not None


def _listing_url(provider: Provider) -> str | None:
    path = OUTBOUND[provider.dialect].models_path
    if provider.models_url is not None or path is None:
        return provider.models_url
    query = provider.quirks.models_query
    return provider.base_url.rstrip("/") + path + (f"?{query}" if query else "")


def decode_listing(provider: Provider, body: bytes) -> tuple[Listing, ...]:
    """A provider's list, with the context lengths that the price table knows."""
    rows = OUTBOUND[provider.dialect].decode_listing(body)
    if provider.prices is None:
        return rows
    return tuple(prices.described(row, provider.prices) for row in rows)


def fallback_listing(provider: Provider) -> tuple[Listing, ...]:
    """What the price table knows of a provider that never gave its list."""
    return prices.rows(provider.prices, now=datetime.now(UTC)) if provider.prices else ()
