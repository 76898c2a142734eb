"""`~author/family-latest` is the newest of a family, as its slugs and their ages tell."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.providers import Provider
from proxy.routing.assembly import EndpointRow, ModelRow, build
from proxy.routing.catalogue import Catalogue
from proxy.routing.health import Pool
from proxy.routing.latest import latest
from proxy.routing.plan import plan
from proxy.routing.waits import Timeouts
from proxy.wire.request import Ask, Thinking

ONE = Provider(slug="one", name="One", base_url="https://one.example")


def catalogue_of(*ids: str, created: Mapping[str, int] | None = None) -> Catalogue:
    rows = [ModelRow(id=id_, endpoints=(EndpointRow(provider="one", model=id_),)) for id_ in ids]
    built = build(
        providers=[ONE],
        listings={},
        configured=rows,
        timeouts=Timeouts(),
        price_of=lambda provider, model: None,
    )
    born = created or {}
    return Catalogue([replace(one, created=born.get(one.id)) for one in built.models.values()])


CATALOGUE = catalogue_of(
    *("anthropic/claude-3.5-sonnet", "anthropic/claude-sonnet-4", "anthropic/claude-sonnet-4.5"),
    *("anthropic/claude-3.7-sonnet:thinking", "anthropic/claude-opus-4.10"),
    *("anthropic/claude-opus-4.9", "anthropic/claude-opus-4.6-fast", "anthropic/claude-2.1"),
    *("openai/gpt-4.1", "openai/gpt-4o", "openai/gpt-5", "openai/gpt-5-mini", "openai/gpt-5-pro"),
    *("openai/gpt-4o-mini", "openai/gpt-4-1106-preview", "openai/gpt-oss-120b", "openai/o3"),
    *("openai/o1", "openai/o4-mini", "openai/gpt-5-2025-08-07"),
    *("google/gemini-2.5-flash", "google/gemini-2.5-flash-preview-09-2025"),
    *("google/gemini-2.0-flash-001", "google/gemini-flash-latest", "google/gemini-2.5-flash:free"),
    *("google/gemini-2.5-pro", "google/gemini-3.1-pro-preview", "google/gemini-3-pro-image"),
    *("moonshotai/kimi-k2-0905", "moonshotai/kimi-k2.6", "moonshotai/kimi-k2-thinking"),
    *("mistralai/mistral-large-2411", "mistralai/mistral-large-2512", "mistralai/mistral-large"),
    *("qwen/qwen-max", "qwen/qwen3-max", "qwen/qwen2.5-max", "x-ai/grok-beta", "x-ai/grok-4:free"),
    *("meta-llama/llama-3.1-70b-instruct", "meta-llama/llama-3.3-70b-instruct"),
    *("meta-llama/llama-3.2-3b-instruct", "cohere/command-r-08-2024", "cohere/command-r-03-2024"),
)


@pytest.mark.parametrize(
    ("alias", "id_"),
    [
        ("~anthropic/claude-sonnet-latest", "anthropic/claude-sonnet-4.5"),
        ("~anthropic/claude-opus-latest", "anthropic/claude-opus-4.10"),
        ("~anthropic/claude-latest", "anthropic/claude-2.1"),
        ("~openai/gpt-latest", "openai/gpt-5"),
        ("~openai/gpt-mini-latest", "openai/gpt-5-mini"),
        ("~openai/o-latest", "openai/o3"),
        ("~google/gemini-flash-latest", "google/gemini-2.5-flash"),
        ("~google/gemini-pro-latest", "google/gemini-3.1-pro-preview"),
        ("~moonshotai/kimi-latest", "moonshotai/kimi-k2.6"),
        ("~mistralai/mistral-large-latest", "mistralai/mistral-large-2512"),
        ("~qwen/qwen-max-latest", "qwen/qwen3-max"),
        ("~meta-llama/llama-70b-instruct-latest", "meta-llama/llama-3.3-70b-instruct"),
        ("~cohere/command-r-latest", "cohere/command-r-08-2024"),
        ("~x-ai/grok-latest", "x-ai/grok-beta"),
        ("~anthropic/claude-haiku-latest", None),
        ("~nobody/claude-sonnet-latest", None),
        ("~anthropic/claude-sonnet", None),
        ("~anthropic/-latest", None),
        ("~anthropic-latest", None),
        ("anthropic/claude-sonnet-latest", None),
        ("~", None),
    ],
)
def test_an_author_and_a_family_mean_the_newest_of_them(alias: str, id_: str | None) -> None:
    found = latest(alias, CATALOGUE)
    assert (found and found.id) == id_


def newest(*ids: str, created: Mapping[str, int] | None = None) -> str:
    found = latest("~a/m-latest", catalogue_of(*ids, created=created))
    assert found is not None
    return found.id


@pytest.mark.parametrize(
    ("ids", "id_"),
    [
        (("a/m-1:free",), "a/m-1:free"),
        (("a/m-1", "a/m-2:free"), "a/m-1"),
        (("a/m-1-preview", "a/m-1"), "a/m-1"),
        (("a/m-2-preview", "a/m-1"), "a/m-2-preview"),
        (("a/m-1-0905", "a/m-1"), "a/m-1"),
        (("a/m-1-0905", "a/m-1-1106"), "a/m-1-1106"),
        (("a/m-latest",), "a/m-latest"),
        (("a/m-latest", "a/m-1"), "a/m-1"),
        (("a/m", "a/m-1"), "a/m-1"),
    ],
)
def test_variants_previews_and_dated_ones_are_not_the_newest_unless_nothing_else_is(
    ids: tuple[str, ...], id_: str
) -> None:
    assert newest(*ids) == newest(*reversed(ids)) == id_


def test_of_one_version_the_younger_is_the_newest() -> None:
    ids = ("a/m-v1", "a/m-1")
    assert newest(*ids, created={"a/m-v1": 5, "a/m-1": 6}) == "a/m-1"
    assert newest(*ids, created={"a/m-v1": 5}) == "a/m-v1"


def test_a_model_that_nobody_serves_is_not_the_newest() -> None:
    built = catalogue_of("a/m-1", "a/m-2")
    models = [
        replace(one, endpoints=()) if one.id == "a/m-2" else one for one in built.models.values()
    ]
    found = latest("~a/m-latest", Catalogue(models))
    assert found is not None
    assert found.id == "a/m-1"


def test_reasoning_that_the_newest_does_not_support_is_no_reason_to_refuse() -> None:
    built = catalogue_of("a/m-1").models["a/m-1"]
    mute = tuple(replace(one, supported_parameters=("tools",)) for one in built.endpoints)
    ask = Ask(models=("~a/m-latest",), body={}, thinking=Thinking(wish={}, effort="xhigh"))
    catalogue = Catalogue([replace(built, endpoints=mute)])
    made = plan(ask, catalogue, pool=Pool(), now=0.0, rng=lambda: 0.0)
    assert [model.id for model, _ in made.attempts] == ["a/m-1"]


def test_only_authors_of_the_catalogue_are_remembered() -> None:
    catalogue = catalogue_of("a/m-1")
    for name in ("~a/m-latest", "~a/x-latest", "~b/m-latest", "~c/m-latest"):
        latest(name, catalogue)
    assert list(catalogue.families) == ["a"]
    assert latest("~a/m-latest", catalogue) is catalogue.models["a/m-1"]


@given(st.lists(st.text(alphabet="amv019.-:", min_size=1, max_size=9), min_size=1, max_size=6))
def test_any_slug_has_a_place_in_one_family(slugs: list[str]) -> None:
    catalogue = catalogue_of(*dict.fromkeys(f"a/{slug}" for slug in slugs))
    assert latest("~a/m-latest", catalogue) in (None, *catalogue.models.values())
    assert set(map(id, catalogue.families["a"].values())) <= set(map(id, catalogue.models.values()))
