"""What a simulated provider does with one call, from its head to its end or its breaking off."""

import asyncio
import math
from random import Random
from typing import Any, Final

import msgspec
import orjson

from proxy.errors import GatewayError
from proxy.simulation.loop import Loop
from proxy.simulation.network import Wire

SSE: Final = {"Content-Type": "text/event-stream"}
JSON: Final = {"Content-Type": "application/json"}
DONE: Final = b"data: [DONE]\n\n"
ENDLESS_TOKENS: Final = 400
WORD: Final = "word "
REFUSALS: Final = (400, 401, 402, 404, 429, 429, 500, 502, 503, 529)


class Entry(msgspec.Struct):
    """A line of a provider's book: what it generated for a request, and said that it was.

    `reported` is the usage that it sent, at `told_at` of the loop's clock; `ended` how the call
    ended: ended, cancelled, or None; the other side hung up at `cut_at`. `cancels` says whether
    that ends the bill.
    """

    provider: str
    model: str
    request: str
    kind: str
    prompt_tokens: int
    made_tokens: int = 0
    billed_tokens: int = 0
    answered: bool = False
    reported: dict[str, Any] | None = None
    ended: str | None = None
    told_at: float = math.inf
    cut_at: float = math.inf
    cancels: bool = True


class Script:
    """What a provider does with one call."""

    def __init__(
        self, rng: Random, loop: Loop, entry: Entry, body: dict[str, Any], *, slow_s: float
    ) -> None:
        self._rng = rng
        self._loop = loop
        self._entry = entry
        self._stream = body.get("stream") is True
        self._choices = body.get("n") or 1
        limit = body.get("max_tokens") or body.get("max_completion_tokens")
        wish = rng.choice((1, 5, 20, 60, 200))
        if entry.kind == "endless":
            wish = ENDLESS_TOKENS
        elif entry.kind == "empty":
            wish = 0
        self._reason = "stop"
        if (
            limit is not None
            and limit < wish
            and entry.kind not in ("deaf to max_tokens", "endless")
        ):
            wish, self._reason = limit, "length"
        self._tokens = wish
        self._pause_s = slow_s * rng.choice((0.1, 1.0, 1.0, 5.0))
        self._think_s = slow_s * rng.choice((1.0, 5.0, 20.0))

    async def play(self, wire: Wire) -> None:
        entry, rng = self._entry, self._rng
        await asyncio.sleep(self._think_s)
        if entry.kind == "unreachable":
            wire.say("end", GatewayError("provider_unreachable", "unreachable"))
        elif entry.kind == "silent":
            await self._hear(wire)
        elif entry.kind == "refuses":
            status = rng.choice(REFUSALS)
            headers = dict(JSON)
            if status == 429 and rng.random() < 0.5:
                headers["Retry-After"] = str(rng.randint(0, 3))
            wire.say("head", (status, headers))
            wire.say("data", orjson.dumps({"error": {"message": "no", "code": status}}))
            wire.say("end", None)
        elif entry.kind == "web page":
            wire.say("head", (200, {"Content-Type": "text/html"}))
            wire.say("data", b"<html>")
            wire.say("end", None)
        elif self._stream:
            await self._play_stream(wire)
        else:
            await self._play_whole(wire)

    async def _hear(self, wire: Wire) -> None:
        """Say nothing until the other side hangs up."""
        await wire.hung_up.wait()

    async def _play_stream(self, wire: Wire) -> None:
        kind = self._entry.kind
        wire.say("head", (200, SSE))
        self._entry.answered = True
        if kind == "error first":
            return self._say_error(wire)
        self._bill_prompt()
        wire.say("data", _chunk(0, {"role": "assistant", "content": ""}))
        breaks_at = None
        if kind in ("cut", "reset", "error inside", "stops"):
            breaks_at = self._rng.randrange(self._tokens + 1)
        while self._entry.made_tokens < self._tokens * self._choices:
            if breaks_at is not None and self._entry.made_tokens >= breaks_at:
                break
            await asyncio.sleep(self._pause_s)
            for choice in range(self._choices):
                tokens = min(self._rng.choice((1, 1, 4)), self._left(choice))
                self._make(tokens)
                if tokens:
                    wire.say("data", _chunk(choice, {"content": WORD * tokens}))
        if breaks_at is not None:
            await self._break(wire, kind)
        else:
            await self._finish_stream(wire, kind)

    def _left(self, choice: int) -> int:
        """Of this choice, which may have all that the others have, less its turn's remainder."""
        left = self._tokens * self._choices - self._entry.made_tokens
        return -(-left // (self._choices - choice))

    def _make(self, tokens: int) -> None:
        self._entry.made_tokens += tokens
        self._entry.billed_tokens += tokens

    def _bill_prompt(self) -> None:
        self._entry.billed_tokens += self._entry.prompt_tokens

    async def _break(self, wire: Wire, kind: str) -> None:
        if kind == "error inside":
            self._say_error(wire)
        elif kind == "stops":
            await self._hear(wire)
        else:
            fault = GatewayError("provider_cut", "reset") if kind == "reset" else None
            wire.say("end", fault)

    def _say_error(self, wire: Wire) -> None:
        wire.say("data", b"data: " + orjson.dumps({"error": {"message": "no", "code": 500}}))
        wire.say("data", b"\n\n")
        wire.say("end", None)

    async def _finish_stream(self, wire: Wire, kind: str) -> None:
        for choice in range(self._choices):
            wire.say("data", _chunk(choice, {}, finish=self._reason))
        usage = self._usage()
        if usage is not None:
            event = {"id": "up", "choices": [], "usage": usage}
            wire.say("data", b"data: " + orjson.dumps(event) + b"\n\n")
        if kind == "hangs after its end":
            return await self._hear(wire)
        if kind != "no end mark":
            wire.say("data", DONE)
        wire.say("end", None)
        return None

    def _usage(self) -> dict[str, Any] | None:
        entry = self._entry
        if entry.kind == "no usage":
            return None
        prompt, made = entry.prompt_tokens, entry.made_tokens
        if entry.kind == "absurd usage":
            prompt, made = self._rng.choice(
                ((prompt, 10**9), (10**9, made), (10**15, 10**15), (prompt, made + 5000))
            )
        elif entry.kind == "low usage":
            made = 0
        entry.told_at = self._loop.time()
        entry.reported = {"prompt_tokens": prompt, "completion_tokens": made}
        return entry.reported

    async def _play_whole(self, wire: Wire) -> None:
        entry, kind = self._entry, self._entry.kind
        entry.answered = True
        self._bill_prompt()
        texts = [WORD * self._tokens for _ in range(self._choices)]
        await asyncio.sleep(self._pause_s * self._tokens)
        self._make(self._tokens * self._choices)
        wire.say("head", (200, JSON))
        if kind == "error first":
            return self._say_whole(wire, {"error": {"message": "no", "code": 500}})
        choices = [
            {
                "index": index,
                "message": {"role": "assistant", "content": text},
                "finish_reason": self._reason,
            }
            for index, text in enumerate(texts)
        ]
        answer: dict[str, Any] = {"id": "up", "choices": choices}
        usage = self._usage()
        if usage is not None:
            answer["usage"] = usage
        data = orjson.dumps(answer)
        if kind in ("cut", "reset", "error inside", "stops"):
            wire.say("data", data[: self._rng.randrange(len(data))])
            return await self._break(wire, "reset" if kind == "error inside" else kind)
        return self._say_whole(wire, answer)

    def _say_whole(self, wire: Wire, answer: dict[str, Any]) -> None:
        wire.say("data", orjson.dumps(answer))
        wire.say("end", None)


def _chunk(choice: int, delta: dict[str, Any], *, finish: str | None = None) -> bytes:
    choices = [{"index": choice, "delta": delta, "finish_reason": finish}]
    return b"data: " + orjson.dumps({"id": "up", "choices": choices}) + b"\n\n"
