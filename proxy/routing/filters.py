"""Who may be tried at all: what a request needs and insists on, and why an endpoint is none for it.

What is asked here is true of an endpoint whatever its condition, so the answers are kept (`plan`).
Contract, section 4, items 1, 5, 6, 7 and 9. Nothing that is said of an endpoint is guessed: where a
provider's policy, or a model's, is not known, whoever insists on it is not served there.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Final, NamedTuple

from proxy.money import Pricing, tariff_of
from proxy.routing.catalogue import Endpoint, Model
from proxy.wire.preferences import Ceiling, Preferences
from proxy.wire.request import WEB_SEARCH, Speed, Task, Tier

_MILLION: Final = 10**6
_PLAIN_DIGITS: Final = 20
NO_PRICE: Final = "has no price, and credits can only pay for what has one"


class Reason(NamedTuple):
    """Why an endpoint may not be tried. `by` is what excluded it, in OpenRouter's words
    (`excluded_by`, contract 2.4) where it has one for it; `words` are for people, after the name of
    the endpoint; `detail` is what a message names, `field` the request's that wished it so.
    """

    by: str
    words: str
    detail: str = ""
    field: str = ""


class Wish(NamedTuple):
    """What decides who may be tried, whoever is well. `names` are the models, `required` the
    parameters that an endpoint must support, `soft` those that are preferred where some endpoint of
    a model has them. `priced_only` says that credits pay, which they only can for what has a price;
    `tools` are those that each endpoint's provider would run, where the request names any, `kept`
    the field that names what is kept in the operator's own account. `tier`, `inputs` and `outputs`
    are the request's (`Ask`).
    """

    names: tuple[str, ...]
    task: Task
    required: frozenset[str]
    priced_only: bool
    tools: tuple[frozenset[str], ...] | None
    kept: str | None
    preferences: Preferences
    soft: frozenset[str]
    tier: Speed | None
    inputs: frozenset[str]
    outputs: frozenset[str]

    @property
    def size_bytes(self) -> int:
        """About how much memory it takes to keep it."""
        wished = self.preferences
        said = (*self.names, *wished.order, *wished.only, *wished.ignore)
        return 1000 + 60 * len(said) + sum(map(len, said))


class Choice(NamedTuple):
    """What is wished of one model's endpoints, by the request and by the name it has for the model.
    `tiers` are the service tiers that are open to it; `free` that it may cost nothing.
    """

    wish: Wish
    tiers: frozenset[Tier]
    free: bool = False


Filter = Callable[[Model, Endpoint, Choice], Reason | None]


def named(name: str, endpoint: Endpoint) -> bool:
    """Whether `name`, in lower case, is the endpoint's: its tag, or its provider by slug or name,
    which mean all of a provider's endpoints but those of a service tier.
    """
    return name in names_of(endpoint)


def names_of(endpoint: Endpoint) -> tuple[str, ...]:
    """All by which it can be `named`."""
    if endpoint.tier is not None:
        return (endpoint.tag,)
    return endpoint.tag, endpoint.provider.slug, endpoint.provider.name.lower()


_set: Final = lru_cache(maxsize=8)(frozenset[str])
"""Lists may be long, and a request asks the same few of each endpoint of a catalogue."""


def _any(names: tuple[str, ...], endpoint: Endpoint) -> bool:
    return not _set(names).isdisjoint(names_of(endpoint))


def _able(model: Model, endpoint: Endpoint, choice: Choice) -> Reason | None:
    wish = choice.wish
    if wish.task not in endpoint.tasks:
        return Reason("task", f"is not for requests of the kind {wish.task}")
    if wish.kept is not None and not endpoint.provider.shares_files:
        words = f"does not share what the operator keeps there: {wish.kept}"
        return Reason("kept", words, wish.kept, wish.kept)
    if wish.task != "chat":
        return None
    if model.takes is not None and (unread := wish.inputs - model.takes):
        return Reason("input_modality", f"takes no {_listed(unread)}", min(unread), "messages")
    if model.makes is not None and (unmade := wish.outputs - model.makes):
        words = f"puts out no {_listed(unmade)}"
        return Reason("output_modality", words, min(unmade), "modalities")
    return None


def _listed(words: Iterable[str]) -> str:
    return " or ".join(sorted(words))


def _chosen(_: Model, endpoint: Endpoint, choice: Choice) -> Reason | None:
    wished = choice.wish.preferences
    if wished.only and not _any(wished.only, endpoint):
        return Reason("allowed_providers", "is not among provider.only", field="provider.only")
    if wished.ignore and _any(wished.ignore, endpoint):
        return Reason("ignored_providers", "is among provider.ignore", field="provider.ignore")
    if wished.order and not wished.allow_fallbacks and not _any(wished.order, endpoint):
        words = "is not in provider.order, and provider.allow_fallbacks is false"
        return Reason("allowed_providers", words, field="provider.order")
    tier = endpoint.tier
    opened = tier is None or tier in choice.tiers
    if not opened and endpoint.tag not in (*wished.only, *wished.order):
        words = f"is for service_tier {tier}, which was not asked for"
        return Reason("service_tier", words, field="service_tier")
    if choice.free and not _costs_nothing(endpoint.pricing):
        return Reason("variant:free", "costs something, and the model's name ends in :free")
    return None


def _costs_nothing(pricing: Pricing | None) -> bool:
    """A tariff is only made of what looks so: a catalogue has thousands of prices."""
    if pricing is None or pricing.prompt or pricing.completion:
        return False
    return tariff_of(pricing).free


def _private(_: Model, endpoint: Endpoint, choice: Choice) -> Reason | None:
    provider, wished = endpoint.provider, choice.wish.preferences
    if wished.zdr and (days := provider.retains_prompts_days) != 0:
        keeps = "does not say if it keeps prompts" if days is None else f"keeps prompts {days} days"
        return Reason("data_policy:zdr", f"{keeps}, and provider.zdr is true", field="provider.zdr")
    if wished.private and provider.trains_on_data is not False:
        trains = "trains" if provider.trains_on_data else "does not say if it trains"
        words = f"{trains} on prompts, and provider.data_collection is deny"
        return Reason("data_policy:training", words, field="provider.data_collection")
    return None


_DISTILLABLE: Final = Reason(
    "distillable",
    "has a model that is not known to allow distillation of its text",
    field="provider.enforce_distillable_text",
)


def _distillable(model: Model, _: Endpoint, choice: Choice) -> Reason | None:
    forbidden = choice.wish.preferences.distillable and model.distillable is not True
    return _DISTILLABLE if forbidden else None


def _quantized(_: Model, endpoint: Endpoint, choice: Choice) -> Reason | None:
    wanted = choice.wish.preferences.quantizations
    if not wanted or endpoint.quantization in wanted:
        return None
    words = f"has quantization {endpoint.quantization}, which is not in provider.quantizations"
    return Reason("quantization", words, field="provider.quantizations")


def _cheap(_: Model, endpoint: Endpoint, choice: Choice) -> Reason | None:
    ceiling = choice.wish.preferences.ceiling
    if ceiling is None:
        return None
    for name, price, most in _compared(endpoint, ceiling):
        if most is not None and (price is None or price > most):
            field = f"provider.max_price.{name}"
            cost = "has no price" if price is None else f"costs {_usd(price)} USD {_UNITS[name]}"
            than = f"to compare with {field}" if price is None else f"above {field} {_usd(most)}"
            return Reason("max_price", f"{cost}, {than}", field=field)
    return None


_UNITS: Final = {
    "prompt": "a million prompt tokens",
    "completion": "a million completion tokens",
    "request": "a request",
    "image": "an image",
    "audio": "a unit of audio",
}


def _usd(price: Decimal) -> str:
    """As people write it, unless it would have a row of noughts as long as its caller likes."""
    plain = price.normalize()
    return f"{plain:f}" if abs(plain.adjusted()) < _PLAIN_DIGITS else str(plain)


def _compared(
    endpoint: Endpoint, ceiling: Ceiling
) -> Sequence[tuple[str, Decimal | None, Decimal | None]]:
    """Each bound beside what the endpoint takes, in the bound's unit. A price that is not named
    is that of text, which a bound in other units can not be compared with: it is no more than 0.
    """
    pricing = endpoint.pricing
    if pricing is None:
        return [(name, None, getattr(ceiling, name)) for name in ceiling.__struct_fields__]
    nothing = Decimal(0)
    return (
        ("prompt", pricing.prompt * _MILLION, ceiling.prompt),
        ("completion", pricing.completion * _MILLION, ceiling.completion),
        ("request", pricing.request, ceiling.request),
        ("image", pricing.image or nothing, ceiling.image),
        ("audio", pricing.audio or nothing, ceiling.audio),
    )


def _supports(_: Model, endpoint: Endpoint, choice: Choice) -> Reason | None:
    missing = lacking(endpoint, choice.wish.required)
    if not missing:
        return None
    words = f"does not support {', '.join(missing)}"
    return Reason("require_parameters", words, missing[0], "provider.require_parameters")


def lacking(endpoint: Endpoint, wanted: Collection[str]) -> list[str]:
    """Which parameters of `wanted` it does not support; who does not say supports all."""
    supported = endpoint.supported_parameters
    return [] if supported is None else sorted(set(wanted).difference(supported))


def unpriced(endpoint: Endpoint, tools: Collection[str] | None) -> Reason | None:
    """Why credits can not pay for it, if they can not. `tools` None are those it runs unasked."""
    pricing, provider = endpoint.pricing, endpoint.provider
    if pricing is None:
        return Reason("price", NO_PRICE)
    ran = provider.tools_of(endpoint.model) if tools is None else tools
    known = set(provider.tool_prices) - {WEB_SEARCH}
    if pricing.web_search is not None:
        known.add(WEB_SEARCH)
    found = () if provider.local else sorted(set(ran) - known)
    return Reason("price", f"{', '.join(found)} {NO_PRICE}", ", ".join(found)) if found else None


_BEFORE: Final[tuple[Filter, ...]] = (_able, _chosen)
_AFTER: Final[tuple[Filter, ...]] = (
    _private, _distillable, _quantized, _cheap, _supports,
)  # fmt: skip
"""In the order in which a reason is named: what it is for, and what the caller chose by name."""


def excluded(
    model: Model, endpoint: Endpoint, choice: Choice, tools: Collection[str] | None
) -> Reason | None:
    """Why the endpoint may not be tried for such a request, if it may not. `tools` are those that
    its provider would run; None are those it runs unasked.
    """
    for one in _BEFORE:
        if why := one(model, endpoint, choice):
            return why
    if choice.wish.priced_only and (why := unpriced(endpoint, tools)):
        return why
    for one in _AFTER:
        if why := one(model, endpoint, choice):
            return why
    return None
