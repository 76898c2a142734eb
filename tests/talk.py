"""Conversations, as plain as they can be said: what a translation of one must still say.

`tests/readers/` has one reader for each dialect, which finds such a conversation in a request's
body and shares nothing with `proxy`. Calls are numbered in their order, whatever ids they have.
"""

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

Json = dict[str, Any]


@dataclass(frozen=True)
class Image:
    mime: str
    data: str


@dataclass(frozen=True)
class File:
    mime: str
    data: str


@dataclass(frozen=True)
class Call:
    number: int
    name: str
    arguments: str  # JSON with sorted keys


@dataclass(frozen=True)
class Result:
    number: int
    text: str


@dataclass
class Turn:
    """What one side says in a row; of `user`, tool results come first."""

    role: str
    said: list[str | Image | File] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)

    def say(self, piece: str | Image | File) -> None:
        """Adds a piece; text that follows text is one text."""
        if isinstance(piece, str) and self.said and isinstance(self.said[-1], str):
            self.said[-1] += piece
        elif piece != "":
            self.said.append(piece)


@dataclass
class Talk:
    """A whole conversation."""

    system: str = ""
    turns: list[Turn] = field(default_factory=list)

    def turn(self, role: str) -> Turn:
        """The turn of `role` that is under way, or a new one."""
        if not self.turns or self.turns[-1].role != role:
            self.turns.append(Turn(role))
        return self.turns[-1]


class Numbers:
    """Ids as numbers, in the order in which they were first seen."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def of(self, id_: str) -> int:
        return self._known.setdefault(id_, len(self._known))


def canonical(value: object) -> str:
    """JSON in one spelling."""
    return json.dumps(value, sort_keys=True)


def as_chat(talk: Talk) -> list[Json]:
    """The conversation as a caller writes it."""
    messages: list[Json] = []
    if talk.system:
        messages.append({"role": "system", "content": talk.system})
    for turn in talk.turns:
        for result in turn.results:
            id_ = f"call_{result.number}"
            messages.append({"role": "tool", "tool_call_id": id_, "content": result.text})
        if turn.role == "assistant":
            messages.append(_answer(turn))
        elif turn.said:
            messages.append({"role": "user", "content": [_part(piece) for piece in turn.said]})
    return messages


def _answer(turn: Turn) -> Json:
    text = "".join(piece for piece in turn.said if isinstance(piece, str))
    message: Json = {"role": "assistant", "content": text or None}
    if turn.calls:
        message["tool_calls"] = [
            {
                "id": f"call_{call.number}",
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in turn.calls
        ]
    return message


def _part(piece: str | Image | File) -> Json:
    match piece:
        case Image(mime, data):
            url = f"data:{mime};base64,{data}"
            return {"type": "image_url", "image_url": {"url": url}}
        case File(mime, data):
            url = f"data:{mime};base64,{data}"
            return {"type": "file", "file": {"filename": "paper.pdf", "file_data": url}}
    return {"type": "text", "text": piece}


# Random ones.

TEXTS = st.text(min_size=1, max_size=30).filter(lambda text: text.strip() == text != "")
NAMES = st.from_regex(r"[a-z][a-z_]{0,15}", fullmatch=True)
VALUES = st.one_of(st.text(max_size=9), st.integers(-99, 99), st.booleans(), st.none())
ARGUMENTS = st.dictionaries(st.text(min_size=1, max_size=6), VALUES, max_size=3)
MAGIC = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff\xe0",
    "image/gif": b"GIF89a",
    "application/pdf": b"%PDF-1.7\n",
}
"""How files of these kinds begin; what begins otherwise would be taken for something else."""


def _data(mime: str) -> st.SearchStrategy[str]:
    contents = st.binary(max_size=12)
    return contents.map(lambda data: base64.b64encode(MAGIC[mime] + data).decode())


IMAGES = st.sampled_from(("image/png", "image/jpeg", "image/gif")).flatmap(
    lambda mime: st.builds(Image, st.just(mime), _data(mime))
)
FILES = st.builds(File, st.just("application/pdf"), _data("application/pdf"))


@st.composite
def talks(draw: st.DrawFn, *, files: bool = True, images: bool = True) -> Talk:
    """A conversation that ends with the user, in which every call has its result."""
    talk, number = Talk(draw(st.one_of(st.just(""), TEXTS))), 0
    pieces = TEXTS
    kinds: list[st.SearchStrategy[Any]] = [pieces, *([IMAGES] * images), *([FILES] * files)]
    for position in range(draw(st.integers(1, 4))):
        user = Turn("user")
        if position and talk.turns[-1].calls:
            user.results = [Result(call.number, draw(TEXTS)) for call in talk.turns[-1].calls]
        least = 0 if user.results else 1
        for piece in draw(st.lists(st.one_of(kinds), min_size=least, max_size=3)):
            user.say(piece)
        talk.turns.append(user)
        answer = Turn("assistant")
        for _ in range(draw(st.integers(0, 2))):
            answer.calls.append(Call(number, draw(NAMES), canonical(draw(ARGUMENTS))))
            number += 1
        if not answer.calls or draw(st.booleans()):
            answer.say(draw(TEXTS))
        talk.turns.append(answer)
    if talk.turns[-1].calls:
        results = [Result(call.number, draw(TEXTS)) for call in talk.turns[-1].calls]
        talk.turns.append(Turn("user", results=results))
    else:
        talk.turns.append(Turn("user", said=[draw(TEXTS)]))
    return talk
