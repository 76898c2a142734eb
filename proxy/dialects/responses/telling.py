"""Events of Responses being told: numbered, heard by the record, and in order within their items.

One item grows at a time, until something else is told; calls may stay open beside it. Ids of items
are made of the answer's own and their place: `msg_tmp_…`, as OpenRouter's are.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

from proxy.dialects.chat.pieces import to_json
from proxy.dialects.responses.answer import Json
from proxy.dialects.responses.record import STRANDS, Item, Record
from proxy.dialects.responses.sealing import thought

THOUGHT: Final = "rs_tmp_"
"""How the id of a thought begins whose provider gave it none."""

_EMPTY: Final[Json] = {"annotations": [], "logprobs": []}


class Teller:
    """What was told, as bytes to send, and what is open. Where `named`, frames have `event` lines,
    as a provider's own have.
    """

    def __init__(self, id_: str) -> None:
        self._tail = id_.rpartition("-")[2]
        self._out: list[bytes] = []
        self._key: object = None  # what the item that grows is
        self._place = 0  # where it is
        self._text: object = None  # which of its texts grows
        self.sequence = 0
        self.named = False
        self.record = Record()
        self.details: list[Json] = []  # of the thought that grows

    def sent(self) -> bytes:
        """What is to be sent."""
        out, self._out = self._out, []
        return b"".join(out)

    def send(self, name: str, data: bytes) -> None:
        """An event as it stands."""
        head = b"event: " + name.encode() + b"\n" if self.named else b""
        self._out.append(head + b"data: " + data.replace(b"\n", b"\ndata: ") + b"\n\n")

    def tell(self, type_: str, /, **fields: Any) -> None:
        """An event, with the next number."""
        event = {"type": type_, **fields, "sequence_number": self.sequence}
        self.sequence += 1
        self.record.hear(event)
        self.send(type_, to_json(event))

    def tell_all(self, events: Iterable[Json]) -> None:
        for event in events:
            self.tell(event.pop("type"), **event)

    # Items.

    def id(self, prefix: str) -> str:
        """An id for the next item."""
        return f"{prefix}_tmp_{self._tail}{self.record.next}"

    @property
    def growing(self) -> Item | None:
        """The item that grows."""
        return None if self._key is None else self.record.items[self._place]

    def add(self, item: Json) -> int:
        """Begins an item beside the one that grows; the place it has."""
        place = self.record.next
        self.tell("response.output_item.added", output_index=place, item=item)
        return place

    def add_whole(self, item: Json) -> None:
        """An item that does not grow; what grew is ended."""
        self.close()
        place = self.add(item | {"status": "in_progress"})
        self.tell_all(self.record.end_item(place, "completed"))

    def add_picture(self, item: Json) -> None:
        """An image, with the events that OpenAI tells of its making."""
        self.close()
        place = self.add(item | {"status": "in_progress", "result": None})
        for state in ("in_progress", "generating", "completed"):
            type_ = f"response.image_generation_call.{state}"
            self.tell(type_, output_index=place, item_id=item["id"])
        self.record.items[place].said |= item
        self.tell_all(self.record.end_item(place, "completed"))

    def enter(self, key: object, begin: Callable[[], Json]) -> None:
        """Makes the item with that key the one that grows; what grew is ended."""
        if key != self._key:
            self.close()
            self._key, self._place = key, self.add(begin())

    def close(self, status: str = "completed") -> None:
        """Ends the item that grows."""
        if (item := self.growing) is not None:
            item.said |= thought(self.details)
            self.tell_all(self.record.end_item(self._place, status))
        self._key, self._text, self.details = None, None, []

    # Texts.

    def enter_text(self, name: str, key: object) -> bool:
        """Makes a text of the item the one that grows; whether it is a new one. `name` is that of
        its row in the table.
        """
        if key == self._text:
            return False
        self.tell_all(self.record.end_piece(self._place))
        self._text, strand, item = key, STRANDS[name], self.record.items[self._place]
        number = sum(piece.strand.place == strand.place for piece in item.pieces)
        part = {"type": strand.type, strand.field: "", **(_EMPTY if name == "text" else {})}
        where = {"output_index": self._place, "item_id": item.id, strand.numbered: number}
        self.tell(strand.opened, **where, part=part)
        return True

    def grow(self, name: str, text: str, place: int | None = None, **more: Any) -> None:
        """A piece of the text that grows, or of the one that the item at `place` has."""
        strand, place = STRANDS[name], self._place if place is None else place
        item = self.record.items[place]
        piece = item.pieces[-1]
        event: Json = {"type": strand.grows, "output_index": place, "item_id": item.id}
        if strand.place:
            event[strand.numbered] = piece.number
        event |= {"delta": text, **more, "sequence_number": self.sequence}
        self.sequence += 1
        piece.hear(event)  # at once, as nearly all events are of this kind
        self.send(strand.grows, to_json(event))

    def annotate(self, annotation: Json) -> None:
        """An annotation of the text that grows."""
        item = self.record.items[self._place]
        piece = item.pieces[-1]
        where: Json = {"output_index": self._place, "item_id": item.id}
        where |= {"content_index": piece.number, "annotation_index": len(piece.annotations)}
        self.tell("response.output_text.annotation.added", **where, annotation=annotation)
