"""OpenRouter's `provider` object: every form of it is read, and what is wrong is named."""

from decimal import Decimal
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.errors import GatewayError
from proxy.wire.preferences import (
    LISTED_MAX,
    NAME_CHARS_MAX,
    NONE,
    Ceiling,
    Preferences,
    Quantization,
    decode,
    options_in,
)
from tests.recordings import index, load

Json = dict[str, Any]

NOTHING: list[Json | None] = [
    None,
    {},
    {"allow_fallbacks": True, "require_parameters": False, "zdr": False},
    {"data_collection": "allow", "enforce_distillable_text": False},
    {"sort": None, "max_price": {}, "order": [], "quantizations": []},
    {"sort": {}, "preferred_min_throughput": {}, "preferred_max_latency": {"p50": None}},
    {"sort": {"by": None, "partition": None}, "max_price": {"prompt": None}},
    {"options": {"openai": {"x": 1}}},
    dict.fromkeys(("order", "only", "ignore", "zdr", "sort", "data_collection", "quantizations")),
    dict.fromkeys(("allow_fallbacks", "max_price", "preferred_max_latency", "options")),
]


@pytest.mark.parametrize("provider", NOTHING)
def test_what_wishes_for_nothing(provider: Json | None) -> None:
    assert decode(provider) == NONE


WISHES: list[tuple[Json, Json]] = [
    ({"order": ["OpenAI", " Amazon Bedrock "]}, {"order": ("openai", "amazon bedrock")}),
    ({"order": ["b", "a", "B"]}, {"order": ("b", "a")}),
    ({"only": ["google-vertex/US-east5"]}, {"only": ("google-vertex/us-east5",)}),
    ({"ignore": ["DeepInfra"]}, {"ignore": ("deepinfra",)}),
    ({"allow_fallbacks": False}, {"allow_fallbacks": False}),
    ({"require_parameters": True}, {"require_parameters": True}),
    ({"data_collection": "deny"}, {"private": True}),
    ({"zdr": True}, {"zdr": True}),
    ({"enforce_distillable_text": True}, {"distillable": True}),
    ({"quantizations": ["int4", "bf16"]}, {"quantizations": frozenset(("int4", "bf16"))}),
    ({"quantizations": ["fp4"]}, {"quantizations": frozenset(("fp4", "mxfp4", "nvfp4"))}),
    ({"quantizations": ["fp8"]}, {"quantizations": frozenset(("fp8", "mxfp8"))}),
    ({"quantizations": ["mxfp8"]}, {"quantizations": frozenset(("mxfp8",))}),
    ({"sort": {"by": "price", "partition": "none"}}, {"sort": "price", "partition": "none"}),
    ({"sort": {"by": "exacto", "partition": "model"}}, {"sort": "exacto"}),
    ({"sort": {"partition": "none"}}, {"partition": "none"}),
    ({"max_price": {"prompt": 1}}, {"ceiling": Ceiling(prompt=Decimal(1))}),
    ({"max_price": {"prompt": 0}}, {"ceiling": Ceiling(prompt=Decimal(0))}),
    ({"max_price": {"prompt": 0.25}}, {"ceiling": Ceiling(prompt=Decimal("0.25"))}),
    ({"max_price": {"completion": "2.5"}}, {"ceiling": Ceiling(completion=Decimal("2.5"))}),
    (
        {"max_price": {"request": "0.1", "image": 1, "audio": "3"}},
        {"ceiling": Ceiling(request=Decimal("0.1"), image=Decimal(1), audio=Decimal(3))},
    ),
    ({"preferred_min_throughput": 50}, {"throughput": ((0.5, 50.0),)}),
    ({"preferred_max_latency": 1.5}, {"latency": ((0.5, 1.5),)}),
    (
        {"preferred_min_throughput": {"p99": 5, "p50": 100}},
        {"throughput": ((0.5, 100.0), (0.99, 5.0))},
    ),
    (
        {"preferred_max_latency": {"p75": 2, "p90": 3.5, "p99": None}},
        {"latency": ((0.75, 2.0), (0.9, 3.5))},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("provider", "wished"), WISHES, ids=range(len(WISHES)))
def test_every_form_of_a_wish(provider: Json, wished: Json) -> None:
    assert decode(provider) == Preferences(**wished)


@pytest.mark.parametrize("by", ["price", "throughput", "latency", "exacto"])
def test_sort_is_a_word_or_an_object(by: str) -> None:
    assert decode({"sort": by}) == decode({"sort": {"by": by}})
    assert decode({"sort": by}).sort == by


@pytest.mark.parametrize("name", get_args(Quantization))
def test_every_quantization_has_its_name(name: str) -> None:
    assert name in decode({"quantizations": [name]}).quantizations


WRONG: list[tuple[Json, str]] = [
    ({"experimental": True}, "provider.experimental: is no preference"),
    ({"zdr": True, "é\n": 1}, "provider.\\xe9\\n: is no preference"),
    ({"x" * 100: 1}, f"provider.{'x' * 64}: is no preference"),
    ({"order": "openai"}, "provider.order: expected a list, got a string"),
    ({"only": [1]}, "provider.only[0]: expected a string, got a number"),
    ({"ignore": {}}, "provider.ignore: expected a list, got an object"),
    ({"order": [str(n) for n in range(LISTED_MAX + 1)]}, "provider.order: at most 200 names"),
    ({"only": ["a", "x" * (NAME_CHARS_MAX + 1)]}, "provider.only[1]: at most 200 characters"),
    ({"allow_fallbacks": "no"}, "provider.allow_fallbacks: expected true or false, got a string"),
    (
        {"require_parameters": 1},
        "provider.require_parameters: expected true or false, got a number",
    ),
    ({"zdr": 1.5}, "provider.zdr: expected true or false, got a decimal number"),
    (
        {"data_collection": "maybe"},
        "provider.data_collection: none of the values it can have (allow, deny)",
    ),
    (
        {"quantizations": ["fp7"]},
        "provider.quantizations[0]: none of the values it can have (int4, int8, fp4, mxfp4, nvfp4,"
        " fp6, fp8, mxfp8, fp16, bf16, fp32, unknown)",
    ),
    (
        {"sort": "beauty"},
        "provider.sort: none of the values it can have (price, throughput, latency, exacto)",
    ),
    (
        {"sort": {"by": "beauty"}},
        "provider.sort.by: none of the values it can have (price, throughput, latency, exacto)",
    ),
    (
        {"sort": {"partition": "all"}},
        "provider.sort.partition: none of the values it can have (model, none)",
    ),
    ({"sort": {"than": "price"}}, "provider.sort: has a field that is not known (by, partition)"),
    ({"sort": ["price"]}, "provider.sort: expected a string or an object, got a list"),
    ({"max_price": 5}, "provider.max_price: expected an object, got a number"),
    (
        {"max_price": {"tea": 5}},
        "provider.max_price: has a field that is not known (prompt, completion, request, image,"
        " audio)",
    ),
    (
        {"max_price": {"prompt": "cheap"}},
        "provider.max_price.prompt: none of the values it can have",
    ),
    ({"max_price": {"prompt": "-1"}}, "provider.max_price.prompt: not a price"),
    ({"max_price": {"prompt": "0." + "1" * 100}}, "provider.max_price.prompt: not a price"),
    ({"max_price": {"request": "9" * 100}}, "provider.max_price.request: not a price"),
    ({"max_price": {"image": "NaN"}}, "provider.max_price.image: not a price"),
    ({"max_price": {"audio": "Infinity"}}, "provider.max_price.audio: not a price"),
    ({"preferred_min_throughput": 0}, "provider.preferred_min_throughput: must be above 0"),
    ({"preferred_max_latency": {"p50": -1}}, "provider.preferred_max_latency: must be above 0"),
    ({"preferred_max_latency": float("inf")}, "provider.preferred_max_latency: must be above 0"),
    (
        {"preferred_max_latency": {"p42": 1}},
        "provider.preferred_max_latency: has a field that is not known (p50, p75, p90, p99)",
    ),
    (
        {"preferred_min_throughput": "fast"},
        "provider.preferred_min_throughput: expected a number or an object, got a string",
    ),
    ({"options": []}, "provider.options: expected an object, got a list"),
    ({"options": {"openai": 1}}, "provider.options[...]: expected an object, got a number"),
]


@pytest.mark.parametrize(("provider", "message"), WRONG, ids=[said for _, said in WRONG])
def test_what_is_wrong_is_named(provider: Json, message: str) -> None:
    with pytest.raises(GatewayError) as raised:
        decode(provider)
    assert (raised.value.kind, raised.value.status) == ("invalid_request", 400)
    assert raised.value.message == message


JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
        st.sampled_from(("price", "none", "fp8", "deny", "openai", "1.5", "SECRET")),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(
                st.sampled_from(("by", "partition", "prompt", "image", "p50", "p99", "openai")),
                st.text(max_size=5),
            ),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=6,
)  # fmt: skip
NAMES = st.sampled_from((
    "order", "only", "ignore", "allow_fallbacks", "require_parameters", "data_collection", "zdr",
    "enforce_distillable_text", "quantizations", "sort", "max_price", "preferred_min_throughput",
    "preferred_max_latency", "options",
))  # fmt: skip


def outcome(provider: Json) -> Preferences | GatewayError:
    try:
        return decode(provider)
    except GatewayError as error:
        return error


@settings(max_examples=1000, deadline=None)
@given(st.dictionaries(st.one_of(NAMES, NAMES, st.text(max_size=5)), JSON, max_size=4))
def test_whatever_is_said_is_read_or_refused(provider: Json) -> None:
    wished = outcome(provider)
    if isinstance(wished, GatewayError):
        assert wished.kind == "invalid_request"
        assert wished.message.startswith("provider.")
        assert "SECRET" not in wished.message
        return
    assert hash(wished) == hash(decode(provider))
    assert all(name == name.strip().lower() for name in (*wished.order, *wished.only))
    assert all(isinstance(said, dict) for said in options_in(provider).values())


@pytest.mark.wire
def test_every_recorded_provider_object_is_read() -> None:
    found = 0
    for row in index():
        said = load(row).request
        said = said.get("body", said) if isinstance(said, dict) else said
        provider = said.get("provider") if isinstance(said, dict) else None
        if isinstance(provider, dict) and "openrouter" in row["dir"]:
            decode(provider)
            found += 1
    assert found
