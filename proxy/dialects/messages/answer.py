"""A whole message for a caller: its events folded, or the provider's own with our additions."""

from collections.abc import Iterable
from typing import Any, Final

from proxy.dialects.asking import Encoded
from proxy.dialects.chat.pieces import to_json
from proxy.dialects.forms import Bill
from proxy.dialects.messages.blocks import Block
from proxy.dialects.messages.saying import Speech, routed
from proxy.dialects.messages.tally import additions
from proxy.dialects.values import mapping, parsed
from proxy.wire.events import Event, Verbatim
from proxy.wire.request import Ask, Head

_GROWING: Final = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
}


def encode_answer(events: Iterable[Event], head: Head, ask: Ask, bill: Bill) -> Encoded:
    """The body of a whole answer."""
    heard: list[Event] = []
    for event in events:
        if not isinstance(event, Verbatim):
            heard.append(event)
        elif event.name is not None:  # streamed, which nobody asked for
            heard += event.events
        else:
            named = {"model": head.model, "provider": head.provider}
            usage = mapping(event.said.get("usage")) | additions(bill)
            return Encoded(to_json(event.said | named | {"usage": usage} | routed(bill)))
    speech = Speech(head, ask)
    told = [one for event in heard for one in speech.say(event)]
    return Encoded(to_json(folded([*told, *speech.end(bill)])))


def folded(told: Iterable[Block]) -> dict[str, Any]:
    """The message that a stream of events tells, as Anthropic's SDKs put it together."""
    message: dict[str, Any] = {}
    given: list[str] = []
    for one in told:
        match one["type"]:
            case "message_start":
                message = one["message"] | {"content": []}
            case "content_block_start":
                message["content"].append(dict(one["content_block"]))
                given.clear()
            case "content_block_delta":
                _grow(message["content"][-1], one["delta"], given)
            case "content_block_stop":
                if input_ := parsed("".join(given)):
                    message["content"][-1]["input"] = input_
            case "message_delta":
                message |= one["delta"] | {"usage": one["usage"]}
            case _:  # the end, and what is told with it
                message |= {name: one[name] for name in one if name != "type"}
    return message


def _grow(block: Block, delta: Block, given: list[str]) -> None:
    type_ = delta["type"]
    if type_ == "input_json_delta":
        given.append(delta["partial_json"])
    elif type_ == "citations_delta":
        block["citations"] = [*(block["citations"] or ()), delta["citation"]]
    else:
        block[_GROWING[type_]] += delta[_GROWING[type_]]
