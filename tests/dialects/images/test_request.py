"""What callers ask for: OpenRouter's fields, OpenAI's, and forms."""

import base64
import contextlib
from itertools import product
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.asking import Target
from proxy.dialects.images.request import (
    _TAKEN,
    PINNED,
    REFERENCES_MAX,
    TOKENS_PER_IMAGE_MAX,
    TOKENS_PER_LARGE_MAX,
    TOKENS_PER_REFERENCE_MAX,
    _Fields,
    decode_edit,
    decode_request,
)
from proxy.dialects.multipart import Field, encode_form
from proxy.dialects.tasks import TASKS
from proxy.errors import GatewayError
from proxy.providers import Provider
from proxy.wire.request import Ask

DATA = base64.b64encode(b"\x89PNG\r\n\x1a\n and more").decode()
PNG = f"data:image/png;base64,{DATA}"
SAID = {"model": "test/image", "prompt": "a weir"}


def reference(url: Any = PNG) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def ask(**fields: Any) -> Ask:
    return decode_request(orjson.dumps(SAID | fields))


def content(asked: Ask) -> Any:
    (message,) = asked.body["messages"]
    assert message["role"] == "user"
    return message["content"]


def test_the_least_that_can_be_asked() -> None:
    asked = ask()
    assert asked.models == ("test/image",)
    assert asked.task == "image"
    assert not asked.stream
    assert asked.body == {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "a weir"}]}]
    }
    assert asked.text_bytes == len(orjson.dumps(SAID))
    assert asked.most is not None
    assert asked.most.prompt_tokens == asked.text_bytes
    assert (asked.most.images, asked.most.completion_tokens) == (1, TOKENS_PER_IMAGE_MAX)


def test_all_that_can_be_asked() -> None:
    travels = {
        "n": 3, "size": "1024x1024", "quality": "high", "background": "transparent",
        "output_format": "webp", "output_compression": 80, "seed": 7, "user": "u", "style": "vivid",
        "moderation": "low", "partial_images": 2, "steps": 4,
    }  # fmt: skip
    asked = ask(
        **travels,
        models=["test/image", "test/other"],
        stream=True,
        session_id="s",
        response_format="url",
        provider={"options": {"p0": {"guidance": 3}}, "allow_fallbacks": True},
        input_references=[reference(), reference("https://example.com/a.png")],
    )
    assert asked.models == ("test/image", "test/other")
    assert (asked.stream, asked.session_id, asked.media_prompt) == (True, "s", 2)
    assert content(asked)[1:] == [reference(), reference("https://example.com/a.png")]
    own = {"as_url": True, "options": {"p0": {"guidance": 3}}}
    assert {k: v for k, v in asked.body.items() if k != "messages"} == travels | own
    assert asked.most is not None
    assert asked.most.images == 3
    assert asked.most.prompt_tokens == asked.text_bytes + 2 * TOKENS_PER_REFERENCE_MAX


@pytest.mark.parametrize(
    ("more", "tokens"),
    [
        ({"n": 2}, 2 * TOKENS_PER_IMAGE_MAX),
        ({"size": "2K"}, TOKENS_PER_LARGE_MAX),
        ({"size": "3840x2160"}, TOKENS_PER_LARGE_MAX),
        ({"size": "1536x1024", "quality": "low"}, TOKENS_PER_IMAGE_MAX),
        ({"quality": "max"}, 2 * TOKENS_PER_IMAGE_MAX),
        ({"frame_count": 4, "output_format": "gif"}, 4 * TOKENS_PER_IMAGE_MAX),
    ],
    ids=str,
)
def test_what_it_can_use_at_most(more: dict[str, Any], tokens: int) -> None:
    most = ask(**more).most
    assert most is not None
    assert most.completion_tokens == tokens


def test_text_is_what_is_no_image() -> None:
    small, large = ask(input_references=[reference()]), ask(input_references=[reference()] * 9)
    # Of each image more only what stands around its URL is text, and a comma.
    assert large.text_bytes - small.text_bytes == 8 * len(orjson.dumps(reference("")) + b",")


def test_nobody_says_what_is_ours() -> None:
    told = {"messages": [], "options": {"p0": {"n": 9}}, "edit": True, "as_url": True, "tools": "x"}
    assert ask(**told).body == ask().body


REFUSED = [
    ({"model": None}, "No models"),
    ({"prompt": ""}, "prompt: "),
    ({"prompt": 3}, "prompt: "),
    ({"n": 0}, "n: "),
    ({"n": 11}, "n: "),
    ({"partial_images": 4}, "partial_images: "),
    ({"output_compression": 101}, "output_compression: "),
    ({"quality": "best"}, "quality: "),
    ({"output_format": "bmp"}, "output_format: "),
    ({"background": "transparent", "output_format": "jpeg"}, "background: "),
    ({"size": "big"}, "size: "),
    ({"session_id": "s" * 300}, "session_id: "),
    ({"input_references": [{"type": "text"}]}, "input_references[0].image_url.url: "),
    ({"input_references": [reference(3)]}, "input_references[0].image_url.url: "),
    ({"input_references": [reference(), reference("data:image/png;base64,!!")]},
     "input_references[1].image_url.url: "),
    ({"input_references": [reference()] * (REFERENCES_MAX + 1)}, "input_references: "),
    ({"images": [{"file_id": "f"}]}, "images[0].file_id: "),
    ({"mask": "https://example.com/m.png"}, "mask: "),
    ({"mask": "data:image/png;base64,!!"}, "mask.image_url.url: "),
    ({"width": 4096}, "width: "),
    ({"num_images": 9}, "num_images: "),
    ({"provider": {"options": {"p0": 3}}}, "provider.options"),
    ({"provider": {"options": []}}, "provider.options: "),
    ({"provider": {"only": "p0"}}, "provider.only: "),
    ({"preset": "x"}, "preset: "),
]  # fmt: skip


@pytest.mark.parametrize(("more", "said"), REFUSED, ids=lambda one: str(one)[:60])
def test_what_is_refused(more: dict[str, Any], said: str) -> None:
    with pytest.raises(GatewayError) as told:
        ask(**more)
    assert told.value.status == 400
    assert told.value.message.startswith(said)


@pytest.mark.parametrize("name", sorted(PINNED))
def test_no_option_changes_what_an_image_costs(name: str) -> None:
    with pytest.raises(GatewayError, match=rf"provider\.options\.p0\.{name}: "):
        ask(provider={"options": {"p0": {name: 4}}})


def form(*fields: Field) -> Ask:
    body, told = encode_form(
        [Field(name, said.encode()) for name, said in SAID.items()] + [*fields]
    )
    return decode_edit(body, [(b"content-type", told.encode())])


def test_a_form_of_openais() -> None:
    raw = base64.b64decode(DATA)
    asked = form(
        Field("image[]", raw, "a.png", "image/png"),
        Field("image[]", raw, "b.png", "application/octet-stream"),
        Field("mask", raw, "m.png"),
        Field("models[]", b"test/other"),
        Field("n", b"2"),
        Field("stream", b"true"),
        Field("quality", b"low"),
        Field("input_fidelity", b"high"),
    )
    assert asked.models == ("test/image", "test/other")
    assert content(asked)[1:] == [reference(), reference()]
    assert asked.body["mask"] == PNG
    assert (asked.body["n"], asked.body["quality"]) == (2, "low")
    assert (asked.body["edit"], asked.stream, asked.media_prompt) == (True, True, 2)
    assert asked.most is not None
    assert asked.most.prompt_tokens == asked.text_bytes + 3 * TOKENS_PER_REFERENCE_MAX


def test_an_image_in_a_form_may_be_a_url() -> None:
    asked = form(Field("image", b"https://example.com/a.png"), Field("stream", b"false"))
    assert content(asked)[1] == reference("https://example.com/a.png")
    assert not asked.stream


@pytest.mark.parametrize(
    ("field", "said"),
    [
        (Field("n", b"two"), "n: "),
        (Field("stream", b"perhaps"), "stream: "),
        (Field("provider[only]", b"p0"), r"provider\[only\]: "),
        (Field("file", b"", "x.txt"), "file: "),
        (Field("size", b"\xff"), "size: "),
    ],
    ids=str,
)
def test_what_a_form_can_not_say(field: Field, said: str) -> None:
    with pytest.raises(GatewayError, match=said):
        form(Field("image", b"", "a.png"), field)


def test_an_edit_as_json() -> None:
    body = SAID | {"images": [{"image_url": PNG}], "mask": {"image_url": PNG}}
    asked = decode_edit(orjson.dumps(body))
    assert content(asked)[1] == reference()
    assert asked.body["mask"] == PNG
    with pytest.raises(GatewayError, match="image: required"):
        decode_edit(orjson.dumps(SAID))


def test_who_wishes_to_be_told_of_its_routing() -> None:
    body = orjson.dumps(SAID)
    assert decode_request(body, [(b"x-openrouter-metadata", b"enabled")]).told
    assert not decode_request(body).told


def test_an_unbuilt_wish_in_a_header() -> None:
    with pytest.raises(GatewayError, match="X-OpenRouter-Cache"):
        decode_request(orjson.dumps(SAID), [(b"x-openrouter-cache", b"true")])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5000) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
LIKELY = st.sampled_from((
    "2K", "1024x1024", "auto", "16:9", "high", "png", "url", PNG, [reference()], {"options": {}},
    {"options": {"openai": {"steps": 1}}}, [{"image_url": PNG}], {"image_url": PNG}, 1, True,
))  # fmt: skip
NAMES = st.sampled_from((*_Fields.__struct_fields__, *sorted(PINNED | _TAKEN), "more"))


@given(st.dictionaries(NAMES, JSON | LIKELY, max_size=6))
def test_whatever_is_said_is_asked_or_refused(more: dict[str, Any]) -> None:
    body = orjson.dumps(SAID | more)
    options = {"project": "p", "location": "l"}
    provider = Provider(slug="openai", name="P", base_url="http://p", options=options)
    for decode, dialect in product((decode_request, decode_edit), ("openai", "gemini", "vertex")):
        for model in ("gpt-image-1", "dall-e-3", "imagen-4", "gemini-3-pro-image"):
            with contextlib.suppress(GatewayError):
                TASKS[dialect, "image"].encode_request(decode(body), Target(provider, model))


def test_the_text_of_a_form_is_held_for_beside_its_images() -> None:
    image = Field("image", b"\x89PNG" + bytes(300_000), "a.png", "image/png")
    plain, more = (
        form(Field("prompt", b"p"), Field("model", b"m"), image, *fields).most
        for fields in ((), (Field("style_text", b"a" * 5000),))
    )
    assert plain is not None
    assert more is not None
    assert more.prompt_tokens >= plain.prompt_tokens + 5000
