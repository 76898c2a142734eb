"""Every path that asks for an answer, in every form of its answers: what is asked, how it is read.

The readers are as plain as can be and share nothing with `proxy`. What they give is the same for
all: what was said, what it is told to have cost, and the error, before the first byte or after it.
"""

import base64
import io
import json
import wave
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import aiohttp

from tests.clients import nano
from tests.order import Listener

Json = dict[str, Any]

TEXT: Final = "How does water cross a weir?"
DOCUMENTS: Final = ["Water goes over it.", "Fish take the ladder.", "Boats take the lock."]


class Fault(NamedTuple):
    """An error as a caller reads it: the number and the word that its clients go by."""

    status: int
    type: str


class Heard(NamedTuple):
    """An answer, as far as it was told. `cost_nano` is None where none was."""

    said: str
    cost_nano: int | None = None
    fault: Fault | None = None
    finish: str = ""


class Form(NamedTuple):
    """One path in one form. `kind` is what its models put out, `dialect` what the provider speaks,
    `words` whose envelope its errors have.
    """

    path: str
    kind: str
    stream: bool
    asked: Json
    words: str = "chat"
    dialect: str = "openai"
    upload: bool = False  # a form with a file
    breaks: bool = False  # no error can be told in a stream

    def send(self, session: aiohttp.ClientSession, base_url: str, model: str, key: str) -> Any:
        """The request, to be entered."""
        url, headers = f"{base_url}{self.path}", {"Authorization": f"Bearer {key}"}
        if not self.upload:
            body = {"model": model, **self.asked}
            if self.stream:
                body["stream"] = True
            return session.post(url, json=body, headers=headers)
        data = aiohttp.FormData({"model": model, **self.asked})
        if self.stream:
            data.add_field("stream", "true")
        name, file = ("image", PIXEL) if "images" in self.path else ("file", recording())
        data.add_field(name, file, filename=f"a.{'png' if name == 'image' else 'wav'}")
        return session.post(url, data=data, headers=headers)


PIXEL: Final = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)


def recording(seconds: float = 3.0) -> bytes:
    """A WAV of so many seconds of silence."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(int(seconds * 16_000)))
    return file.getvalue()


_CHAT: Final = {"messages": [{"role": "user", "content": TEXT}]}
_MESSAGES: Final = {**_CHAT, "max_tokens": 500_000}
_RESPONSES: Final = {"input": TEXT}
_COMPLETION: Final = {"prompt": TEXT, "max_tokens": 500_000}
_IMAGE: Final = {"prompt": TEXT, "quality": "low"}
_PARTIAL: Final = _IMAGE | {"partial_images": 3}
_SPEECH: Final = {"input": TEXT, "voice": "alloy"}

FORMS: Final[Mapping[str, Form]] = {
    "messages": Form("/messages", "", True, _MESSAGES, "messages"),
    "messages-whole": Form("/messages", "", False, _MESSAGES, "messages"),
    "messages-own": Form("/messages", "", True, _MESSAGES, "messages", "anthropic"),
    "messages-own-whole": Form("/messages", "", False, _MESSAGES, "messages", "anthropic"),
    "responses": Form("/responses", "", True, _RESPONSES, "responses"),
    "responses-whole": Form("/responses", "", False, _RESPONSES, "responses"),
    "responses-own": Form("/responses", "", True, _RESPONSES, "responses", "responses"),
    "responses-own-whole": Form("/responses", "", False, _RESPONSES, "responses", "responses"),
    "completions": Form("/completions", "", True, _COMPLETION),
    "completions-whole": Form("/completions", "", False, _COMPLETION),
    "embeddings": Form("/embeddings", "embeddings", False, {"input": [TEXT, "A weir."]}),
    "rerank": Form("/rerank", "rerank", False, {"query": TEXT, "documents": DOCUMENTS}),
    "images": Form("/images", "image", True, _PARTIAL),
    "images-whole": Form("/images", "image", False, _IMAGE),
    "generations": Form("/images/generations", "image", True, _PARTIAL),
    "generations-whole": Form("/images/generations", "image", False, _IMAGE),
    "edits-whole": Form("/images/edits", "image", False, _IMAGE, upload=True),
    "speech": Form("/audio/speech", "speech", True, _SPEECH, breaks=True),
    "speech-events": Form(
        "/audio/speech", "speech", True, _SPEECH | {"stream_format": "sse"}, breaks=True
    ),
    "transcriptions": Form("/audio/transcriptions", "transcription", True, {}, upload=True),
    "transcriptions-whole": Form("/audio/transcriptions", "transcription", False, {}, upload=True),
    "count": Form("/messages/count_tokens", "", False, _CHAT, "messages", "anthropic"),
}

NAMES: Final[Mapping[str, str]] = {
    "image": "gpt-image",
    "speech": "tts",
    "speech-events": "gpt-tts",
    "transcription": "gpt-4o-transcribe",
}
"""What models of a kind, or of a form, are called where their abilities are told by the name."""


def theirs(name: str, fault: str, kind: str = "alone") -> str:
    """The provider's name for a model that is only for that form and fault."""
    known = NAMES.get(name) or NAMES.get(FORMS[name].kind) or "any"
    return f"{known}-{kind}-{name}-x-{fault}"


# Reading.


def read(form: Form, status: int, headers: Mapping[str, str], raw: bytes) -> Heard:
    """What a client of that path reads."""
    if status != 200:
        assert headers["Content-Type"] == "application/json"
        return Heard("", fault=refused(form, status, raw))
    if form.kind == "speech":
        return _speech(form, raw)
    if not form.stream:
        assert headers["Content-Type"] == "application/json"
        return _whole(form, json.loads(raw))
    assert headers["Content-Type"] == "text/event-stream"
    kind = {"messages": _messages, "responses": _responses}.get(form.words)
    return (kind or _PLAIN[form.path])(raw)


ANTHROPICS: Final = {
    "authentication": "authentication_error",
    "permission_denied": "permission_error",
    "payment_required": "billing_error",
    "not_found": "not_found_error",
    "rate_limit_exceeded": "rate_limit_error",
    "provider_overloaded": "overloaded_error",
    "timeout": "timeout_error",
    "payload_too_large": "request_too_large",
    "server": "api_error",
    "provider_unavailable": "api_error",
}
"""Anthropic's words for OpenRouter's; everything else is the request's fault."""


def refused(form: Form, status: int, raw: bytes) -> Fault:
    """The error in the envelope of the caller's format."""
    told = json.loads(raw)
    if form.words == "messages":
        return Fault(status, _anthropic(told))
    if form.words == "responses":
        assert told["error"]["message"]
        assert told["error"]["code"] == _code(status, told["error_type"])
        assert "metadata" in told
        return Fault(status, told["error_type"])
    return _openrouter(told["error"], status)


def _openrouter(error: Json, status: int | None = None) -> Fault:
    assert error["message"]
    assert status in (None, error["code"])
    return Fault(error["code"], error["metadata"]["error_type"])


def _anthropic(told: Json) -> str:
    error = told["error"]
    assert told["type"] == "error"
    assert error["message"]
    type_: str = error["error_type"]
    assert error["type"] == ANTHROPICS.get(type_, "invalid_request_error")
    return type_


def _code(status: int, type_: str) -> str:
    if type_ == "rate_limit_exceeded":
        return type_
    if type_ == "content_policy_violation":
        return "image_content_policy_violation"
    ours = ("authentication", "payment_required", "permission_denied")
    return "server_error" if status >= 500 or type_ in ours else "invalid_prompt"


def _whole(form: Form, told: Json) -> Heard:
    usage = told.get("usage") or {}
    cost_nano = nano(usage["cost"]) if usage else None
    match form:
        case Form(words="messages") if "content" in told:
            said = "".join(one.get("text", "") for one in told["content"])
            return Heard(said, cost_nano, finish=told["stop_reason"])
        case Form(words="messages"):
            return Heard(str(told["input_tokens"]))
        case Form(words="responses"):
            said = "".join(
                part["text"]
                for one in told["output"]
                if one["type"] == "message"
                for part in one["content"]
            )
            return Heard(said, cost_nano, finish=told["status"])
        case Form(path="/completions"):
            (choice,) = told["choices"]
            return Heard(choice["text"], cost_nano, finish=choice["finish_reason"])
        case Form(path="/rerank"):
            return Heard(json.dumps(told["results"]), cost_nano)
        case Form(path="/audio/transcriptions"):
            return Heard(told["text"], cost_nano)
        case _:
            return Heard(json.dumps(told["data"]), cost_nano)


def _joined(raw: bytes) -> list[Json]:
    """The events of a stream whose data may have several lines; `event` lines say their types."""
    events = []
    for frame in raw.split(b"\n\n"):
        data = b"".join(one[5:] for one in frame.split(b"\n") if one.startswith(b"data:"))
        if not data or data == b" [DONE]":
            continue
        events.append(json.loads(data))
        named = [one for one in frame.split(b"\n") if one.startswith(b"event: ")]
        assert named in ([], [b"event: " + events[-1]["type"].encode()])
    return events


def _messages(raw: bytes) -> Heard:
    events = [one for one in _joined(raw) if one["type"] != "ping"]
    said = "".join(one["delta"].get("text", "") for one in events if "delta" in one)
    last = events[-1]
    if last["type"] == "error":
        assert last["request_id"].startswith("gen-")
        return Heard(said, fault=Fault(0, _anthropic(last)))
    assert last["type"] == "message_stop"
    end = next(one for one in reversed(events) if one["type"] == "message_delta")
    return Heard(said, nano(end["usage"]["cost"]), finish=end["delta"]["stop_reason"])


def _responses(raw: bytes) -> Heard:
    assert raw.endswith(b"data: [DONE]\n\n")
    listener = Listener()
    said = ""
    for event in _joined(raw):
        listener.hear(event)
        if event["type"] == "response.output_text.delta":
            said += event["delta"]
    last = listener.last
    assert last is not None
    if last["status"] == "failed":
        assert last["error"]["message"]
        return Heard(said, fault=Fault(0, last["error_type"]))
    cost_nano = nano(last["usage"]["cost"]) if last["usage"] else None
    return Heard(said, cost_nano, finish=last["status"])


def _events(raw: bytes, *, done: bool) -> list[Json]:
    frames = [one for one in raw.split(b"\n\n") if one and not one.startswith(b":")]
    if done:
        assert frames.pop() == b"data: [DONE]"
    return [json.loads(one.removeprefix(b"data: ")) for one in frames]


def _completion(raw: bytes) -> Heard:
    events = _events(raw, done=True)
    said = "".join(one["text"] for event in events for one in event["choices"])
    if "error" in events[-1]:
        assert events[-1]["choices"][0]["finish_reason"] == "error"
        return Heard(said, fault=_openrouter(events[-1]["error"]))
    usage, (choice,) = events[-1]["usage"], events[-1]["choices"]
    return Heard(said, nano(usage["cost"]), finish=choice["finish_reason"])


def _images(raw: bytes) -> Heard:
    *pieces, last = _events(raw, done=True)
    said = "".join(one["b64_json"] for one in pieces)
    if last["type"] == "error":
        error = last["error"]
        return Heard(said, fault=Fault(error["status"], error["type"]))
    assert last["type"].endswith(".completed")
    return Heard(said + last["b64_json"], nano(last["usage"]["cost"]))


def _transcript(raw: bytes) -> Heard:
    *pieces, last = _events(raw, done=False)
    said = "".join(one["delta"] for one in pieces)
    if last["type"] == "error":
        return Heard(said, fault=_openrouter(last["error"]))
    assert (last["type"], last["text"]) == ("transcript.text.done", said)
    return Heard(said, nano(last["usage"]["cost"]))


_PLAIN: Final = {
    "/completions": _completion,
    "/images": _images,
    "/images/generations": _images,
    "/audio/transcriptions": _transcript,
}


def _speech(form: Form, raw: bytes) -> Heard:
    """Bytes tell no cost; events do."""
    if "stream_format" not in form.asked:
        return Heard(raw.hex())
    events = _events(raw, done=False)
    said = b"".join(base64.b64decode(one.get("audio", "")) for one in events).hex()
    if not events or events[-1]["type"] != "speech.audio.done":
        return Heard(said)
    return Heard(said, nano(events[-1]["usage"]["cost"]), finish="done")
