"""What commands print of models and their usage: one set of rows for people and programs."""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from proxy.aliases import Alias
from proxy.api.rows import model_endpoints, pricing_row
from proxy.config import Config
from proxy.credentials import ResolvedProvider
from proxy.errors import GatewayError
from proxy.money import to_usd
from proxy.providers import Provider
from proxy.routing import names as named
from proxy.routing import routers
from proxy.routing.catalogue import Catalogue
from proxy.stores.schema import StoreError
from proxy.stores.sql import SqlStore
from proxy.stores.usage import UsageRow
from proxy.supply import (
    build_catalogue,
    decode_listing,
    fallback_listing,
    fetch_listing,
    lists,
    new_signing,
    new_transport,
)
from proxy.tables import dump, table
from proxy.upstream import listing
from proxy.upstream.listing import Listings, Status

LISTED_MAX = 20  # models named one by one in a sentence
MODELS_MAX = 50  # models with a line of their own
UNITS = ("output_image", "search_unit", "character", "audio_second")  # that are no tokens


async def resolve(config: Config) -> tuple[Catalogue, Mapping[str, Status]]:
    """The catalogue as a gateway would have it now: providers are asked, one that does not answer
    has the models it had in the store. Nothing is written, and only bugs are logged: what a
    provider's list lacks is in the status.
    """
    transport = new_transport(config)
    signing = new_signing(config, transport)

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
        lists=lists,
    )
    listings.load(_stored(config))
    log = logging.getLogger(listing.__name__)
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        await listings.refresh_all()
    finally:
        log.setLevel(before)
        await signing.close()
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
    """The resolved providers, models and limits. A provider may list more than serves."""
    providers = [_asked(one, status[one.provider.slug]) for one in config.resolved]
    limits = msgspec.structs.asdict(config.limits)
    del limits["url"]
    waits = {
        name: int(value) if value == int(value) else value  # 5 and 5.0 are one wait
        for name, value in msgspec.structs.asdict(config.timeouts).items()
    }
    enforced = config.credits.enforce and config.auth.mode == "keys"
    aliases = catalogue.aliases
    if as_json:
        return dump(
            {
                "providers": providers,
                "models": list(catalogue.models),
                "unpriced": catalogue.unpriced(),
                "limits": limits | waits,
                "credits": {"enforced": enforced, "margin": str(config.credits.margin)},
                "aliases": {id_: _unmet(alias, catalogue) for id_, alias in aliases.items()},
            }
        )
    if not providers:
        return "no provider: none is configured, and no usual key variable is set"
    parts = [
        _providers(providers),
        f"auth: {config.auth.mode}   store: {config.store.url}",
        f"credits: {'enforced' if enforced else 'only recorded'}   margin: {config.credits.margin}",
        "   ".join(f"{name}: {value}" for name, value in limits.items()),
        "   ".join(f"{name}: {value}" for name, value in waits.items()),
        *_resolved(catalogue),
        *(line for id_ in aliases for line in _alias(id_, catalogue)),
    ]
    return "\n".join(parts)


def _asked(one: ResolvedProvider, status: Status) -> dict[str, Any]:
    return {
        "slug": one.provider.slug,
        "name": one.provider.name,
        "base_url": one.provider.base_url,
        "keys": len(one.keys),
        "models": status.models,
        "source": status.source,
        "error": status.error,
        "trains_on_data": one.provider.trains_on_data,
        "retains_prompts_days": one.provider.retains_prompts_days,
    }


def _providers(rows: Sequence[dict[str, Any]]) -> str:
    lines = [
        [
            row["slug"],
            row["base_url"],
            str(row["keys"]),
            f"{row['models']} ({row['source']})",
            _policy(row["trains_on_data"], row["retains_prompts_days"]),
            row["error"] or "",
        ]
        for row in rows
    ]
    return table(["provider", "base URL", "keys", "it lists", "data", "last error"], lines)


def _resolved(catalogue: Catalogue) -> list[str]:
    """A line for each model, as long as they are not too many, and those that lack something."""
    unpriced = catalogue.unpriced()
    unserved = [model.id for model in catalogue.models.values() if not model.endpoints]
    rows = [
        [
            f"  {model.id}",
            ", ".join(dict.fromkeys(one.provider.slug for one in model.endpoints)) or "nobody",
            "" if not model.endpoints else "no price" if model.id in unpriced else "priced",
        ]
        for model in list(catalogue.models.values())[:MODELS_MAX]
    ]
    left = len(catalogue.models) - len(rows)
    return [
        f"models (what can be asked, of all that is listed): {len(catalogue.models)}",
        *(table(["  model", "providers", "price"], rows).splitlines() if rows else []),
        *([f"  and {left} more"] if left else []),
        *_named("without a price", unpriced),
        *_named("served by nobody", unserved),
    ]


def _unmet(alias: Alias, catalogue: Catalogue) -> list[str]:
    """The arms that no model is as things stand."""

    def met(name: str) -> bool:
        if named.split(name)[0] in routers.BUILT:
            return True
        try:
            named.resolve(name, catalogue)
        except GatewayError:
            return False
        return True

    return [arm.model for arm in alias.split if not met(arm.model)]


def _alias(id_: str, catalogue: Catalogue) -> list[str]:
    """What an alias comes to, and what is wrong with it."""
    alias = catalogue.aliases[id_]
    shares = ", ".join(f"{arm.model} ({arm.weight:g})" for arm in alias.split)
    hidden = "   it hides the model of that name" if id_ in catalogue.models else ""
    return [
        f"alias {id_}: {shares}   sticky: {alias.sticky}{hidden}",
        *_named("  no model is", _unmet(alias, catalogue)),
    ]


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
    """One line an endpoint, with prices in USD for a million tokens, and for one of other units."""
    if as_json:
        return dump([model_endpoints(model) for model in catalogue.models.values()])
    rows = []
    for model in catalogue.models.values():
        for endpoint in model.endpoints:
            prices = pricing_row(endpoint.pricing)
            rows.append(
                [
                    model.id,
                    endpoint.tag,
                    endpoint.model,
                    "+".join(model.output_modalities),
                    f"{endpoint.context_length:,}" if endpoint.context_length else "",
                    _per_million(prices["prompt"]),
                    _per_million(prices["completion"]),
                    ", ".join(f"{prices[unit]} {unit}" for unit in UNITS if unit in prices),
                ]
            )
    heads = [
        "model", "endpoint", "its name there", "gives", "context", "prompt $/M", "completion $/M",
        "other $",
    ]  # fmt: skip
    return table(heads, rows)


def _per_million(price: str) -> str:
    return "?" if price.startswith("-") else f"{float(price) * 1e6:g}"


def usage(rows: Sequence[UsageRow], *, by: str, as_json: bool) -> str:
    """Requests, tokens and cost by name."""
    if as_json:
        return dump([{**msgspec.to_builtins(r), "cost_usd": to_usd(r.cost_nano)} for r in rows])
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
    return table([by, "requests", "errors", "prompt", "completion", "cost USD"], lines)
