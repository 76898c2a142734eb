"""A plan is the endpoints of the models asked for, in order, none of them twice."""

import tracemalloc
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from decimal import Decimal
from random import Random
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.errors import GatewayError
from proxy.money import Pricing
from proxy.providers import Provider
from proxy.routing import plan as planning
from proxy.routing.assembly import EndpointRow, ModelRow, build
from proxy.routing.catalogue import Catalogue, Endpoint
from proxy.routing.health import Outcome, Pool, Ticket
from proxy.routing.kept import Kept
from proxy.routing.plan import NAMES_KEPT_MAX, Plan
from proxy.routing.waits import Timeouts
from proxy.wire.preferences import decode
from proxy.wire.record import Candidate
from proxy.wire.request import Ask, Task

ONE, TWO = (
    Provider(slug=slug, name=slug, base_url=f"https://{slug}.example") for slug in ("one", "two")
)


def row(id_: str, *endpoints: str) -> ModelRow:
    """A model and its endpoints, `provider model=dollars for a million tokens each way`."""
    rows = []
    for said in endpoints:
        slug, _, rest = said.partition(" ")
        name, _, usd = rest.partition("=")
        price = Decimal(usd or 0) / 10**6
        pricing = Pricing(prompt=price, completion=price) if usd else None
        rows.append(EndpointRow(provider=slug, model=name, pricing=pricing))
    return ModelRow(id=id_, endpoints=tuple(rows))


def plan(
    models: Sequence[str],
    catalogue: Catalogue,
    *,
    pool: Pool,
    now: float,
    rng: Callable[[], float],
    priced_only: bool = False,
    tools: Callable[[Endpoint], Collection[str]] | None = None,
    **asked: Any,
) -> Plan:
    """The plan of a request for `models`; `asked` is what else it asks for."""
    ask = Ask(models=tuple(models), body={}, **asked)
    return planning.plan(
        ask, catalogue, pool=pool, now=now, rng=rng, priced_only=priced_only, tools=tools
    )


CATALOGUE = build(
    providers=[ONE, TWO],
    listings={},
    configured=[
        row("a/main", "two m=2", "one m=9"),
        row("a/spare", "one s"),
        row("a/alias", "one m", "one s"),
        row("a/empty"),
        row("a/mixed", "one free=0", "two unpriced", "two dear=3"),
        row("b/void"),
        row("b/main", "one x"),
    ],
    timeouts=Timeouts(),
    price_of=lambda provider, model: None,
)


def planned(*names: str, pool: Pool | None = None, priced_only: bool = False) -> Plan:
    """The plan as it is when chance takes the cheapest."""
    return plan(
        names, CATALOGUE, pool=pool or Pool(), now=0.0, rng=lambda: 0.0, priced_only=priced_only
    )


def tried(*names: str, priced_only: bool = False) -> list[str]:
    attempts = planned(*names, priced_only=priced_only).attempts
    return [f"{model.id} {endpoint.tag} {endpoint.model}" for model, endpoint in attempts]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a/main"], ["a/main two m", "a/main one m"]),
        (["a/main", "a/spare"], ["a/main two m", "a/main one m", "a/spare one s"]),
        (["a/spare", "a/main"], ["a/spare one s", "a/main two m", "a/main one m"]),
        (["a/spare", "a/spare", "spare"], ["a/spare one s"]),
        (["a/main", "a/alias"], ["a/main two m", "a/main one m", "a/alias one s"]),
        (["a/empty", "a/spare"], ["a/spare one s"]),
    ],
)
def test_the_order(names: list[str], expected: list[str]) -> None:
    assert tried(*names) == expected


@pytest.mark.parametrize(
    ("names", "kind", "message"),
    [
        ([], "invalid_request", "No models provided"),
        (["nope"], "model_unknown", "nope is not a valid model ID"),
        (["a/main", "nope"], "model_unknown", "nope is not a valid model ID"),
        (["main"], "model_ambiguous", "main may be any of these models: a/main, b/main"),
        (["a/empty"], "no_provider", "No provider serves a/empty"),
        (["a/empty", "b/void", "void"], "no_provider", "No provider serves a/empty, b/void"),
    ],
)
def test_what_can_not_be_planned(names: list[str], kind: str, message: str) -> None:
    with pytest.raises(GatewayError) as caught:
        planned(*names)
    assert (caught.value.kind, caught.value.message) == (kind, message)


def test_chance_is_asked_within_a_model_and_not_between_models() -> None:
    rng = Random(2).random
    found = Counter(
        " ".join(
            f"{endpoint.tag}-{endpoint.model}"
            for _, endpoint in plan(
                ["a/main", "a/spare"], CATALOGUE, pool=Pool(), now=0.0, rng=rng
            ).attempts
        )
        for _ in range(4000)
    )
    assert set(found) == {"two-m one-m one-s", "one-m two-m one-s"}
    assert found["two-m one-m one-s"] / 4000 == pytest.approx(81 / 85, abs=0.02)


def test_candidates_tell_standing_price_and_reason() -> None:
    pool = Pool()
    ticket = pool.begin(("two", "dear"), 0.0, retry=False, last=False)
    assert isinstance(ticket, Ticket)
    pool.end(ticket, Outcome.FAILED, 0.0)
    free = Candidate(provider="one", model="free", price_nano=0)
    dear = Candidate(provider="two", model="dear", standing="shaky", price_nano=6 * 10**9)
    unpriced = Candidate(provider="two", model="unpriced")
    assert planned("a/mixed", pool=pool).candidates == (free, unpriced, dear)
    reason = "has no price, and credits can only pay for what has one"
    excluded = Candidate(provider="two", model="unpriced", excluded=reason, by="price")
    only = planned("a/mixed", pool=pool, priced_only=True)
    assert only.candidates == (free, dear, excluded)
    assert [endpoint.model for _, endpoint in only.attempts] == ["free", "dear"]


def test_what_has_no_price_is_left_out_even_for_its_probe() -> None:
    pool = Pool()
    for id in (("two", "unpriced"), ("two", "dear")):
        for _ in range(5):
            ticket = pool.begin(id, -10.0, retry=False, last=True)
            assert isinstance(ticket, Ticket)
            pool.end(ticket, Outcome.FAILED, -10.0)
    only = planned("a/mixed", pool=pool, priced_only=True)
    assert [endpoint.model for _, endpoint in only.attempts] == ["dear", "free"]


def test_no_price_is_an_error_only_where_nothing_has_one() -> None:
    assert tried("a/spare", "a/main", priced_only=True) == ["a/main two m", "a/main one m"]
    with pytest.raises(GatewayError) as caught:
        planned("a/spare", "b/main", priced_only=True)
    assert (caught.value.kind, caught.value.status) == ("no_price", 402)
    assert caught.value.message == (
        "No price is configured for a/spare, b/main: credits can not pay for it"
    )
    with pytest.raises(GatewayError) as caught:
        planned("a/empty", priced_only=True)
    assert caught.value.kind == "no_provider"


def test_what_is_required_excludes_who_lacks_it() -> None:
    rows = [
        EndpointRow(provider="one", model="m", supported_parameters=("tools",)),
        EndpointRow(provider="two", model="m"),
    ]
    catalogue = build(
        providers=[ONE, TWO],
        listings={},
        configured=[
            ModelRow(id="a/m", endpoints=tuple(rows)),
            ModelRow(id="a/poor", endpoints=tuple(rows[:1])),
        ],
        timeouts=Timeouts(),
        price_of=lambda provider, model: None,
    )

    def needing(name: str, *required: str) -> Plan:
        return plan(
            [name], catalogue, pool=Pool(), now=0.0, rng=lambda: 0.0, required=frozenset(required)
        )

    assert len(needing("a/m", "tools").attempts) == 2
    found = needing("a/m", "tools", "seed", "logprobs")
    assert [endpoint.tag for _, endpoint in found.attempts] == ["two"]
    assert found.candidates[-1].excluded == "does not support logprobs, seed"
    with pytest.raises(GatewayError, match="can handle the requested parameters") as raised:
        needing("a/poor", "seed")
    assert (raised.value.kind, raised.value.status) == ("no_endpoint", 404)


def of_kind(task: Task, *names: str, priced_only: bool = False) -> Plan:
    """The plan for a task, among models of several kinds."""
    vectors, both = row("a/vectors", "one v"), row("a/both", "two b")
    catalogue = build(
        providers=[ONE, TWO],
        listings={},
        configured=[
            row("a/talk", "one gpt-9"),
            replace(vectors, output_modalities=("embeddings",)),
            replace(both, output_modalities=("text", "image")),
            row("a/mixed", "one bge-9", "two gpt-9"),
        ],
        timeouts=Timeouts(),
        price_of=lambda provider, model: None,
        does=lambda provider: get_args(Task),
    )
    return plan(
        names, catalogue, pool=Pool(), now=0.0, rng=lambda: 0.0,
        task=task, priced_only=priced_only,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("task", "names", "models"),
    [
        ("chat", ["a/talk"], ["gpt-9"]),
        ("completion", ["a/talk"], ["gpt-9"]),
        ("count", ["a/talk"], ["gpt-9"]),
        ("embeddings", ["a/vectors"], ["v"]),
        ("image", ["a/both"], ["b"]),
        ("chat", ["a/both"], ["b"]),
        ("chat", ["a/vectors", "a/talk"], ["gpt-9"]),  # one of several is enough
        ("embeddings", ["a/mixed"], ["bge-9"]),
        ("chat", ["a/mixed"], ["gpt-9"]),
    ],
)
def test_only_who_can_do_it_is_asked(task: Task, names: list[str], models: list[str]) -> None:
    found = of_kind(task, *names)
    assert [endpoint.model for _, endpoint in found.attempts] == models
    left_out = [one.excluded for one in found.candidates if one.excluded]
    assert left_out == [f"is not for requests of the kind {task}"] * len(left_out)
    assert len(found.candidates) == len(models) + len(left_out)


TALKS = "is asked at /api/v1/chat/completions or /api/v1/completions"


@pytest.mark.parametrize(
    ("task", "names", "said"),
    [
        ("embeddings", ["a/talk"], f"a/talk {TALKS}"),
        ("chat", ["a/vectors"], "a/vectors is asked at /api/v1/embeddings"),
        (
            "rerank",
            ["a/talk", "a/vectors", "a/both"],
            f"a/talk {TALKS}, a/vectors is asked at /api/v1/embeddings, "
            f"a/both {TALKS} or /api/v1/images",
        ),
        ("speech", ["a/mixed"], f"a/mixed {TALKS} or /api/v1/embeddings"),
    ],
)
def test_what_nobody_of_them_is_for(task: Task, names: list[str], said: str) -> None:
    with pytest.raises(GatewayError) as raised:
        of_kind(task, *names)
    error = raised.value
    assert (error.kind, error.status, error.error_type) == (
        *("wrong_endpoint", 400, "invalid_request"),
    )
    assert error.message == f"Not a path for this model: {said}"


def test_the_kind_is_the_first_thing_that_is_wrong_and_told_only_where_it_is_all() -> None:
    with pytest.raises(GatewayError) as raised:
        of_kind("rerank", "a/vectors", priced_only=True)
    assert raised.value.kind == "wrong_endpoint"
    with pytest.raises(GatewayError) as raised:
        of_kind("chat", "a/mixed", priced_only=True)
    assert raised.value.kind == "no_price"
    assert [one.excluded for one in of_kind("chat", "a/mixed").candidates][-1] == (
        "is not for requests of the kind chat"
    )


SEARCH = Provider(
    slug="three",
    name="three",
    base_url="https://three.example",
    tool_prices={"web_search": Decimal("0.01"), "mcp": Decimal(0)},
    shares_files=True,
)
LOCAL = Provider(slug="four", name="four", base_url="http://127.0.0.1:1", local=True)
HOSTED = build(
    providers=[ONE, SEARCH, LOCAL],
    listings={},
    configured=[
        row("a/plain", "one m=1"),
        row("a/searching", "three m=1"),
        row("a/both", "one m=1", "three m=1"),
        row("a/local", "four m"),
        row("a/unpriced", "three unpriced"),
    ],
    timeouts=Timeouts(),
    price_of=lambda provider, model: None,
)


def asking(
    name: str, *tools: str, priced_only: bool = True, kept: str | None = None
) -> Plan | GatewayError:
    try:
        return plan(
            [name],
            HOSTED,
            pool=Pool(),
            now=0.0,
            rng=lambda: 0.0,
            priced_only=priced_only,
            tools=lambda endpoint: tools,
            names=kept,
        )
    except GatewayError as error:
        return error


@pytest.mark.parametrize(
    ("name", "tools", "found"),
    [
        ("a/plain", (), "one"),
        ("a/plain", ("web_search",), "web_search at a/plain"),
        ("a/plain", ("web_search", "mcp"), "mcp, web_search at a/plain"),
        ("a/searching", ("web_search", "mcp"), "three"),
        ("a/searching", ("web_search", "advisor"), "advisor at a/searching"),
        ("a/both", ("web_search",), "three"),
        ("a/local", ("web_search", "shell"), "four"),
        ("a/unpriced", ("web_search",), "a/unpriced"),
    ],
)
def test_credits_pay_only_for_tools_with_a_price(
    name: str, tools: tuple[str, ...], found: str
) -> None:
    made = asking(name, *tools)
    if isinstance(made, Plan):
        assert {endpoint.tag for _, endpoint in made.attempts} == {found}
        return
    said = f"No price is configured for {found}: credits can not pay for it"
    assert (made.status, made.kind, made.message) == (402, "no_price", said)
    assert isinstance(asking(name, *tools, priced_only=False), Plan)


def test_the_record_says_which_tool_has_no_price() -> None:
    made = asking("a/both", "web_search")
    assert isinstance(made, Plan)
    reason = "web_search has no price, and credits can only pay for what has one"
    assert [one.excluded for one in made.candidates] == [None, reason]


@pytest.mark.parametrize("priced_only", [True, False])
def test_what_the_operator_keeps_is_shared_only_where_it_says_so(priced_only: bool) -> None:
    made = asking("a/both", priced_only=priced_only, kept="tools[0]")
    assert isinstance(made, Plan)
    assert [endpoint.tag for _, endpoint in made.attempts] == ["three"]
    refused = asking("a/plain", priced_only=priced_only, kept="tools[0]")
    assert isinstance(refused, GatewayError)
    assert (refused.status, refused.kind) == (400, "invalid_request")
    assert refused.message.startswith("tools[0]: names what is the operator's own")


# What is kept of who may be tried.


def catalogue_of(*rows: ModelRow) -> Catalogue:
    return build(
        providers=[ONE, TWO],
        listings={},
        configured=rows,
        timeouts=Timeouts(),
        price_of=lambda provider, model: None,
    )


def test_another_catalogue_is_another_plan() -> None:
    """What a reload changes holds for the next request, and for no earlier one."""
    before = catalogue_of(row("a/m", "one m=1", "two m=2"))
    after = catalogue_of(row("a/m", "two m=9", "one new=3"))
    for _ in range(2):
        for catalogue, names in ((before, ["m", "m"]), (after, ["new", "m"])):
            found = plan(["a/m"], catalogue, pool=Pool(), now=0.0, rng=lambda: 0.0)
            assert [endpoint.model for _, endpoint in found.attempts] == names
            assert all(
                one is catalogue.models["a/m"] and endpoint in one.endpoints
                for one, endpoint in found.attempts
            )
    prices = [one.price_nano for one in found.candidates]
    assert prices == [6 * 10**9, 18 * 10**9]


WISHES: list[dict[str, Any]] = [
    {},
    {"priced_only": True},
    {"required": frozenset(("seed",))},
    {"required": frozenset(("tools",)), "priced_only": True},
    {"task": "completion"},
    {"task": "embeddings"},
    {"tools": lambda endpoint: ("mcp",), "priced_only": True},
    {"tools": lambda endpoint: ("mcp",) if endpoint.tag == "one" else (), "priced_only": True},
    {"tools": lambda endpoint: (), "priced_only": True},
    {"names": "tools[0]"},
]


@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from(["a/x", "a/y", "a/none", "x"]), min_size=1, max_size=3),
            st.sampled_from(WISHES),
            st.integers(0, 5),
        ),
        max_size=12,
    )
)
def test_what_is_kept_is_what_would_be_found(
    asks: list[tuple[list[str], dict[str, Any], int]],
) -> None:
    """One catalogue for all requests is as good as a new one for each."""
    limited = EndpointRow(provider="two", model="y", supported_parameters=("tools",))
    x = row("a/x", "one x=1", "two x=3", "two unpriced")
    rows = [x, replace(x, id="a/y", endpoints=(*x.endpoints[:1], limited)), row("a/none")]
    catalogue, pool, now = catalogue_of(*rows), Pool(), 0.0
    for names, wish, failures in asks:
        for _ in range(failures):
            ticket = pool.begin(("two", "x"), now, retry=False, last=True)
            assert isinstance(ticket, Ticket)
            pool.end(ticket, Outcome.FAILED, now)
        found: list[Any] = []
        for one in (catalogue, catalogue_of(*rows)):
            try:
                made = plan(names, one, pool=pool, now=now, rng=lambda: 0.7, **wish)
                pairs = [(model.id, endpoint.tag, endpoint.model) for model, endpoint in
                         made.attempts]  # fmt: skip
                found.append((pairs, made.candidates))
            except GatewayError as error:
                found.append(([error.kind, error.message], ()))
        assert found[0] == found[1]
        now += 20.0


def test_no_more_is_kept_than_is_bounded() -> None:
    catalogue = catalogue_of(row("a/m", "one m=1"))
    catalogue.sifted = Kept(100_000)
    for number in range(60):
        required = frozenset((f"p{number}",))
        found = plan(["a/m"], catalogue, pool=Pool(), now=0.0, rng=lambda: 0.0, required=required)
        assert len(found.attempts) == 1
        assert len(catalogue.sifted) <= 50
    with pytest.raises(GatewayError, match="not a valid model ID"):
        plan(["nope"], catalogue, pool=Pool(), now=0.0, rng=lambda: 0.0)
    kept = [wish[2] for wish in catalogue.sifted]
    assert 10 < len(kept) < 50
    assert kept == [frozenset((f"p{number}",)) for number in range(60 - len(kept), 60)]


def test_long_lists_of_names_are_no_way_to_fill_memory() -> None:
    catalogue = catalogue_of(row("a/m", "one m=1"))
    catalogue.sifted = Kept(1_000_000)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(100):
        names = [f"{number}-{place}-".ljust(200, "x") for place in range(200)]
        asked = Ask(models=("a/m",), body={}, preferences=decode({"ignore": names}))
        planning.plan(asked, catalogue, pool=Pool(), now=0.0, rng=lambda: 0.0)
    assert tracemalloc.get_traced_memory()[0] - before < 1_500_000
    tracemalloc.stop()
    assert 0 < len(catalogue.sifted) < 25


def test_a_caller_that_names_many_models_fills_no_memory() -> None:
    catalogue = catalogue_of(*(row(f"a/m{number}", f"one m{number}=1") for number in range(9)))
    names = list(catalogue.models)
    for count in (1, NAMES_KEPT_MAX, NAMES_KEPT_MAX + 1, 9):
        found = plan(names[:count], catalogue, pool=Pool(), now=0.0, rng=lambda: 0.0)
        assert [model.id for model, _ in found.attempts] == names[:count]
    assert [len(wish[0]) for wish in catalogue.sifted] == [1, NAMES_KEPT_MAX]


def test_a_refusal_is_a_new_error_each_time() -> None:
    """Whoever is told of it may add to it."""
    first, second = asking("a/plain", "mcp"), asking("a/plain", "mcp")
    assert isinstance(first, GatewayError)
    assert isinstance(second, GatewayError)
    assert first is not second


def test_a_tool_that_a_model_runs_unasked_needs_a_price() -> None:
    eager = Provider(slug="one", name="one", base_url="https://one.example", tools={"m": ("mcp",)})
    catalogue = build(
        providers=[eager],
        listings={},
        configured=[row("a/m", "one m=1"), row("a/other", "one x=1")],
        timeouts=Timeouts(),
        price_of=lambda provider, model: None,
    )

    def kind(name: str, *, priced_only: bool = True) -> str | None:
        try:
            plan([name], catalogue, pool=Pool(), now=0.0, rng=lambda: 0.0, priced_only=priced_only)
        except GatewayError as error:
            return error.kind
        return None

    assert [kind("a/m"), kind("a/other"), kind("a/m", priced_only=False)] == [
        "no_price",
        None,
        None,
    ]


@pytest.mark.parametrize("name", ["tools", "response_format", "verbosity"])
def test_a_parameter_is_preferred_where_somebody_supports_it(name: str) -> None:
    """Nobody has to ask for it, and where nobody supports it the model stays."""
    able, plain, vague = (
        EndpointRow(provider=slug, model=model, supported_parameters=supported)
        for slug, model, supported in (
            ("one", "able", (name, "seed")),
            ("two", "plain", ("seed",)),
            ("two", "vague", None),  # which is taken to support all
        )
    )
    catalogue = catalogue_of(
        ModelRow(id="a/some", endpoints=(plain, able, vague)),
        ModelRow(id="a/none", endpoints=(plain,)),
    )

    def found(model: str, soft: frozenset[str]) -> Plan:
        return plan(
            [model], catalogue, pool=Pool(), now=0.0, rng=lambda: 0.0, soft=soft
        )  # fmt: skip

    wished = found("a/some", frozenset((name,)))
    assert {endpoint.model for _, endpoint in wished.attempts} == {"able", "vague"}
    assert wished.candidates[-1].excluded == f"does not support {name}, as others do"
    assert len(found("a/some", frozenset()).attempts) == 3
    assert len(found("a/none", frozenset((name,))).attempts) == 1


def test_tools_count_before_other_parameters_where_nobody_has_all() -> None:
    rows = tuple(
        EndpointRow(provider=slug, model=name, supported_parameters=(name,))
        for slug, name in (("one", "response_format"), ("one", "tools"), ("two", "verbosity"))
    )
    catalogue = catalogue_of(ModelRow(id="a/some", endpoints=rows))
    for soft in (("tools",), ("response_format", "tools"), ("tools", "verbosity")):
        wished = frozenset(soft)
        found = plan(["a/some"], catalogue, pool=Pool(), now=0.0, rng=lambda: 0.0, soft=wished)
        assert [endpoint.model for _, endpoint in found.attempts] == ["tools"]
