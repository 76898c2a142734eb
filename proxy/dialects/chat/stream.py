"""Chat completions, the answer for a caller: canonical events in, OpenRouter's wire form out.

The shape is that of OpenRouter's recorded traffic, not of its prose: every event repeats id, model
and provider, every delta has `role` and `content`, the finish comes twice, the second time with
`usage` in the same event. Clients that were written against it crash on less (an empty `choices`)
and some on more (`system_fingerprint: null` in a stream), so keys and their order are kept.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

import orjson

from proxy.dialects.asking import Encoded
from proxy.dialects.chat.errors import encode_failed_event
from proxy.dialects.chat.pieces import Message, call_piece, plain_detail, sealed, to_json
from proxy.dialects.chat.whole import plain_choice
from proxy.dialects.forms import Bill
from proxy.errors import GatewayError
from proxy.money import NANO_PER_USD, Cost
from proxy.wire.events import (
    Attachments,
    Audio,
    Echo,
    Event,
    Finished,
    Reasoning,
    Refusal,
    Spliced,
    Started,
    Text,
    ToolCall,
    Usage,
)
from proxy.wire.frames import DONE, encode_data
from proxy.wire.request import Ask, Head


class Encoder:
    """One answer, streamed. Each method gives the bytes to send, which may be none."""

    def __init__(self, head: Head, ask: Ask) -> None:
        self._head = head
        self._ask = ask
        self._hide_reasoning = hides_reasoning(ask)
        self._finished: dict[int, dict[str, Any]] = {}
        self._start(Started())

    def again(self) -> "Encoder":
        """One that has told nothing yet of the same answer."""
        return Encoder(self._head, self._ask)

    def _start(self, started: Started) -> None:
        self._opening = opening(self._head, started, "chat.completion.chunk")
        self._begin = b"data: " + to_json(self._opening)[:-1] + b',"choices":['
        self._first = self._begin + b'{"index":0,"delta":'

    def encode(self, event: Event) -> bytes:
        """One event. A finish ends its choice; the end of the answer is `encode_end`."""
        if type(event) is Spliced:
            return event.data
        tell = _TELLS.get(type(event))
        return b"" if tell is None else tell(self, event)

    def _text(self, event: Text) -> bytes:
        if event.logprobs is not None or event.choice:
            return self._said(event)
        try:
            text = orjson.dumps(event.text)
        except orjson.JSONEncodeError:  # half of a character
            return self._said(event)
        return self._first + b'{"content":' + text + b',"role":"assistant"}' + _NOT_FINISHED

    def _reasoning(self, event: Reasoning) -> bytes:
        if not self._hide_reasoning:
            return self._said(event)
        left = sealed(event.details)
        return self._said(Reasoning(event.choice, "", left)) if left else b""

    def _said(self, event: Text | Refusal | Reasoning | ToolCall | Audio | Attachments) -> bytes:
        delta = to_json(_delta(event))
        begin = self._begin + b'{"index":%d,"delta":' % event.choice
        logprobs = getattr(event, "logprobs", None)
        if logprobs is None:
            return begin + delta + _NOT_FINISHED
        return begin + delta + _UNFINISHED + b',"logprobs":' + to_json(logprobs) + b"}]}\n\n"

    def _finish(self, event: Finished) -> bytes:
        finished = {
            "index": event.choice,
            "delta": {"content": "", "role": "assistant"},
            "finish_reason": event.reason,
            "native_finish_reason": event.native,
        }
        self._finished[event.choice] = finished
        return self._chunk([finished])

    def _begun(self, event: Started) -> bytes:
        self._start(event)
        return b""

    def _echo(self, event: Echo) -> bytes:
        return self._chunk([], {"debug": {"echo_upstream_body": event.body}})

    def encode_end(self, bill: Bill) -> bytes:
        """The finish again with usage and cost, and the end mark."""
        more: dict[str, Any] = {"usage": encode_usage(bill.usage, bill.cost)}
        if bill.routing is not None:
            more["openrouter_metadata"] = bill.routing
        return self._chunk(list(self._finished.values()), more) + DONE

    def encode_failure(self, error: GatewayError, routing: dict[str, Any] | None = None) -> bytes:
        """The error event after which nothing more comes, and the end mark."""
        return encode_data(to_json(encode_failed_event(error, self._head, routing))) + DONE

    def _chunk(self, choices: list[dict[str, Any]], more: dict[str, Any] | None = None) -> bytes:
        return encode_data(to_json(self._opening | {"choices": choices} | (more or {})))


_TELLS: Final[dict[type[Event], Callable[[Encoder, Any], bytes]]] = {
    Text: Encoder._text,
    Reasoning: Encoder._reasoning,
    ToolCall: Encoder._said,
    Refusal: Encoder._said,
    Audio: Encoder._said,
    Attachments: Encoder._said,
    Started: Encoder._begun,
    Finished: Encoder._finish,
    Echo: Encoder._echo,
}

_UNFINISHED: Final = b',"finish_reason":null,"native_finish_reason":null'
_NOT_FINISHED: Final = _UNFINISHED + b"}]}\n\n"


def opening(head: Head, started: Started, kind: str) -> dict[str, Any]:
    """What every event of one answer repeats; `kind` is its `object`."""
    told: dict[str, Any] = {
        "id": head.id,
        "object": kind,
        "created": head.created,
        "model": head.model,
        "provider": head.provider,
    }
    if started.system_fingerprint is not None:
        told["system_fingerprint"] = started.system_fingerprint
    if started.service_tier is not None:
        told["service_tier"] = started.service_tier
    return told


def hides_reasoning(ask: Ask) -> bool:
    """Whether the caller wishes not to see what the model thinks."""
    return ask.thinking is not None and ask.thinking.hidden


def _delta(event: Event) -> dict[str, Any]:
    match event:
        case Text():
            return {"content": event.text, "role": "assistant"}
        case Refusal():
            return {"content": "", "role": "assistant", "refusal": event.text}
        case Reasoning():
            return {
                "content": "",
                "role": "assistant",
                "reasoning": event.text or None,
                "reasoning_details": list(event.details) or [plain_detail(event.text)],
            }
        case ToolCall():
            return {"content": None, "role": "assistant", "tool_calls": [call_piece(event)]}
        case Audio():
            return {"content": "", "role": "assistant", "audio": event.audio}
        case Attachments():
            return {"content": "", "role": "assistant", event.name: list(event.items)}
    raise AssertionError(event)


def encode_usage(usage: Usage, cost: Cost | None) -> dict[str, Any]:
    """OpenRouter's `usage`; without a price the cost is 0 and the provider's charge unknown."""
    total: float | None = None
    charge: float = 0
    prompt: float = 0
    completion: float = 0
    if cost is not None:
        total, charge = cost.total_nano / NANO_PER_USD, cost.charge_nano / NANO_PER_USD
        prompt, completion = cost.prompt_nano / NANO_PER_USD, cost.completion_nano / NANO_PER_USD
    told: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "cost": charge,
        "is_byok": False,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "audio_tokens": usage.prompt_audio_tokens,
            "video_tokens": usage.prompt_video_tokens,
        },
        "cost_details": {
            "upstream_inference_cost": total,
            "upstream_inference_prompt_cost": prompt,
            "upstream_inference_completions_cost": completion,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "image_tokens": usage.completion_image_tokens,
            "audio_tokens": usage.completion_audio_tokens,
        },
    }
    if usage.web_searches:
        told["server_tool_use_details"] = {"web_search_requests": usage.web_searches}
    return told


def encode_answer(events: Iterable[Event], head: Head, ask: Ask, bill: Bill) -> Encoded:
    """A whole answer out of its events."""
    hide = ask.thinking is not None and ask.thinking.hidden
    started, choices = plain_choice(events, hide_reasoning=hide) or _choices(events, hide)
    answer: dict[str, Any] = {
        "id": head.id,
        "object": "chat.completion",
        "created": head.created,
        "model": head.model,
        "provider": head.provider,
        "system_fingerprint": started.system_fingerprint,
    }
    if started.service_tier is not None:
        answer["service_tier"] = started.service_tier
    answer["choices"] = choices
    answer["usage"] = encode_usage(bill.usage, bill.cost)
    if bill.routing is not None:
        answer["openrouter_metadata"] = bill.routing
    return Encoded(to_json(answer))


def _choices(events: Iterable[Event], hide_reasoning: bool) -> tuple[Started, list[dict[str, Any]]]:
    started = Started()
    choices: dict[int, Message] = {}
    for event in events:
        if isinstance(event, Started):
            started = event
        elif isinstance(index := getattr(event, "choice", None), int):
            choices.setdefault(index, Message(hide_reasoning)).add(event)
    return started, [choices[index].render(index) for index in sorted(choices)]
