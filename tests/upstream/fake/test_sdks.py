"""What the official SDKs make of the answers beside chat."""

import asyncio
import io
import wave
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import botocore.session
import cohere
import httpx
import openai
import orjson
import pytest
from google import genai
from google.genai import types

from proxy.upstream.fake import Scenario
from tests.running import provider
from tests.upstream.fake.tasking import WAV

pytestmark = pytest.mark.sdk
PNG = b"\x89PNG"


@asynccontextmanager
async def client(
    scenario: Scenario | None = None, *, path: str = "/v1"
) -> AsyncIterator[openai.AsyncOpenAI]:
    async with provider(scenario) as (_, url):
        base_url = url.removesuffix("/v1") + path
        async with openai.AsyncOpenAI(base_url=base_url, api_key="k", max_retries=0) as opened:
            yield opened


async def test_completions_of_openai() -> None:
    async with client() as sdk:
        said = await sdk.completions.create(
            model="weir/turbo-instruct", prompt=["a b", "c"], n=2, echo=True, logprobs=1
        )
        assert [choice.index for choice in said.choices] == [0, 1, 2, 3]
        assert said.choices[1].text.startswith("a bmeets the weir")
        assert said.choices[2].text.startswith("cthe weir")
        logged = said.choices[0].logprobs
        assert logged
        assert "".join(logged.tokens or ()) == said.choices[0].text
        assert said.usage
        assert (said.usage.prompt_tokens, said.usage.completion_tokens) == (3, 64)
        stream = await sdk.completions.create(
            model="m",
            prompt="a",
            max_tokens=3,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
        text = "".join(choice.text for chunk in chunks for choice in chunk.choices)
        assert text == "Water meets the"
        assert chunks[-2].choices[0].finish_reason == "length"
        assert chunks[-1].usage
        assert chunks[-1].usage.completion_tokens == 3


@pytest.mark.parametrize("path", ["/v1", "/openai/v1"])
async def test_embeddings_of_openai(path: str) -> None:
    async with client(path=path) as sdk:
        packed = await sdk.embeddings.create(model="m", input=["a b", "c"], dimensions=8)
        plain = await sdk.embeddings.create(
            model="m", input="a b", dimensions=8, encoding_format="float"
        )
        assert [len(row.embedding) for row in packed.data] == [8, 8]
        assert packed.data[0].embedding == pytest.approx(plain.data[0].embedding)
        assert (packed.usage.prompt_tokens, plain.usage.total_tokens) == (3, 2)


async def test_pictures_of_openai() -> None:
    async with client() as sdk:
        drawn = await sdk.images.generate(model="weir/gpt-image", prompt="a weir", n=2)
        assert drawn.data
        assert [b64decode(row.b64_json or "")[:4] for row in drawn.data] == [PNG, PNG]
        assert drawn.usage
        assert drawn.usage.output_tokens == 2 * 1056
        assert drawn.usage.input_tokens_details.text_tokens == 2
        edited = await sdk.images.edit(model="weir/gpt-image", image=[PNG, PNG], prompt="a weir")
        assert edited.usage
        assert edited.usage.input_tokens_details.image_tokens == 2 * 85
        older = await sdk.images.generate(model="weir/dall-e", prompt="a weir")
        assert older.data
        assert (older.usage, older.data[0].b64_json) == (None, None)
        assert older.data[0].revised_prompt
        with pytest.raises(openai.BadRequestError) as caught:
            await sdk.images.generate(model="weir/gpt-image", prompt="something forbidden")
        assert caught.value.code == "moderation_blocked"


async def test_pictures_of_openai_while_they_are_made() -> None:
    async with client() as sdk:
        stream = await sdk.images.generate(
            model="weir/gpt-image", prompt="a weir", stream=True, partial_images=2
        )
        events = [event async for event in stream]
        assert [event.type for event in events] == [
            "image_generation.partial_image",
            "image_generation.partial_image",
            "image_generation.completed",
        ]
        last = events[-1]
        assert last.type == "image_generation.completed"
        assert last.usage.total_tokens == 1058
        assert b64decode(last.b64_json)[:4] == PNG
        edits = await sdk.images.edit(
            model="weir/gpt-image", image=PNG, prompt="a weir", stream=True
        )
        assert [event.type async for event in edits] == ["image_edit.completed"]


async def test_speech_of_openai() -> None:
    async with client() as sdk:
        said = await sdk.audio.speech.create(
            model="weir/tts", input="one two three", voice="alloy", response_format="wav"
        )
        with wave.open(io.BytesIO(said.content)) as opened:
            assert opened.getnframes() == 3 * 5760
        assert said.response.headers["content-type"] == "audio/wav"
        mp3 = await sdk.audio.speech.create(model="weir/tts", input="one", voice="alloy")
        assert mp3.response.headers["content-type"] == "audio/mpeg"
        with pytest.raises(openai.BadRequestError):
            await sdk.audio.speech.create(model="weir/tts", input="", voice="alloy")


async def test_transcriptions_of_openai() -> None:
    async with client() as sdk:
        create = sdk.audio.transcriptions.create
        file = ("a.wav", WAV)
        heard = await create(model="weir/transcribe", file=file)
        assert heard.text.startswith("Water meets")
        assert heard.usage
        assert heard.usage.type == "tokens"
        assert (heard.usage.input_tokens, heard.usage.output_tokens) == (12, 32)
        verbose = await create(
            model="weir/whisper",
            file=file,
            response_format="verbose_json",
            timestamp_granularities=["word", "segment"],
        )
        assert (verbose.duration, len(verbose.words or ())) == (1.2, 32)
        assert verbose.segments
        assert verbose.segments[0].end == 1.2
        assert verbose.usage
        assert verbose.usage.seconds == 2
        plain = await create(model="weir/whisper", file=file, response_format="text")
        assert str(plain).startswith("Water meets")
        srt = await create(model="weir/whisper", file=file, response_format="srt")
        assert "00:00:00,000 --> 00:00:01,200" in str(srt)
        stream = await create(model="weir/transcribe", file=file, stream=True)
        events = [event async for event in stream]
        assert (len(events), events[-1].type) == (33, "transcript.text.done")


async def test_chat_with_sounds() -> None:
    async with client() as sdk:
        said = await sdk.chat.completions.create(
            model="m",
            messages=[{"role": "user", "content": "a weir"}],
            modalities=["text", "audio"],
            audio={"voice": "alloy", "format": "wav"},
        )
        audio = said.choices[0].message.audio
        assert audio
        assert audio.transcript.startswith("Water meets")
        with wave.open(io.BytesIO(b64decode(audio.data))) as opened:
            assert opened.getnframes() == 32 * 5760


async def test_cohere() -> None:
    async with provider() as (_, url), httpx.AsyncClient() as http:
        sdk = cohere.AsyncClientV2(api_key="k", base_url=url.removesuffix("/v1"), httpx_client=http)
        made = await sdk.embed(
            model="weir/embedding",
            texts=["a b", "c"],
            input_type="search_query",
            embedding_types=["float", "int8", "base64"],
            output_dimension=256,
        )
        assert made.embeddings.float_
        assert made.embeddings.int8
        assert [len(row) for row in made.embeddings.float_] == [256, 256]
        assert len(made.embeddings.int8[0]) == 256
        assert made.meta
        assert made.meta.billed_units
        assert made.meta.billed_units.input_tokens == 3
        ranked = await sdk.rerank(
            model="weir/rerank", query="a weir", documents=["no"] * 100 + ["a weir"], top_n=2
        )
        assert [row.index for row in ranked.results] == [100, 0]
        assert ranked.meta
        assert ranked.meta.billed_units
        assert ranked.meta.billed_units.search_units == 2
        with pytest.raises(cohere.NotFoundError):
            await sdk.rerank(model="fault/unknown-model", query="a", documents=["b"])


@asynccontextmanager
async def google(*, vertex: bool = False) -> AsyncIterator[Any]:
    async with provider() as (_, url):
        options = types.HttpOptions(base_url=url.removesuffix("/v1"))
        sdk = genai.Client(vertexai=vertex, api_key="k", http_options=options)
        yield sdk
        sdk.close()


async def test_counts_and_embeddings_of_google() -> None:
    async with google() as sdk:
        counted = await asyncio.to_thread(
            sdk.models.count_tokens, model="gemini-x", contents="a weir and more"
        )
        assert counted.total_tokens == 4
        made = await asyncio.to_thread(
            sdk.models.embed_content,
            model="weir-embedding",
            contents=["a b", "c"],
            config=types.EmbedContentConfig(output_dimensionality=16),
        )
        assert [len(row.values) for row in made.embeddings] == [16, 16]


async def test_pictures_and_sounds_of_google() -> None:
    async with google() as sdk:
        config = types.GenerateContentConfig(response_modalities=["TEXT", "IMAGE"])
        said = await asyncio.to_thread(
            sdk.models.generate_content, model="g", contents="a weir", config=config
        )
        text, picture = said.candidates[0].content.parts
        assert text.text.startswith("Water")
        assert picture.inline_data.data[:4] == PNG
        details = {
            row.modality.name: row.token_count
            for row in said.usage_metadata.candidates_tokens_details
        }
        assert details == {"TEXT": 32, "IMAGE": 1290}
        config = types.GenerateContentConfig(response_modalities=["AUDIO"])
        chunks = await asyncio.to_thread(
            lambda: list(
                sdk.models.generate_content_stream(model="g", contents="one two", config=config)
            )
        )
        sounds = [
            part.inline_data
            for chunk in chunks
            for part in chunk.candidates[0].content.parts
            if part.inline_data
        ]
        assert [sound.mime_type for sound in sounds] == ["audio/L16;codec=pcm;rate=24000"] * 2
        assert chunks[-1].usage_metadata.candidates_token_count == 12


@pytest.mark.filterwarnings("ignore:The generate_images method is deprecated")
async def test_google_on_vertex() -> None:
    async with google(vertex=True) as sdk:
        drawn = await asyncio.to_thread(
            sdk.models.generate_images,
            model="imagen-x",
            prompt="a weir",
            config=types.GenerateImagesConfig(number_of_images=2),
        )
        assert [row.image.image_bytes[:4] for row in drawn.generated_images] == [PNG, PNG]
        counted = await asyncio.to_thread(sdk.models.count_tokens, model="g", contents="a weir")
        assert counted.total_tokens == 2
        made = await asyncio.to_thread(
            sdk.models.embed_content, model="text-embedding-005", contents=["a b", "c"]
        )
        assert [row.statistics.token_count for row in made.embeddings] == [2, 1]
        newer = await asyncio.to_thread(
            sdk.models.embed_content, model="gemini-embedding-2", contents="a b"
        )
        assert len(newer.embeddings[0].values) == 3072


async def test_counts_of_anthropic() -> None:
    async with provider() as (_, url):
        base_url = url.removesuffix("/v1")
        async with anthropic.AsyncAnthropic(base_url=base_url, api_key="k", max_retries=0) as sdk:
            counted = await sdk.messages.count_tokens(
                model="m", system="be brief", messages=[{"role": "user", "content": "a weir"}]
            )
            assert counted.input_tokens == 4
            with pytest.raises(anthropic.APIStatusError) as caught:
                await sdk.messages.count_tokens(
                    model="fault/overloaded", messages=[{"role": "user", "content": "a"}]
                )
            assert caught.value.status_code == 529


async def test_bedrock() -> None:
    async with provider() as (_, url):
        session = botocore.session.get_session()
        sdk = session.create_client(
            "bedrock-runtime",
            region_name="us-east-1",
            endpoint_url=url.removesuffix("/v1"),
            aws_access_key_id="a",
            aws_secret_access_key="s",
        )

        async def invoke(**body: Any) -> tuple[dict[str, Any], str]:
            said = await asyncio.to_thread(
                sdk.invoke_model, modelId="titan", body=orjson.dumps(body)
            )
            headers = said["ResponseMetadata"]["HTTPHeaders"]
            decoded: dict[str, Any] = orjson.loads(await asyncio.to_thread(said["body"].read))
            return decoded, headers["x-amzn-bedrock-input-token-count"]

        titan, tokens = await invoke(inputText="a b", dimensions=256)
        assert (len(titan["embedding"]), titan["inputTextTokenCount"], tokens) == (256, 2, "2")
        plain, tokens = await invoke(texts=["a b c"], input_type="search_query")
        assert (plain["response_type"], len(plain["embeddings"][0]), tokens) == (
            "embeddings_floats", 1536, "3"
        )  # fmt: skip
        typed, _ = await invoke(texts=["a"], input_type="x", embedding_types=["int8"])
        assert list(typed["embeddings"]) == ["int8"]
        ranked, _ = await invoke(query="b", documents=["a", "b"], top_n=1, api_version=2)
        assert [row["index"] for row in ranked["results"]] == [1]
        content = [{"role": "user", "content": [{"text": "a b"}]}]
        counted = await asyncio.to_thread(
            sdk.count_tokens, modelId="m", input={"converse": {"messages": content}}
        )
        assert counted["inputTokens"] == 2
        await asyncio.to_thread(sdk.close)
