"""The best buy for a request: what it needs, how hard it is, what a model costs and is worth."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.money import Pricing
from proxy.providers import Provider
from proxy.routing.assembly import EndpointRow, ModelRow, build
from proxy.routing.catalogue import Catalogue
from proxy.routing.health import Outcome, Pool
from proxy.routing.kept import Kept
from proxy.routing.picks import PICK_BYTES, costless, difficulty, ranked
from proxy.routing.waits import Timeouts
from proxy.wire.listing import Listing
from proxy.wire.preferences import decode
from proxy.wire.request import Ask, Effort, Thinking

YEAR_S = 365 * 86_400

SHOP = Provider(slug="shop", name="Shop", base_url="https://shop.example")
HOME = Provider(slug="home", name="Home", base_url="http://127.0.0.1:9/v1", local=True)


def offer(id_: str, usd: str | None = None, **said: Any) -> tuple[ModelRow, Listing]:
    """A model at so many dollars for a million tokens; `said` is of its row or its listing."""
    provider = said.pop("provider", "shop")
    price = None if usd is None else Decimal(usd) / 10**6
    pricing = None if price is None else Pricing(prompt=price, completion=price)
    of_listing = {key: said.pop(key) for key in ("created",) if key in said}
    of_endpoint = {key: said.pop(key) for key in ("supported_parameters",) if key in said}
    endpoint = EndpointRow(provider=provider, model=id_, pricing=pricing, **of_endpoint)
    return ModelRow(id=id_, endpoints=(endpoint,), **said), Listing(model=id_, **of_listing)


def catalogue_of(*offers: tuple[ModelRow, Listing], does: Any = None) -> Catalogue:
    return build(
        providers=[SHOP, HOME],
        listings={"shop": [listing for _, listing in offers]},
        configured=[row for row, _ in offers],
        timeouts=Timeouts(),
        price_of=lambda provider, model: None,
        **({} if does is None else {"does": does}),
    )


def ask_of(body: dict[str, Any] | None = None, **asked: Any) -> Ask:
    said = {"messages": [{"role": "user", "content": "Hi"}], **(body or {})}
    return Ask(models=("openrouter/auto",), body=said, **asked)


def best(catalogue: Catalogue, ask: Ask | None = None, **more: Any) -> list[str]:
    arguments = {"pool": Pool(), "now": 0.0, **more}
    return [pick.model.id for pick in ranked(ask or ask_of(), catalogue, **arguments)]


def thinking(effort: Effort | None) -> Thinking:
    return Thinking(wish={}, effort=effort)


CODE = {"messages": [{"role": "user", "content": "Why?\n```py\n1/0\n```"}]}
PARTS = {"messages": [{"role": "user", "content": [{"type": "text", "text": "```"}, {"text": 1}]}]}
TOOLS: dict[str, Any] = {"tools": [{}]}
FORMAT: dict[str, Any] = {"response_format": {"type": "json_object"}}


@pytest.mark.parametrize(
    ("body", "asked", "tokens", "points"),
    [
        ({}, {}, 5, 0),
        (TOOLS, {}, 5, 1),
        (FORMAT, {}, 5, 1),
        ({"tools": [], "response_format": {"type": "text"}}, {}, 5, 0),
        ({"tools": None, "response_format": None}, {}, 5, 0),
        (CODE, {}, 5, 1),
        (PARTS, {}, 5, 1),
        ({"messages": [*CODE["messages"], {"role": "user", "content": "Hi"}]}, {}, 5, 0),
        ({"messages": [{"role": "assistant", "content": None}]}, {}, 5, 0),
        ({"messages": [], "prompt": "```"}, {}, 5, 1),
        ({}, {}, 8000, 0),
        ({}, {}, 8001, 1),
        ({}, {"thinking": thinking(None)}, 5, 1),
        ({}, {"thinking": thinking("none")}, 5, 0),
        ({}, {"thinking": thinking("low")}, 5, 1),
        ({}, {"thinking": thinking("high")}, 5, 2),
        ({}, {"thinking": thinking("max")}, 5, 2),
        ({**TOOLS, **CODE}, {"thinking": thinking("low")}, 5, 3),
        ({**TOOLS, **FORMAT, **CODE}, {"thinking": thinking("high")}, 9000, 4),
    ],
)
def test_how_hard_a_request_is(
    body: dict[str, Any], asked: dict[str, Any], tokens: int, points: int
) -> None:
    assert difficulty(ask_of(body, **asked), tokens) == points


LADDER = catalogue_of(
    *(offer(f"a/at-{usd}", usd) for usd in ("0.02", "0.1", "0.32", "1", "3.2", "10", "75"))
)


@pytest.mark.parametrize(
    ("body", "effort", "usd"),
    [
        ({}, None, "0.1"),
        (TOOLS, None, "0.32"),
        ({**TOOLS, **CODE}, None, "1"),
        ({**TOOLS, **CODE}, "low", "3.2"),
        ({**TOOLS, **CODE}, "high", "10"),
    ],
)
def test_the_harder_a_request_the_dearer_its_best_buy(
    body: dict[str, Any], effort: Effort | None, usd: str
) -> None:
    ask = ask_of(body, thinking=effort and thinking(effort))
    assert best(LADDER, ask)[0] == f"a/at-{usd}"


def test_the_operators_figure_weighs_more_than_what_a_price_promises() -> None:
    catalogue = catalogue_of(
        offer("a/cheap", "0.1", quality=20),
        offer("a/good", "0.5", quality=70),
        offer("a/best", "10", quality=95),
    )
    assert best(catalogue) == ["a/good", "a/best", "a/cheap"]
    assert best(catalogue, ask_of({**TOOLS, **CODE}, thinking=thinking("high")))[0] == "a/best"


def test_the_score_is_what_is_documented_and_says_so() -> None:
    catalogue = catalogue_of(offer("a/m", "10", quality=90), offer("a/n", "1"), offer("a/o"))
    picks = {one.model.id: one for one in ranked(ask_of(), catalogue, pool=Pool(), now=0.0)}
    assert picks["a/m"].score == pytest.approx(90 - 28 * 2)
    assert picks["a/m"].words == "score 34.0: quality 90, $10.00 a million tokens"
    assert picks["a/n"].score == pytest.approx(30 + 28 - 4 - 28)
    assert picks["a/n"].words == (
        "score 26.0: quality 54 (guessed by its price), $1.00 a million tokens"
    )
    assert picks["a/o"].words == "score -11.4: quality 30 (guessed by its price), no price"


def test_a_price_is_three_quarters_of_the_prompts_and_that_of_the_cheapest_endpoint() -> None:
    dear = EndpointRow(
        provider="shop",
        model="x",
        pricing=Pricing(prompt=Decimal("4e-6"), completion=Decimal("8e-6")),
    )
    row, listing = offer("a/m", "7")
    both = ModelRow(id="a/m", endpoints=(*row.endpoints, dear))
    (pick,) = ranked(ask_of(), catalogue_of((both, listing)), pool=Pool(), now=0.0)
    assert pick.price_usd == pytest.approx(5.0)
    assert len(pick.endpoints) == 2


def test_a_year_costs_ten_points_where_the_operator_says_nothing() -> None:
    born = 1_700_000_000
    catalogue = catalogue_of(
        offer("a/old", "1", created=born),
        offer("a/graded", "1", created=born, quality=50),
        offer("a/new", "1", created=born + 2 * YEAR_S),
        offer("a/unborn", "1"),
    )
    picks = {one.model.id: one.quality for one in ranked(ask_of(), catalogue, pool=Pool(), now=0.0)}
    assert picks == pytest.approx({"a/new": 54, "a/unborn": 54, "a/graded": 50, "a/old": 34})


def test_ones_own_models_take_the_easy_requests_and_gifts_none() -> None:
    catalogue = catalogue_of(
        offer("a/own", provider="home"), offer("a/gift", "0"), offer("a/paid", "10")
    )
    assert best(catalogue) == ["a/own", "a/gift", "a/paid"]
    hard = ask_of({**TOOLS, **CODE}, thinking=thinking("high"))
    assert best(catalogue, hard) == ["a/paid", "a/own", "a/gift"]


# Who can do it at all.


def test_only_models_that_chat_are_chosen() -> None:
    catalogue = catalogue_of(
        offer("a/text", "1"),
        offer("a/vectors", "0.1", output_modalities=("embeddings",)),
        offer("openrouter/fusion", "0.1"),
        offer("~a/text-latest", "0.1"),
        does=lambda provider: ("chat", "embeddings"),
    )
    assert best(catalogue) == ["a/text"]
    assert best(catalogue, ask_of(task="embeddings")) == []


def test_a_model_has_the_tools_and_the_format_that_are_asked_for() -> None:
    catalogue = catalogue_of(
        offer("a/plain", "0.1", supported_parameters=("verbosity",)),
        offer("a/tools", "1", supported_parameters=("tools",)),
    )
    assert best(catalogue, ask_of(soft=frozenset(("tools",)))) == ["a/tools"]
    assert best(catalogue, ask_of(soft=frozenset(("verbosity",)))) == ["a/plain", "a/tools"]
    assert best(catalogue, ask_of(required=frozenset(("verbosity",)))) == ["a/plain"]
    assert best(catalogue, ask_of(soft=frozenset(("response_format",)))) == []


def test_a_wish_to_reason_is_for_models_that_do_where_there_are_some() -> None:
    plain = offer("a/plain", "0.1", supported_parameters=())
    reasoner = offer("a/thinks", "50", supported_parameters=("reasoning",))
    guessed = offer("deepseek/deepseek-r1", "80")
    ask = ask_of(thinking=thinking("low"))
    assert best(catalogue_of(plain, reasoner, guessed), ask) == [
        "a/thinks",
        "deepseek/deepseek-r1",
    ]
    assert best(catalogue_of(plain), ask) == ["a/plain"]


def test_images_go_to_who_is_known_to_read_them_where_there_are_some() -> None:
    blind = offer("a/blind", "0.1", input_modalities=("text",))
    sees = offer("a/sees", "9", input_modalities=("text", "image"))
    unknown = offer("a/unknown", "0.1")
    ask = ask_of(inputs=frozenset(("image",)))
    assert best(catalogue_of(blind, sees, unknown), ask) == ["a/sees"]
    assert best(catalogue_of(blind, unknown), ask) == ["a/unknown"]
    assert best(catalogue_of(blind), ask) == []


def test_a_prompt_and_its_answer_have_room() -> None:
    catalogue = catalogue_of(
        offer("a/short", "0.1", context_length=1000),
        offer("a/long", "9", context_length=100_000),
        offer("a/unsaid", "50"),
    )
    assert best(catalogue, ask_of(text_bytes=4000)) == ["a/short", "a/long", "a/unsaid"]
    assert best(catalogue, ask_of(text_bytes=4001)) == ["a/long", "a/unsaid"]
    assert best(catalogue, ask_of(text_bytes=400, max_tokens=901)) == ["a/long", "a/unsaid"]
    assert best(catalogue, ask_of(media_prompt=101)) == ["a/unsaid"]


def test_the_wishes_about_providers_hold() -> None:
    catalogue = catalogue_of(offer("a/own", provider="home"), offer("a/paid", "1"))
    for wish, expected in (
        ({"only": ["shop"]}, ["a/paid"]),
        ({"ignore": ["shop"]}, ["a/own"]),
        ({"max_price": {"prompt": 0.5}}, ["a/own"]),
    ):
        assert best(catalogue, ask_of(preferences=decode(wish))) == expected


def test_credits_choose_among_what_has_a_price() -> None:
    catalogue = catalogue_of(offer("a/priced", "99"), offer("a/unpriced"))
    assert best(catalogue, priced_only=True) == ["a/priced"]


def test_what_costs_nothing_is_found() -> None:
    catalogue = catalogue_of(
        offer("a/own", provider="home"), offer("a/gift", "0"), offer("a/paid", "1"), offer("a/x")
    )
    assert best(catalogue, free=True) == ["a/own", "a/gift"]
    found = costless(ask_of(), catalogue, pool=Pool(), now=0.0)
    assert {pick.model.id for pick in found} == {"a/own", "a/gift"}


# How they are doing.


def fail(pool: Pool, id_: str, times: int) -> None:
    for _ in range(times):
        ticket = pool.begin(("shop", id_), 0.0, retry=False, last=True)
        assert not isinstance(ticket, str)
        pool.end(ticket, Outcome.FAILED, 0.0)


def test_what_is_shut_is_not_chosen_while_others_are_open() -> None:
    catalogue = catalogue_of(offer("a/first", "0.1"), offer("a/second", "5"))
    pool = Pool()
    fail(pool, "a/first", 20)
    assert best(catalogue, pool=pool) == ["a/second"]
    fail(pool, "a/second", 20)
    assert best(catalogue, pool=pool) == ["a/first", "a/second"]
    gifts = catalogue_of(offer("a/first", "0"), offer("a/third", "0"))
    found = costless(ask_of(), gifts, pool=pool, now=0.0)
    assert [pick.model.id for pick in found] == ["a/third"]
    alone = catalogue_of(offer("a/first", "0"))
    assert costless(ask_of(), alone, pool=pool, now=0.0)


def test_what_is_due_for_its_probe_is_chosen_again() -> None:
    catalogue = catalogue_of(offer("a/first", "0.1"), offer("a/second", "5"))
    pool = Pool()
    fail(pool, "a/first", 20)
    later = next(
        now for now in range(1, 3600) if pool.look(("shop", "a/first"), now)[0] == "probing"
    )
    assert best(catalogue, pool=pool, now=float(later)) == ["a/second", "a/first"]
    probe = pool.begin(("shop", "a/first"), float(later), retry=False, last=False)
    assert not isinstance(probe, str)
    assert best(catalogue, pool=pool, now=float(later)) == ["a/second"]


def test_failures_and_slowness_take_points_away() -> None:
    catalogue = catalogue_of(offer("a/first", "0.1"), offer("a/second", "0.1"))
    pool = Pool()
    answered(pool, "a/first", tps=10.0)
    answered(pool, "a/second", tps=50.0)
    first, second = sorted(
        ranked(ask_of(), catalogue, pool=pool, now=10.0), key=lambda pick: pick.model.id
    )
    assert second.score == pytest.approx(30.0)
    assert first.score == pytest.approx(25.0, abs=0.5)
    failing = Pool()
    answered(failing, "a/first", tps=50.0)
    fail(failing, "a/first", 1)
    assert best(catalogue, pool=failing, now=100.0) == ["a/second", "a/first"]


def answered(pool: Pool, id_: str, *, tps: float) -> None:
    ticket = pool.begin(("shop", id_), 0.0, retry=False, last=True)
    assert not isinstance(ticket, str)
    pool.content(ticket, 1.0)
    pool.end(ticket, Outcome.GOOD, 9.0, tokens=int(tps * 8))


def test_what_can_do_it_is_kept_and_bounded() -> None:
    catalogue = catalogue_of(*(offer(f"a/m{at}", "1") for at in range(20)))
    catalogue.routes = Kept(10 * 20 * PICK_BYTES)
    for number in range(15):
        assert best(catalogue, ask_of(names=None, required=frozenset((f"p{number}",))))
    assert 5 < len(catalogue.routes) < 10


USD = st.sampled_from([None, "0", "0.01", "0.1", "2", "300"])


@given(st.lists(USD, max_size=20), st.booleans())
def test_scores_fall_and_nobody_is_chosen_twice(usds: list[str | None], hard: bool) -> None:
    catalogue = catalogue_of(*(offer(f"a/m{at}", usd) for at, usd in enumerate(usds)))
    ask = ask_of(TOOLS if hard else None)
    picks = ranked(ask, catalogue, pool=Pool(), now=0.0)
    scores = [pick.score for pick in picks]
    assert scores == sorted(scores, reverse=True)
    assert len({pick.model.id for pick in picks}) == len(picks) == min(len(usds), 16)
