"""What a list of models is asked for: every parameter of OpenRouter's `GET /models`."""

import re
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from openrouter.components import InputModality, OutputModality
from openrouter.operations import GetModelsRequest

from proxy.api.finding import (
    INPUTS,
    OUTPUTS,
    REGIONS,
    UNMEASURED,
    Ground,
    find,
    reachable,
    without_retention,
)
from proxy.api.live import Live
from proxy.errors import GatewayError
from proxy.money import FREE
from proxy.providers import known
from proxy.routing.catalogue import Model
from proxy.routing.health import Pool
from proxy.wire.preferences import LISTED_MAX, Preferences
from proxy.wire.slices import at_once
from tests.asgi import call
from tests.wares import ACME, DAY, NOW, app_of, embedder, endpoint, model, priced, untried

FRENCH = replace(
    ACME, slug="french", name="French", datacenters=("FR",), retains_prompts_days=0
)  # fmt: skip
BOTH_SIDES = replace(ACME, slug="both", name="Both Sides", datacenters=("US", "IE"))
AMERICAN = replace(ACME, slug="american", name="American", datacenters=("US",))

MODELS = (
    model(
        "openai/gpt-a",
        endpoint(pricing=priced("2", "10"), supported_parameters=("tools", "seed")),
        name="Alpha",
        created=int(NOW) - 10 * DAY,
        context_length=128_000,
    ),
    model(
        "meta-llama/llama-3-b",
        endpoint(provider=BOTH_SIDES, pricing=priced("0.5", "0.5"), tag="both"),
        endpoint(
            provider=FRENCH, supported_parameters=("seed", "top_k"), tag="french/fp4",
            pricing=priced("9", "9"),
        ),
        name="Beta Speaks",
        created=int(NOW) - 100 * DAY,
        input_modalities=("text",),
        distillable=True,
    ),
    model(
        "meta-llama/llama-4-c",
        endpoint(provider=AMERICAN, pricing=None, supported_parameters=None, tag="american"),
        name="Gamma",
        created=None,
        context_length=None,
        distillable=False,
        input_modalities=("text", "image", "file"),
        output_modalities=("text", "image"),
    ),
    model(
        "acme/d",
        endpoint(pricing=FREE, supported_parameters=()),
        name="Delta Alpha",
        created=int(NOW) - 10 * DAY,
        context_length=8_192,
        input_modalities=("text", "audio"),
    ),
    embedder("acme/e"),
    replace(model("acme/nowhere"), endpoints=(), created=int(NOW), name="Nowhere"),
)  # fmt: skip
LETTERS = {one.id: letter for one, letter in zip(MODELS, "abcden", strict=True)}


def found(
    query: dict[str, str], live: Live | None = None, models: tuple[Model, ...] = MODELS
) -> str:
    ground = Ground(NOW, live or untried())
    return "".join(LETTERS[one.id] for one in at_once(find(models, query, ground)))


# fmt: off
FOUND = {
    "output_modalities": {
        "": "abcdn", "text": "abcdn", "image": "c", "embeddings": "e", "image,embeddings": "ce",
        "text, image": "abcdn", "video": "", "all": "abcden", "all,text": "abcden",
    },
    "input_modalities": {
        "": "abcdn", "text": "abcdn", "image": "acn", "text,image": "acn", "image,file": "c",
        "audio": "d", "video": "",
    },
    "q": {
        "": "abcdn", "alpha": "ad", "ALPHA": "ad", "gpt": "a", "llama": "bc", "llama gamma": "c",
        "meta-llama/": "bc", "beta s": "b", "nothing": "", "delta-": "", "  ": "abcdn",
    },
    "arch": {
        "": "abcdn", "GPT": "a", "gpt": "a", "Llama": "bc", "Llama3": "b", "Other": "dn",
        "Claude": "", "Media": "",
    },
    "model_authors": {
        "openai": "a", "Meta-Llama": "bc", "openai,acme": "adn", "openai, acme": "adn", "meta": "",
    },
    "providers": {
        "acme": "ad", "Acme AI": "ad", "acme ai,american": "acd", "french": "b", "French": "b",
        "french/fp4": "b", "Both Sides,American": "bc", "nobody": "",
    },
    "supported_parameters": {
        "": "abcdn", "tools": "abc", "seed": "abc", "top_k": "bc", "tools,seed": "ac",
        "tools,top_k": "c",
    },
    "distillable": {"": "abcdn", "true": "b", "false": "acdn"},
    "zdr": {"": "abcdn", "true": "b"},
    "region": {"": "abcdn", "eu": "b", "us": "c"},
    "context": {"1": "abdn", "8192": "abdn", "8193": "abn", "128000": "a", "128001": ""},
    "min_price": {"": "abcdn", "0": "abd", "0.5": "ab", "0.50000001": "a", "2": "a", "3": ""},
    "max_price": {"0": "d", "0.4": "d", "0.5": "bd", "1.9999": "bd", "2.0": "abd", "1e1": "abd"},
    "min_output_price": {"0": "abd", "0.6": "a", "10": "a", "10.1": ""},
    "max_output_price": {"0": "d", "5e-1": "bd", "9.9": "bd", "10": "abd"},
    "min_age_days": {"0": "abdn", "10": "abd", "11": "b", "100": "b", "101": ""},
    "max_age_days": {"0": "n", "9": "n", "10": "adn", "99": "adn", "100": "abdn"},
}
# fmt: on


@pytest.mark.parametrize(
    ("name", "value", "letters"),
    [(name, *pair) for name, table in FOUND.items() for pair in table.items()],
)
def test_a_parameter_finds_what_it_says(name: str, value: str, letters: str) -> None:
    assert found({name: value}) == letters


@given(st.dictionaries(st.sampled_from(list(FOUND)), st.integers(0, 100), min_size=2, max_size=5))
def test_several_parameters_find_no_more_than_each(picks: dict[str, int]) -> None:
    query = {}
    for name, pick in picks.items():
        values = [value for value in FOUND[name] if value]
        query[name] = values[pick % len(values)]
    query.setdefault("output_modalities", "text")
    together = set(found(query))
    for name, value in query.items():
        assert together <= set(
            found({"output_modalities": query["output_modalities"], name: value})
        )


def test_what_is_asked_of_endpoints_is_true_of_one() -> None:
    assert found({"providers": "both", "supported_parameters": "tools"}) == "b"
    assert found({"providers": "french", "supported_parameters": "tools"}) == ""
    assert found({"region": "eu", "zdr": "true", "supported_parameters": "seed,top_k"}) == "b"
    assert found({"region": "us", "zdr": "true"}) == ""


WHOLE = "must be a whole number from {} to {}"
# fmt: off
REFUSED = {
    "output_modalities": ({"smell", "text,", "text,ALL", "TEXT"}, "must be all, or of text, "),
    "input_modalities": ({"smell", "text,,image", "all"}, "must be of text, image, audio, file"),
    "supported_parameters": ({"tool", "tools,", "Tools"}, "must be of temperature, top_p, "),
    "arch": ({"Gopher", "GPT,Claude"}, "must be of Router, Qwen, "),
    "distillable": ({"yes", "True", "1"}, "must be true or false"),
    "zdr": ({"false", "TRUE", "1"}, "must be true"),
    "region": ({"EU", "fr", "eu,us"}, "must be eu or us"),
    "context": ({"0", "-1", "1.5", "x", "9" * 11}, WHOLE.format(1, 10**9)),
    "min_age_days": ({"-1", "0.5", "x"}, WHOLE.format(0, 10**6)),
    "max_age_days": ({"-1", "9" * 4000, "null"}, WHOLE.format(0, 10**6)),
    "min_price": (
        {"-1", "x", "NaN", "inf", "1e999", "1_0", " 1", "\u0663", "null"}, "must be a number from 0"
    ),
    "max_price": ({"-0.1", "$1", "1,5"}, "must be a number from 0"),
    "min_output_price": ({"-1"}, "must be a number from 0"),
    "max_output_price": ({"9" * 4000}, "must be a number from 0"),
    "min_tool_success_rate": ({"90", "1.01"}, "must be a share from 0 to 1"),
    "max_tool_success_rate": ({"-0.5", "90%"}, "must be a number from 0"),
    "sort": ({"cheapest", "Newest", "\x1b[31m"}, ""),
}
# fmt: on


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [(name, value, why) for name, (values, why) in REFUSED.items() for value in sorted(values)],
)
def test_a_value_that_is_none_is_refused(name: str, value: str, why: str) -> None:
    with pytest.raises(GatewayError, match="^" + re.escape(f"{name}: {why}")) as caught:
        found({name: value})
    assert (caught.value.kind, caught.value.status) == ("invalid_request", 400)
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 500


@pytest.mark.parametrize("name", ["providers", "model_authors"])
def test_a_list_of_names_ends_somewhere(name: str) -> None:
    """Anybody may ask: thousands of names, each held against every endpoint, took 0.8 s."""
    assert found({name: ",".join(map(str, range(LISTED_MAX)))}) == ""
    assert found({name: ",".join(["acme"] * 1000)}) != ""
    with pytest.raises(GatewayError, match=f"^{name}: must be at most 200 names$"):
        found({name: ",".join(map(str, range(LISTED_MAX + 1)))})


@pytest.mark.parametrize("name", sorted(UNMEASURED))
@pytest.mark.parametrize("path", ["/models", "/models/count", "/models/user", "/embeddings/models"])
async def test_what_nothing_is_known_of_is_refused(name: str, path: str) -> None:
    """The issue: what is asked for and can not be had is a clear 400, never silence."""
    answer = await call(app_of(model()), "GET", f"/api/v1{path}", query=f"{name}=0")
    assert answer.status == 400
    assert answer.error["message"] == f"{name}: not supported yet"
    answer = await call(app_of(model()), "GET", f"/api/v1{path}", query=f"{name}=false")
    assert answer.status == (200 if name == "use_rss_chat_links" else 400)


def test_every_modality_of_the_official_sdk_is_known() -> None:
    said = [get_args(get_args(one)[0]) for one in (OutputModality, InputModality)]
    assert [set(words) for words in said] == [set(OUTPUTS), set(INPUTS)]


def test_every_parameter_of_the_official_sdk_is_known() -> None:
    headers = {"http_referer", "x_open_router_title", "x_open_router_categories"}
    elsewhere = {"offset", "limit", "use_rss", "sort"}  # of the page, of the feed, of the order
    ours = set(FOUND) | set(REFUSED) | UNMEASURED | elsewhere
    assert set(GetModelsRequest.model_fields) - headers <= ours


# How well models call tools.


def calling(**shares: tuple[int, int]) -> Live:
    """Figures of endpoints by provider: so many answers with sound calls, of so many."""
    pool = Pool()
    for tag, (sound, total) in shares.items():
        ticket = pool.begin((tag, "large"), 0.0, retry=False, last=True)
        assert not isinstance(ticket, str)
        for number in range(total):
            pool.called((tag, "large"), 0.0, sound=number < sound)
    return Live(pool, lambda: 0.0)


@pytest.mark.parametrize(
    ("query", "letters"),
    [
        ({"min_tool_success_rate": "0"}, "bc"),
        ({"min_tool_success_rate": "0.9"}, "c"),
        ({"min_tool_success_rate": "1"}, ""),
        ({"max_tool_success_rate": "1"}, "bc"),
        ({"max_tool_success_rate": "0.9"}, "b"),
        ({"min_tool_success_rate": "0.5", "max_tool_success_rate": "0.6"}, "b"),
        ({"max_tool_success_rate": "0.3"}, ""),
    ],
)
def test_models_by_how_well_they_call(query: dict[str, str], letters: str) -> None:
    live = calling(**{"both": (0, 10), "french/fp4": (10, 10), "american": (19, 20)}, acme=(5, 5))
    assert found(query, live) == letters


# Where a request may be led.


def test_what_no_request_is_for_is_reached_by_none() -> None:
    idle = endpoint(tasks=frozenset())
    assert not reachable(model("acme/x", idle), idle)
    assert reachable(MODELS[4], MODELS[4].endpoints[0])


def test_only_what_has_a_price_can_be_paid_for() -> None:
    unpriced = MODELS[2]
    assert reachable(unpriced, unpriced.endpoints[0])
    assert not reachable(unpriced, unpriced.endpoints[0], priced_only=True)
    assert not reachable(unpriced, unpriced.endpoints[0], Preferences(zdr=True))


@pytest.mark.parametrize("provider", known().values(), ids=lambda one: one.slug)
def test_zero_retention_is_what_the_provider_states(provider: Any) -> None:
    one = endpoint(provider=provider, tag=provider.slug)
    states = provider.retains_prompts_days == 0
    assert without_retention(model("acme/x", one), one) is states


def test_regions_are_countries() -> None:
    assert len(REGIONS["eu"]) == 27
    assert not REGIONS["eu"] & REGIONS["us"]
    assert datetime.fromtimestamp(NOW, UTC).year > 2025  # the clock of these tests is a wall clock
