"""What commands print: tables for people, JSON for programs, out of the same rows."""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from proxy.accounts.keys import Key
from proxy.api.catalogue import model_endpoints, pricing_row
from proxy.config import Config
from proxy.money import to_usd
from proxy.providers import Provider
from proxy.routing.catalogue import Catalogue
from proxy.stores.schema import StoreError
from proxy.stores.sql import SqlStore
from proxy.stores.usage import UsageRow
from proxy.supply import build_catalogue, decode_listing, fallback_listing, fetch_listing
from proxy.upstream import listing
from proxy.upstream.listing import Listings, Status
from proxy.upstream.signing import Signing
from proxy.upstream.transport import AiohttpTransport

LISTED_MAX = 20  # models named one by one in a sentence
MODELS_MAX = 50  # models with a line of their own
PIPED_WIDTH = 1000  # a line that goes into another program stays a line


async def resolve(config: Config) -> tuple[Catalogue, Mapping[str, Status]]:
    """The catalogue as a gateway would have it now: providers are asked, one that does not answer
    has the models it had in the store. Nothing is written, and only bugs are logged: what a
    provider's list lacks is in the status.
    """
    keys = {one.provider.slug: [key.reveal() for key in one.keys] for one in config.resolved}
    signing, transport = Signing(keys), AiohttpTransport()

    async def fetched(provider: Provider) -> bytes:
        return await fetch_listing(
            transport, provider, signing, connect_s=config.timeouts.connect_s
        )

    async def put(_slug: str, _rows: object, _at: float) -> None:
        """The store is the running gateway's to write."""

    listings = Listings(
        [one.provider for one in config.resolved],
        fetch=fetched,
        decode=decode_listing,
        fallback=fallback_listing,
        put=put,
        on_change=lambda _: None,
        clock=time.time,
        jitter=lambda: 1.0,
    )
    listings.load(_stored(config))
    log = logging.getLogger(listing.__name__)
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        await listings.refresh_all()
    finally:
        log.setLevel(before)
        await transport.close()
    return build_catalogue(config, listings.rows), listings.status


def _stored(config: Config) -> Any:
    try:
        store = SqlStore.open(config.store.url, create=False)
    except StoreError:
        return {}
    try:
        return store.listings()
    finally:
        store.close()


def check(
    config: Config, catalogue: Catalogue, status: Mapping[str, Status], *, as_json: bool
) -> str:
    """The resolved providers, models and limits. A provider may list more than can chat."""
    providers = [
        {
            "slug": one.provider.slug,
            "name": one.provider.name,
            "base_url": one.provider.base_url,
            "keys": len(one.keys),
            "models": status[one.provider.slug].models,
            "source": status[one.provider.slug].source,
            "error": status[one.provider.slug].error,
            "trains_on_data": one.provider.trains_on_data,
            "retains_prompts_days": one.provider.retains_prompts_days,
        }
        for one in config.resolved
    ]
    limits = {
        "body_bytes_max": config.limits.body_bytes_max,
        **{
            name: int(value) if value == int(value) else value  # 5 and 5.0 are one wait
            for name, value in msgspec.structs.asdict(config.timeouts).items()
        },
    }
    unpriced = catalogue.unpriced()
    if as_json:
        names = list(catalogue.models)
        return _json(
            {"providers": providers, "models": names, "unpriced": unpriced, "limits": limits}
        )
    asked = [
        [
            str(row["slug"]),
            str(row["base_url"]),
            str(row["keys"]),
            f"{row['models']} ({row['source']})",
            _policy(row["trains_on_data"], row["retains_prompts_days"]),
            str(row["error"] or ""),
        ]
        for row in providers
    ]
    if not asked:
        return "no provider: none is configured, and no usual key variable is set"
    unserved = [model.id for model in catalogue.models.values() if not model.endpoints]
    parts = [
        _table(["provider", "base URL", "keys", "it lists", "data", "last error"], asked),
        f"auth: {config.auth.mode}   store: {config.store.url}",
        "   ".join(f"{name}: {value}" for name, value in limits.items()),
        f"models (what can chat, of all that is listed): {len(catalogue.models)}",
        *_resolved(catalogue, unpriced),
        *_named("without a price", unpriced),
        *_named("served by nobody", unserved),
    ]
    return "\n".join(parts)


def _resolved(catalogue: Catalogue, unpriced: Sequence[str]) -> list[str]:
    """A line for each model, as long as they are not too many."""
    rows = [
        [
            f"  {model.id}",
            ", ".join(dict.fromkeys(one.provider.slug for one in model.endpoints)) or "nobody",
            "" if not model.endpoints else "no price" if model.id in unpriced else "priced",
        ]
        for model in list(catalogue.models.values())[:MODELS_MAX]
    ]
    left = len(catalogue.models) - len(rows)
    lines = _table(["  model", "providers", "price"], rows).splitlines() if rows else []
    return [*lines, f"  and {left} more"] if left else lines


def _named(what: str, names: Sequence[str]) -> list[str]:
    """A line that names them, up to a point; none where there are none."""
    left = len(names) - LISTED_MAX
    shown = ", ".join(names[:LISTED_MAX]) + (f" and {left} more" if left > 0 else "")
    return [f"{what}: {shown}"] if names else []


def _policy(trains: object, days: object) -> str:
    training = "training not said" if trains is None else "trains" if trains else "no training"
    keeping = "retention not said" if days is None else f"kept {days} days" if days else "not kept"
    return f"{training}, {keeping}"


def models(catalogue: Catalogue, *, as_json: bool) -> str:
    """One line an endpoint, with prices in USD for a million tokens."""
    if as_json:
        return _json([model_endpoints(model) for model in catalogue.models.values()])
    rows = []
    for model in catalogue.models.values():
        for endpoint in model.endpoints:
            prices = pricing_row(endpoint.pricing)
            rows.append(
                [
                    model.id,
                    endpoint.provider.slug,
                    endpoint.model,
                    f"{endpoint.context_length:,}" if endpoint.context_length else "",
                    _per_million(prices["prompt"]),
                    _per_million(prices["completion"]),
                ]
            )
    heads = ["model", "provider", "its name there", "context", "prompt $/M", "completion $/M"]
    return _table(heads, rows)


def _per_million(price: str) -> str:
    return "?" if price.startswith("-") else f"{float(price) * 1e6:g}"


def usage(rows: Sequence[UsageRow], *, by: str, as_json: bool) -> str:
    """Requests, tokens and cost by name."""
    if as_json:
        return _json([{**msgspec.to_builtins(r), "cost_usd": to_usd(r.cost_nano)} for r in rows])
    lines = [
        [
            row.name,
            f"{row.requests:,}",
            f"{row.errors:,}",
            f"{row.prompt_tokens:,}",
            f"{row.completion_tokens:,}",
            f"{to_usd(row.cost_nano):.6f}",
        ]
        for row in rows
    ]
    return _table([by, "requests", "errors", "prompt", "completion", "cost USD"], lines)


def keys(rows: Sequence[Key], *, now: float, as_json: bool) -> str:
    """All keys, without their secrets."""
    if as_json:
        return _json([msgspec.to_builtins(row) for row in rows])
    lines = [
        [
            row.name,
            row.label,
            row.hash[:16],
            _day(row.created_at),
            _day(row.expires_at),
            _state(row, now),
        ]
        for row in rows
    ]
    return _table(["name", "key", "hash", "created", "expires", "state"], lines)


def _state(key: Key, now: float) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and now >= key.expires_at else "active"


def _day(seconds: float | None) -> str:
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"


def _json(value: Any) -> str:
    return json.dumps(value, indent=2)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*heads, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console = Console()
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())
