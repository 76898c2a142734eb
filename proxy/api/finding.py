"""Which models a list is asked for, and in which order: the query of OpenRouter's `GET /models`.

Its specification names the parameters and what they take. What is said of a model is what its row
shows. What is said of an endpoint, all of it, must be true of one endpoint: such a model can be
asked so. What is not known of a model fits no filter, and comes last in every order.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final, NamedTuple

from proxy.api.families import FAMILIES, family_of
from proxy.api.live import Live
from proxy.api.orders import MODELS_PER_STEP, ordered, price
from proxy.api.paging import whole
from proxy.api.rows import supported
from proxy.api.values import ALL, names_of, number_of, one_of, refused, words_of
from proxy.errors import GatewayError
from proxy.routing.catalogue import Endpoint, Model
from proxy.routing.filters import Choice, Wish, excluded, named
from proxy.wire.listing import PARAMETERS
from proxy.wire.preferences import NONE, Preferences
from proxy.wire.slices import Steps

Query = Mapping[str, str]
OfModel = Callable[[Model, "Ground"], bool]
OfEndpoint = Callable[[Model, Endpoint], bool]

OUTPUTS: Final = (
    "text", "image", "embeddings", "audio", "video", "rerank", "speech", "transcription",
    "decisions",
)  # fmt: skip
"""What models put out, in OpenRouter's words; the first is what is listed where nothing is said."""

INPUTS: Final = ("text", "image", "audio", "file", "video")

# fmt: off
UNMEASURED: Final = frozenset({
    "category",
    "min_intelligence_index", "max_intelligence_index", "min_coding_index", "max_coding_index",
    "min_agentic_index", "max_agentic_index", "use_rss_chat_links",
})
"""What models are used for, and others' benchmarks, nobody here knows, and there is no page to chat
on: these parameters are refused, since nothing that is asked for is passed over."""

EU: Final = frozenset({
    "AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT",
    "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK",
})
# fmt: on
REGIONS: Final[Mapping[str, frozenset[str]]] = {"eu": EU, "us": frozenset({"US"})}

_NO_CHAT: Final = ("use_rss_chat_links", "false")
_DAY_S: Final = 86_400
_DAYS_MAX: Final = 10**6
_ZDR: Final = Preferences(zdr=True)


class Ground(NamedTuple):
    """What models are judged by beside what is said of them; `now` is seconds since 1970."""

    now: float
    live: Live


def find(models: Iterable[Model], query: Query, ground: Ground) -> Steps[list[Model]]:
    """The models that `query` is for, in the order it asks for, else in that of `models`; in steps,
    as anybody may ask anything of thousands of endpoints.

    Raises GatewayError: `invalid_request`, which names the parameter, for a value that it does not
    take; `not_supported` for what nothing is known of.
    """
    said = {"output_modalities": OUTPUTS[0]} | {k: v for k, v in query.items() if v}
    for name in sorted(UNMEASURED & said.keys()):
        if (name, said[name]) != _NO_CHAT:
            raise GatewayError("not_supported", f"{name}: not supported yet")
    tests = [test(name, said[name]) for name, test in _OF_MODEL.items() if name in said]
    fits = [test(name, said[name]) for name, test in _OF_ENDPOINT.items() if name in said]
    found = []
    for number, model in enumerate(models):
        if number % MODELS_PER_STEP == 0:
            yield
        if all(test(model, ground) for test in tests) and (
            not fits or any(all(fit(model, one) for fit in fits) for one in model.endpoints)
        ):
            found.append(model)
    return (yield from ordered(found, said["sort"], ground.live)) if "sort" in said else found


def reachable(
    model: Model, endpoint: Endpoint, wished: Preferences = NONE, *, priced_only: bool = False
) -> bool:
    """Whether some request with these wishes could be led there: it is asked what a plan asks."""
    if not endpoint.tasks:
        return False
    nothing: frozenset[str] = frozenset()
    wish = Wish(
        names=(model.id,),
        task="chat" if "chat" in endpoint.tasks else min(endpoint.tasks),
        required=nothing,
        priced_only=priced_only,
        tools=None,
        kept=None,
        preferences=wished,
        soft=nothing,
        tier=None,
        inputs=nothing,
        outputs=nothing,
    )
    tiers = frozenset(() if endpoint.tier is None else (endpoint.tier,))
    return excluded(model, endpoint, Choice(wish, tiers), None) is None


def without_retention(model: Model, endpoint: Endpoint) -> bool:
    """Whether a request with `provider.zdr` may be led there."""
    return reachable(model, endpoint, _ZDR)


# What is asked of a model.


def _outputs(name: str, text: str) -> OfModel:
    words = words_of(name, text, (ALL, *OUTPUTS))
    return lambda model, _: ALL in words or not words.isdisjoint(model.output_modalities)


def _inputs(name: str, text: str) -> OfModel:
    words = words_of(name, text, INPUTS)
    return lambda model, _: words.issubset(model.input_modalities)


def _searched(_: str, text: str) -> OfModel:
    parts = frozenset(text.casefold().split())

    def test(model: Model, _: Ground) -> bool:
        told = f"{model.id} {model.name}".casefold()
        return all(part in told for part in parts)

    return test


def _authored(name: str, text: str) -> OfModel:
    authors = names_of(name, text)
    return lambda model, _: model.id.partition("/")[0].lower() in authors


def _related(name: str, text: str) -> OfModel:
    """`Llama` is all that begin so."""
    begin = text.lower()
    found = {family for family in FAMILIES if family.lower().startswith(begin)}
    if not found:
        raise refused(name, f"must be of {', '.join(FAMILIES)}")
    return lambda model, _: family_of(model.id) in found


def _distillable(name: str, text: str) -> OfModel:
    """What is not known to be distillable is not, as it is when a request is routed."""
    wanted = one_of(name, text, ("true", "false")) == "true"
    return lambda model, _: (model.distillable is True) is wanted


def _long(name: str, text: str) -> OfModel:
    least = whole({name: text}, name, default=1, low=1, high=10**9)
    return lambda model, _: (model.context_length or 0) >= least


def _priced(name: str, text: str, *, part: str, most: bool) -> OfModel:
    bound = number_of(name, text)

    def test(model: Model, _: Ground) -> bool:
        asked = price(model, part)
        return asked is not None and (asked <= bound if most else asked >= bound)

    return test


def _aged(name: str, text: str, *, most: bool) -> OfModel:
    days = whole({name: text}, name, default=0, low=0, high=_DAYS_MAX)

    def test(model: Model, ground: Ground) -> bool:
        if model.created is None:
            return False
        age = (ground.now - model.created) / _DAY_S
        return age <= days if most else age >= days

    return test


def _sound(name: str, text: str, *, most: bool) -> OfModel:
    """OpenRouter's figure is of how answers end; ours of how many have calls that can be used."""
    bound = float(number_of(name, text))
    if bound > 1:
        raise refused(name, "must be a share from 0 to 1")

    def test(model: Model, ground: Ground) -> bool:
        share = ground.live.sound_calls(model)
        return share is not None and (share <= bound if most else share >= bound)

    return test


# What is asked of an endpoint.


def _able(name: str, text: str) -> OfEndpoint:
    words = words_of(name, text, PARAMETERS)
    return lambda _, endpoint: words.issubset(supported(endpoint))


def _hosted(name: str, text: str) -> OfEndpoint:
    names = names_of(name, text)
    known: dict[tuple[str, str], bool] = {}  # there are more endpoints than ways to name them

    def test(_: Model, endpoint: Endpoint) -> bool:
        called = endpoint.provider.slug, endpoint.tag
        if called not in known:
            known[called] = any(named(one, endpoint) for one in names)
        return known[called]

    return test


def _unkept(name: str, text: str) -> OfEndpoint:
    one_of(name, text, ("true",))
    return without_retention


def _placed(name: str, text: str) -> OfEndpoint:
    """All data centres must be there: which of them answers, nobody promises."""
    inside = REGIONS[one_of(name, text, tuple(REGIONS))]

    def test(_: Model, endpoint: Endpoint) -> bool:
        places = endpoint.provider.datacenters
        return bool(places) and inside.issuperset(places)

    return test


_OF_MODEL: Final[Mapping[str, Callable[[str, str], OfModel]]] = {
    "output_modalities": _outputs,
    "input_modalities": _inputs,
    "q": _searched,
    "arch": _related,
    "model_authors": _authored,
    "distillable": _distillable,
    "context": _long,
    "min_price": partial(_priced, part="prompt", most=False),
    "max_price": partial(_priced, part="prompt", most=True),
    "min_output_price": partial(_priced, part="completion", most=False),
    "max_output_price": partial(_priced, part="completion", most=True),
    "min_age_days": partial(_aged, most=False),
    "max_age_days": partial(_aged, most=True),
    "min_tool_success_rate": partial(_sound, most=False),
    "max_tool_success_rate": partial(_sound, most=True),
}
_OF_ENDPOINT: Final[Mapping[str, Callable[[str, str], OfEndpoint]]] = {
    "supported_parameters": _able,
    "providers": _hosted,
    "zdr": _unkept,
    "region": _placed,
}


TAKEN: Final = UNMEASURED.union(
    _OF_MODEL, _OF_ENDPOINT, ("sort", "use_rss", "offset", "limit", "after_id", "before_id")
)
"""All that a list takes, its pages and its feed included."""
