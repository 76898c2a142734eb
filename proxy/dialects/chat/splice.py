"""Pieces of a provider's chat that go to the caller of a chat nearly as they came.

Most events of a stream differ in nothing but a piece of text, and so do those that the caller gets
for them. A template is learned from the decoding path itself: it is given such an event with a mark
in place of the text, and what the caller would be told is cut at the mark. An event that begins and
ends as the template's did, and has the inside of a JSON string between, is then told without being
decoded. All else is decoded, and so is every stream whose line ends are not LF alone.

What the caller gets is equal to what decoding gives once its JSON is read, and the same bytes where
the provider escaped nothing in another way than we do.
"""

import itertools
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Final, TypeAlias, TypeGuard

import orjson
from msgspec.structs import replace

from proxy.dialects.chat.compat import citations
from proxy.dialects.chat.pieces import GROWING
from proxy.dialects.chat.stream import Encoder
from proxy.dialects.forms import StreamDecoder, StreamEncoder
from proxy.wire.events import Ended, Event, Reasoning, Refusal, Spliced, Started, Text, ToolCall
from proxy.wire.frames import Splitter

HELD_BYTES_MAX: Final = 16 * 1024  # of an event that is not all here; longer ones are decoded
TEMPLATES_MAX: Final = 4  # text, reasoning and a call, perhaps of two choices
LESSON: Final = 8  # how many pieces a template must have served to have been worth its learning
LESSONS: Final = 3 * LESSON

_MARK: Final = "the-text-stands-here"
_MARKED: Final = _MARK.encode()
_Piece: TypeAlias = Text | Refusal | Reasoning | ToolCall
_VALUE: Final = re.compile(
    rb'(?s)"(?:content|reasoning|reasoning_content|text|summary|refusal|arguments|input)"\s*:\s*'
    rb'"([^"\\]+(?:\\.[^"\\]*)*|(?:\\.[^"\\]*)+)"'
)


def spliced(decoder: StreamDecoder, encoder: StreamEncoder) -> "Splicer | None":
    """`decoder` for a caller who is told by `encoder`: where that speaks of a chat, pieces that fit
    a template are `Spliced`. None where it does not.
    """
    return Splicer(decoder, encoder) if isinstance(encoder, Encoder) else None


class _Template:
    """How the provider's event begins and ends around its text, and how ours does. Either may
    repeat the text, with something between; the size of a call's arguments is in characters.
    """

    __slots__ = (
        "_again", "_begin", "_choice", "_end", "_in_chars", "_inside", "_next", "_once",
        "_our_again", "_our_begin", "_our_end", "_string",
    )  # fmt: skip

    def __init__(self, choice: int, theirs: list[bytes], ours: list[bytes], in_chars: bool) -> None:
        self._choice, self._in_chars = choice, in_chars
        self._begin, *again, self._end = theirs
        self._our_begin, *our_again, self._our_end = ours
        self._again = again[0] if again else None
        self._our_again = our_again[0] if our_again else None
        self._once = not (again or our_again)
        first, last = len(self._begin), -len(self._end)
        self._inside, self._string = slice(first, last), slice(first - 1, last + 1)  # its quotes
        self._next = self._end + self._begin

    def fill(self, data: bytes) -> Spliced | None:
        """What is told of whole events that all fit; None where one does not."""
        if not (data.startswith(self._begin) and data.endswith(self._end)):
            return None
        # Where the beginning and the end overlap, nothing is between them: that is no content.
        text = data[self._inside]
        if not self._once:
            return self._fill_all(text.split(self._next))
        try:  # most are one event
            said: str = orjson.loads(data[self._string])
        except orjson.JSONDecodeError:
            return self._fill_all(text.split(self._next))
        size = len(said) if self._in_chars or said.isascii() else len(said.encode())
        told = self._our_begin + text + self._our_end
        return Spliced(self._choice, told, (size,)) if size else None

    def _fill_all(self, texts: list[bytes]) -> Spliced | None:
        if self._again is not None:
            texts = [_half(text, self._again) for text in texts]
        sizes = tuple(map(self._size, texts))
        if not all(sizes):
            return None
        if self._our_again is not None:
            texts = [text + self._our_again + text for text in texts]
        told = (self._our_end + self._our_begin).join(texts)
        return Spliced(self._choice, self._our_begin + told + self._our_end, sizes)

    def _size(self, text: bytes) -> int:
        """How much text it is; 0 where it is none, or not the inside of a JSON string."""
        try:
            said: str = orjson.loads(b'"' + text + b'"')
        except orjson.JSONDecodeError:
            return 0
        return len(said) if self._in_chars or said.isascii() else len(said.encode())


def _half(text: bytes, again: bytes) -> bytes:
    """What stands twice, with `again` between; nothing where that is not so."""
    half = text[: (len(text) - len(again)) // 2]
    return half if half + again + half == text else b""


class Splicer:
    """A stream of one provider for one caller; its events are those of `decoder`, but that pieces
    may come as `Spliced`.
    """

    __slots__ = ("_decoder", "_held", "_lessons", "_teller", "_templates")

    def __init__(self, decoder: StreamDecoder, encoder: Encoder) -> None:
        self._decoder = decoder
        self._teller: Encoder | None = encoder.again()  # None when all is decoded from now on
        self._templates: list[_Template] = []  # the one that served last is the first
        self._held = b""
        self._lessons = LESSONS

    @property
    def splicing(self) -> bool:
        """Whether there is a template."""
        return bool(self._templates)

    def splice(self, data: bytes) -> Spliced | None:
        """What is told of `data` where all of it is events that fit the template that served last;
        None where it is to be fed.
        """
        if self._held or not self._templates:
            return None
        told = self._templates[0].fill(data)
        if told is not None and self._lessons < LESSONS:
            self._earn(told)
        return told

    def feed(self, data: bytes) -> Iterable[Event]:
        """The events that `data` completes, those before a fault included."""
        if self._held:
            data, self._held = self._held + data, b""
        told = self.splice(data)
        if told is not None:
            return [told]
        if self._teller is None:
            return self._decoder.feed(data)
        return self._cut(data)

    def _cut(self, data: bytes) -> Iterable[Event]:
        """The events up to the last blank line; what follows waits for its end."""
        cut = data.rfind(b"\n\n") + 2 if b"\n\n" in data else 0
        if b"\r" in data or len(data) - cut > HELD_BYTES_MAX:
            return self._stop(data)
        if cut == len(data):
            return self._each(data)
        self._held = data[cut:]
        if not cut:
            return ()
        told = self._fill(data[:cut])
        return self._each(data[:cut]) if told is None else [told]

    def end(self) -> Iterable[Event]:
        """What stood in the last lines when the bytes ended, if it was whole."""
        yield from self._decoder.feed(self._held)
        yield from self._decoder.end()

    def _stop(self, data: bytes) -> Iterable[Event]:
        """Decodes this, and all that follows."""
        self._teller = None
        self._templates = []
        return self._decoder.feed(data)

    def _each(self, data: bytes) -> Iterator[Event]:
        """Of events that do not all fit one template, those that fit any; else what decoding gives,
        and what is to be learned of it.
        """
        frames = data.split(b"\n\n")
        for place, frame in enumerate(frames[:-1]):
            frame += b"\n\n"
            told = self._fill(frame)
            if told is not None:
                yield told
                continue
            events = list(self._decoder.feed(frame))
            yield from events
            self._heed(frame, events)
            if self._teller is None:
                yield from self._decoder.feed(b"\n\n".join(frames[place + 1 :]))
                return

    def _fill(self, data: bytes) -> Spliced | None:
        templates = self._templates
        for place, template in enumerate(templates):
            told = template.fill(data)
            if told is not None:
                if place:
                    templates.insert(0, templates.pop(place))
                self._earn(told)
                return told
        return None

    def _earn(self, told: Spliced) -> None:
        self._lessons = min(self._lessons + len(told.sizes), LESSONS)

    def _heed(self, frame: bytes, events: list[Event]) -> None:
        """What an event that was decoded means for the templates: a new one, or the end of all."""
        for event in events:
            if isinstance(event, Started):
                assert self._teller is not None
                self._teller.encode(event)
                self._templates = []
            elif isinstance(event, ToolCall) and (event.id is not None or event.name is not None):
                self._templates = []  # pieces of the same number may belong to another call now
            elif isinstance(event, Ended):
                self._teller, self._templates = None, []
                return
        piece = events[0] if len(events) == 1 else None
        if piece is None or not _plain(piece) or len(frame) > HELD_BYTES_MAX:
            return
        self._lessons -= LESSON
        if self._lessons < 0:  # this provider's events differ in more than the text
            self._teller, self._templates = None, []
        elif (template := self._learn(frame, piece)) is not None:
            self._templates = [template, *self._templates[: TEMPLATES_MAX - 1]]

    def _learn(self, frame: bytes, event: _Piece) -> _Template | None:
        """The template of an event that means nothing but `event`."""
        assert self._teller is not None
        if _MARKED in frame or _MARKED in self._teller.encode(event):
            return None
        marked = _marked(event)
        for spans in _places(frame, event):
            theirs = _without(frame, spans)
            again = _MARKED.join(theirs)
            if not _steady(again) or list(self._decoder.feed(again)) != [marked]:
                continue
            ours = self._teller.encode(marked).split(_MARKED)
            if 2 <= len(ours) <= 3:
                return _Template(event.choice, theirs, ours, isinstance(event, ToolCall))
        return None


def _places(frame: bytes, event: _Piece) -> list[list[tuple[int, int]]]:
    """Where the text of `event` may stand in its frame, once or twice. Each of them is tried, so
    there are no more than two however many values a provider puts beside the text.
    """
    text = event.arguments if isinstance(event, ToolCall) else event.text
    spans: dict[bytes, list[tuple[int, int]]] = {}
    with suppress(orjson.JSONDecodeError):  # half of a character: the next event will do
        for found in _VALUE.finditer(frame):
            if orjson.loads(b'"' + found[1] + b'"') == text:
                spans.setdefault(found[1], []).append(found.span(1))
    return [where for where in spans.values() if len(where) <= 2][:2]


def _without(frame: bytes, spans: list[tuple[int, int]]) -> list[bytes]:
    edges = [0, *itertools.chain.from_iterable(spans), len(frame)]
    return [frame[begin:end] for begin, end in zip(edges[::2], edges[1::2], strict=True)]


def _plain(event: Event) -> TypeGuard[_Piece]:
    """Whether it is a piece that says nothing but its text, which may be repeated."""
    match event:
        case Text() | Refusal():
            return event.text != "" and event.logprobs is None
        case Reasoning():
            return event.text != "" and all(one.get("type") in GROWING for one in event.details)
        case ToolCall():
            return event.arguments != "" and event.id is None and event.name is None
        case _:
            return False


def _marked(event: _Piece) -> _Piece:
    """The same with the mark for its text."""
    if isinstance(event, ToolCall):
        return replace(event, arguments=_MARK)
    if isinstance(event, Text | Refusal) or not event.details:
        return replace(event, text=_MARK)
    details = (
        {key: _MARK if value == event.text else value for key, value in one.items()}
        for one in event.details
    )
    return replace(event, text=_MARK, details=tuple(details))


def _steady(frame: bytes) -> bool:
    """Whether reading such an event twice is as good as once: halves of characters and sources are
    remembered for later ones.
    """
    try:
        values = [orjson.loads(one.data) for one in Splitter().feed(frame)]
    except orjson.JSONDecodeError:
        return False
    return len(values) == 1 and isinstance(values[0], dict) and not citations(values[0])
