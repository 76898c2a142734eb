"""The request for speech: what callers may ask for, and how providers are asked."""

from typing import Any

import orjson
import pytest

from proxy.dialects.asking import Target
from proxy.dialects.speech.request import decode_request, encode_request, voice_name
from proxy.errors import GatewayError
from proxy.providers import Provider, Quirks
from proxy.wire.request import Ask


def asked(**more: Any) -> Ask:
    return decode_request(orjson.dumps({"model": "a/tts", "input": "Hello", **more}))


PLAIN = Quirks()


def sent(ask: Ask, quirks: Quirks = PLAIN, model: str = "tts-1") -> dict[str, Any]:
    provider = Provider(slug="acme", name="Acme", base_url="http://a", quirks=quirks)
    encoded = encode_request(ask, Target(provider, model))
    assert encoded.headers == {"Accept": "*/*"}
    return dict(orjson.loads(encoded.body))


def test_what_is_asked_for() -> None:
    ask = asked(voice="alloy", instructions="Calmly.", session_id="s")
    assert (ask.models, ask.task, ask.stream, ask.session_id) == (("a/tts",), "speech", True, "s")
    assert ask.body["response_format"] == "pcm"
    assert ask.text_bytes == len("HelloCalmly.")
    assert ask.most is not None
    assert ask.likely is not None
    assert ask.most.characters == ask.likely.characters == 5
    assert ask.most.prompt_tokens >= ask.text_bytes
    assert ask.likely.completion_audio_tokens == ask.likely.completion_tokens == 8


def test_who_asks_is_told_of_the_routing() -> None:
    body = orjson.dumps({"model": "a/tts", "input": "Hello"})
    assert not decode_request(body).told
    assert decode_request(body, [(b"x-openrouter-metadata", b"enabled")]).told


def test_characters_are_counted_not_bytes() -> None:
    ask = asked(input="Wehr über Fluß 水")
    assert ask.most is not None
    assert ask.most.characters == 16


def test_who_speaks_slowly_speaks_longer() -> None:
    slow, usual, fast = asked(speed=0.5).most, asked().most, asked(speed=2).most
    assert slow is not None
    assert usual is not None
    assert slow.completion_tokens > usual.completion_tokens
    assert fast == usual


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"input": ""}, "input: required"),
        ({"input": None}, "input: required"),
        ({"input": 1}, "input: expected"),
        ({"input": [{"text": "Hi", "voice": "a"}]}, "input: turns"),
        ({"speed": 0}, "speed: must be between"),
        ({"speed": 11}, "speed: must be between"),
        ({"response_format": "midi"}, "response_format: none of the values"),
        ({"stream_format": "ws"}, "stream_format: none of the values"),
        ({"voice": 1}, "voice: expected"),
        ({"model": None}, "No models"),
    ],
)
def test_what_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(GatewayError, match=said):
        asked(**fields)


def test_openai_is_asked_in_its_own_words() -> None:
    more = {"voice": {"id": "voice_1"}, "speed": 1.5, "response_format": "mp3", "odd": [1]}
    assert sent(asked(**more, stream_format="sse")) == {
        "model": "tts-1", "input": "Hello", **more,
    }  # fmt: skip


def test_who_tells_tokens_is_asked_for_events() -> None:
    quirks = Quirks(speech_events="gpt-")
    assert "stream_format" not in sent(asked(stream_format="audio"), quirks)
    assert sent(asked(), quirks, "gpt-4o-mini-tts")["stream_format"] == "sse"


def test_formats_are_called_differently() -> None:
    own = {"response_format": "raw", "sample_rate": 24_000}
    quirks = Quirks(speech_formats={"pcm": own, "mp3": {"response_format": "mp3"}})
    assert sent(asked(), quirks).items() >= own.items()
    assert sent(asked(response_format="mp3"), quirks)["response_format"] == "mp3"
    with pytest.raises(GatewayError, match="a wish for wav") as refused:
        sent(asked(response_format="wav"), quirks)
    assert refused.value.kind == "provider_unfit"
    wav = Quirks(speech_formats={"wav": {"response_format": "wav"}})
    assert sent(asked(), wav)["response_format"] == "wav"
    with pytest.raises(GatewayError, match="a wish for pcm"):
        sent(asked(), Quirks(speech_formats={"mp3": {}}))


SAMPLE = {"type": "input_audio", "input_audio": {"data": "data:audio/wav;base64,UklG"}}


def test_a_voice_by_name_and_by_example() -> None:
    quirks = Quirks(speech_voice="voice_id", speech_sample="ref_audio")
    body = sent(asked(voice={"id": "v"}), quirks)
    assert body["voice_id"] == "v"
    assert "voice" not in body
    bare = {"type": "input_audio", "input_audio": {"data": "UklG"}}
    text = {"type": "text", "text": "Said there"}
    for sample in (SAMPLE, bare):
        body = sent(asked(input_references=[text, sample]), quirks)
        assert body["ref_audio"] == "UklG"
        assert "input_references" not in body
    with pytest.raises(GatewayError, match="a voice by example"):
        sent(asked(input_references=[SAMPLE]))
    assert "input_references" not in sent(asked(input_references=[]))


def test_options_can_not_change_what_was_asked() -> None:
    options = {"acme": {"model": "dear", "input": "x" * 99, "pitch": 2}}
    body = sent(asked(provider={"options": options}))
    assert body == {"model": "tts-1", "input": "Hello", "response_format": "pcm", "pitch": 2}


def test_names_of_voices() -> None:
    assert voice_name("alloy") == "alloy"
    assert voice_name({"id": "v"}) == "v"
    assert voice_name(None) is voice_name({}) is None
