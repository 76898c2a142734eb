"""A router's place is taken by the models it chose, and who names no router pays nothing for it."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import GatewayError
from proxy.money import Pricing
from proxy.providers import Provider
from proxy.routing.assembly import EndpointRow, ModelRow, build
from proxy.routing.catalogue import Catalogue
from proxy.routing.health import Pool
from proxy.routing.names import resolve
from proxy.routing.picks import ranked
from proxy.routing.plan import plan
from proxy.routing.routers import CHOICES_MAX, routed
from proxy.routing.waits import Timeouts
from proxy.wire.request import Ask

ONE = Provider(slug="one", name="One", base_url="https://one.example")
BARRED = "No models match your request and model restrictions"


def row(id_: str, usd: str, *supported: str) -> ModelRow:
    price = Decimal(usd) / 10**6
    endpoint = EndpointRow(
        provider="one",
        model=id_,
        supported_parameters=supported,
        pricing=Pricing(prompt=price, completion=price),
    )
    return ModelRow(id=id_, endpoints=(endpoint,))


def catalogue_of(*rows: ModelRow) -> Catalogue:
    return build(
        providers=[ONE],
        listings={},
        configured=rows,
        timeouts=Timeouts(),
        price_of=lambda provider, model: None,
    )


CATALOGUE = catalogue_of(
    row("a/dear", "50"),
    row("a/cheap", "0.1"),
    row("a/middling", "1", "tools"),
    row("a/costly", "3"),
    row("b/gift", "0"),
    row("b/gift-2", "0", "tools"),
    row("b/gift-3:free", "0"),
    row("b/gift-4", "0"),
)


def sent(
    *names: str,
    catalogue: Catalogue = CATALOGUE,
    rng: Callable[[], float] = lambda: 0.0,
    **asked: Any,
) -> tuple[str, ...]:
    ask = Ask(models=names, body={"messages": []}, **asked)
    return routed(ask, catalogue, pool=Pool(), now=0.0, rng=rng)[0].models


@pytest.mark.parametrize("names", [(), ("a/cheap",), ("a/dear:nitro", "gone"), ("openrouter/x",)])
def test_without_a_router_the_request_stays_the_same_object(names: tuple[str, ...]) -> None:
    ask = Ask(models=names, body={})
    catalogue = catalogue_of(row("a/m", "1"))
    kept, why = routed(ask, catalogue, pool=Pool(), now=0.0, rng=lambda: pytest.fail("asked"))
    assert (kept is ask, why) == (True, None)
    assert catalogue.routes == {}


def test_auto_is_the_best_buys_best_first() -> None:
    assert sent("openrouter/auto") == ("a/cheap", "a/middling", "a/costly")


def test_auto_goes_to_models_that_can_do_what_the_request_needs() -> None:
    soft = frozenset(("tools",))
    assert sent("openrouter/auto", soft=soft) == ("a/middling", "b/gift-2")


def test_the_other_names_stay_where_they_were_and_none_stands_twice() -> None:
    names = ("x/first", "openrouter/auto", "a/middling", "x/last")
    assert sent(*names) == ("x/first", "a/cheap", "a/middling", "a/costly", "x/last")


def test_variants_behind_a_router_are_those_of_its_choices() -> None:
    assert sent("openrouter/auto:floor")[0] == "a/cheap:floor"
    assert sent("openrouter/auto:nitro:exacto")[0] == "a/cheap:nitro:exacto"
    free = sent("openrouter/auto:free:nitro")
    assert [resolve(name, CATALOGUE).model.id for name in free] == [
        *("b/gift", "b/gift-2", "b/gift-3:free")
    ]
    assert resolve(free[0], CATALOGUE).variants == ("free", "nitro")


def drawn_at(chance: float) -> tuple[str, ...]:
    return sent("openrouter/free", rng=lambda: chance)


def test_free_is_a_random_capable_free_model() -> None:
    firsts = {resolve(drawn_at(at / 8)[0], CATALOGUE).model.id for at in range(8)}
    assert firsts == {"b/gift", "b/gift-2", "b/gift-3:free", "b/gift-4"}
    soft = frozenset(("tools",))
    assert sent("openrouter/free", soft=soft, rng=lambda: 0.9) == ("b/gift-2:free",)


def test_each_free_model_is_the_first_equally_often_and_the_others_follow() -> None:
    drawn = [drawn_at(at / 100) for at in range(100)]
    gifts = ("b/gift:free", "b/gift-2:free", "b/gift-3:free", "b/gift-4:free")
    assert {names[0]: drawn.count(names) for names in drawn} == dict.fromkeys(gifts, 25)
    assert {len(set(names)) for names in drawn} == {CHOICES_MAX}


def test_a_free_name_that_is_another_model_s_is_never_given_to_this_one() -> None:
    """`b/gift-3:free` is a model of its own, with other endpoints than `b/gift-3`."""
    house = catalogue_of(row("b/gift-3", "0", "tools"), row("b/gift-3:free", "0"))
    for router in ("openrouter/free", "openrouter/auto:free"):
        assert sent(router, catalogue=house) == ("b/gift-3:free",)
        with pytest.raises(GatewayError, match=BARRED):
            sent(router, catalogue=house, required=frozenset(("tools",)))
    assert sent("openrouter/auto", catalogue=house, required=frozenset(("tools",))) == ("b/gift-3",)


def test_the_choice_is_explained() -> None:
    def why(*names: str) -> str | None:
        ask = Ask(models=names, body={"messages": []})
        return routed(ask, CATALOGUE, pool=Pool(), now=0.0, rng=lambda: 0.0)[1]

    said = (why("openrouter/auto") or "").split("; ")
    picks = ranked(Ask(models=(), body={"messages": []}), CATALOGUE, pool=Pool(), now=0.0)
    assert said == [f"{pick.model.id}: {pick.words}" for pick in picks[:CHOICES_MAX]]
    assert why("openrouter/free") == "drawn among 4 that can do it and cost nothing"
    assert why("openrouter/free", "openrouter/free") == why("openrouter/free")
    dear = catalogue_of(row("a/m", "1"))
    ask = Ask(models=("openrouter/free", "a/m"), body={"messages": []})
    kept, words = routed(ask, dear, pool=Pool(), now=0.0, rng=lambda: 0.0)
    assert (kept.models, words) == (("a/m",), None)


def test_what_is_chosen_can_be_planned() -> None:
    for name in ("openrouter/auto", "openrouter/free", "openrouter/auto:free:floor"):
        ask = Ask(models=(name,), body={"messages": []})
        chosen, why = routed(ask, CATALOGUE, pool=Pool(), now=0.0, rng=lambda: 0.99)
        assert why
        made = plan(chosen, CATALOGUE, pool=Pool(), now=0.0, rng=lambda: 0.0)
        assert len(made.attempts) == CHOICES_MAX


def test_where_no_model_fits_it_is_a_404_that_says_so() -> None:
    for name in ("openrouter/auto", "openrouter/free", "openrouter/auto:free"):
        for asked in ({"task": "embeddings"}, {"required": frozenset(("seed",))}):
            with pytest.raises(GatewayError) as caught:
                sent(name, **asked)
            assert (caught.value.status, caught.value.message) == (404, BARRED)
    assert sent("openrouter/auto", "a/cheap", required=frozenset(("seed",))) == ("a/cheap",)


@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        *(
            (
                f"openrouter/{other}",
                400,
                f"openrouter/{other}: openrouter/{other} is not supported yet",
            )
            for other in ("auto-beta", "pareto-code", "bodybuilder", "fusion", "fusion-flash")
        ),
        ("openrouter/auto-beta:nitro", 400, None),
        ("openrouter/auto:online", 400, "openrouter/auto:online: `:online` is not supported yet"),
        ("openrouter/free:batch", 400, None),
        ("openrouter/auto:thinking", 404, "No endpoints found for openrouter/auto:thinking."),
    ],
)
def test_routers_and_variants_that_are_not_built_are_refused(
    name: str, status: int, message: str | None
) -> None:
    with pytest.raises(GatewayError) as caught:
        sent(name)
    assert caught.value.status == status
    assert message is None or caught.value.message == message


def test_a_model_that_a_provider_really_has_is_no_router() -> None:
    catalogue = catalogue_of(
        row("openrouter/auto", "1"), row("openrouter/fusion", "1"), row("a/m", "1")
    )
    for name in ("openrouter/auto", "openrouter/auto:floor", "openrouter/fusion"):
        assert sent(name, catalogue=catalogue) == (name,)
    assert sent("openrouter/free", "a/m", catalogue=catalogue) == ("a/m",)


NAMES = st.sampled_from(["openrouter/auto", "openrouter/free", "openrouter/auto:nitro", "a/cheap"])


@given(st.lists(NAMES, max_size=4), st.floats(0, 1, exclude_max=True))
def test_no_routers_name_is_left_and_every_choice_is_a_model(names: list[str], at: float) -> None:
    chosen = sent(*names, rng=lambda: at)
    assert all(resolve(name, CATALOGUE).model.endpoints for name in chosen)
    assert bool(chosen) == bool(names)
