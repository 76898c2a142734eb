"""Responses, the answer for a caller: canonical events in, typed events in legal order out.

The order of events within an item is the table `record.STRANDS`. One message or thought grows at a
time; calls stay open to the end, since providers may tell the pieces of several in turn. The form
is OpenRouter's recorded one: no `event` lines, a number in every event, `[DONE]` at the end.

The events of a provider that speaks Responses itself are carried as they came, `event` lines and
all; only the response object within them is changed, to bear our id, our name of the model and what
the answer cost.
"""

from collections.abc import Iterable
from typing import Any, Final

from proxy.dialects.asking import Encoded
from proxy.dialects.chat.pieces import to_json
from proxy.dialects.chat.stream import hides_reasoning
from proxy.dialects.forms import Bill
from proxy.dialects.responses import answer, envelope, thoughts
from proxy.dialects.responses.answer import Json
from proxy.dialects.responses.cited import annotation, picture
from proxy.dialects.responses.telling import Teller
from proxy.dialects.responses.tools import free_names, namespaces, unwrapped
from proxy.dialects.values import mapping, objects, string
from proxy.errors import GatewayError
from proxy.wire.events import (
    Attachments,
    Audio,
    Echo,
    Event,
    Finished,
    Reasoning,
    Refusal,
    Started,
    Text,
    ToolCall,
    Usage,
    Verbatim,
    is_content,
)
from proxy.wire.frames import DONE
from proxy.wire.request import Ask, Head

_TIERS: Final = ("auto", "default", "fast", "flex", "priority", "scale", "ultrafast")
"""The tiers that clients know; providers have words of their own, such as `on_demand`."""


class Encoder:
    """One answer, streamed. Each method gives the bytes to send, which may be none."""

    def __init__(self, head: Head, ask: Ask) -> None:
        self._head = head
        self._ask = ask
        self._hide_reasoning = hides_reasoning(ask)
        self._free = free_names(ask)
        self._spaces = namespaces(ask)
        self._teller = Teller(head.id)
        self._held: list[Verbatim] = []
        self._before: int | None = None  # how many events of ours stood before the provider's own
        self._response: Json | None = None
        self._tier: str | None = None
        self._reason = "stop"
        self._calls: dict[int, int] = {}  # places of calls, by their index
        self._wrapped: dict[int, list[str]] = {}  # arguments that become free text, by place
        self._chars = 0  # of text, in all parts
        self._offset = 0  # the text before the part that grows

    def encode(self, event: Event) -> bytes:
        """One event. The end of the answer is `encode_end`."""
        if isinstance(event, Verbatim) and event.name is not None:
            self._carry(event.name, event)
        else:
            for one in event.events if isinstance(event, Verbatim) else (event,):
                self._take(one)
        return self._teller.sent()

    def encode_end(self, bill: Bill) -> bytes:
        """The last event, with usage and cost, and the end mark."""
        if not self._held:
            response = self.whole(bill)
            self._teller.tell(f"response.{response['status']}", response=response)
        for event in self._held:
            said = self._numbered(event.said)
            if (response_ := self._own(said)) is not None:
                said = said | {"response": answer.with_bill(response_, bill)}
            self._teller.send(str(event.name), to_json(said))
        return self._teller.sent() + DONE

    def encode_failure(self, error: GatewayError, routing: dict[str, Any] | None = None) -> bytes:
        """The event of a failed response, after which nothing more comes, and the end mark. What
        is open stays so: nobody may take half a call for one.
        """
        response = self._begun()
        items = self._teller.record.items
        output = [items[place].said for place in sorted(items) if items[place].done]
        response = response | {"output": output} | envelope.ending(error, routing)
        if response["status"] == "incomplete":  # which nobody is charged for
            response = answer.with_bill(response, Bill(Usage()))
        self._teller.tell(f"response.{response['status']}", response=response)
        return self._teller.sent() + DONE

    def whole(self, bill: Bill) -> Json:
        """Ends all that is open; the response as it is then."""
        response, teller, calls = self._begun(), self._teller, set(self._calls.values())
        completed = answer.status_of(self._reason) == "completed"
        status = "completed" if completed else "incomplete"
        teller.close(status)
        for place, item in sorted(teller.record.items.items()):
            if place in self._wrapped:
                teller.grow("input", unwrapped("".join(self._wrapped[place])), place)
            elif completed and place in calls and item.empty:
                teller.grow("arguments", "{}", place)  # many clients decode it unseen
            teller.tell_all(teller.record.end_item(place, status))
        if self._tier is not None:
            tier = self._tier if self._tier in _TIERS else "default"
            response = response | {"service_tier": tier}
        return answer.ended(response, self._reason, teller.record.output(status), bill)

    def _begun(self) -> Json:
        if self._response is None:
            self._response = answer.begun(self._head, self._ask)
            for type_ in ("response.created", "response.in_progress"):
                self._teller.tell(type_, response=self._response)
        return self._response

    # What a provider says in our caller's own words.

    def _carry(self, name: str, event: Verbatim) -> None:
        """An event as it came, unless a response object stands in it. The last one waits for what
        the answer cost, with all that follows it.
        """
        teller = self._teller
        teller.named = name != "message"
        if self._before is None:
            self._before = teller.sequence
        if reasons := [one.reason for one in event.events if isinstance(one, Finished)]:
            self._reason = reasons[-1]  # for a caller that is told all at once
        if self._held or reasons:
            self._held.append(event)
            return
        said, data = self._numbered(event.said), event.data
        if (response := self._own(said)) is not None:
            self._response = response
            said = said | {"response": response}
        if said is not event.said:
            data = to_json(said)
        number = said.get("sequence_number")
        teller.sequence = (number if isinstance(number, int) else teller.sequence) + 1
        teller.record.hear(said)
        teller.send(name, data)

    def _numbered(self, said: Json) -> Json:
        """An event, its number counted on from our own before it."""
        number = said.get("sequence_number")
        if not self._before or not isinstance(number, int):
            return said
        return said | {"sequence_number": number + self._before}

    def _own(self, said: Json) -> Json | None:
        """The response object in an event, as ours."""
        response = said.get("response")
        if not isinstance(response, dict):
            return None
        return response | {"id": self._head.id, "model": self._head.model}

    # What any provider says.

    def _take(self, event: Event) -> None:
        if is_content(event):
            self._begun()
        match event:
            case Started():
                self._tier = event.service_tier
            case Finished():  # by us, whatever the provider would have said
                self._reason = event.reason
                self._held.clear()
            case Echo():
                self._teller.tell("response.debug", debug={"echo_upstream_body": event.body})
            case Text():
                logprobs = objects(mapping(event.logprobs).get("content"))
                self._say("text", event.text, logprobs=logprobs)
            case Refusal():
                self._say("refusal", event.text)
            case Audio():  # which Responses has no words for
                self._say("text", string(event.audio.get("transcript")) or "", logprobs=[])
            case Reasoning() if not self._hide_reasoning:
                thoughts.tell(event, self._teller)
            case ToolCall():
                self._call(event)
            case Attachments():
                for item in event.items:
                    self._attach(event.name, item)

    def _say(self, name: str, text: str, **more: Any) -> None:
        if text or more.get("logprobs"):
            self._enter_message(name)
            self._teller.grow(name, text, **more)
            self._chars += len(text) if name == "text" else 0

    def _enter_message(self, name: str) -> None:
        """Makes a text of a message, of that name, the one that grows."""
        self._teller.enter("message", self._message)
        if self._teller.enter_text(name, name):
            self._offset = self._chars

    def _message(self) -> Json:
        head = {"id": self._teller.id("msg"), "type": "message", "status": "in_progress"}
        return {**head, "role": "assistant", "content": []}

    def _call(self, event: ToolCall) -> None:
        """A piece of a call. That of a tool which takes free text was asked for as a function, and
        is told when it is known.
        """
        place = self._calls.get(event.index)
        if place is None:
            place = self._calls[event.index] = self._begin_call(event)
        if place in self._wrapped:
            self._wrapped[place].append(event.arguments)
        elif event.arguments:
            self._teller.grow("input" if event.custom else "arguments", event.arguments, place)

    def _begin_call(self, event: ToolCall) -> int:
        teller, free = self._teller, event.custom or event.name in self._free
        teller.close()
        type_, field, prefix = (
            ("custom_tool_call", "input", "ctc") if free else ("function_call", "arguments", "fc")
        )
        head = {"id": teller.id(prefix), "type": type_, "status": "in_progress"}
        space, name = self._spaces.get(event.name or "", ("", event.name or ""))
        head |= {"call_id": event.id or teller.id("call"), "name": name}
        head |= {"namespace": space} if space else {}
        place = teller.add({**head, field: ""})
        if free and not event.custom:
            self._wrapped[place] = []
        return place

    def _attach(self, name: str, item: Json) -> None:
        """A citation, of the text that was said last, or an image."""
        if name == "annotations":
            self._enter_message("text")
            if (cited := annotation(item, self._offset)) is not None:
                self._teller.annotate(cited)
        elif (found := picture(item, self._teller.id("ig"))) is not None:
            self._teller.add_picture(found)


def encode_answer(events: Iterable[Event], head: Head, ask: Ask, bill: Bill) -> Encoded:
    """The whole answer; that of a provider who speaks Responses as it came, but for our own."""
    encoder, own = Encoder(head, ask), {"id": head.id, "model": head.model}
    for event in events:
        if isinstance(event, Verbatim) and event.name is None:
            return Encoded(to_json(answer.with_bill(event.said | own, bill)))
        encoder.encode(event)
    return Encoded(to_json(encoder.whole(bill)))
