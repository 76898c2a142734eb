"""Where nobody can answer: the words, and the object for programs (contract, section 2.4)."""

from decimal import Decimal
from typing import Any

import pytest

from proxy.errors import KINDS, GatewayError
from proxy.money import Pricing
from proxy.providers import Provider
from proxy.routing import availability as rooms
from proxy.routing.assembly import EndpointRow, ModelRow, build
from proxy.routing.availability import CODES, DOCS, FALLBACKS_MAX, availability, explain
from proxy.routing.catalogue import Catalogue
from proxy.routing.health import Pool
from proxy.routing.plan import plan
from proxy.routing.waits import Timeouts
from proxy.wire import preferences
from proxy.wire.request import Ask

CHEAP = {"max_price": {"prompt": 2}}

STATUSES = {
    "model_not_found": 400, "wrong_endpoint": 400, "no_endpoints": 404, "model_deprecated": 404,
    "model_unavailable_upstream": 404, "capacity_exhausted": 429, "temporarily_unavailable": 503,
    "region_restricted": 403, "privacy_restricted": 404, "constraint_filtered": 404,
    "free_variant_ended": 404,
}  # fmt: skip
"""OpenRouter's codes, and the status of each."""

PROVIDERS = [
    Provider(slug="azure", name="Azure", base_url="https://a.example/", retains_prompts_days=30),
    Provider(slug="openai", name="OpenAI", base_url="https://o.example/", trains_on_data=True),
    Provider(
        slug="safe", name="Safe", base_url="https://s.example/",
        retains_prompts_days=0, trains_on_data=False,
    ),
]  # fmt: skip


def row(provider: str, usd: int | None = 5, **more: Any) -> EndpointRow:
    price = Decimal(usd or 0) / 10**6
    pricing = None if usd is None else Pricing(prompt=price, completion=price)
    return EndpointRow(provider=provider, model="m", pricing=pricing, **more)


TEXT: dict[str, Any] = {"input_modalities": ("text",), "output_modalities": ("text",)}
SEEING: dict[str, Any] = {"input_modalities": ("text", "image"), "output_modalities": ("text",)}


def catalogue(*models: ModelRow) -> Catalogue:
    return build(
        providers=PROVIDERS,
        listings={},
        configured=models,
        timeouts=Timeouts(),
        price_of=lambda provider, model: None,
    )


HOUSE = catalogue(
    ModelRow(
        id="acme/large", endpoints=(row("azure", 12), row("openai", 20, quantization="fp8")), **TEXT
    ),
    ModelRow(id="acme/seeing", endpoints=(row("safe", 5),), **SEEING),
    ModelRow(id="acme/tiny", endpoints=(row("safe", 0, supported_parameters=("seed",)),), **TEXT),
    ModelRow(id="acme/empty", endpoints=(), **TEXT),
    ModelRow(id="beta/one", endpoints=(row("azure", 1, quantization="int4"),), **TEXT),
    ModelRow(
        id="beta/paints",
        endpoints=(row("safe", 1),),
        input_modalities=("text",),
        output_modalities=("image", "text"),
    ),
    ModelRow(id="beta/clear", endpoints=(row("safe", 9),), distillable=True, **TEXT),
    ModelRow(id="beta/narrow", endpoints=(row("safe", 9, supported_parameters=("seed",)),), **TEXT),
    ModelRow(id="beta/unpriced", endpoints=(row("openai", None),), **TEXT),
)


def refused(
    model: str = "acme/large",
    provider: dict[str, Any] | None = None,
    *,
    house: Catalogue = HOUSE,
    priced_only: bool = False,
    **asked: Any,
) -> GatewayError:
    """What is told of a request that nobody can answer."""
    names = (model,) if isinstance(model, str) else model
    ask = Ask(models=names, body={}, preferences=preferences.decode(provider), **asked)
    with pytest.raises(GatewayError) as caught:
        plan(ask, house, pool=Pool(), now=0.0, rng=lambda: 0.0, priced_only=priced_only)
    return caught.value


def told(error: GatewayError) -> dict[str, Any]:
    assert error.availability is not None
    return dict(error.availability)


ONLY = (
    "No allowed providers are available for the selected model. Providers serving acme/large: "
    "azure, openai, but your request's provider.{} preference permits only: {}."
)
POLICY = "No endpoints found matching your data policy ({})."
REFUSALS: list[tuple[str, dict[str, Any] | None, dict[str, Any], str, str, list[str]]] = [
    (
        "acme/large", {"only": ["safe"]}, {},
        ONLY.format("only", "safe"), "constraint_filtered", ["allowed_providers"],
    ),
    (
        "acme/large", {"order": ["safe"], "allow_fallbacks": False}, {},
        ONLY.format("order", "safe"), "constraint_filtered", ["allowed_providers"],
    ),
    (
        "acme/large", {"ignore": ["azure", "openai"]}, {},
        "All providers have been ignored. Providers serving acme/large: azure, openai.",
        "constraint_filtered", ["ignored_providers"],
    ),
    (
        "acme/large", {"zdr": True}, {},
        POLICY.format("Zero data retention"), "privacy_restricted", ["data_policy:zdr"],
    ),
    (
        "acme/large", {"data_collection": "deny"}, {},
        POLICY.format("Paid model training"), "privacy_restricted", ["data_policy:training"],
    ),
    (
        "acme/large", {"max_price": {"prompt": 10}}, {},
        "No endpoints found for acme/large within your request's provider.max_price.prompt.",
        "constraint_filtered", ["max_price"],
    ),
    (
        "acme/large", {"quantizations": ["int8", "fp4"]}, {},
        "No endpoints found for acme/large with one of the quantizations: "
        "fp4, int8, mxfp4, nvfp4.",
        "constraint_filtered", ["quantization"],
    ),
    (
        "acme/large", {"enforce_distillable_text": True}, {},
        "No endpoints found for acme/large that allow distillation of their text.",
        "constraint_filtered", ["distillable"],
    ),
    (
        "acme/tiny", None, {"required": frozenset({"top_k"})},
        "No endpoints found that can handle the requested parameters.",
        "constraint_filtered", ["require_parameters"],
    ),
    (
        "acme/tiny", None, {"required": frozenset({"tools"})},
        "No endpoints found that support tool use.",
        "constraint_filtered", ["require_parameters"],
    ),
    (
        "acme/tiny", None, {"required": frozenset({"tool_choice"})},
        "No endpoints found that support the provided 'tool_choice' value.",
        "constraint_filtered", ["require_parameters"],
    ),
    (
        "acme/large", None, {"inputs": frozenset({"image"})},
        "No endpoints found that support image input.", "no_endpoints", ["input_modality"],
    ),
    (
        "acme/large", None, {"outputs": frozenset({"image", "audio"})},
        "No endpoints found that support the requested output modalities: audio, image",
        "no_endpoints", ["output_modality"],
    ),
    (
        "acme/large:free", None, {},
        "No endpoints found for acme/large:free.", "free_variant_ended", ["variant:free"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("model", "provider", "asked", "message", "code", "by"), REFUSALS, ids=range(len(REFUSALS))
)
def test_who_leaves_nobody_reads_why(
    model: str,
    provider: dict[str, Any] | None,
    asked: dict[str, Any],
    message: str,
    code: str,
    by: list[str],
) -> None:
    error = refused(model, provider, **asked)
    assert (error.kind, error.status, error.message) == ("no_endpoint", 404, message)
    said = told(error)
    assert (said["code"], said["excluded_by"], said["retryable"]) == (code, by, False)
    assert STATUSES[code] == error.status
    assert (said["requested_models"], said["docs_url"]) == ([model], DOCS)
    assert said["affected_providers"] == (["safe"] if "tiny" in model else ["azure", "openai"])


@pytest.mark.parametrize(
    ("provider", "field", "detail"),
    [
        (
            {"max_price": {"prompt": 10}},
            "provider.max_price.prompt",
            "azure costs 12 USD a million prompt tokens, above provider.max_price.prompt 10; "
            "openai costs 20 USD a million prompt tokens, above provider.max_price.prompt 10",
        ),
        (
            {"zdr": True},
            "provider.zdr",
            "azure keeps prompts 30 days, and provider.zdr is true; "
            "openai does not say if it keeps prompts, and provider.zdr is true",
        ),
        (
            {"ignore": ["openai"], "quantizations": ["fp8"]},
            "provider.quantizations",
            "azure has quantization unknown, which is not in provider.quantizations",
        ),
    ],
)
def test_the_constraint_is_the_field_that_left_nobody(
    provider: dict[str, Any], field: str, detail: str
) -> None:
    assert told(refused(provider=provider))["constraint"] == {"field": field, "detail": detail}


def test_the_message_is_of_the_last_hurdle_and_all_are_listed() -> None:
    error = refused(provider={"only": ["azure"], "max_price": {"completion": 1}})
    assert "provider.max_price.completion" in error.message
    assert told(error)["excluded_by"] == ["max_price", "allowed_providers"]
    mixed = refused(provider={"zdr": True, "ignore": ["openai"]})
    assert told(mixed)["code"] == "constraint_filtered"
    assert mixed.message == POLICY.format("Zero data retention")


@pytest.mark.parametrize(
    ("model", "provider", "code", "by"),
    [
        ("acme/tiers", {"ignore": ["azure"]}, "constraint_filtered", "ignored_providers"),
        ("acme/tiers", {"zdr": True}, "privacy_restricted", "data_policy:zdr"),
        ("acme/tiers", {"max_price": {"prompt": 1}}, "constraint_filtered", "max_price"),
        ("acme/tiers:free", None, "free_variant_ended", "variant:free"),
        ("acme/flex", {"ignore": ["azure"]}, "no_endpoints", "service_tier"),
    ],
)
def test_a_tier_that_nobody_asked_for_is_told_of_where_there_is_nothing_else(
    model: str, provider: dict[str, Any] | None, code: str, by: str
) -> None:
    rows = row("azure", 12), row("azure", 6, tier="flex")
    house = catalogue(
        ModelRow(id="acme/tiers", endpoints=rows, **TEXT),
        ModelRow(id="acme/flex", endpoints=rows[1:], **TEXT),
    )
    said = told(refused(model, provider, house=house))
    assert (said["code"], said["excluded_by"]) == (code, [by])
    assert "service_tier" not in str(said) or by == "service_tier"


def test_the_free_name_of_another_model_is_named_once() -> None:
    house = catalogue(
        ModelRow(id="acme/large", endpoints=(row("azure", 12),), **TEXT),
        ModelRow(id="acme/small", endpoints=(row("azure", 0),), **TEXT),
        ModelRow(id="acme/small:free", endpoints=(row("safe", 0),), **TEXT),
    )
    assert told(refused("acme/large:free", house=house))["fallback_models"] == ["acme/small:free"]
    # The free endpoint of the other one goes by no name, so nothing leads to it.
    only = {"only": ["azure"]}
    assert "fallback_models" not in told(refused("acme/large:free", only, house=house))


def test_a_constraint_names_only_so_many_endpoints() -> None:
    rows = tuple(row("azure", 12, variant=f"v{number}") for number in range(8))
    house = catalogue(ModelRow(id="acme/large", endpoints=rows, **TEXT))
    said = told(refused(provider={"zdr": True}, house=house))
    assert said["constraint"]["detail"].endswith("provider.zdr is true; 3 more")
    assert said["constraint"]["detail"].count("azure/v") == 5
    assert said["affected_providers"] == ["azure"]
    assert "fallback_models" not in said


@pytest.mark.parametrize(
    ("model", "provider", "asked", "models"),
    [
        # Those of the same author first, and only who has all that is wished.
        ("acme/large", {"only": ["safe"]}, {}, ["acme/seeing", "acme/tiny", "beta/paints"]),
        ("acme/large", {"zdr": True, "max_price": {"prompt": 1}}, {}, ["acme/tiny", "beta/paints"]),
        ("acme/large", {"quantizations": ["int4"]}, {}, ["beta/one"]),
        ("acme/large", {"quantizations": ["bf16"]}, {}, None),
        ("acme/large", None, {"inputs": frozenset({"image"})}, ["acme/seeing"]),
        ("acme/large", None, {"outputs": frozenset({"image"})}, ["beta/paints"]),
        ("acme/large", {"enforce_distillable_text": True}, {}, ["beta/clear"]),
        ("acme/large:free", None, {}, ["acme/tiny:free"]),
        # Who asks one that paints for what it can not is not sent to one that only writes.
        ("beta/paints", {"quantizations": ["int4"]}, {}, None),
    ],
)
def test_fallback_models_could_answer_with_the_same_wishes(
    model: str, provider: dict[str, Any] | None, asked: dict[str, Any], models: list[str] | None
) -> None:
    assert told(refused(model, provider, **asked)).get("fallback_models") == models
    for name in models or ():
        wishes = preferences.decode(provider)
        ask = Ask(models=(name,), body={}, preferences=wishes, **asked)
        assert plan(ask, HOUSE, pool=Pool(), now=0.0, rng=lambda: 0.0).attempts


def test_no_more_fallback_models_are_named_than_a_few() -> None:
    many = [ModelRow(id=f"a/m{n}", endpoints=(row("safe"),), **TEXT) for n in range(9)]
    house = catalogue(ModelRow(id="a/asked", endpoints=(row("azure"),), **TEXT), *many)
    said = told(refused("a/asked", {"zdr": True}, house=house))
    assert said["fallback_models"] == ["a/m0", "a/m1", "a/m2"]
    assert FALLBACKS_MAX == 3


def test_of_a_large_catalogue_not_all_is_looked_at_for_fallback_models(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [ModelRow(id=f"a/m{at}", endpoints=(row("azure", 9),), **TEXT) for at in range(9)]
    cheap = ModelRow(id="b/cheap", endpoints=(row("azure", 1),), **TEXT)
    found = []
    for looked in (8, 9):
        monkeypatch.setattr(rooms, "_LOOKED_MAX", looked)
        asked = Ask(models=("a/m0",), body={}, preferences=preferences.decode(CHEAP))
        with pytest.raises(GatewayError) as caught:
            plan(asked, catalogue(*rows, cheap), pool=Pool(), now=0.0, rng=lambda: 0.0)
        found.append(told(caught.value).get("fallback_models"))
    assert found == [None, ["b/cheap"]]


def test_a_bound_of_endless_noughts_is_told_in_short() -> None:
    wished = {"max_price": {"prompt": "1e-999999"}}
    said = told(refused("acme/large", wished))
    assert "above provider.max_price.prompt 1E-999999" in str(said["constraint"])
    assert len(str(said)) < 2000


def test_no_fallback_model_is_named_where_nobody_knows_which_tools_it_would_run() -> None:
    ask = Ask(models=("acme/large",), body={}, preferences=preferences.decode({"zdr": True}))
    with pytest.raises(GatewayError) as caught:
        plan(
            ask, HOUSE, pool=Pool(), now=0.0, rng=lambda: 0.0, priced_only=True, tools=lambda _: ()
        )
    assert "fallback_models" not in told(caught.value)


def test_a_model_that_nobody_serves_may_be_served_again() -> None:
    error = refused("acme/empty")
    assert (error.kind, error.message) == ("no_provider", "No provider serves acme/empty")
    said = told(error)
    assert (said["code"], said["retryable"]) == ("temporarily_unavailable", True)
    assert "affected_providers" not in said


def test_a_model_asked_at_the_wrong_path_names_the_right_one() -> None:
    error = refused(task="embeddings")
    assert error.kind == "wrong_endpoint"
    assert error.message.startswith("Not a path for this model: acme/large is asked at /api/v1/")
    assert told(error)["code"] == "wrong_endpoint"
    assert STATUSES["wrong_endpoint"] == error.status


def test_what_is_the_operators_own_or_has_no_price_is_no_question_of_availability() -> None:
    kept = refused(names="file_id")
    assert (kept.kind, kept.availability) == ("invalid_request", None)
    assert kept.message == (
        "file_id: names what is the operator's own, which is not for callers here"
    )
    unpriced = refused("beta/unpriced", priced_only=True)
    assert (unpriced.kind, unpriced.availability) == ("no_price", None)


def test_each_request_is_told_by_an_error_of_its_own() -> None:
    one, two = (refused(provider={"zdr": True}) for _ in range(2))
    assert one is not two
    assert one.metadata is not two.metadata
    assert one.availability == two.availability


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_of_who_could_answer_has_a_code(kind: str) -> None:
    error = GatewayError(kind, "x", headers={"Retry-After": "7"})
    explain(error, ["a/b", "é"], ["p", "q", "p"])
    code = CODES.get(kind)
    about = kind in ("model_unknown", "wrong_endpoint", "no_endpoint", "no_provider", "draining")
    takes_the_request = KINDS[kind].source.name in ("PROVIDER", "CREDENTIAL")
    assert (code is not None) is (about or takes_the_request)
    if code is None:
        assert error.availability is None
        return
    said = told(error)
    assert (said["code"], said["retry_after"]) == (code, 7)
    assert said["requested_models"] == ["a/b", "\\xe9"]
    assert said["affected_providers"] == ["p", "q"]
    assert said["retryable"] is (STATUSES[code] in (429, 503))
    if KINDS[kind].status in (400, 404, 429):
        assert STATUSES[code] == KINDS[kind].status


def test_what_was_said_already_is_not_said_again() -> None:
    known = availability("free_variant_ended", ["a/b:free"])
    error = GatewayError("no_endpoint", "x", availability=known)
    explain(error, ["a/b:free"], ["p"])
    assert error.availability == known
    explain(error, ["mine/alias"], [])
    assert error.availability == {**known, "requested_models": ["mine/alias"]}
    assert known["requested_models"] == ["a/b:free"], "it is kept for other requests"
    late = GatewayError("provider_timeout", "x", headers={"Retry-After": "Mon, 01 Jan"})
    explain(late, ["a/b"], [])
    assert "retry_after" not in told(late)
