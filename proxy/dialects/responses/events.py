"""OpenAI's Responses, the answer of a provider: bytes in, canonical events out.

An answer is a list of items: messages, calls, reasoning, work of the provider's own tools. A stream
tells each piece by piece and then once more whole; what the pieces left out is taken from the
whole, for some providers send only that. Items are told apart by `output_index`: their ids change
between events at some gateways. Source: OpenAI's API reference ("Streaming events") and recorded
traffic of OpenAI, xAI, Azure, DeepSeek, Bedrock and OpenRouter.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from proxy.dialects.reading import Decoder, parse
from proxy.dialects.responses.endings import counted, failed, failure_of, finished, searched
from proxy.dialects.responses.items import OPENAI, citation, images_of, server_call
from proxy.dialects.values import mapping, objects, string
from proxy.errors import GatewayError
from proxy.providers import Quirks
from proxy.wire.events import (
    Attachments,
    Ended,
    Event,
    Failed,
    Reasoning,
    Refusal,
    Started,
    Text,
    ToolCall,
)

Json: TypeAlias = dict[str, Any]
_CALLS = ("function_call", "custom_tool_call")
Place: TypeAlias = tuple[int, int]
"""Which item, and which part of it."""


def decoder(quirks: Quirks, format_: str = OPENAI) -> Decoder:
    """A stream of one provider. `format_` is what OpenRouter calls its reasoning."""
    return Decoder(Reader(format_).read)


def decode_answer(body: bytes, quirks: Quirks, format_: str = OPENAI) -> list[Event]:
    """The events of a whole answer; it is its own end mark.

    Raises GatewayError `provider_malformed` for what is no answer, or not the end of one.
    """
    answer = parse(body)
    if not answer.get("error"):
        if not isinstance(answer.get("output"), list):
            raise GatewayError("provider_malformed", "The answer has no output.")
        if answer.get("status") in ("queued", "in_progress"):
            raise GatewayError("provider_malformed", "The answer is not complete.")
    events: list[Event] = []
    Reader(format_).finish(answer, events)
    if not isinstance(events[-1], Ended):
        events.append(Ended())
    return events


class Reader:
    """Turns the objects of a stream into events, and remembers how much of each text was told."""

    def __init__(self, format_: str = OPENAI) -> None:
        self._format = format_
        self._started: Started | None = None
        self._failed = False
        self._done: set[int] = set()  # items that were told whole
        self._told: dict[tuple[str, Place], int] = {}  # characters
        self._chars = 0  # of text, in all parts
        self._offsets: dict[Place, int] = {}  # the text before each part
        self._cited: dict[Place, int] = {}
        self._indexes: dict[tuple[str, Place], int] = {}  # of reasoning details
        self._details = 0
        self._searches = 0  # of the web
        self._calls: dict[int, tuple[int, bool]] = {}  # number, and whether it takes free text
        self._reads: dict[str, Callable[[Json, list[Event]], None]] = {
            "response.created": self._created,
            "response.in_progress": self._created,
            "response.output_item.added": self._added,
            "response.output_text.delta": self._text,
            "response.output_text.annotation.added": self._annotated,
            "response.refusal.delta": self._refusal,
            "response.reasoning_summary_text.delta": self._summary,
            "response.reasoning_text.delta": self._thought,
            "response.function_call_arguments.delta": self._arguments,
            "response.custom_tool_call_input.delta": self._arguments,
            "response.output_item.done": self._item_done,
            "response.completed": self._ended,
            "response.incomplete": self._ended,
            "response.failed": self._broken,
            "error": self._error,
        }

    def read(self, name: str, event: Json, events: list[Event]) -> None:
        """Appends the events of one object of a stream; those that only repeat are passed over."""
        type_ = event.get("type")
        read = self._reads.get(type_ if isinstance(type_, str) else name)
        if read is not None:
            read(event, events)
        elif type_ is None and event.get("error"):
            self._error(event, events)

    def finish(self, response: Json, events: list[Event]) -> None:
        """Appends what an answer tells when it is whole, and its end."""
        if failure := failed(response):
            events.extend(counted(response))
            self._fail(failure, events)
            return
        self._start(response, events)
        untold = not self._done and not self._told
        if untold or not self._calls:  # some stream the text alone
            tell = self._item if untold else self._whole_call
            for place, item in enumerate(objects(response.get("output"))):
                tell(place, item, events)
        events.append(finished(response, called=bool(self._calls)))
        events.extend(counted(response, self._searches))
        events.append(Ended())

    def _start(self, response: Json, events: list[Event]) -> None:
        before = self._started or Started()
        tier = string(response.get("service_tier"))
        tier = "priority" if tier == "fast" else tier  # OpenAI's newer name for it
        started = Started(
            upstream_id=string(response.get("id")) or before.upstream_id,
            # At the beginning it is what was asked for, at the end what was given.
            service_tier=before.service_tier if tier in (None, "auto") else tier,
        )
        if self._started is None or started.service_tier != before.service_tier:
            self._started = started
            events.append(started)

    def _fail(self, failure: Failed, events: list[Event]) -> None:
        if not self._failed:  # OpenAI says it twice: `error`, then `response.failed`
            self._failed = True
            events.append(failure)

    # Events that are about the answer.

    def _created(self, event: Json, events: list[Event]) -> None:
        self._start(mapping(event.get("response")), events)

    def _ended(self, event: Json, events: list[Event]) -> None:
        self.finish(mapping(event.get("response")), events)

    def _broken(self, event: Json, events: list[Event]) -> None:
        self.finish({**mapping(event.get("response")), "status": "failed"}, events)

    def _error(self, event: Json, events: list[Event]) -> None:
        flat = {name: event.get(name) for name in ("code", "message", "param")}
        self._fail(failure_of(event.get("error") or flat), events)

    # Events that tell a piece of an item.

    def _text(self, event: Json, events: list[Event]) -> None:
        if isinstance(piece := event.get("delta"), str):
            self._say(_place(event), piece, event.get("logprobs"), events)

    def _refusal(self, event: Json, events: list[Event]) -> None:
        if piece := self._piece("refusal", _place(event), event):
            events.append(Refusal(0, piece))

    def _summary(self, event: Json, events: list[Event]) -> None:
        place = _place(event, "summary_index")
        if piece := self._piece("summary", place, event):
            events.append(self._thinks("summary", place, piece))

    def _thought(self, event: Json, events: list[Event]) -> None:
        place = _place(event)
        if piece := self._piece("text", place, event):
            events.append(self._thinks("text", place, piece, string(event.get("item_id"))))

    def _arguments(self, event: Json, events: list[Event]) -> None:
        place = _place(event)
        if place[0] not in self._calls:
            return  # it has no name yet; all of it is told when it is done
        number, custom = self._calls[place[0]]
        if piece := self._piece("arguments", place, event):
            events.append(ToolCall(0, number, None, None, piece, custom))

    def _annotated(self, event: Json, events: list[Event]) -> None:
        self._cite(_place(event), [event.get("annotation")], events)

    def _added(self, event: Json, events: list[Event]) -> None:
        self._call(_place(event)[0], mapping(event.get("item")), events)

    def _item_done(self, event: Json, events: list[Event]) -> None:
        self._item(_place(event)[0], mapping(event.get("item")), events)

    # Items that are told whole.

    def _item(self, number: int, item: Json, events: list[Event]) -> None:
        if number in self._done:
            return
        self._done.add(number)
        match item.get("type"):
            case "message":
                for part, said in enumerate(objects(item.get("content"))):
                    self._part((number, part), said, events)
            case "reasoning":
                self._reasoning(number, item, events)
            case "function_call" | "custom_tool_call":
                self._whole_call(number, item, events)
            case str():
                self._searches += searched(item)
                detail = server_call(item, self._format, self._next())
                events.append(Reasoning(0, "", (detail,)))
                if images := images_of(item):
                    events.append(Attachments(0, "images", images))

    def _part(self, place: Place, said: Json, events: list[Event]) -> None:
        if said.get("type") == "refusal":
            if rest := self._rest("refusal", place, said.get("refusal")):
                events.append(Refusal(0, rest))
            return
        logprobs = None if ("said", place) in self._told else said.get("logprobs")
        if (rest := self._rest("said", place, said.get("text"))) or logprobs:
            self._say(place, rest, logprobs, events)
        annotations = said.get("annotations")
        if isinstance(annotations, list):
            self._cite(place, annotations[self._cited.get(place, 0) :], events)

    def _reasoning(self, number: int, item: Json, events: list[Event]) -> None:
        id_ = string(item.get("id"))
        for kind, name in (("text", "content"), ("summary", "summary")):
            for part, said in enumerate(objects(item.get(name))):
                if rest := self._rest(kind, (number, part), said.get("text")):
                    events.append(self._thinks(kind, (number, part), rest, id_))
        if data := string(item.get("encrypted_content")):
            format_ = string(item.get("format")) or self._format  # OpenRouter names another's
            detail: Json = {"type": "reasoning.encrypted", "data": data, "format": format_}
            detail |= {"id": id_} if id_ else {}
            detail["index"] = self._next()
            events.append(Reasoning(0, "", (detail,)))

    def _call(self, number: int, item: Json, events: list[Event]) -> None:
        name = string(item.get("name"))
        if number in self._calls or name is None or item.get("type") not in _CALLS:
            return
        index, custom = len(self._calls), item["type"] == "custom_tool_call"
        self._calls[number] = index, custom
        id_ = string(item.get("call_id")) or string(item.get("id"))
        events.append(ToolCall(0, index, id_, name, "", custom))

    def _whole_call(self, number: int, item: Json, events: list[Event]) -> None:
        self._call(number, item, events)
        if number in self._calls:
            index, custom = self._calls[number]
            said = item.get("input" if custom else "arguments")
            if rest := self._rest("arguments", (number, 0), said):
                events.append(ToolCall(0, index, None, None, rest, custom))

    # Texts that grow.

    def _piece(self, kind: str, place: Place, event: Json) -> str:
        piece = event.get("delta")
        if not isinstance(piece, str):
            return ""
        self._told[kind, place] = self._told.get((kind, place), 0) + len(piece)
        return piece

    def _rest(self, kind: str, place: Place, whole: object) -> str:
        """What of `whole` was not told yet."""
        return whole[self._told.get((kind, place), 0) :] if isinstance(whole, str) else ""

    def _say(self, place: Place, piece: str, logprobs: object, events: list[Event]) -> None:
        if place not in self._offsets:
            self._offsets[place] = self._chars
        self._chars += len(piece)
        self._told["said", place] = self._told.get(("said", place), 0) + len(piece)
        if isinstance(logprobs, list) and logprobs:
            events.append(Text(0, piece, {"content": logprobs, "refusal": None}))
        elif piece:
            events.append(Text(0, piece))

    def _thinks(self, kind: str, place: Place, piece: str, id_: str | None = None) -> Reasoning:
        if (kind, place) not in self._indexes:
            self._indexes[kind, place] = self._next()
        detail: Json = {"type": f"reasoning.{kind}", kind: piece, "format": self._format}
        if id_ is not None and kind == "text":  # the id of a summary is with what is encrypted
            detail["id"] = id_
        detail["index"] = self._indexes[kind, place]
        return Reasoning(0, piece, (detail,))

    def _cite(self, place: Place, annotations: list[Any], events: list[Event]) -> None:
        self._cited[place] = self._cited.get(place, 0) + len(annotations)
        offset = self._offsets.get(place, self._chars)
        cited = tuple(filter(None, (citation(one, offset) for one in objects(annotations))))
        if cited:
            events.append(Attachments(0, "annotations", cited))

    def _next(self) -> int:
        """The number of the next entry of `reasoning_details`, as OpenRouter counts them."""
        self._details += 1
        return self._details - 1


def _place(event: Json, part: str = "content_index") -> Place:
    item, number = event.get("output_index"), event.get(part)
    return item if isinstance(item, int) else 0, number if isinstance(number, int) else 0
