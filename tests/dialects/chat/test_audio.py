"""Sound through a chat in OpenAI's words: heard, spoken, and remembered by its id."""

import base64
import json
from typing import Any

import pytest

from proxy.dialects.asking import Target
from proxy.dialects.chat.events import decode_answer, decoder
from proxy.dialects.chat.request import decode_request, encode_request
from proxy.dialects.chat.stream import Encoder, encode_answer
from proxy.providers import Quirks, known
from proxy.wire.events import Audio, Event, UsageReport
from proxy.wire.request import Head
from tests.accepted.responses import chat_accepts
from tests.plain import ASK, BILL
from tests.recordings import Recording, index, load

pytestmark = pytest.mark.wire

Json = dict[str, Any]

OPENAI = Target(known()["openai"], "gpt-audio")
HEAD = Head(id="gen-1-test", created=1, model="test/model", provider="Test")


def recorded(kind: str) -> list[Recording]:
    """OpenAI's recorded chats in which `kind` was asked for."""
    rows = (row for row in index() if row["api"] == "chat" and row["provider"] == "openai")
    return [one for one in map(load, rows) if f'"{kind}"' in json.dumps(one.request.get("body"))]


def sent(body: Json) -> Json:
    ask = decode_request(json.dumps(body).encode())
    encoded: Json = json.loads(encode_request(ask, OPENAI).body)
    chat_accepts(encoded)
    return encoded


@pytest.mark.parametrize("kind", ["input_audio", "modalities"])
def test_recorded_requests_with_sound_go_as_they_were(kind: str) -> None:
    found = recorded(kind)
    assert len(found) >= 5
    for recording in found:
        asked = recording.request["body"]
        made = sent(asked)
        for name in ("modalities", "audio"):
            assert made.get(name) == asked.get(name)
        if recording.status == 200:
            assert made["messages"] == asked["messages"]


def test_sound_is_counted_apart_from_what_is_seen() -> None:
    for recording in recorded("input_audio"):
        ask = decode_request(json.dumps(recording.request["body"]).encode())
        parts = json.dumps(recording.request["body"]).count('"type": "input_audio"')
        assert ask.audio_prompt == parts > 0


def spoken(recording: Recording) -> list[Event]:
    if recording.row["kind"] != "sse":
        return decode_answer(recording.body, Quirks())
    stream = decoder(Quirks())
    return [*stream.feed(recording.body), *stream.end()]


def answers() -> list[Recording]:
    return [one for one in recorded("modalities") if one.status == 200 and b'"audio":{' in one.body]


def test_what_was_spoken_is_heard_streamed_and_whole() -> None:
    assert {one.row["kind"] for one in answers()} == {"sse", "json"}
    for recording in answers():
        events = spoken(recording)
        pieces = [event.audio for event in events if isinstance(event, Audio)]
        message = json.loads(encode_answer(events, HEAD, ASK, BILL).body)["choices"][0]["message"]
        assert message["content"] is None
        heard = message["audio"]
        assert heard["id"].startswith("audio_")
        assert isinstance(heard["expires_at"], int)
        for name in ("transcript", "data"):
            assert heard.get(name, "") == "".join(piece.get(name) or "" for piece in pieces)
        encoder = Encoder(HEAD, ASK)
        streamed = [json.loads(data[6:]) for event in events if (data := encoder.encode(event))]
        deltas = [chunk["choices"][0]["delta"] for chunk in streamed]
        assert [delta["audio"] for delta in deltas if "audio" in delta] == pieces


def test_a_spoken_answer_is_sound() -> None:
    [whole] = [one for one in answers() if one.row["kind"] == "json"]
    events = spoken(whole)
    [audio] = [event.audio for event in events if isinstance(event, Audio)]
    assert audio["transcript"] == "Hello."
    assert base64.b64decode(audio["data"]).startswith(b"ID3")
    [usage] = [event.usage for event in events if isinstance(event, UsageReport)]
    assert (usage.completion_audio_tokens, usage.completion_tokens) == (28, 34)


def test_a_spoken_answer_is_remembered_by_its_id() -> None:
    for recording in answers():
        answer = encode_answer(spoken(recording), HEAD, ASK, BILL).body
        message = json.loads(answer)["choices"][0]["message"]
        question = {"role": "user", "content": "Again, please."}
        asked = recording.request["body"]
        made = sent(asked | {"messages": [*asked["messages"], message, question]})
        remembered = made["messages"][-2]
        assert remembered["audio"] == {"id": message["audio"]["id"]}
        assert not remembered.get("content")
