"""What callers and providers saw, held against what was charged.

Nothing here asks the tested code what is right: usage comes from the providers' books, text from
the callers' own bytes, prices from the market, rules from docs/money.md.
"""

from typing import Any, Final

from proxy.simulation.caller import Client
from proxy.simulation.checks import Broken, require
from proxy.simulation.market import Market
from proxy.simulation.script import Entry
from proxy.simulation.supervisor import Supervisor
from proxy.wire.record import Generation

BYTES_PER_TOKEN: Final = 4
TOKENS_PER_MESSAGE: Final = 4
HIDDEN_TOKENS: Final = 8192  # that a provider may count beyond the bytes of its text
HIDDEN_PROMPT_TOKENS: Final = 65_536  # and beyond those of the prompt
COUNT_MAX: Final = 2**31  # a larger one is none
CUT_S: Final = 0.1
DRAIN_S: Final = 30.0
LATE_S: Final = 3.0  # between a limit's grant and the request's going on

HONEST: Final = ("good", "no end mark", "deaf to max_tokens", "endless", "hangs after its end")


class Seen:
    """A caller's answer, understood."""

    def __init__(self, client: Client) -> None:
        events = client.events()
        choices = [choice for event in events for choice in event.get("choices", ())]
        self.error = next((event["error"] for event in events if "error" in event), None)
        self.text_bytes = sum(len(_text(choice)) for choice in choices)
        self.finishes = {
            choice["index"]: choice["finish_reason"]
            for choice in choices
            if choice.get("finish_reason")
        }
        self.usage: dict[str, Any] | None = next(
            (event["usage"] for event in events if event.get("usage")), None
        )

    @property
    def complete(self) -> bool:
        """Whether it is an answer with its end."""
        return self.error is None and bool(self.finishes) and self.usage is not None


def _text(choice: dict[str, Any]) -> str:
    said = choice.get("delta") or choice.get("message") or {}
    return said.get("content") or ""


def check_answer(
    client: Client, row: Generation, entries: list[Entry], *, market: Market, version: int
) -> None:
    """The charge of a generation that its own process settled. Raises Broken."""
    seen = Seen(client)
    cost = row.cost_nano or 0
    name = client.wish.name
    if client.ended and not seen.complete:
        unwritten = seen.error is not None and seen.error["code"] == 503  # written later
        require(cost == 0 or unwritten, "who got an error pays nothing", name, row)
        return
    won = [
        one for one in entries if one.provider == row.provider and one.model == row.endpoint_model
    ]
    if not won:
        require(cost == 0, "who was not answered pays nothing", name, row)
        return
    most = max(_most(client, one, market, version) for one in won)
    require(cost <= most, "no more is charged than was made", name, cost, most, row)
    if row.cancelled:
        _check_gone(client, row, won[-1], market=market, version=version)
    elif client.ended and seen.usage is not None:
        said = seen.usage["cost"]
        require(abs(said * 1e9 - cost) < 1e-3, "the cost that was told is charged", name, said, row)
        _check_complete(client, seen, row, won[-1], market=market, version=version)


def _check_complete(
    client: Client, seen: Seen, row: Generation, entry: Entry, *, market: Market, version: int
) -> None:
    """A whole answer costs exactly what was delivered, or nothing where that was nothing."""
    name, cost = client.wish.name, row.cost_nano or 0
    if seen.text_bytes == 0:
        require(cost == 0, "an empty answer costs nothing", name, row)
        return
    if row.finish_reason == "length" and entry.ended == "cancelled":
        return  # stopped because the credit ended: `check_answer` has bounded it
    prompt, completion = _usage(client, seen.text_bytes, entry)
    _check_cost(
        row,
        market.charge_nano(
            version, row.provider, row.endpoint_model, prompt=prompt, completion=completion
        ),
    )


def _check_gone(
    client: Client, row: Generation, entry: Entry, *, market: Market, version: int
) -> None:
    """A hang-up costs what was delivered, or the whole answer where that is what is billed."""
    name, cost = client.wish.name, row.cost_nano or 0
    if not entry.made_tokens:
        require(cost == 0, "a hang-up before any content costs nothing", name, row)
    counted = entry.reported is not None and not row.usage_estimated
    if cost and counted and entry.kind in HONEST:
        require(row.completion_tokens == entry.made_tokens, "a drained answer is whole", name, row)
        _check_cost(
            row,
            market.charge_nano(
                version,
                row.provider,
                row.endpoint_model,
                prompt=entry.prompt_tokens,
                completion=entry.made_tokens,
            ),
        )


def check_hang_up(
    client: Client, entry: Entry, *, content: bool, priced: bool, until: float
) -> None:
    """What a hang-up does to the call under way, where the process is neither dead nor stalled: it
    is ended at once where that ends the bill or nothing is owed, else heard out. `content` says
    whether the caller had any, `until` when the world began to end. Raises Broken.
    """
    if client.gone_at is None or client.gone_at > until or entry.kind not in HONEST:
        return
    name, gone_at = client.wish.name, client.gone_at
    if entry.cancels or not priced:
        in_time = entry.ended == "ended" or entry.cut_at <= gone_at + CUT_S
        require(in_time, "who need not be heard out is hung up on", name, gone_at, entry)
    elif content and entry.cut_at < until:
        heard = entry.cut_at >= min(entry.told_at, gone_at + DRAIN_S)
        require(heard, "what is billed is heard out", name, gone_at, entry)


def _check_cost(row: Generation, expected: int) -> None:
    """What is charged is what is due; less only where the hold ends, and that is a loss."""
    cost = row.cost_nano or 0
    if cost != expected:
        require(cost < expected, "no more is charged than is due", cost, expected, row)
        short = expected - cost
        require(row.house_nano >= short, "what is not charged is a loss", expected, row)
        require(row.held_nano == cost, "less is charged only where the hold ends", expected, row)


def _usage(client: Client, text_bytes: int, entry: Entry) -> tuple[int, int]:
    """Prompt and completion tokens that are due."""
    reported = entry.reported or {}
    counts = [reported.get(name, COUNT_MAX) for name in ("prompt_tokens", "completion_tokens")]
    if min(counts) >= COUNT_MAX:
        text = client.wish.body["messages"][0]["content"]
        prompt = -(-len(text) // BYTES_PER_TOKEN) + TOKENS_PER_MESSAGE
        return prompt, -(-text_bytes // BYTES_PER_TOKEN)
    prompt, completion = (0 if count >= COUNT_MAX else count for count in counts)
    prompt_max = client.wish.body_bytes + HIDDEN_PROMPT_TOKENS
    return min(prompt, prompt_max), min(completion, text_bytes + HIDDEN_TOKENS)


def _most(client: Client, entry: Entry, market: Market, version: int) -> int:
    """What a caller can owe at most for what a provider made."""
    return market.charge_nano(
        version,
        entry.provider,
        entry.model,
        prompt=client.wish.body_bytes + HIDDEN_PROMPT_TOKENS,
        completion=entry.made_tokens * 5 + HIDDEN_TOKENS,
    )


def check_rates(supervisor: Supervisor) -> None:
    """No window of time let in more than its bucket holds and gains; at the end every slot is free.
    Raises Broken.
    """
    records = supervisor.records
    for name, times in records.let_in.items():
        limit = records.limits[name].limit
        times.sort()
        for first, begun_at in enumerate(times):
            for last in range(first, len(times)):
                most = limit + limit * (times[last] - begun_at + LATE_S) / 60
                count = last - first + 1
                if count > most:
                    raise Broken(f"a rate holds: {name}: {count} from {begun_at}, at most {most}")
    for name, most in records.slots_most.items():
        limit = records.limits[name].limit
        require(most <= limit, "so many at once", name, most, limit)
    for name, claim in records.limits.items():
        if claim.kind == "slots":
            left = supervisor.left(claim)
            require(left == claim.limit, "no slot is left taken", name, left, claim.limit)
