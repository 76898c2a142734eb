"""How one request was routed and who paid for it, in words that a user understands (`weir why`)."""

from collections.abc import Iterator, Sequence
from typing import Any, Final, get_args

from proxy.api.explain import routing_row
from proxy.routing.wording import DEFAULT
from proxy.tables import dump, minute, table, usd
from proxy.wire.record import Generation
from proxy.wire.request import Tier


def told(row: Generation, *, as_json: bool) -> str:
    """All that is known of its way; `as_json` for programs."""
    found = routing_row(row)
    if as_json:
        return dump({"id": row.id, "model": row.model, **found})
    return "\n".join(
        [
            f"{row.id}, {minute(row.created_at)} UTC, account {row.account}, {_caller(row)}",
            *_outcome(row),
            *_stayed(row),
            *_candidates(found["candidates"]),
            *_attempts(row, found["attempts"]),
            *_money(row),
        ]
    )


def _caller(row: Generation) -> str:
    return "no key" if row.key_hash is None else f"key {row.key_hash[:16]}"


def _outcome(row: Generation) -> Iterator[str]:
    yield _asked(row)
    if row.choice is not None:
        yield from (f"  {one}" for one in row.choice.split("; "))
    if row.error is not None:
        ending = f"ended with {row.error}, status {row.status}"
    elif row.cancelled:
        ending = "the caller hung up"
    else:
        ending = f"finished with {row.finish_reason or 'no reason given'}"
    yield f"{_by(row)}{'streamed' if row.streamed else 'in one piece'}, {ending}"
    times = [
        f"{said} {value} ms"
        for said, value in (
            ("first content after", row.latency_ms),
            ("generated for", row.generation_time_ms),
            ("waited for credit or limits", row.waited_ms or None),
        )
        if value is not None
    ]
    if times:
        yield ", ".join(times)
    if row.service_tier is not None and (row.service_tier != "default" or _tiered(row)):
        yield f"served at service_tier {row.service_tier}"
    if row.recovered:
        yield "its gateway died before the end; what it had noted was settled"


def _tiered(row: Generation) -> bool:
    """Whether it was answered at an endpoint of a service tier, which may still serve another."""
    tags = (one.provider for one in row.attempts if one.error is None)
    return any(tag.rpartition("/")[2] in get_args(Tier) for tag in tags)


def _asked(row: Generation) -> str:
    """What was asked for, and how it came to be the model it is."""
    asked = row.requested_model or row.model
    said = f"asked for {asked}"
    if row.preset is not None:
        said += f" with the preset {row.preset}"
    if row.arm is not None:
        said += f", an alias whose traffic is split: this request was given {row.arm}"
    return said + _led(row.arm or asked, row.model)


def _led(name: str, model: str) -> str:
    """How `name` came to mean `model`, where the one does not say the other. A fallback's name
    stands in no record, so this does not tell it from another word for the same model.
    """
    if not model or f"{name}:".startswith(f"{model}:"):
        return ""
    base = name.partition(":")[0]
    usual = "which is" if model.endswith(f"/{base}") else "which led to"
    return f", {_CHOSEN.get(base, usual)} {model}"


_CHOSEN: Final = {
    "openrouter/auto": "which chose the best buy for the request:",
    "openrouter/free": "which chose one of the models that cost nothing:",
}


def _stayed(row: Generation) -> Iterator[str]:
    if row.stayed:
        yield "asked first where the conversation went before, and may be cached"
    if row.saved_nano > 0:
        yield f"cached tokens saved {usd(row.saved_nano)} USD"
    elif row.saved_nano < 0:
        yield f"the caching cost {usd(-row.saved_nano)} USD more than it saved"


def _by(row: Generation) -> str:
    if not row.provider:
        return ""
    answered = any(one.error is None for one in row.attempts)
    verb = "answered by" if answered else "last tried at"
    return f"{verb} {row.provider} ({row.endpoint_model}), "


def _candidates(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    if not rows:
        return
    yield "\ncandidates in the order of the plan (price: a million tokens in and a million out)"
    yield from _orders(rows)
    lines = [
        [
            f"  {number}",
            f"{one['provider']}/{one['model']}",
            one["standing"],
            _price(one),
            one["measured"] or "" if one["excluded"] is None else f"not tried: {one['excluded']}",
        ]
        for number, one in enumerate(rows, start=1)
    ]
    yield from table(["", "endpoint", "standing", "price", ""], lines).splitlines()


def _orders(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Each rule, and of whom it is where there are several: another model may have another."""
    rules: dict[str, list[str]] = {}
    for number, one in enumerate(rows, start=1):
        if one["excluded"] is None:
            rules.setdefault(one["rule"] or DEFAULT, []).append(str(number))
    for rule, numbers in rules.items():
        among = f" of {', '.join(numbers)}" if len(rules) > 1 else ""
        yield f"order{among}: {rule}"


def _price(one: dict[str, Any]) -> str:
    """Of who is excluded it is not looked at."""
    if one["price"] is None:
        return "no price" if one["excluded"] is None else ""
    return f"{one['price']:g} USD"


def _attempts(row: Generation, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    if not rows:
        yield "\nits attempts were not noted" if row.recovered else "\nno provider was asked"
        return
    yield "\nattempts"
    for number, one in enumerate(rows, start=1):
        status = "no answer" if one["status"] is None else f"status {one['status']}"
        result = "answered" if one["error"] is None else _failed(one["error"])
        race = ", raced the one before" if one["hedge"] else ""
        # The request itself ended with its drain.
        drained = one["error"] == "drained"
        until = f", heard out until {row.generation_time_ms} ms" if drained else ""
        without = ", ".join(one["dropped"])
        dropped = f", without what it does not support: {without}" if without else ""
        yield (
            f"  {number}  at {one['began_ms']} ms  {one['provider']}/{one['model']}: "
            f"{status}, {result}, {one['latency_ms']} ms{race}{until}{dropped}"
        )


_FAILED: Final = {
    "draining": "the gateway was closing",
    "drained": "the caller hung up",
    "hung_up": "the caller hung up",
    "lost": "another one was faster",
    "provider_context_length": "found the prompt too long",
    "provider_credential": "refused the gateway's key",
    "provider_cut": "broke off",
    "provider_empty": "said nothing",
    "provider_lacks_media": "an attachment could not be fetched for it",
    "provider_lacks_model": "has no such model any more",
    "provider_malformed": "sent what can not be read",
    "provider_moderated": "will not answer what the prompt says",
    "provider_overloaded": "has too much to do",
    "provider_rate_limited": "asked for a pause",
    "provider_rejected": "refused the request",
    "provider_timeout": "took too long",
    "provider_unavailable": "failed",
    "provider_unfit": "has no form for a part of the request, and was not asked",
    "provider_unreachable": "could not be reached",
}


def _failed(error: str) -> str:
    """For people, and the word by which docs/errors.md and programs know it."""
    words = _FAILED.get(error)
    return error if words is None else f"{words} ({error})"


def _money(row: Generation) -> Iterator[str]:
    counted = "estimated" if row.usage_estimated else "as the provider counted"
    if row.usage_estimated or row.prompt_tokens or row.completion_tokens:
        yield (
            f"\nusage, {counted}: {row.prompt_tokens} prompt ({row.cached_tokens} cached) + "
            f"{row.completion_tokens} completion ({row.reasoning_tokens} reasoning) tokens"
        )
    else:
        yield "\nno usage"
    yield f"largest hold: {usd(row.held_nano)} USD"
    if row.cost_nano is None:
        yield "cost: nobody knows the price"
    elif row.upstream_nano and not row.cost_nano:
        yield "the caller pays nothing: what fails or has no content is free"
        yield f"its price would be {usd(row.upstream_nano)} USD"
    else:
        yield f"the caller pays {usd(row.cost_nano)} USD"
        if row.upstream_nano is not None and row.upstream_nano != row.cost_nano:
            yield f"without the margin it is {usd(row.upstream_nano)} USD"
    if row.house_nano:
        yield f"the house bears {usd(row.house_nano)} USD"
