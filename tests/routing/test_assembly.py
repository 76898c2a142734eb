"""What providers list and what the configuration says become one catalogue."""

import cProfile
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict, replace

from proxy.money import FREE, Pricing
from proxy.providers import Provider
from proxy.routing.assembly import EndpointRow, ModelRow, build
from proxy.routing.catalogue import Catalogue, Model
from proxy.routing.waits import Timeouts, TimeoutsRow
from proxy.wire.listing import Listing
from proxy.wire.request import Task

OPENAI = Provider(slug="openai", name="OpenAI", base_url="https://a.example")
GROQ = Provider(slug="groq", name="Groq", base_url="https://b.example")
XAI = Provider(slug="xai", name="xAI", base_url="https://c.example", author="x-ai")
ROUTER = Provider(slug="or", name="OR", base_url="https://d.example", names_are_slugs=True)
LOCAL = Provider(slug="vllm", name="vLLM", base_url="http://127.0.0.1:8000/v1", local=True)
USUAL = Timeouts()


def price(usd: str) -> Pricing:
    return Pricing(prompt=Decimal(usd), completion=Decimal(usd))


def made(
    listings: Mapping[Provider, Sequence[Listing]] | None = None,
    *configured: ModelRow,
    prices: Mapping[str, Pricing] | None = None,
    **more: Any,
) -> Catalogue:
    listings = listings or {}
    found = prices or {}
    arguments: dict[str, Any] = {
        "providers": list(listings) or [OPENAI],
        "listings": {provider.slug: rows for provider, rows in listings.items()},
        "configured": configured,
        "timeouts": USUAL,
        "price_of": lambda provider, model: found.get(f"{provider.slug} {model}"),
    }
    return build(**{**arguments, **more})


def only(catalogue: Catalogue) -> Model:
    (model,) = catalogue.models.values()
    return model


def test_a_listed_model_has_what_its_listing_says() -> None:
    listing = Listing(
        model="gpt-x",
        name="GPT X",
        description="New.",
        created=5,
        context_length=1000,
        max_completion_tokens=100,
        input_modalities=("text", "audio"),
        output_modalities=("text", "audio"),
        supported_parameters=("tools",),
        quantization="fp8",
        pricing=price("0.1"),
    )
    model = only(made({OPENAI: [listing]}))
    assert (model.id, model.name, model.description, model.created) == (
        *("openai/gpt-x", "GPT X", "New.", 5),
    )
    assert (model.context_length, model.input_modalities) == (1000, ("text", "audio"))
    assert model.output_modalities == ("text", "audio")
    (endpoint,) = model.endpoints
    assert (endpoint.provider, endpoint.tag, endpoint.model) == (OPENAI, "openai", "gpt-x")
    assert (endpoint.context_length, endpoint.max_completion_tokens) == (1000, 100)
    assert (endpoint.quantization, endpoint.supported_parameters) == ("fp8", ("tools",))
    assert (endpoint.pricing, endpoint.timeouts) == (price("0.1"), USUAL)


def test_a_listing_that_is_but_a_name() -> None:
    model = only(made({OPENAI: [Listing(model="gpt-x")]}))
    assert (model.name, model.created, model.context_length) == ("openai/gpt-x", None, None)
    assert (model.input_modalities, model.output_modalities) == (("text", "image"), ("text",))
    assert model.endpoints[0].quantization == "unknown"
    assert model.endpoints[0].pricing is None


def test_one_slug_at_several_providers_is_one_model_in_the_providers_order() -> None:
    listings = {
        GROQ: [Listing(model="openai/gpt-oss-20b", context_length=8, created=7)],
        OPENAI: [Listing(model="gpt-oss-20b", context_length=9, name="OSS", created=6)],
    }
    model = only(made(listings))
    assert [endpoint.tag for endpoint in model.endpoints] == ["groq", "openai"]
    assert (model.context_length, model.name, model.created) == (9, "OSS", 7)
    assert model.native_names == ("openai/gpt-oss-20b", "gpt-oss-20b")
    turned = only(made(dict(reversed(listings.items()))))
    assert [endpoint.tag for endpoint in turned.endpoints] == ["openai", "groq"]


def test_the_author_is_the_providers_where_the_name_does_not_tell() -> None:
    assert only(made({XAI: [Listing(model="colossus")]})).id == "x-ai/colossus"
    assert only(made({GROQ: [Listing(model="colossus")]})).id == "groq/colossus"


def test_openrouters_names_stay_as_they_are() -> None:
    names = ["x/y:free", "X/Y", "anthropic/claude-haiku-4-5", "loose"]
    models = made({ROUTER: [Listing(model=name) for name in names]}).models
    assert list(models) == [*names[:3], "or/loose"]


ALL = frozenset(get_args(Task))
TALK = frozenset(("chat", "completion", "count"))


def test_names_decide_what_it_is_for_only_where_the_listing_is_silent() -> None:
    rows = [
        Listing(model="text-embedding-3-small"),
        Listing(model="omni-moderation-latest"),
        Listing(model="omni-moderation-next", output_modalities=("text",)),
        Listing(model="gpt-image-1", output_modalities=("text", "image")),
        Listing(model="gpt-image-2"),
        Listing(model="gpt-x"),
    ]
    catalogue = made({OPENAI: rows}, does=lambda _: ALL)
    assert {
        model.id: (model.output_modalities, tasks(model)) for model in catalogue.models.values()
    } == {
        "openai/text-embedding-3-small": (("embeddings",), {"embeddings"}),
        "openai/omni-moderation-next": (("text",), TALK),
        "openai/gpt-image-1": (("text", "image"), TALK | {"image"}),
        "openai/gpt-image-2": (("image",), {"image"}),
        "openai/gpt-x": (("text",), TALK),
    }


def test_nothing_can_be_asked_for_that_its_provider_does_not_do() -> None:
    rows = [Listing(model="gpt-x"), Listing(model="gpt-x-tts"), Listing(model="bge-m3")]
    listed: dict[Provider, list[Listing]] = {OPENAI: rows, LOCAL: rows}
    does = {OPENAI: TALK, LOCAL: TALK | {"speech"}}
    found = {
        (model.id, endpoint.tag): endpoint.tasks
        for model in made(listed, does=lambda provider: does[provider]).models.values()
        for endpoint in model.endpoints
    }
    assert {tag: tasks for (id_, tag), tasks in found.items() if id_ == "openai/gpt-x-tts"} == {
        LOCAL.slug: {"speech"}
    }
    assert {tasks for (id_, _), tasks in found.items() if id_.endswith("/gpt-x")} == {TALK}
    assert not [id_ for id_, _ in found if "bge" in id_]


@pytest.mark.parametrize(
    ("outputs", "listed", "name", "told", "done"),
    [
        (("embeddings",), ("text",), "m", ("embeddings",), frozenset(("embeddings",))),
        (("rerank",), None, "text-embedding-9", ("rerank",), frozenset(("rerank",))),
        (None, ("speech",), "m", ("speech",), frozenset(("speech",))),
        (None, None, "whisper-9", ("transcription",), frozenset(("transcription",))),
        (None, None, "omni-moderation", ("text",), TALK),
        (None, None, "davinci-002", ("text",), frozenset(("completion",))),
    ],
)
def test_what_is_configured_is_for_what_the_configuration_says(
    outputs: tuple[str, ...] | None,
    listed: tuple[str, ...] | None,
    name: str,
    told: tuple[str, ...],
    done: frozenset[Task],
) -> None:
    row = ModelRow(
        id="a/b",
        output_modalities=outputs,
        endpoints=(EndpointRow(provider="openai", model=name),),
    )
    offers = [Listing(model=name, output_modalities=listed)]
    model = only(made({OPENAI: offers}, row, does=lambda _: ALL))
    assert (model.output_modalities, tasks(model)) == (told, done)


def tasks(model: Model) -> frozenset[Task]:
    (endpoint,) = model.endpoints
    return endpoint.tasks


@pytest.mark.parametrize(
    ("provider", "configured", "listed", "tabled", "expected"),
    [
        (OPENAI, "0.1", "0.2", "0.3", price("0.1")),
        (OPENAI, None, "0.2", "0.3", price("0.2")),
        (OPENAI, None, None, "0.3", price("0.3")),
        (OPENAI, None, None, None, None),
        (LOCAL, None, None, None, FREE),
        (LOCAL, "0.1", None, None, price("0.1")),
        (OPENAI, "0", "0.2", None, price("0")),
    ],
)
def test_whose_price_holds(
    provider: Provider,
    configured: str | None,
    listed: str | None,
    tabled: str | None,
    expected: Pricing | None,
) -> None:
    said = EndpointRow(
        provider=provider.slug, model="m", pricing=price(configured) if configured else None
    )
    catalogue = made(
        {provider: [Listing(model="m", pricing=price(listed) if listed else None)]},
        ModelRow(id="a/m", endpoints=(said,)),
        prices={f"{provider.slug} m": price(tabled)} if tabled else {},
    )
    assert catalogue.models["a/m"].endpoints[0].pricing == expected


# Configuration.


def test_a_configured_model_needs_no_listing() -> None:
    row = ModelRow(
        id="acme/one",
        name="One",
        context_length=5,
        input_modalities=("text",),
        output_modalities=("text", "image"),
        endpoints=(
            EndpointRow(
                provider="openai",
                model="native",
                max_completion_tokens=3,
                quantization="int8",
                supported_parameters=("tools",),
                pricing=price("0.1"),
            ),
        ),
    )
    model = only(made(None, row))
    assert (model.id, model.name, model.context_length) == ("acme/one", "One", 5)
    assert (model.input_modalities, model.output_modalities) == (("text",), ("text", "image"))
    (endpoint,) = model.endpoints
    assert (endpoint.model, endpoint.context_length) == ("native", 5)
    assert (endpoint.max_completion_tokens, endpoint.quantization) == (3, "int8")
    assert (endpoint.supported_parameters, endpoint.pricing) == (("tools",), price("0.1"))


def test_what_is_configured_holds_and_what_is_not_is_discovered() -> None:
    listing = Listing(
        model="gpt-x", name="Listed", created=5, context_length=9, max_completion_tokens=4
    )
    other = Listing(model="openai/gpt-x", description="Elsewhere.")
    row = ModelRow(id="openai/gpt-x", context_length=7)
    model = only(made({OPENAI: [listing], GROQ: [other]}, row))
    assert (model.name, model.created, model.description) == ("Listed", 5, "Elsewhere.")
    assert model.context_length == 7
    assert [endpoint.context_length for endpoint in model.endpoints] == [7, 7]
    assert [endpoint.tag for endpoint in model.endpoints] == ["openai", "groq"]


def test_configured_endpoints_replace_the_discovered_and_learn_from_their_listing() -> None:
    listing = Listing(
        model="gpt-x",
        context_length=9,
        max_completion_tokens=4,
        supported_parameters=("tools",),
        pricing=price("0.1"),
    )
    said = (EndpointRow(provider="openai", model="gpt-x"),)
    model = only(
        made(
            {OPENAI: [listing], GROQ: [Listing(model="openai/gpt-x")]},
            ModelRow(id="openai/gpt-x", endpoints=said),
        )
    )
    (endpoint,) = model.endpoints
    assert (endpoint.tag, endpoint.context_length, endpoint.max_completion_tokens) == (
        *("openai", 9, 4),
    )
    assert endpoint.pricing == price("0.1")
    assert endpoint.supported_parameters is None  # left out: all are taken to be supported


def test_a_configured_endpoint_is_not_discovered_as_another_model() -> None:
    listings = {GROQ: [Listing(model="llama-3-versatile", context_length=9), Listing(model="qwq")]}
    row = ModelRow(
        id="meta-llama/llama-3",
        endpoints=(EndpointRow(provider="groq", model="llama-3-versatile"),),
    )
    catalogue = made(listings, row)
    assert list(catalogue.models) == ["meta-llama/llama-3", "qwen/qwq"]
    assert catalogue.find("llama-3-versatile").context_length == 9


def test_configured_models_come_first_in_their_order() -> None:
    rows = [ModelRow(id=id_) for id_ in ("z/z", "openai/gpt-b")]
    listings = {OPENAI: [Listing(model=name) for name in ("gpt-c", "gpt-b", "gpt-a")]}
    ids = ["z/z", "openai/gpt-b", "openai/gpt-c", "openai/gpt-a"]
    assert list(made(listings, *rows).models) == ids


# Waits.

SLOW_FIRST = {"first_byte_s": 300.0, "first_token_s": 300.0}
SLOW_REASONING = {"first_token_s": 300.0, "between_chunks_s": 120.0}


@pytest.mark.parametrize(
    ("provider", "listing", "expected"),
    [
        (OPENAI, Listing(model="gpt-4o"), {}),
        (LOCAL, Listing(model="m"), SLOW_FIRST),
        (OPENAI, Listing(model="o3"), SLOW_REASONING),
        (OPENAI, Listing(model="m", supported_parameters=("reasoning",)), SLOW_REASONING),
        (OPENAI, Listing(model="o3", supported_parameters=("tools",)), {}),
        (LOCAL, Listing(model="o3"), {**SLOW_FIRST, **SLOW_REASONING}),
    ],
)
def test_some_are_waited_for_longer(
    provider: Provider, listing: Listing, expected: dict[str, float]
) -> None:
    timeouts = only(made({provider: [listing]})).endpoints[0].timeouts
    assert timeouts == replace(USUAL, **expected)


def test_images_are_waited_for_longer() -> None:
    drawn = made({OPENAI: [Listing(model="gpt-image-1")]}, does=lambda _: frozenset(("image",)))
    timeouts = only(drawn).endpoints[0].timeouts
    assert timeouts == replace(USUAL, **{**SLOW_FIRST, **SLOW_REASONING})


def test_a_wait_that_the_operator_chose_holds_for_all() -> None:
    catalogue = made(
        {LOCAL: [Listing(model="o3")]},
        timeouts=replace(USUAL, first_token_s=1.5, answer_s=9.0),
        timeouts_set={"first_token_s", "answer_s"},
    )
    assert only(catalogue).endpoints[0].timeouts == replace(
        USUAL, first_byte_s=300.0, first_token_s=1.5, between_chunks_s=120.0, answer_s=9.0
    )


def test_what_an_endpoint_says_of_its_waits_comes_first() -> None:
    said = EndpointRow(
        provider="openai", model="o3", timeouts=TimeoutsRow(first_token_s=2.0, connect_s=1.0)
    )
    model = only(made(None, ModelRow(id="a/b", endpoints=(said,))))
    assert model.endpoints[0].timeouts == replace(
        USUAL, connect_s=1.0, first_token_s=2.0, between_chunks_s=120.0
    )


def test_the_rows_override_every_wait() -> None:
    assert list(asdict(TimeoutsRow())) == list(asdict(USUAL))


# All together.


@given(st.lists(st.tuples(st.sampled_from([OPENAI, GROQ, LOCAL]), st.text(min_size=1, max_size=6))))
def test_every_model_is_found_by_its_slug_and_serves_what_was_listed(
    offers: list[tuple[Provider, str]],
) -> None:
    listings: dict[Provider, list[Listing]] = {OPENAI: [], GROQ: [], LOCAL: []}
    for provider, name in offers:
        listings[provider].append(Listing(model=name, output_modalities=("text",)))
    catalogue = made(listings)
    for id_, model in catalogue.models.items():
        assert catalogue.find(id_) is model
    served = [
        (endpoint.tag, endpoint.model)
        for model in catalogue.models.values()
        for endpoint in model.endpoints
    ]
    assert sorted(served) == sorted((provider.slug, name) for provider, name in offers)


def calls_to_build(count: int) -> int:
    """How many calls it takes to build a catalogue of so many models."""
    rows = [Listing(model=f"meta-llama/Model-{number}-Instruct") for number in range(count)]
    made({OPENAI: rows})  # slugs are remembered from one catalogue to the next
    profile = cProfile.Profile()
    with profile:
        assert len(made({OPENAI: rows}).models) == count
    return sum(int(entry.callcount) for entry in profile.getstats())


def test_the_work_for_a_model_is_small_and_the_same_among_many() -> None:
    """Calls are counted rather than seconds, which depend on who else is at work."""
    few, many = calls_to_build(500), calls_to_build(5000)
    assert many / 5000 <= few / 500 + 1
    assert many / 5000 < 150


@pytest.mark.parametrize(
    ("said", "sayable", "supported"),
    [
        (None, None, None),
        (("tools", "seed"), None, ("tools", "seed")),
        (None, {"seed", "tools", "of_nobody"}, ("seed", "tools")),
        (("tools", "min_p"), {"seed", "tools"}, ("tools",)),
    ],
)
def test_nothing_is_supported_that_can_not_be_said(
    said: tuple[str, ...] | None, sayable: set[str] | None, supported: tuple[str, ...] | None
) -> None:
    catalogue = build(
        providers=[OPENAI],
        listings={"openai": [Listing(model="gpt-9", supported_parameters=said)]},
        configured=[],
        timeouts=USUAL,
        price_of=lambda provider, model: None,
        expresses=lambda provider, model: sayable,
    )
    (endpoint,) = catalogue.find("gpt-9").endpoints
    assert endpoint.supported_parameters == supported


@pytest.mark.parametrize(
    ("said", "outputs", "found"),
    [
        (None, None, "0.01"),
        ("0.5", None, "0.5"),
        ("0", None, "0"),
        (None, ("embeddings",), None),
    ],
)
def test_a_search_costs_what_its_provider_takes_where_the_price_does_not_say(
    said: str | None, outputs: tuple[str, ...] | None, found: str | None
) -> None:
    provider = replace(OPENAI, tool_prices={"web_search": Decimal("0.01")})
    own = replace(price("0.1"), web_search=None if said is None else Decimal(said))
    listing = Listing(model="m", pricing=own, output_modalities=outputs)
    does = ("chat", "embeddings")
    (endpoint,) = only(made({provider: [listing]}, does=lambda _: does)).endpoints
    assert endpoint.pricing is not None
    assert endpoint.pricing.web_search == (None if found is None else Decimal(found))
