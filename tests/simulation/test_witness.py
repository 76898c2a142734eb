"""The witness: each thing that a caller may not be charged is noticed, what is right is not."""

from collections.abc import Callable
from random import Random
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from proxy.accounts.limits import Claim
from proxy.simulation import witness
from proxy.simulation.caller import FOREVER_S, Client, Wish
from proxy.simulation.checks import Broken
from proxy.simulation.loop import Loop
from proxy.simulation.market import Market
from proxy.simulation.provider import Provider
from proxy.simulation.script import WORD, Entry
from proxy.simulation.supervisor import Records, Supervisor
from proxy.wire.record import Generation

BODY = {"model": "sim/one", "messages": [{"role": "user", "content": "r1 please"}]}
WISH = Wish("r1", "secret", BODY, FOREVER_S, 10**9, 0.0, 10**9)
ENTRY = Entry(
    provider="p0",
    model="sim/one",
    request="r1",
    kind="good",
    prompt_tokens=2,
    made_tokens=3,
    answered=True,
    reported={"prompt_tokens": 2, "completion_tokens": 3},
    ended="ended",
)
ROW = Generation(
    id="gen-1",
    created_at=0.0,
    provider="p0",
    endpoint_model="sim/one",
    finish_reason="stop",
    completion_tokens=3,
    held_nano=10**9,
)


@pytest.fixture
def loop() -> Loop:
    made = Loop(Random(1))
    made.close()
    return made


@pytest.fixture
def market(loop: Loop) -> Market:
    provider = Provider("p0", Random(1), loop, cancels=True, slow_s=0.1, moods=((0.0, "well"),))
    return Market(Random(1), [provider])


def due(market: Market, prompt: int = 2, completion: int = 3) -> int:
    return market.charge_nano(0, "p0", "sim/one", prompt=prompt, completion=completion)


def client(answer: dict[str, Any], *, ended: bool = True) -> Client:
    made: Any = Client.__new__(Client)
    made.wish, made.ended, made.status = WISH, ended, 200
    made.headers = {"content-type": "application/json"}
    made._body = [orjson.dumps(answer)]
    return made  # type: ignore[no-any-return]


def said(cost_nano: int, text: str = WORD * 3) -> dict[str, Any]:
    choice = {"index": 0, "message": {"content": text}, "finish_reason": "stop"}
    return {"choices": [choice], "usage": {"cost": cost_nano / 1e9}}


def check(
    market: Market, answer: dict[str, Any], row: Generation, *book: Entry, **more: Any
) -> None:
    witness.check_answer(client(answer, **more), row, list(book), market=market, version=0)


def test_what_is_right(market: Market) -> None:
    cost = due(market)
    row = replace(ROW, cost_nano=cost)
    check(market, said(cost), row, ENTRY)
    check(market, {"error": {"code": 502}}, ROW, ENTRY)
    check(market, {"error": {"code": 503}}, row, ENTRY)  # its charge was written later
    check(market, {}, ROW, ended=False)
    check(market, said(0, text=""), ROW, replace(ENTRY, made_tokens=0, kind="empty"))
    guess = due(market, prompt=-(-len("r1 please") // 4) + 4, completion=-(-15 // 4))
    for reported in (None, {"prompt_tokens": 10**15, "completion_tokens": 10**15}):
        unsaid = replace(ENTRY, reported=reported, kind="no usage")
        check(market, said(guess), replace(ROW, cost_nano=guess), unsaid)
    half = replace(ENTRY, reported={"prompt_tokens": 10**15, "completion_tokens": 3})
    check(market, said(due(market, 0)), replace(ROW, cost_nano=due(market, 0)), half)
    short = replace(row, cost_nano=cost - 5, held_nano=cost - 5, house_nano=5)
    check(market, said(cost - 5), short, ENTRY)
    stopped = replace(ROW, finish_reason="length", cost_nano=1)
    check(market, said(1), stopped, replace(ENTRY, ended="cancelled"))
    check(market, said(1), replace(row, cancelled=True), ENTRY, ended=False)


WRONG: dict[str, Callable[[Market], tuple[dict[str, Any], Generation, list[Entry]]]] = {
    "an error pays nothing": lambda market: (
        {"error": {"code": 502}},
        replace(ROW, cost_nano=1),
        [ENTRY],
    ),
    "not answered pays nothing": lambda market: (said(1), replace(ROW, cost_nano=1), []),
    "than was made": lambda market: (said(10**12), replace(ROW, cost_nano=10**12), [ENTRY]),
    "that was told": lambda market: (said(1), replace(ROW, cost_nano=due(market)), [ENTRY]),
    "empty answer": lambda market: (said(1, text=""), replace(ROW, cost_nano=1), [ENTRY]),
    "than is due": lambda market: (
        said(due(market) + 1),
        replace(ROW, cost_nano=due(market) + 1),
        [ENTRY],
    ),
    "is a loss": lambda market: (
        said(due(market) - 1),
        replace(ROW, cost_nano=due(market) - 1),
        [ENTRY],
    ),
    "where the hold ends": lambda market: (
        said(due(market) - 1),
        replace(ROW, cost_nano=due(market) - 1, house_nano=1),
        [ENTRY],
    ),
    "hang-up before any content": lambda market: (
        {"choices": []},
        replace(ROW, cost_nano=1, cancelled=True),
        [replace(ENTRY, made_tokens=0)],
    ),
    "a drained answer is whole": lambda market: (
        said(1),
        replace(ROW, cost_nano=1, cancelled=True, completion_tokens=2),
        [ENTRY],
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong(what: str, market: Market) -> None:
    answer, row, book = WRONG[what](market)
    with pytest.raises(Broken, match=what):
        check(market, answer, row, *book, ended=not row.cancelled)


LEFT_AT = 100.0
PROMPT = replace(ENTRY, ended="cancelled", cut_at=100.05)
HEARD = replace(ENTRY, ended="cancelled", cancels=False, told_at=110.0, cut_at=110.0)


@pytest.mark.parametrize(
    ("entry", "content", "priced", "what"),
    [
        (PROMPT, True, True, None),
        (replace(PROMPT, cut_at=100.2), True, True, "hung up on"),
        (replace(PROMPT, cut_at=100.2), True, False, "hung up on"),
        (replace(PROMPT, cut_at=100.2, kind="absurd usage"), True, True, None),
        (replace(ENTRY, ended="ended"), True, True, None),
        (HEARD, True, True, None),
        (HEARD, True, False, "hung up on"),
        (replace(HEARD, cut_at=100.05), True, True, "heard out"),
        (replace(HEARD, cut_at=100.05), False, True, None),
        (replace(HEARD, told_at=500.0, cut_at=130.0), True, True, None),
    ],
)
def test_hang_ups(entry: Entry, content: bool, priced: bool, what: str | None) -> None:
    gone = client({})
    gone.gone_at = LEFT_AT

    def hear(until: float) -> None:
        witness.check_hang_up(gone, entry, content=content, priced=priced, until=until)

    if what is None:
        hear(200.0)
    else:
        with pytest.raises(Broken, match=what):
            hear(200.0)
    hear(99.0)


def supervisor(kind: Any, limit: int, left: int, **more: Any) -> Supervisor:
    records = Records(lambda: 0.0)
    records.limits["m"] = Claim("m", kind, limit, 1)
    for name, value in more.items():
        setattr(records, name, value)
    made: Any = SimpleNamespace(records=records, left=lambda claim: left)
    return made  # type: ignore[no-any-return]


def test_limits() -> None:
    witness.check_rates(supervisor("requests", 2, 0, let_in={"m": [100.0, 0.0, 0.1]}))
    with pytest.raises(Broken, match="a rate holds: m: 3 from"):
        witness.check_rates(supervisor("requests", 2, 0, let_in={"m": [0.0, 0.1, 0.2]}))
    witness.check_rates(supervisor("slots", 2, 2, slots_most={"m": 2}))
    with pytest.raises(Broken, match="so many at once"):
        witness.check_rates(supervisor("slots", 2, 2, slots_most={"m": 3}))
    with pytest.raises(Broken, match="no slot is left taken"):
        witness.check_rates(supervisor("slots", 2, 1, slots_most={"m": 2}))
