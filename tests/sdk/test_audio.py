"""Speech and transcriptions by the official SDKs: through a gateway, before providers, and charged.

The sound that a provider sends is known, so that bytes can be compared; what is charged is read in
the store, whose books must agree.
"""

import asyncio
import base64
import contextlib
import io
import json
import wave
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import openai
import pytest
from openrouter import errors

from proxy.stores.sql import SqlStore
from proxy.upstream.fake import Fake, Rule, Scenario
from proxy.upstream.fake.media import RATE_HZ, sounds, tone
from proxy.wire.record import Generation
from tests.running import SERVERS, Running, config_text, eventually, mint_key, provider, weir
from tests.sdk.test_openai import options
from tests.sdk.test_openrouter import open_client

pytestmark = pytest.mark.sdk

TEXT = "How does water cross a weir?"
WORDS = len(TEXT.split())
CHARACTER_NANO = 10_000
SECOND_NANO = 100_000
PROMPT_NANO = 1_000_000_000
SCENARIO = Scenario(
    rules=(
        Rule(model="slow", first_token_s=0, tokens_per_s=4),
        Rule(model="limited", fault="rate-limit"),
        Rule(model="cut", fault="cut", events=2, first_token_s=0, tokens_per_s=20),
        Rule(model="mute", fault="empty"),
        Rule(model="*", tokens=6),
    )
)
ROW: Final = 'author = "test"\n'
QUIRKS: Final = '[providers.quirks]\nspeech_events = "gpt-"\n'
MODELS = ("say", "gpt-4o-mini-tts", "slow", "limited", "cut", "mute", "rescued")
HEARERS = ("whisper-1", "gpt-4o-transcribe", "limited-whisper", "rescued-whisper")
SPOKEN = '{ prompt = "0", completion = "0", character = "0.00001" }'
BY_TOKENS = '{ prompt = "0.0000006", completion = "0", audio_output = "0.000012" }'
HEARD = '{ prompt = "0", completion = "0", audio_second = "0.0001" }'
HEARD_TOKENS = '{ prompt = "0.0000025", completion = "0.00001", audio = "0.000006" }'


def _model(name: str, kind: str, pricing: str, *theirs: str) -> str:
    """Endpoints after the first also charge for the prompt, so that they are asked later."""
    dearer = pricing.replace('prompt = "0"', f'prompt = "{PROMPT_NANO / 1e9}"')
    rows = "".join(
        f'[[models.endpoints]]\nprovider = "p{number}"\nmodel = "{one}"\n'
        f"pricing = {dearer if number else pricing}\n"
        for number, one in enumerate(theirs or (name,))
    )
    return f'[[models]]\nid = "test/{name}"\noutput_modalities = ["{kind}"]\n{rows}\n'


def _config(folder: Path, *urls: str) -> str:
    models = "".join(
        _model(name, "speech", BY_TOKENS if name.startswith("gpt") else SPOKEN)
        for name in MODELS[:-1]
    )
    models += _model("rescued", "speech", SPOKEN, "limited", "say")
    models += _model("whisper-1", "transcription", HEARD)
    models += _model("gpt-4o-transcribe", "transcription", HEARD_TOKENS)
    models += _model("limited-whisper", "transcription", HEARD, "limited")
    models += _model("rescued-whisper", "transcription", HEARD, "limited", "whisper-1")
    text = config_text(folder, *urls, more=models)
    return text.replace(ROW, f"{ROW}cancel_stops_billing = true\n{QUIRKS}")


class World(NamedTuple):
    """A gateway before two providers, the store of its books, and keys beside the gateway's own."""

    gateway: Running
    fakes: tuple[Fake, Fake]
    store: Path
    poor: str  # a key whose account has nothing
    limited: str  # one that may ask once a minute

    async def row(self, id: str) -> Generation:
        """The row of a generation, once it is kept; the books agree."""
        store = SqlStore.open(f"sqlite:///{self.store}")
        try:
            await eventually(lambda: store.generation(id, key_hash=None) is not None)
            row = store.generation(id, key_hash=None)
            assert row is not None
            assert store.ledger.verify().differences == ()
            return row
        finally:
            store.close()


@pytest.fixture
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    server = getattr(request, "param", "weir")
    path = tmp_path / "weir.db"
    limited = mint_key(path, "limited", requests_per_minute=1)
    store = SqlStore.open(f"sqlite:///{path}")
    store.ledger.create_account("poor", 0)
    store.close()
    poor = mint_key(path, "poor", usd=0, account="poor")
    async with contextlib.AsyncExitStack() as stack:
        one, url = await stack.enter_async_context(provider(SCENARIO))
        two, other = await stack.enter_async_context(provider(SCENARIO))
        text = _config(tmp_path, url, other)
        running = await stack.enter_async_context(weir(tmp_path, text, server))
        yield World(running, (one, two), path, poor, limited)


@pytest.fixture
async def client(world: World) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(**options(world.gateway.base_url, world.gateway.key)) as client:
        yield client


def recording(seconds: float = 3.0) -> bytes:
    """A WAV of so many seconds of silence."""
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(int(seconds * 16_000)))
    return file.getvalue()


def said(model: str, **more: Any) -> dict[str, Any]:
    return {"model": f"test/{model}", "voice": "alloy", "input": TEXT, **more}


# Speech.

TYPES = {"pcm": "audio/pcm", "wav": "audio/wav", "mp3": "audio/mpeg", "opus": "audio/opus"}


@pytest.mark.parametrize("wish", [None, *TYPES])
async def test_speech(client: openai.AsyncOpenAI, world: World, wish: Any) -> None:
    more = {} if wish is None else {"response_format": wish}
    answer = await client.audio.speech.with_raw_response.create(**said("say", **more))
    assert answer.content == b"".join(sounds(WORDS, wish or "pcm"))
    assert answer.headers["content-type"] == TYPES[wish or "pcm"]
    row = await world.row(answer.headers["x-generation-id"])
    assert row.cost_nano == len(TEXT) * CHARACTER_NANO
    assert (row.status, row.streamed, row.provider) == (200, True, "p0")
    assert (row.task, row.characters) == ("speech", len(TEXT))


async def test_speech_as_it_comes(client: openai.AsyncOpenAI) -> None:
    async with client.audio.speech.with_streaming_response.create(**said("slow")) as answer:
        pieces = answer.iter_bytes()
        first = await anext(pieces)
        rest = b"".join([piece async for piece in pieces])
    assert first
    assert rest
    assert first + rest == b"".join(sounds(WORDS, "pcm"))


@pytest.mark.parametrize("world", SERVERS, indirect=True)
async def test_other_clients(world: World) -> None:
    whole = b"".join(sounds(WORDS, "mp3"))

    def synchronous() -> None:
        with openai.OpenAI(**options(world.gateway.base_url, world.gateway.key)) as client:
            wanted = said("say", response_format="mp3")
            assert client.audio.speech.create(**wanted).content == whole
            heard = client.audio.transcriptions.create(
                model="test/whisper-1", file=("a.wav", recording())
            )
            assert heard.text

    await asyncio.to_thread(synchronous)
    async with open_client(world.gateway.base_url, world.gateway.key) as client:
        answer = await client.tts.create_speech_async(
            model="test/say", input=TEXT, voice="alloy", response_format="mp3"
        )
        assert await answer.aread() == whole


async def test_tokens_of_speech_are_the_providers(client: openai.AsyncOpenAI, world: World) -> None:
    """A model that tells them is asked for events, whatever its caller asked for."""
    answer = await client.audio.speech.with_raw_response.create(**said("gpt-4o-mini-tts"))
    assert answer.content == b"".join(sounds(WORDS, "pcm"))
    row = await world.row(answer.headers["x-generation-id"])
    assert not row.usage_estimated
    assert (row.prompt_tokens, row.completion_tokens) == (WORDS, WORDS * 5)
    assert row.cost_nano == WORDS * 600 + WORDS * 5 * 12_000


async def test_speech_as_events(client: openai.AsyncOpenAI) -> None:
    answer = await client.audio.speech.create(**said("gpt-4o-mini-tts", stream_format="sse"))
    *deltas, done = [json.loads(line[6:]) for line in answer.text.split("\n\n") if line]
    pieces = [base64.b64decode(delta["audio"]) for delta in deltas]
    assert b"".join(pieces) == b"".join(sounds(WORDS, "pcm"))
    assert done["type"] == "speech.audio.done"
    assert done["usage"]["output_tokens"] == WORDS * 5
    assert done["usage"]["cost"] > 0


async def test_speech_refused(client: openai.AsyncOpenAI, world: World) -> None:
    """An error before the first byte is one like all others."""
    with pytest.raises(openai.RateLimitError) as refused:
        await client.audio.speech.create(**said("limited"))
    assert refused.value.response.headers["content-type"] == "application/json"
    with pytest.raises(openai.InternalServerError):
        await client.audio.speech.create(**said("mute"))
    with pytest.raises(openai.BadRequestError, match="input"):
        await client.audio.speech.create(model="test/say", voice="alloy", input="")
    with pytest.raises(openai.BadRequestError, match="whisper-1"):
        await client.audio.speech.create(**said("whisper-1"))
    row = await world.row(refused.value.response.headers["x-generation-id"])
    assert row.cost_nano == 0


async def test_speech_by_the_next_endpoint(client: openai.AsyncOpenAI, world: World) -> None:
    answer = await client.audio.speech.with_raw_response.create(**said("rescued"))
    assert answer.content == b"".join(sounds(WORDS, "pcm"))
    row = await world.row(answer.headers["x-generation-id"])
    assert (row.provider, len(row.attempts), row.usage_estimated) == ("p1", 2, True)
    assert row.cost_nano == len(TEXT) * CHARACTER_NANO + row.prompt_tokens * PROMPT_NANO


@pytest.mark.parametrize("world", SERVERS, indirect=True)
async def test_speech_that_breaks_off(client: openai.AsyncOpenAI, world: World) -> None:
    """The caller sees that it is not whole, and pays nothing."""
    async with client.audio.speech.with_streaming_response.create(**said("cut")) as answer:
        assert answer.status_code == 200
        id_ = answer.headers["x-generation-id"]
        with pytest.raises(Exception, match="peer closed connection"):
            await answer.read()
    row = await world.row(id_)
    assert (row.error, row.cost_nano) == ("provider_cut", 0)


async def test_speech_hung_up_on(client: openai.AsyncOpenAI, world: World) -> None:
    """The provider is told at once, and the text is charged, which it was given whole."""
    async with client.audio.speech.with_streaming_response.create(**said("slow")) as answer:
        assert await anext(answer.iter_bytes())
        id_ = answer.headers["x-generation-id"]
    await eventually(lambda: world.fakes[0].disconnects == 1)
    row = await world.row(id_)
    assert row.cancelled
    assert row.cost_nano == len(TEXT) * CHARACTER_NANO


# Transcriptions.


def heard(model: str, seconds: float = 3.0, **more: Any) -> dict[str, Any]:
    return {"model": f"test/{model}", "file": ("talk.wav", recording(seconds)), **more}


async def test_transcription(client: openai.AsyncOpenAI, world: World) -> None:
    answer = await client.audio.transcriptions.with_raw_response.create(**heard("whisper-1"))
    transcript = answer.parse()
    assert transcript.text
    assert transcript.usage.type == "duration"
    assert transcript.usage.seconds == 3
    row = await world.row(answer.headers["x-generation-id"])
    assert row.cost_nano == 3 * SECOND_NANO
    assert (row.task, row.audio_ms) == ("transcription", 3000)
    assert transcript.usage.model_extra["cost"] == pytest.approx(row.cost_nano / 1e9)


async def test_tokens_of_a_transcription(client: openai.AsyncOpenAI, world: World) -> None:
    answer = await client.audio.transcriptions.with_raw_response.create(
        **heard("gpt-4o-transcribe", prompt="Weirs and locks", language="en", temperature=0.5)
    )
    usage = answer.parse().usage
    assert usage.type == "tokens"
    assert usage.input_token_details.audio_tokens == 30
    row = await world.row(answer.headers["x-generation-id"])
    assert (row.prompt_tokens, row.completion_tokens) == (usage.input_tokens, usage.output_tokens)
    text = usage.input_tokens - 30
    assert row.cost_nano == 30 * 6000 + text * 2500 + usage.output_tokens * 10_000


async def test_a_verbose_transcription(client: openai.AsyncOpenAI) -> None:
    transcript = await client.audio.transcriptions.create(
        **heard("whisper-1", response_format="verbose_json"),
        timestamp_granularities=["word", "segment"],
    )
    assert transcript.duration == 3
    assert transcript.words
    assert [segment.id for segment in transcript.segments or ()] == [0]


async def test_subtitles(client: openai.AsyncOpenAI) -> None:
    plain = await client.audio.transcriptions.create(**heard("whisper-1", response_format="text"))
    lines = await client.audio.transcriptions.create(**heard("whisper-1", response_format="srt"))
    assert lines == f"1\n00:00:00,000 --> 00:00:03,000\n{str(plain).strip()}\n"
    lines = await client.audio.transcriptions.create(**heard("whisper-1", response_format="vtt"))
    assert str(lines).startswith("WEBVTT\n\n00:00:00.000 --> 00:00:03.000\n")


@pytest.mark.parametrize("model", ["gpt-4o-transcribe", "whisper-1"])
async def test_a_transcription_as_it_is_heard(client: openai.AsyncOpenAI, model: str) -> None:
    """Whisper does not stream; its caller gets the whole text as one piece."""
    events = [
        event
        async for event in await client.audio.transcriptions.create(**heard(model), stream=True)
    ]
    *deltas, done = events
    assert done.type == "transcript.text.done"
    assert "".join(delta.delta for delta in deltas) == done.text
    assert done.usage is not None


async def test_json_with_base64(world: World) -> None:
    data = base64.b64encode(recording()).decode()
    async with open_client(world.gateway.base_url, world.gateway.key) as client:
        transcript = await client.stt.create_transcription_async(
            model="test/whisper-1",
            input_audio={"data": data, "format": "wav"},
            response_format="verbose_json",
        )
        assert transcript.text
        assert transcript.usage
        assert transcript.usage.seconds == 3
        assert transcript.usage.cost == pytest.approx(0.0003)
        transcript = await client.stt.create_transcription_multipart_async(
            model="test/whisper-1",
            file={"file_name": "talk.wav", "content": recording(), "content_type": "audio/wav"},
            timestamp_granularities=["segment"],
        )
        assert transcript.text


async def test_transcriptions_refused(client: openai.AsyncOpenAI, world: World) -> None:
    with pytest.raises(openai.RateLimitError):
        await client.audio.transcriptions.create(**heard("limited-whisper"))
    with pytest.raises(openai.BadRequestError, match="file: required"):
        await client.audio.transcriptions.create(model="test/whisper-1", file=("a.wav", b""))
    large = ("a.wav", bytes(25 * 1024 * 1024 + 1))
    with pytest.raises(openai.APIStatusError, match="file: larger") as refused:
        await client.audio.transcriptions.create(model="test/whisper-1", file=large)
    assert refused.value.status_code == 413
    answer = await client.audio.transcriptions.with_raw_response.create(**heard("rescued-whisper"))
    row = await world.row(answer.headers["x-generation-id"])
    assert (row.provider, row.cost_nano) == ("p1", 3 * SECOND_NANO)


# Both.


async def test_credit(world: World) -> None:
    async with openai.AsyncOpenAI(**options(world.gateway.base_url, world.poor)) as client:
        with pytest.raises(openai.APIStatusError, match="Insufficient credits") as refused:
            await client.audio.speech.create(**said("say"))
        assert refused.value.status_code == 402
        with pytest.raises(openai.APIStatusError, match="Insufficient credits") as refused:
            await client.audio.transcriptions.create(**heard("whisper-1"))
        assert refused.value.status_code == 402


async def test_limits(world: World) -> None:
    async with openai.AsyncOpenAI(**options(world.gateway.base_url, world.limited)) as client:
        await client.audio.speech.create(**said("say"))
        with pytest.raises(openai.RateLimitError):
            await client.audio.transcriptions.create(**heard("whisper-1"))
    async with open_client(world.gateway.base_url, world.limited) as strict:
        with pytest.raises(errors.TooManyRequestsResponseError):
            await strict.tts.create_speech_async(model="test/say", input=TEXT)


# What providers do wrong.

WRONG = (
    "cut-head", "bad-key", "unknown-model", "too-long", "gateway-page", "html", "html-disguised",
    "redirect", "empty", "error-200", "wrong-json", "done-only", "error-first", "gzip",
)  # fmt: skip
BROKEN = ("truncated", "early-end", "no-done", "error-event", "bad-json", "bad-utf8", "binary")
"""The same, once a stream of events has begun."""
ODD = (
    "other-form",
    "usage-missing",
    "usage-twice",
    "one-byte",
    "slices",
    "crlf",
    "bom",
    "comments",
)


def _rules(*prefixes: str) -> Iterator[Rule]:
    for fault in (*WRONG, *BROKEN, *ODD):
        for prefix in prefixes:
            yield Rule(model=f"{prefix}-{fault}", fault=fault, events=2, tokens_per_s=1000)


async def _hear_speech(client: openai.AsyncOpenAI, model: str, fault: str) -> None:
    asked = client.audio.speech.create(**said(f"{model}-{fault}"))
    if fault in WRONG or fault in BROKEN:
        with pytest.raises(Exception, match=r"Error code|peer closed|Connection error"):
            await asked
    else:
        assert (await asked).content == b"".join(sounds(WORDS, "pcm"))


async def _read_text(client: openai.AsyncOpenAI, fault: str) -> None:
    hearing = client.audio.transcriptions.create(**heard(f"stt-{fault}"))
    if fault == "done-only":
        assert (await hearing).text == ""  # as after silence, for which nobody pays
    elif fault in ODD:
        assert (await hearing).text.startswith("Water")
    else:
        with pytest.raises(openai.APIStatusError):
            await hearing


async def test_faults(tmp_path: Path) -> None:
    """None is taken for a whole answer; what is only odd is one."""
    models = "".join(
        _model(f"raw-{fault}", "speech", SPOKEN)
        + _model(f"gpt-{fault}", "speech", BY_TOKENS)
        + _model(f"stt-{fault}", "transcription", HEARD)
        for fault in (*WRONG, *BROKEN, *ODD)
    )
    async with provider(Scenario(rules=tuple(_rules("raw", "gpt", "stt")))) as (_, url):
        text = config_text(tmp_path, url, more=models)
        async with (
            weir(tmp_path, text.replace(ROW, ROW + QUIRKS)) as running,
            openai.AsyncOpenAI(**options(running.base_url, running.key)) as client,
        ):
            for fault in (*WRONG, *ODD):  # in bytes alone nobody finds what is broken
                await _hear_speech(client, "raw", fault)
            for fault in (*WRONG, *BROKEN, *ODD):
                await _hear_speech(client, "gpt", fault)
                if fault != "no-done":  # it has no end mark
                    await _read_text(client, fault)


# Gemini, whose speech is a conversation.


@pytest.mark.parametrize("wish", ["pcm", "wav"])
async def test_speech_by_gemini(tmp_path: Path, wish: Literal["pcm", "wav"]) -> None:
    async with provider(SCENARIO) as (_, url):
        text = config_text(tmp_path, url.removesuffix("/v1"))
        text = text.replace(ROW, f'{ROW}dialect = "gemini"\n')
        text += _model("gemini-tts", "speech", BY_TOKENS)
        async with (
            weir(tmp_path, text) as running,
            openai.AsyncOpenAI(**options(running.base_url, running.key)) as client,
        ):
            wanted = said("gemini-tts", response_format=wish, instructions="Say it slowly:")
            answer = await client.audio.speech.with_raw_response.create(**wanted)
            with pytest.raises(openai.BadRequestError, match="mp3"):
                await client.audio.speech.create(**said("gemini-tts", response_format="mp3"))
    heard = answer.content
    if wish == "wav":
        with wave.open(io.BytesIO(heard)) as sound:
            assert sound.getframerate() == RATE_HZ
        heard = heard[44:]
    assert heard
    assert set(zip(*[iter(heard)] * len(tone()), strict=True)) == {tuple(tone())}
