"""The settings of a request."""

from typing import Any

import pytest

from proxy.dialects.asking import Target
from proxy.dialects.gemini.family import family_of
from proxy.dialects.gemini.settings import generation_config
from proxy.providers import Provider
from proxy.wire.request import Ask
from tests.accepted.gemini import gemini_accepts

Json = dict[str, Any]

PROVIDER = Provider(slug="google", name="Google", base_url="https://google.test")
HI = [{"role": "user", "parts": [{"text": "Hi"}]}]
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}


def config(model: str = "gemini-2.5-flash", vertex: bool = False, **body: Any) -> Json:
    ask = Ask(models=("x",), body=body, media_prompt=len(body.get("messages", ())))
    said = generation_config(ask, Target(PROVIDER, model), family_of(model), vertex=vertex)
    gemini_accepts({"contents": HI, "generationConfig": said})
    return said


def images(*details: str | None) -> list[Json]:
    parts = [{"type": "image_url", "image_url": {"url": "u", "detail": d}} for d in details]
    return [{"role": "user", "content": parts}, {"role": "user", "content": "text"}]


TABLE: list[tuple[Json, Json]] = [
    ({}, {}),
    ({"temperature": None, "stop": []}, {}),
    ({"temperature": 0, "seed": 0}, {"temperature": 0, "seed": 0}),
    ({"stop": ["a", "b"]}, {"stopSequences": ["a", "b"]}),
    ({"logprobs": True}, {"responseLogprobs": True}),
    ({"logprobs": True, "top_logprobs": 3}, {"responseLogprobs": True, "logprobs": 3}),
    ({"logprobs": False, "top_logprobs": 3}, {}),
    ({"response_format": {"type": "text"}}, {}),
    ({"response_format": {"type": "json_object"}}, {"responseMimeType": "application/json"}),
    (
        {"response_format": SCHEMA},
        {"responseMimeType": "application/json", "responseJsonSchema": {"type": "object"}},
    ),
    (
        {"response_format": {"type": "json_schema", "json_schema": 3}},
        {"responseMimeType": "application/json"},
    ),
    ({"response_format": "json"}, {}),
    ({"modalities": ["text", "image"]}, {"responseModalities": ["TEXT", "IMAGE"]}),
    ({"modalities": ["text", "audio"]}, {"responseModalities": ["AUDIO"]}),
    (
        {"image_config": {"aspect_ratio": "16:9", "image_size": "2K", "strength": 1}},
        {"imageConfig": {"aspectRatio": "16:9", "imageSize": "2K"}},
    ),
    ({"image_config": {"person_generation": "ALLOW_ALL"}}, {}),
    (
        {"audio": {"voice": "Kore", "format": "pcm16"}},
        {"speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}}},
    ),
    ({"audio": {"format": "pcm16"}}, {}),
    ({"messages": images("low", "low")}, {"mediaResolution": "MEDIA_RESOLUTION_LOW"}),
    ({"messages": images("low", "high")}, {"mediaResolution": "MEDIA_RESOLUTION_HIGH"}),
    ({"messages": images("original")}, {"mediaResolution": "MEDIA_RESOLUTION_HIGH"}),
    ({"messages": images("auto", None)}, {}),
]


@pytest.mark.parametrize(("body", "said"), TABLE)
def test_settings(body: Json, said: Json) -> None:
    assert config(**body) == said


def test_vertex_knows_more_of_images() -> None:
    said = config(
        vertex=True,
        image_config={
            "person_generation": "ALLOW_ALL",
            "image_output_options": {"mimeType": "image/jpeg"},
        },
    )
    assert said["imageConfig"] == {
        "personGeneration": "ALLOW_ALL",
        "imageOutputOptions": {"mimeType": "image/jpeg"},
    }


def test_json_beside_functions() -> None:
    both: Json = {"tools": [{"type": "function"}], "response_format": SCHEMA}
    assert config(**both) == {}
    assert "responseJsonSchema" in config("gemini-3-pro-preview", **both)
