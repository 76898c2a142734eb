"""Text completions, the answer for a caller: canonical events in, OpenRouter's wire form out.

As in its chat the finish comes twice in a stream, the second time with the usage.
"""

from collections.abc import Iterable
from typing import Any

from proxy.dialects.asking import Encoded
from proxy.dialects.chat.errors import envelope
from proxy.dialects.chat.pieces import joined, plain_detail, to_json
from proxy.dialects.chat.stream import encode_usage, hides_reasoning, opening
from proxy.dialects.completions.request import echoes, texts_of
from proxy.dialects.forms import Bill
from proxy.dialects.values import objects
from proxy.errors import GatewayError
from proxy.wire.events import Echo, Event, Finished, Reasoning, Refusal, Started, Text
from proxy.wire.frames import DONE, encode_data
from proxy.wire.request import Ask, Head


class Encoder:
    """One answer, streamed. Each method gives the bytes to send, which may be none."""

    def __init__(self, head: Head, ask: Ask) -> None:
        self._head = head
        self._hide_reasoning = hides_reasoning(ask)
        self._prompts = _Prompts(ask)
        self._started = Started()
        self._lengths: dict[int, int] = {}
        self._finished: dict[int, dict[str, Any]] = {}

    def encode(self, event: Event) -> bytes:
        """One event. A finish ends its choice; the end of the answer is `encode_end`."""
        match event:
            case Started():
                self._started = event
                return b""
            case Finished():
                text = self._prompts.take(event.choice)
                said = self._chunk([_choice(event.choice, text)]) if text else b""
                self._finished[event.choice] = _choice(event.choice, "", finished=event)
                return said + self._chunk([self._finished[event.choice]])
            case Text() | Refusal():
                begun = self._lengths.get(event.choice, 0)
                text = self._prompts.take(event.choice) + event.text
                self._lengths[event.choice] = begun + len(text)
                choice = _choice(event.choice, text)
                choice["logprobs"] = _logprobs(event.logprobs, begun)
                return self._chunk([choice])
            case Reasoning() if not self._hide_reasoning:
                return self._chunk([_choice(event.choice, "") | _thought(event)])
            case Echo():
                return self._chunk([], {"debug": {"echo_upstream_body": event.body}})
            case _:
                return b""

    def encode_end(self, bill: Bill) -> bytes:
        """The finish again with usage and cost, and the end mark."""
        more: dict[str, Any] = {"usage": encode_usage(bill.usage, bill.cost)}
        if bill.routing is not None:
            more["openrouter_metadata"] = bill.routing
        return self._chunk(list(self._finished.values()), more) + DONE

    def encode_failure(self, error: GatewayError, routing: dict[str, Any] | None = None) -> bytes:
        """The error event after which nothing more comes, and the end mark."""
        failed = _choice(0, "") | {"finish_reason": "error"}
        return self._chunk([failed], envelope(error, routing)) + DONE

    def _chunk(self, choices: list[dict[str, Any]], more: dict[str, Any] | None = None) -> bytes:
        chunk = opening(self._head, self._started, "text_completion")
        return encode_data(to_json(chunk | {"choices": choices} | (more or {})))


def encode_answer(events: Iterable[Event], head: Head, ask: Ask, bill: Bill) -> Encoded:
    """A whole answer out of its events."""
    started, hide_reasoning = Started(), hides_reasoning(ask)
    prompts = _Prompts(ask)
    choices: dict[int, dict[str, Any]] = {}
    for event in events:
        if isinstance(event, Started):
            started = event
        elif isinstance(index := getattr(event, "choice", None), int):
            if index not in choices:
                choices[index] = _choice(index, prompts.take(index))
            if not (hide_reasoning and isinstance(event, Reasoning)):
                _add(choices[index], event)
    answer = opening(head, started, "text_completion")
    answer["choices"] = [choices[index] for index in sorted(choices)]
    answer["usage"] = encode_usage(bill.usage, bill.cost)
    if bill.routing is not None:
        answer["openrouter_metadata"] = bill.routing
    return Encoded(to_json(answer))


def _add(choice: dict[str, Any], event: Event) -> None:
    match event:
        case Text() | Refusal():
            if (logprobs := _logprobs(event.logprobs, len(choice["text"]))) is not None:
                choice["logprobs"] = joined(choice["logprobs"], logprobs)
            choice["text"] += event.text
        case Reasoning():
            thought = _thought(event)
            choice["reasoning"] = (choice.get("reasoning") or "") + event.text or None
            choice.setdefault("reasoning_details", []).extend(thought["reasoning_details"])
        case Finished():
            choice |= _ending(event)


class _Prompts:
    """The prompts that the gateway shows, each before the first text of its answers."""

    def __init__(self, ask: Ask) -> None:
        self._texts = texts_of(ask) if echoes(ask) else []
        self._each = max(1, ask.choices // max(1, len(self._texts)))
        self._shown: set[int] = set()

    def take(self, choice: int) -> str:
        """The prompt of `choice`, the first time; choices of one prompt stand together."""
        number = choice // self._each
        if choice in self._shown or not 0 <= number < len(self._texts):
            return ""
        self._shown.add(choice)
        return self._texts[number]


def _choice(index: int, text: str, finished: Finished | None = None) -> dict[str, Any]:
    choice = {
        "text": text,
        "index": index,
        "logprobs": None,
        "finish_reason": None,
        "native_finish_reason": None,
    }
    return choice if finished is None else choice | _ending(finished)


def _ending(finished: Finished) -> dict[str, Any]:
    return {"finish_reason": finished.reason, "native_finish_reason": finished.native}


def _thought(event: Reasoning) -> dict[str, Any]:
    """What the model thought stands beside the text, never in it."""
    details = list(event.details) or [plain_detail(event.text)]
    return {"reasoning": event.text or None, "reasoning_details": details}


def _logprobs(said: dict[str, Any] | None, begun: int) -> dict[str, Any] | None:
    """OpenAI's older object. What is a chat's becomes one; `begun` characters stand before it."""
    if said is None or "tokens" in said:
        return said
    rows = objects(said.get("content"))
    tokens = [str(row.get("token", "")) for row in rows]
    offsets = [begun + sum(map(len, tokens[:number])) for number in range(len(tokens))]
    return {
        "tokens": tokens,
        "token_logprobs": [row.get("logprob") for row in rows],
        "top_logprobs": [
            {
                str(one.get("token", "")): one.get("logprob")
                for one in objects(row.get("top_logprobs"))
            }
            for row in rows
        ],
        "text_offset": offsets,
    }
