"""Sounds and pictures in OpenAI's chat, whole and streamed."""

from base64 import b64decode
from typing import Any

import pytest

from proxy.upstream.fake.ask import Refused
from proxy.upstream.fake.media import tone
from proxy.upstream.fake.scenario import Answer, Rule
from tests.upstream.fake.tasking import ask_of, lines, post, whole

PATH = "/v1/chat/completions"
BODY = {"model": "m", "messages": [{"role": "user", "content": "a weir"}]}
SPOKEN = {"modalities": ["text", "audio"], "audio": {"voice": "x", "format": "pcm16"}}
DRAWN = {"modalities": ["image", "text"]}
STREAM = {"stream": True, "stream_options": {"include_usage": True}}
TWO = Answer(tokens=2)


def deltas(request: Any, name: str) -> list[Any]:
    choices = (choice for chunk in lines(request, answer=TWO) for choice in chunk["choices"])
    return [choice["delta"][name] for choice in choices if name in choice["delta"]]


def test_a_spoken_answer() -> None:
    said = whole(post(PATH, BODY | SPOKEN), answer=TWO)
    message = said["choices"][0]["message"]
    assert message["content"] is None
    assert message["audio"]["transcript"] == "Water meets"
    assert b64decode(message["audio"]["data"]) == tone() * 2
    assert said["usage"]["completion_tokens"] == 14
    assert said["usage"]["completion_tokens_details"]["audio_tokens"] == 12
    streamed = post(PATH, BODY | SPOKEN | STREAM)
    pieces = deltas(streamed, "audio")
    for key in ("transcript", "id"):
        assert message["audio"][key] in "".join(piece.get(key, "") for piece in pieces)
    data = b"".join(b64decode(piece.get("data", "")) for piece in pieces)
    assert data == tone() * 2
    assert pieces[-1]["expires_at"] == message["audio"]["expires_at"]
    assert lines(streamed, answer=TWO)[-1]["usage"] == said["usage"]


def test_formats() -> None:
    audio = {"audio": {"voice": "x", "format": "wav"}}
    said = whole(post(PATH, BODY | SPOKEN | audio), answer=TWO)
    data = b64decode(said["choices"][0]["message"]["audio"]["data"])
    assert data.startswith(b"RIFF")


def test_a_picture_beside_the_text() -> None:
    said = whole(post(PATH, BODY | DRAWN), answer=TWO)
    message = said["choices"][0]["message"]
    assert message["content"] == "Water meets"
    (picture,) = message["images"]
    data = picture["image_url"]["url"].removeprefix("data:image/png;base64,")
    assert b64decode(data).startswith(b"\x89PNG")
    assert said["usage"]["completion_tokens"] == 1292
    assert said["usage"]["completion_tokens_details"]["image_tokens"] == 1290
    assert deltas(post(PATH, BODY | DRAWN | STREAM), "images") == [message["images"]]
    mute = whole(post(PATH, BODY | DRAWN), Rule(fault="no-content"))
    assert "images" not in mute["choices"][0]["message"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"audio": {}}, "Missing required parameter: 'audio'"),
        ({"audio": {"voice": "x", "format": "mp3"}, "stream": True}, "does not support 'mp3'"),
    ],
)
def test_what_is_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused, match=message):
        ask_of(post(PATH, BODY | SPOKEN | more))
