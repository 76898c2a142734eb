"""Whatever a caller writes at any place of a request, it is read or refused: soon, and by name."""

import base64
import json
import time
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects import INBOUND, outbound
from proxy.dialects.asking import Target
from proxy.dialects.multipart import Field, encode_form
from proxy.errors import GatewayError, Source
from proxy.providers import Provider, known

PNG: Final = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg=="
SOUND: Final = {"data": base64.b64encode(b"RIFF" + bytes(300)).decode(), "format": "wav"}
OPTIONS: Final = {"options": {"openai": {"x": 1}}}

REQUESTS: Final[dict[str, dict[str, Any]]] = {
    "completions": {
        "prompt": "x", "suffix": "a", "echo": True, "best_of": 2, "logprobs": 2, "n": 1,
        "max_tokens": 5, "stop": ["a"], "logit_bias": {"1": 2}, "seed": 1,
    },
    "embeddings": {
        "input": ["a", "b"], "encoding_format": "base64", "dimensions": 3, "input_type": "query",
    },
    "rerank": {"query": "q", "documents": ["a", {"text": "b"}, {"image": PNG}], "top_n": 2},
    "images": {
        "prompt": "p", "n": 1, "size": "1024x1024", "quality": "high", "background": "auto",
        "output_format": "png", "output_compression": 3, "seed": 1, "stream": True, "mask": PNG,
        "input_references": [{"type": "image_url", "image_url": {"url": PNG}}],
        "response_format": "url", "partial_images": 2, "resolution": "1K", "aspect_ratio": "1:1",
    },
    "image edits": {"prompt": "p", "images": [{"image_url": PNG}], "mask": {"image_url": PNG}},
    "speech": {
        "input": "hello", "voice": "a", "response_format": "mp3", "speed": 1.5, "instructions": "x",
        "stream_format": "sse", "input_references": [{"type": "input_audio", "input_audio": SOUND}],
    },
    "transcription": {
        "input_audio": SOUND, "language": "en", "prompt": "x", "temperature": 0.1,
        "response_format": "json", "timestamp_granularities": ["word"], "stream": False,
    },
}  # fmt: skip
MORE: Final = (
    "model", "models", "user", "session_id", "provider", "trace", "plugins", "debug", "preset",
    "tools", "messages", "functions", "modalities", "metadata", "reasoning", "service_tier",
    "stream_options", "cache_control", "usage", "options", "edit", "as_url", "file", "kind", "url",
    "provider_options", "keyterms", "truncate", "priority", "frame_count", "a\r\nb",
)  # fmt: skip
MODELS: Final = (
    "m", "gpt-image-1", "dall-e-3", "imagen-4", "gemini-embedding-001", "gemini-embedding-2",
    "cohere.embed-v3", "amazon.titan-embed-image-v1", "whisper-1",
)  # fmt: skip
WRITTEN: Final = (
    "null", "true", "false", "0", "-1", "1.5", "-0.0", "10.0", "1e400", "-1e308", "9" * 30,
    "18446744073709551616", '""', '"x"', '"\\u0000"', '"\\ud800"', '"ä"', "[]", "{}", "[[]]",
    "[null]", "[1]", '["x"]', '["x",1]', "[[1],[]]", "[[1.5]]", "[true]", "[{}]", '{"type":"x"}',
    '[{"type":1}]', '[{"type":["a"]}]', '[{"content":[{"type":"text","text":"a"}]}]', '["a","a"]',
    '{"url":1}', '{"data":1,"format":[]}', '{"data":"data:,","format":"wav"}', '{"options":1}',
    '{"options":{"openai":1}}', '{"options":{"openai":{"a":[1],"contents":2}}}', '{"order":1}',
    '"data:,"', '"data:image/png;base64,"', '"data:image/png;base64,***"', '"file:///etc/passwd"',
    '[{"image_url":{"url":"http://127.0.0.1/"}}]', '[{"image_url":5}]', '{"image_url":{"url":""}}',
    "[" * 300 + "]" * 300, '{"a":' * 300 + "1" + "}" * 300, "[" * 5000, "[" + "1," * 250_001 + "1]",
)  # fmt: skip
VALUES = st.sampled_from(WRITTEN) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(("type", "url", "data", "text", "content")), inner)
    ),
    max_leaves=6,
).map(json.dumps)


def providers() -> list[Provider]:
    """One of each set of habits."""
    options = {"project": "p", "location": "l", "api_version": "v", "region": "r", "resource": "x"}
    found = {msgspec.json.encode((one.dialect, one.quirks)): one for one in known().values()}
    return [msgspec.structs.replace(one, options=one.options | options) for one in found.values()]


PROVIDERS: Final = providers()


def asked(name: str, body: bytes, headers: Any = ()) -> None:
    """Decodes it, and encodes it for everybody."""
    try:
        ask = INBOUND[name].decode_request(body, headers)
    except GatewayError as error:
        if error.source is Source.CALLER:
            return
        raise
    for provider in PROVIDERS:
        for model in MODELS:
            try:
                outbound(provider, model, ask).encode_request(ask, Target(provider, model))
            except GatewayError as error:
                if error.source is not Source.CALLER and error.kind != "provider_unfit":
                    raise


@pytest.mark.parametrize("name", REQUESTS)
@given(data=st.data())
def test_any_value_at_any_place(name: str, data: st.DataObject) -> None:
    fields = {"model": json.dumps("m")} | {k: json.dumps(v) for k, v in REQUESTS[name].items()}
    places = st.sampled_from((*fields, *MORE))
    fields |= data.draw(st.dictionaries(places, VALUES, min_size=1, max_size=3))
    body = ",".join(f"{json.dumps(place)}:{value}" for place, value in fields.items())
    began_at = time.process_time()
    asked(name, f"{{{body}}}".encode())
    assert time.process_time() - began_at < 2


@pytest.mark.parametrize("name", ["image edits", "transcription"])
@given(
    fields=st.lists(
        st.tuples(
            st.sampled_from(("model", "prompt", "image", "image[]", "mask", "file", "n", "stream",
                             "temperature", "provider", "models[]", "a[b]", "response_format",
                             "timestamp_granularities[]", "trace", "")),
            st.sampled_from((b"", b"m", b"1", b"-1", b"nan", b"inf", b"1e999", b"true", b"{}",
                             b'{"options":{"openai":{"a":1}}}', b"[" * 300 + b"]" * 300,
                             b'{"a":' * 300 + b"1" + b"}" * 300, b"\xff\xfe", bytes(64), b"json",
                             b"RIFF" + bytes(40))),
            st.sampled_from((None, "", "a", "a.png", "a.wav", "a.../b", "\x00")),
        ),
        max_size=6,
    )
)  # fmt: skip
def test_any_form(name: str, fields: list[tuple[str, bytes, str | None]]) -> None:
    form = [Field("model", b"m"), Field("prompt", b"p"), *(Field(*one) for one in fields)]
    file = Field("file", b"RIFF" + bytes(400), "a.wav", "audio/wav")
    image = Field("image", b"\x89PNG" + bytes(40), "a.png", "image/png")
    body, kind = encode_form([*form, image if name == "image edits" else file])
    asked(name, body, [(b"content-type", kind.encode())])


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("speech", {"input": "a", "url": "https://a.test/long"}),
        ("transcription", {"input_audio": SOUND, "file_url": "https://a.test/long.mp3"}),
        ("transcription", {"input_audio": SOUND, "file_id": "of-somebody-else"}),
        (
            "transcription",
            {"input_audio": SOUND, "provider": {"options": {"groq": {"url": "https://a.test"}}}},
        ),
    ],
)
def test_a_recording_is_where_it_can_be_measured(name: str, body: dict[str, Any]) -> None:
    with pytest.raises(GatewayError, match="not supported yet"):
        INBOUND[name].decode_request(json.dumps({"model": "m"} | body).encode(), ())


SMUGGLED: Final[dict[str, dict[str, Any]]] = {
    "embeddings": {"texts": ["a" * 5000]},
    "rerank": {"passages": [{"text": "a" * 5000}]},
    "speech": {"provider": {"options": {"gemini": {"systemInstruction": "a" * 5000}}}},
    "transcription": {"context": "a" * 5000},
    "images": {"style_text": "a" * 5000},
}


@pytest.mark.parametrize("name", SMUGGLED)
def test_no_text_is_sent_that_nothing_is_held_for(name: str) -> None:
    body = {"model": "m"} | REQUESTS[name]
    plain, more = (
        INBOUND[name].decode_request(json.dumps(one).encode(), ()).most
        for one in (body, body | SMUGGLED[name])
    )
    assert plain is not None
    assert more is not None
    assert more.prompt_tokens >= plain.prompt_tokens + 5000
