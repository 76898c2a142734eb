"""Who may be tried at all: each wish of `provider` as a table, in the words of the contract."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from proxy.money import Pricing
from proxy.providers import Provider
from proxy.routing.catalogue import Endpoint, Model
from proxy.routing.filters import Choice, Reason, Wish, excluded, lacking, named, unpriced
from proxy.routing.waits import Timeouts
from proxy.wire import preferences
from proxy.wire.preferences import Preferences

VERTEX = Provider(
    slug="google-vertex", name="Google Vertex", base_url="https://vertex.example/",
    retains_prompts_days=30, trains_on_data=False,
)  # fmt: skip


def endpoint(tag: str = "google-vertex", provider: Provider = VERTEX, **more: Any) -> Endpoint:
    """One with a price, that says nothing else."""
    said: dict[str, Any] = {
        "provider": provider, "model": "gemini", "tag": tag, "context_length": None,
        "max_completion_tokens": None, "quantization": "unknown", "supported_parameters": None,
        "timeouts": Timeouts(), "pricing": price(prompt="0.000012", completion="0.00003"),
    }  # fmt: skip
    return Endpoint(**said | more)


def price(**usd: str) -> Pricing:
    return msgspec.convert(usd, Pricing)


def model(**more: Any) -> Model:
    said: dict[str, Any] = {
        "id": "google/gemini", "name": "Gemini", "created": None, "description": None,
        "context_length": None, "input_modalities": ("text",), "output_modalities": ("text",),
        "endpoints": (),
    }  # fmt: skip
    return Model(**said | more)


def wish(provider: dict[str, Any] | None = None, **more: Any) -> Wish:
    said: dict[str, Any] = {
        "names": ("google/gemini",), "task": "chat", "required": frozenset(), "priced_only": False,
        "tools": None, "kept": None, "preferences": preferences.decode(provider),
        "soft": frozenset(), "tier": None, "inputs": frozenset(), "outputs": frozenset(),
    }  # fmt: skip
    return Wish(**said | more)


def why(
    one: Endpoint,
    provider: dict[str, Any] | None = None,
    *,
    of: Model | None = None,
    tiers: tuple[Any, ...] = (),
    free: bool = False,
    **more: Any,
) -> Reason | None:
    """Why it is not tried for such a request."""
    choice = Choice(wish(provider, **more), frozenset(tiers), free)
    return excluded(of or model(), one, choice, None)


def by(*args: Any, **more: Any) -> str | None:
    reason = why(*args, **more)
    return reason and reason.by


REGION = endpoint("google-vertex/us-east5")
FLEX = endpoint("google-vertex/flex", tier="flex")
TURBO = endpoint(
    "deepinfra/turbo", Provider(slug="deepinfra", name="DeepInfra", base_url="https://d.example/")
)


@pytest.mark.parametrize(
    ("name", "one", "its"),
    [
        ("google-vertex", endpoint(), True),
        ("google-vertex", REGION, True),
        ("google-vertex/us-east5", REGION, True),
        ("google-vertex/us-east5", endpoint(), False),
        ("google-vertex/europe-west1", REGION, False),
        ("google vertex", REGION, True),
        ("deepinfra", TURBO, True),
        ("deepinfra/turbo", TURBO, True),
        ("google", endpoint(), False),
        ("google-vertex", FLEX, False),
        ("google vertex", FLEX, False),
        ("google-vertex/flex", FLEX, True),
        ("", endpoint(), False),
    ],
)
def test_a_base_slug_or_a_display_name_is_every_endpoint_but_a_tiers_and_a_tag_is_one(
    name: str, one: Endpoint, its: bool
) -> None:
    assert named(name, one) is its


@pytest.mark.parametrize(
    ("provider", "one", "reason"),
    [
        ({"only": ["google-vertex"]}, REGION, None),
        ({"only": ["Google-Vertex "]}, REGION, None),
        ({"only": ["Google Vertex"]}, REGION, None),
        ({"only": ["deepinfra/turbo"]}, REGION, "allowed_providers"),
        ({"only": []}, REGION, None),
        ({"ignore": ["google-vertex/us-east5"]}, REGION, "ignored_providers"),
        ({"ignore": ["google-vertex/us-east5"]}, endpoint(), None),
        ({"only": ["google-vertex"], "ignore": ["google-vertex"]}, REGION, "ignored_providers"),
        ({"order": ["deepinfra"]}, REGION, None),
        ({"order": ["deepinfra"], "allow_fallbacks": False}, REGION, "allowed_providers"),
        ({"order": ["google-vertex"], "allow_fallbacks": False}, REGION, None),
        ({"allow_fallbacks": False}, REGION, None),
    ],
)
def test_only_and_ignore_and_an_order_without_fallbacks_say_who_may_answer(
    provider: dict[str, Any], one: Endpoint, reason: str | None
) -> None:
    assert by(one, provider) == reason


@pytest.mark.parametrize(
    ("provider", "tiers", "reason"),
    [
        (None, (), "service_tier"),
        (None, ("flex",), None),
        (None, ("priority",), "service_tier"),
        ({"only": ["google-vertex"]}, (), "allowed_providers"),
        ({"order": ["google-vertex"]}, (), "service_tier"),
        ({"only": ["google-vertex/flex"]}, (), None),
        ({"order": ["google-vertex/flex"]}, (), None),
        ({"ignore": ["google-vertex"]}, ("flex",), None),
        ({"ignore": ["google-vertex/flex"]}, ("flex",), "ignored_providers"),
    ],
)
def test_an_endpoint_of_a_service_tier_is_only_tried_where_its_tier_or_its_tag_is_asked_for(
    provider: dict[str, Any] | None, tiers: tuple[str, ...], reason: str | None
) -> None:
    assert by(FLEX, provider, tiers=tiers) == reason


@pytest.mark.parametrize(
    ("quantizations", "has", "served"),
    [
        (["int4"], "int4", True),
        (["int4"], "int8", False),
        (["fp4"], "mxfp4", True),
        (["fp4"], "nvfp4", True),
        (["fp8"], "mxfp8", True),
        (["mxfp8"], "fp8", False),
        (["nvfp4"], "fp4", False),
        (["fp8", "bf16"], "bf16", True),
        (["fp8"], "unknown", False),
        (["unknown"], "unknown", True),
        ([], "int4", True),
    ],
)
def test_quantizations_are_those_named_and_those_of_their_kind(
    quantizations: list[str], has: str, served: bool
) -> None:
    reason = why(endpoint(quantization=has), {"quantizations": quantizations})
    assert (reason is None) is served
    if reason is not None:
        assert (reason.by, reason.field) == ("quantization", "provider.quantizations")
        assert reason.words == f"has quantization {has}, which is not in provider.quantizations"


@pytest.mark.parametrize(
    ("ceiling", "words"),
    [
        ({"prompt": 12}, None),
        ({"prompt": "11.99"}, "costs 12 USD a million prompt tokens, above {}.prompt 11.99"),
        ({"completion": 29}, "costs 30 USD a million completion tokens, above {}.completion 29"),
        ({"prompt": 12, "completion": 30, "request": 0, "image": 0, "audio": 0}, None),
        ({"request": 0}, None),
        ({"prompt": 0}, "costs 12 USD a million prompt tokens, above {}.prompt 0"),
        ({}, None),
    ],
)
def test_max_price_is_a_hard_filter_in_dollars_per_million(
    ceiling: dict[str, Any], words: str | None
) -> None:
    reason = why(endpoint(), {"max_price": ceiling})
    assert (reason and reason.words) == (words and words.format("provider.max_price"))


@pytest.mark.parametrize(
    ("pricing", "bound", "what"),
    [
        ({"request": "0.02"}, {"request": "0.01"}, "0.02 USD a request"),
        ({"image": "0.2"}, {"image": "0.1"}, "0.2 USD an image"),
        ({"audio": "2"}, {"audio": "1.5"}, "2 USD a unit of audio"),
    ],
)
def test_max_price_bounds_what_is_not_sold_by_tokens_too(
    pricing: dict[str, str], bound: dict[str, str], what: str
) -> None:
    one = endpoint(pricing=price(prompt="0", completion="0", **pricing))
    (field,) = bound
    reason = why(one, {"max_price": bound})
    assert reason is not None
    assert (reason.by, reason.field) == ("max_price", f"provider.max_price.{field}")
    assert reason.words == f"costs {what}, above {reason.field} {bound[field]}"
    assert why(one, {"max_price": {field: Decimal(pricing[field])}}) is None


@pytest.mark.parametrize("field", ["prompt", "completion", "request", "image", "audio"])
def test_what_has_no_price_is_above_every_max_price(field: str) -> None:
    reason = why(endpoint(pricing=None), {"max_price": {field: 9}})
    assert reason is not None
    assert reason.words == f"has no price, to compare with provider.max_price.{field}"


def of(**more: Any) -> Endpoint:
    return endpoint("p", Provider(slug="p", name="P", base_url="https://p.example/", **more))


@pytest.mark.parametrize(
    ("policy", "served", "words"),
    [
        ({"retains_prompts_days": 0}, True, ""),
        ({"retains_prompts_days": 30}, False, "keeps prompts 30 days, and provider.zdr is true"),
        ({}, False, "does not say if it keeps prompts, and provider.zdr is true"),
    ],
)
def test_zdr_is_only_served_by_who_is_known_to_keep_nothing(
    policy: dict[str, Any], served: bool, words: str
) -> None:
    reason = why(of(**policy), {"zdr": True})
    assert (reason is None) is served
    assert reason is None or (reason.by, reason.words) == ("data_policy:zdr", words)
    assert why(of(**policy), {"zdr": False}) is None
    assert why(of(**policy)) is None


@pytest.mark.parametrize(
    ("policy", "served", "words"),
    [
        ({"trains_on_data": False}, True, ""),
        ({"trains_on_data": True}, False, "trains on prompts"),
        ({}, False, "does not say if it trains on prompts"),
    ],
)
def test_data_collection_deny_is_only_served_by_who_is_known_not_to_train(
    policy: dict[str, Any], served: bool, words: str
) -> None:
    reason = why(of(**policy), {"data_collection": "deny"})
    assert (reason is None) is served
    said = f"{words}, and provider.data_collection is deny"
    assert reason is None or (reason.by, reason.words) == ("data_policy:training", said)
    assert why(of(**policy), {"data_collection": "allow"}) is None


@pytest.mark.parametrize(
    ("known", "reason"), [(True, None), (False, "distillable"), (None, "distillable")]
)
def test_enforce_distillable_text_is_only_served_by_models_known_to_allow_it(
    known: bool | None, reason: str | None
) -> None:
    text = model(distillable=known)
    assert by(endpoint(), {"enforce_distillable_text": True}, of=text) == reason
    assert by(endpoint(), {"enforce_distillable_text": False}, of=text) is None


@pytest.mark.parametrize(
    ("supported", "required", "words"),
    [
        (("tools", "seed"), {"tools"}, None),
        (("seed",), {"tools", "top_k", "seed"}, "does not support tools, top_k"),
        ((), {"seed"}, "does not support seed"),
        (None, {"seed"}, None),
        ((), set(), None),
    ],
)
def test_require_parameters_leaves_out_who_does_not_support_all_of_them(
    supported: tuple[str, ...] | None, required: set[str], words: str | None
) -> None:
    one = endpoint(supported_parameters=supported)
    reason = why(one, required=frozenset(required))
    assert (reason and reason.words) == words
    assert bool(lacking(one, required)) is bool(words)


@pytest.mark.parametrize(
    ("takes", "makes", "inputs", "outputs", "reason"),
    [
        ({"text"}, None, {"image"}, (), "input_modality"),
        ({"text", "image"}, None, {"image"}, (), None),
        (None, None, {"image"}, (), None),
        (None, {"text"}, (), {"image"}, "output_modality"),
        (None, {"text", "image"}, (), {"image"}, None),
        (None, None, (), {"image"}, None),
        ({"text"}, {"text"}, (), (), None),
    ],
)
def test_a_model_that_is_known_not_to_read_or_make_what_is_asked_is_not_tried(
    takes: Any, makes: Any, inputs: Any, outputs: Any, reason: str | None
) -> None:
    one = model(takes=takes and frozenset(takes), makes=makes and frozenset(makes))
    asked = {"inputs": frozenset(inputs), "outputs": frozenset(outputs)}
    assert by(endpoint(), of=one, **asked) == reason
    assert by(endpoint(), of=one, task="completion", **asked) is None


@pytest.mark.parametrize(
    ("pricing", "served"),
    [
        (price(prompt="0", completion="0"), True),
        (price(prompt="0", completion="0", request="0.01"), False),
        (price(prompt="0.000001", completion="0"), False),
        (None, False),
    ],
)
def test_the_free_variant_is_only_served_by_what_costs_nothing(
    pricing: Pricing | None, served: bool
) -> None:
    one = endpoint(pricing=pricing)
    assert by(one, free=True) == (None if served else "variant:free")
    assert by(one) is None


def test_a_task_and_what_is_kept_at_a_provider_come_before_every_wish() -> None:
    wishes = {"only": ["nobody"]}
    assert by(endpoint(), wishes, task="image") == "task"
    reason = why(endpoint(), wishes, kept="file_id")
    assert reason == Reason(
        "kept", "does not share what the operator keeps there: file_id", "file_id", "file_id"
    )
    shared = endpoint(provider=msgspec.structs.replace(VERTEX, shares_files=True))
    assert by(shared, kept="file_id") is None


def test_what_credits_can_not_pay_for_is_not_tried_where_they_pay() -> None:
    assert by(endpoint(pricing=None), priced_only=True) == "price"
    assert by(endpoint(pricing=None)) is None
    assert unpriced(endpoint(), ()) is None
    reason = unpriced(endpoint(), ("web_search", "code"))
    assert reason is not None
    assert reason.detail == "code, web_search"
    searched = endpoint(pricing=price(prompt="0", completion="0", web_search="0.01"))
    assert unpriced(searched, ("web_search",)) is None
    at_home = endpoint(provider=msgspec.structs.replace(VERTEX, local=True))
    assert unpriced(at_home, ("code",)) is None


def test_no_wish_excludes_nobody() -> None:
    assert by(endpoint(), None) is None
    assert preferences.decode(None) == Preferences()
