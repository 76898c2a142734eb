"""What a stream of Responses has said so far, and how whatever is open in it is ended.

The order of events is a table. A text begins (`opened`, where it is a part of its item), grows,
`ends`, and its part is `closed`; then its item is done. Everything that a caller is told goes
through `hear`, ours and what is carried verbatim alike, so that either can be ended in order at any
place. Source: OpenAI's API reference ("Streaming events") and recorded traffic.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple, TypeAlias

from proxy.dialects.values import mapping, objects, string

Json: TypeAlias = dict[str, Any]


class Strand(NamedTuple):
    """A text that grows: in which list of its item its part stands (none: in the item itself), of
    what type the part is, which field the text is in, and the events of its life.
    """

    place: str
    type: str
    field: str
    opened: str
    grows: str
    ends: str
    closed: str
    numbered: str  # the field that says which part it is


_PART: Final = ("response.content_part.added", "response.content_part.done")
_NONE: Final = ("", "")
_SUMMARY: Final = ("response.reasoning_summary_part.added", "response.reasoning_summary_part.done")

STRANDS: Final = {
    name: Strand(
        place, type_, field, opened, f"{events}.delta", f"{events}.done", closed, f"{place}_index"
    )
    for name, place, type_, field, events, (opened, closed) in (
        ("text", "content", "output_text", "text", "response.output_text", _PART),
        ("refusal", "content", "refusal", "refusal", "response.refusal", _PART),
        ("thought", "content", "reasoning_text", "text", "response.reasoning_text", _PART),
        ("summary", "summary", "summary_text", "text", "response.reasoning_summary_text", _SUMMARY),
        ("arguments", "", "function_call", "arguments", "response.function_call_arguments", _NONE),
        ("input", "", "custom_tool_call", "input", "response.custom_tool_call_input", _NONE),
    )
}  # fmt: skip
"""The state table."""

_BY_TYPE: Final = {strand.type: strand for strand in STRANDS.values()}
_OPENED: Final = frozenset(strand.opened for strand in STRANDS.values() if strand.place)


class Piece:
    """One text of one item; `part` is what was said of it when it began."""

    def __init__(self, strand: Strand, number: int, part: Json) -> None:
        self.strand = strand
        self.number = number
        self._part = part
        self._texts = [string(part.get(strand.field)) or ""]
        self.logprobs: list[Any] = []
        self.annotations: list[Json] = []
        self.ended = False
        self.closed = False

    @property
    def text(self) -> str:
        if len(self._texts) > 1:
            self._texts = ["".join(self._texts)]
        return self._texts[0]

    def hear(self, event: Json) -> None:
        """Takes notice of what an event says of it."""
        type_, strand = event.get("type"), self.strand
        if type_ == strand.grows:
            self._texts.append(string(event.get("delta")) or "")
            if said := event.get("logprobs"):
                self.logprobs += objects(said)
        elif type_ == strand.ends:
            self.ended = True
        elif type_ == strand.closed:
            self.closed = True
        elif type_ == "response.output_text.annotation.added":
            self.annotations.append(mapping(event.get("annotation")))

    def whole(self) -> Json:
        """The part as it is now."""
        part = self._part | {self.strand.field: self.text}
        if self.strand.type == "output_text":
            part |= {"annotations": self.annotations, "logprobs": self.logprobs}
        return part


class Item:
    """One item; `said` is what was told of it last, without the texts that grow."""

    def __init__(self, said: Json) -> None:
        self.said = said
        self.pieces: list[Piece] = []
        self.done = False
        if (strand := _BY_TYPE.get(str(said.get("type")))) and not strand.place:
            self.pieces.append(Piece(strand, 0, said))

    @property
    def id(self) -> str:
        return string(self.said.get("id")) or ""

    @property
    def empty(self) -> bool:
        """Whether it is a function's call without any arguments."""
        return any(piece.strand is STRANDS["arguments"] and not piece.text for piece in self.pieces)

    def whole(self, status: str) -> Json:
        """The item as it is now; one that is done as it was told then."""
        if self.done:
            return self.said
        whole = self.said | {"status": status}
        for piece in self.pieces:
            if piece.strand.place:
                whole[piece.strand.place] = []
        for piece in self.pieces:
            if piece.strand.place:
                whole[piece.strand.place].append(piece.whole())
            else:
                whole[piece.strand.field] = piece.text
        return whole


class Record:
    """All items of an answer, by their `output_index`."""

    def __init__(self) -> None:
        self.items: dict[int, Item] = {}
        self.next = 0  # the place that nothing stands at, nor after

    def output(self, status: str) -> list[Json]:
        """The items in their order; those that are not done have that status."""
        return [self.items[place].whole(status) for place in sorted(self.items)]

    def hear(self, event: Json) -> None:
        """Takes notice of an event. What does not fit anything is passed over: a provider's words
        are carried as they are.
        """
        place = event.get("output_index")
        if not isinstance(place, int):
            return
        type_ = event.get("type")
        if type_ in ("response.output_item.added", "response.output_item.done"):
            item = self.items[place] = Item(dict(mapping(event.get("item"))))
            self.next = max(self.next, place + 1)
            item.done = type_.endswith("done")
        elif place in self.items:
            self._hear_piece(str(type_), event, self.items[place])

    def _hear_piece(self, type_: str, event: Json, item: Item) -> None:
        if type_ in _OPENED:
            part = mapping(event.get("part"))
            if strand := _BY_TYPE.get(str(part.get("type"))):
                number = sum(one.strand.place == strand.place for one in item.pieces)
                item.pieces.append(Piece(strand, number, part))
            return
        for piece in item.pieces[::-1]:
            if not piece.strand.place or event.get(piece.strand.numbered) == piece.number:
                piece.hear(event)

    def end_piece(self, place: int) -> Iterator[Json]:
        """The events that end the texts of an item, in their order."""
        item = self.items[place]
        for piece in item.pieces:
            strand = piece.strand
            where: Json = {"output_index": place, "item_id": item.id}
            if strand.place:
                where[strand.numbered] = piece.number
            if not piece.ended:
                yield {"type": strand.ends, **where, **_last_words(item, piece)}
            if strand.place and not piece.closed:
                yield {"type": strand.closed, **where, "part": piece.whole()}

    def end_item(self, place: int, status: str) -> Iterator[Json]:
        """The events that end an item; none where it is done."""
        item = self.items[place]
        if not item.done:
            yield from self.end_piece(place)
            whole = {"item": item.whole(status)}
            yield {"type": "response.output_item.done", "output_index": place, **whole}


def _last_words(item: Item, piece: Piece) -> Json:
    """What the end of a text says."""
    said: Json = {piece.strand.field: piece.text}
    match piece.strand.type:
        case "output_text":
            said["logprobs"] = piece.logprobs
        case "function_call":
            said = {"name": item.said.get("name"), **said}
    return said
