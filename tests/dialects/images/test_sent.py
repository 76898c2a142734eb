"""What providers that speak as OpenAI does are sent, as each of them takes it."""

import base64
from typing import Any

import orjson
import pytest

from proxy.dialects.asking import Encoded, Target
from proxy.dialects.images import sent
from proxy.dialects.images.request import decode_edit, decode_request
from proxy.dialects.multipart import decode_form
from proxy.errors import GatewayError
from proxy.providers import Provider, Quirks, known
from proxy.wire.request import Ask

RAW = b"\x89PNG\r\n\x1a\n and more"
PNG = f"data:image/png;base64,{base64.b64encode(RAW).decode()}"
URL = "https://example.com/a.png"
ALL = {
    "size": "2048x1024", "quality": "high", "background": "opaque", "output_format": "png",
    "output_compression": 80, "seed": 7, "moderation": "low", "style": "vivid", "user": "u",
}  # fmt: skip


def reference(url: str = PNG) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def asked(*references: str, **more: Any) -> Ask:
    body = {"model": "m", "prompt": "a weir"} | more
    if references:
        body["input_references"] = [reference(one) for one in references]
    return decode_request(orjson.dumps(body))


def target(model: str, slug: str = "openai", **quirks: Any) -> Target:
    provider = known()[slug]
    if quirks:
        provider = Provider(slug="p0", name="P0", base_url="http://p0", quirks=Quirks(**quirks))
    return Target(provider, model)


def body_of(ask: Ask, to: Target) -> dict[str, Any]:
    encoded = sent.encode_request(ask, to)
    assert encoded.path is None
    body: dict[str, Any] = orjson.loads(encoded.body)
    assert (body.pop("model"), body.pop("prompt")) == (to.model, "a weir")
    return body


def form_of(encoded: Encoded) -> dict[str, Any]:
    kind = encoded.headers["Content-Type"]
    fields: dict[str, list[Any]] = {}
    for field in decode_form(encoded.body, kind):
        fields.setdefault(field.name, []).append(field.data)
    return {name: said[0] if len(said) == 1 else said for name, said in fields.items()}


@pytest.mark.parametrize(
    ("to", "body"),
    [
        (target("gpt-image-1"), {k: v for k, v in ALL.items() if k != "seed"}),
        (
            target("dall-e-3"),
            {"size": "2048x1024", "quality": "hd", "style": "vivid", "user": "u",
             "response_format": "b64_json"},
        ),
        (
            target("dall-e-2"),
            {"size": "2048x1024", "style": "vivid", "user": "u", "response_format": "b64_json"},
        ),
        (
            target("grok-imagine-image", "xai"),
            {"aspect_ratio": "2:1", "resolution": "2k", "quality": "high", "user": "u",
             "response_format": "b64_json"},
        ),
        (
            target("black-forest-labs/FLUX.1-schnell", "together"),
            {"width": 2048, "height": 1024, "output_format": "png", "seed": 7,
             "response_format": "base64"},
        ),
        (target("black-forest-labs/flux", "openrouter"), ALL),
        (target("sdxl", image_format="none"), ALL),
        (target("sdxl", image_omits=("seed", "style", "user")),
         {k: v for k, v in ALL.items() if k not in ("seed", "style", "user")}
         | {"response_format": "b64_json"}),
    ],
    ids=lambda one: one.provider.slug + " " + one.model if isinstance(one, Target) else "",
)  # fmt: skip
def test_each_is_sent_what_it_knows(to: Target, body: dict[str, Any]) -> None:
    assert body_of(asked(**ALL), to) == body


@pytest.mark.parametrize(
    ("model", "slug", "said"),
    [
        ("gpt-image-1", "openai", {"size": "1536x1024"}),
        ("gpt-image-2", "openai", {"size": "2736x1536"}),
        ("dall-e-3", "openai", {"size": "1792x1024", "response_format": "b64_json"}),
        ("dall-e-2", "openai", {"size": "1024x1024", "response_format": "b64_json"}),
        ("dall-e-9", "openai", {"size": "2736x1536", "response_format": "b64_json"}),
        ("grok", "xai",
         {"aspect_ratio": "16:9", "resolution": "2k", "response_format": "b64_json"}),
        ("flux", "together", {"width": 2736, "height": 1536, "response_format": "base64"}),
        ("flux", "openrouter", {"aspect_ratio": "16:9", "resolution": "2K"}),
    ],
)  # fmt: skip
def test_a_tier_and_a_ratio_are_told_as_each_knows_them(
    model: str, slug: str, said: dict[str, Any]
) -> None:
    ask = asked(aspect_ratio="16:9", resolution="2K")
    assert body_of(ask, target(model, slug)) == said


def test_who_says_nothing_of_its_size_is_asked_nothing() -> None:
    assert body_of(asked(size="auto"), target("gpt-image-1")) == {}
    assert body_of(asked(), target("grok", "xai")) == {"response_format": "b64_json"}


@pytest.mark.parametrize("quality", [("auto", None), ("low", "standard"), ("hd", "hd")])
def test_the_qualities_of_dall_e_3(quality: tuple[str, str | None]) -> None:
    said, told = quality
    assert body_of(asked(quality=said), target("dall-e-3")).get("quality") == told


@pytest.mark.parametrize(
    ("model", "n", "streamed"),
    [("gpt-image-1", 1, True), ("gpt-image-1", 2, False), ("openai/gpt-image-1", 1, True),
     ("chatgpt-image-latest", 1, True), ("dall-e-3", 1, False), ("flux", 1, False)],
)  # fmt: skip
def test_only_one_image_of_gpt_image_is_streamed(model: str, n: int, streamed: bool) -> None:
    body = body_of(asked(stream=True, partial_images=2, n=n), target(model))
    assert body.get("stream", False) is streamed
    assert ("partial_images" in body) is streamed
    assert "stream" not in body_of(asked(partial_images=2), target(model))


def test_options_are_for_their_provider_alone() -> None:
    ask = asked(provider={"options": {"openai": {"steps": 4}, "xai": {"other": 1}}})
    assert body_of(ask, target("gpt-image-1")) == {"steps": 4}
    assert body_of(ask, target("flux", "together")) == {"response_format": "base64"}


def test_references_go_out_as_a_form() -> None:
    ask = decode_edit(
        orjson.dumps(
            {"model": "m", "prompt": "a weir", "images": [{"image_url": PNG}] * 2, "mask": PNG,
             "n": 2, "quality": "low", "flag": True, "nested": {}}
        )
    )  # fmt: skip
    encoded = sent.encode_request(ask, target("gpt-image-1"))
    assert encoded.path == "/images/edits"
    assert form_of(encoded) == {
        "model": b"gpt-image-1", "prompt": b"a weir", "n": b"2", "quality": b"low",
        "flag": b"true", "image[]": [RAW, RAW], "mask": RAW,
    }  # fmt: skip
    one = sent.encode_request(asked(PNG), target("dall-e-2"))
    assert form_of(one)["image"] == RAW
    odd = sent.encode_request(asked("data:image/x\r\nevil: 1;base64,AAAA"), target("gpt-image-1"))
    assert b"evil" not in odd.body


def test_references_go_out_as_each_takes_them() -> None:
    xai, together = target("grok", "xai"), target("flux", "together")
    one = sent.encode_request(asked(PNG), xai)
    assert one.path == "/images/edits"
    assert orjson.loads(one.body)["image"] == {"url": PNG, "type": "image_url"}
    two = orjson.loads(sent.encode_request(asked(PNG, URL), xai).body)
    assert [image["url"] for image in two["images"]] == [PNG, URL]
    assert body_of(asked(URL), together)["image_url"] == URL
    openrouter = target("flux", "openrouter")
    assert body_of(asked(PNG, URL), openrouter) == {
        "input_references": [reference(), reference(URL)]
    }
    assert sent.path(openrouter, False) == "/images"


@pytest.mark.parametrize(
    ("ask", "to"),
    [
        (asked(n=2), target("dall-e-3")),
        (asked(PNG), target("dall-e-3")),
        (asked(PNG, PNG), target("dall-e-2")),
        (asked(PNG, PNG), target("flux", "together")),
        (asked("http://example.com/a.png"), target("flux", "together")),
        (asked(URL), target("gpt-image-1")),
        (asked(PNG), target("flux", image_edits="none")),
        (asked(PNG, mask=PNG), target("grok", "xai")),
    ],
    ids=range(8),
)
def test_what_a_provider_can_not_be_sent_is_for_another(ask: Ask, to: Target) -> None:
    with pytest.raises(GatewayError) as told:
        sent.encode_request(ask, to)
    assert told.value.kind == "provider_unfit"


def test_what_was_to_be_an_image_and_is_none() -> None:
    ask = asked(PNG)
    ask.body["messages"][0]["content"][1] = {"type": "text", "text": "a file"}
    with pytest.raises(GatewayError, match="can not be read"):
        sent.encode_request(ask, target("gpt-image-1"))


def test_the_paths_of_azure() -> None:
    provider = Provider(
        slug="azure", name="Azure", base_url="http://a", dialect="azure",
        options={"api_version": "2025-04-01-preview"},
    )  # fmt: skip
    to = Target(provider, "my images")
    start, end = "/openai/deployments/my%20images/images/", "?api-version=2025-04-01-preview"
    assert sent.azure_path(to, False) == f"{start}generations{end}"
    assert sent.encode_azure(asked(PNG), to).path == f"{start}edits{end}"
    assert sent.encode_azure(asked(), to).path is None
