"""Messages as Gemini's contents: turns of the user and of the model, made of parts.

What would be answered with a 400 is mended: results stand in one turn, in the order of their calls
and right behind them, a missing one says so, one without its call is text; nothing is empty.
"""

from collections import deque
from typing import Any, Final

import orjson

from proxy.dialects.asking import Target, inexpressible
from proxy.dialects.gemini.family import Family
from proxy.dialects.gemini.replay import MADE_UP, ON_END, ON_IMAGE, ON_TEXT, Part, Replay, signed
from proxy.dialects.gemini.tools import function_name
from proxy.dialects.parts import Media, arguments_of, media_of, parts_of, text_in
from proxy.dialects.values import objects
from proxy.wire.slices import Steps, paced

UNSIGNED: Final = "skip_thought_signature_validator"
"""What Google documents for a call whose signature is not known: it came from another model."""

NO_RESULT: Final = {"error": "The call was not answered."}
_OPENING: Final = {"role": "user", "parts": [{"text": "."}]}
_MIMES = {
    "image": "image/png", "audio": "audio/mpeg", "video": "video/mp4", "file": "application/pdf",
}  # fmt: skip
_WORDS = ("text", "refusal", "thinking")  # parts that may say nothing

Content = dict[str, Any]


def encode_contents(
    messages: list[dict[str, Any]], target: Target, family: Family, *, vertex: bool
) -> Steps[tuple[list[Part], list[Content]]]:
    """The parts of the system instruction, and the contents, in steps of so many messages.

    Raises GatewayError `provider_unfit` for an attachment that Gemini can not be sent.
    """
    turns = _Turns(target, family, vertex)
    for pause, message in paced(messages):
        if pause:
            yield
        turns.add(message)
    yield
    return turns.end()


class _Turns:
    """The conversation so far. `_open` are the last calls, with their results as they come."""

    def __init__(self, target: Target, family: Family, vertex: bool) -> None:
        self._target = target
        self._family = family
        self._vertex = vertex
        self._system: list[Part] = []
        self._contents: list[Content] = []
        self._open: list[_Call] = []
        self._waiting: dict[tuple[str, str], deque[_Call]] = {}  # by id, and by name
        self._strays: list[Part] = []

    def add(self, message: dict[str, Any]) -> None:
        match message["role"]:
            case "system" | "developer":
                self._system += self._named(message, [{"text": text_in(message.get("content"))}])
            case "tool" | "function":
                self._result(message)
            case "assistant":
                self._close()
                self._answer(message)
            case _:
                self._close()
                self._say("user", self._named(message, self._parts(message.get("content"))))

    def end(self) -> tuple[list[Part], list[Content]]:
        if self._strays or any(call.result is not None for call in self._open):
            self._close()
        contents = self._contents
        if contents and any("functionCall" in part for part in contents[0]["parts"]):
            return self._system, [_OPENING, *contents]
        if not contents:  # at least one is required
            return [], [{"role": "user", "parts": self._system}] if self._system else [_OPENING]
        return self._system, contents

    def _say(self, role: str, parts: list[Part]) -> None:
        last = self._contents[-1] if self._contents else None
        if not parts:
            return
        if last is not None and last["role"] == role and not _answers(last):
            last["parts"] += parts
        else:
            self._contents.append({"role": role, "parts": parts})

    def _named(self, message: dict[str, Any], parts: list[Part]) -> list[Part]:
        """The parts without empty text; who speaks stands before the first text."""
        parts = [part for part in parts if part.get("text") != ""]
        name = message.get("name")
        text = next((part for part in parts if "text" in part), None)
        if isinstance(name, str) and name and text is not None:
            text["text"] = f"{name}: {text['text']}"
        return parts

    def _parts(self, content: object) -> list[Part]:
        parts = []
        for part in parts_of(content):
            media = media_of(part)
            if media is not None:
                parts.append(self._media(media))
            elif isinstance(part.get("text"), str):
                parts.append({"text": part["text"]})
            elif part.get("type") not in _WORDS:
                raise inexpressible(self._target.provider, "a part that can not be read")
        return parts

    def _media(self, media: Media) -> Part:
        mime = media.mime or _MIMES[media.kind]
        if media.data is not None:
            return {"inlineData": {"mimeType": mime, "data": media.data}}
        uri = media.url or media.id or ""
        if not uri.startswith(("https://", "http://", "gs://")):
            raise inexpressible(self._target.provider, "a file of another provider")
        if media.mime or self._vertex:  # AI Studio finds out by itself
            return {"fileData": {"mimeType": mime, "fileUri": uri}}
        return {"fileData": {"fileUri": uri}}

    def _answer(self, message: dict[str, Any]) -> None:
        replay = Replay(message)
        said = self._parts(message.get("content")) + self._parts(message.get("images"))
        text = "".join(part["text"] for part in said if "text" in part)
        if not text and isinstance(message.get("refusal"), str):
            text = message["refusal"]
        parts = [*replay.thoughts, *replay.server]
        signature = replay.places.get(ON_TEXT)
        if text or signature:
            parts.append(signed({"text": text}, signature))
        images = [part for part in said if "text" not in part]
        parts += (signed(p, replay.places.get(ON_IMAGE + n)) for n, p in enumerate(images))
        parts += self._calls(message, replay)
        if signature := replay.places.get(ON_END):
            parts.append(signed({"text": ""}, signature))
        self._say("model", parts)

    def _calls(self, message: dict[str, Any], replay: Replay) -> list[Part]:
        calls = objects(message.get("tool_calls"))
        if isinstance(legacy := message.get("function_call"), dict):
            calls = [*calls, {"function": legacy}]
        parts = []
        for said in calls:
            call = _Call(said)
            if call.name:
                self._open.append(call)
                for key in (("id", call.id), ("name", call.name)):
                    self._waiting.setdefault(key, deque()).append(call)
                parts.append(signed(self._call_part(call), replay.calls.get(call.id)))
        if parts and self._family.names_calls:
            parts[0].setdefault("thoughtSignature", UNSIGNED)
        return parts

    def _call_part(self, call: "_Call") -> Part:
        said = {"name": function_name(call.name), "args": call.arguments}
        return {"functionCall": self._own_id(call) | said}

    def _own_id(self, call: "_Call") -> dict[str, Any]:
        """The call's id where the model has a field for it: Vertex has none, nor have older ones,
        and one that was made up for our callers tells it nothing.
        """
        known = call.id and not call.id.startswith(MADE_UP)
        return {"id": call.id} if known and self._family.names_calls and not self._vertex else {}

    def _result(self, message: dict[str, Any]) -> None:
        id_, name = message.get("tool_call_id"), message.get("name")
        waiting = self._waiting.get(("id", str(id_)) if id_ else ("name", str(name)), deque())
        while waiting and waiting[0].result is not None:
            waiting.popleft()
        call = waiting.popleft() if waiting else None
        if call is None:
            self._strays += self._named({}, self._parts(message.get("content")))
            return
        call.result = _response(text_in(message.get("content")))
        call.media = [p for p in self._parts(message.get("content")) if "text" not in p]

    def _close(self) -> None:
        """The turn with the results of the last calls, their attachments behind them, and what
        answered no call.
        """
        parts: list[Part] = []
        for call in self._open:
            said = {"name": function_name(call.name), "response": call.result or NO_RESULT}
            parts.append({"functionResponse": self._own_id(call) | said})
        parts += (part for call in self._open for part in call.media)
        if parts:
            self._contents.append({"role": "user", "parts": parts})
        self._say("user", self._strays)
        self._open, self._strays, self._waiting = [], [], {}


class _Call:
    """A call in the history, and its result once it has come."""

    def __init__(self, said: dict[str, Any]) -> None:
        custom, function, id_ = said.get("custom"), said.get("function"), said.get("id")
        free = isinstance(custom, dict)  # a custom tool takes free text
        told = custom if isinstance(custom, dict) else function
        told = told if isinstance(told, dict) else {}
        name = told.get("name")
        self.id = id_ if isinstance(id_, str) else ""
        self.name = name if isinstance(name, str) else ""
        self.arguments = {"input": told.get("input")} if free else arguments_of(said)
        self.result: dict[str, Any] | None = None
        self.media: list[Part] = []


def _response(text: str) -> dict[str, Any]:
    """A result as the object that Gemini wants: itself if it is one, else under `output`."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = None
    return value if isinstance(value, dict) and value else {"output": text}


def _answers(content: Content) -> bool:
    """Whether a turn has results, which no other part may join; with them it begins."""
    return "functionResponse" in content["parts"][0]
