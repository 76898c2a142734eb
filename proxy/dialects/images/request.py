"""Images, the request: what callers of OpenRouter's Image API, and of OpenAI's, ask for.

One form for both: `Ask.body` has the prompt and the references as one user's message, so that URLs
are fetched as those of a chat are, and OpenRouter's fields beside it. Contract: "Generate an image"
in OpenRouter's API reference; OpenAI's "Create image" and "Create image edit" for its alias.
"""

import base64
from collections.abc import Iterable
from typing import Any, Final, Literal

from proxy.dialects.asked import Common, accept
from proxy.dialects.attached import mend
from proxy.dialects.bodies import decode_object
from proxy.dialects.chat.fields import OWN_FIELDS, wants_routing
from proxy.dialects.images.shape import Shape, shape_in
from proxy.dialects.multipart import Field, decode_form, form_in
from proxy.dialects.options import check_options
from proxy.errors import GatewayError
from proxy.wire.events import Usage
from proxy.wire.preferences import options_in
from proxy.wire.request import Ask
from proxy.wire.tokens import likely_tokens

IMAGES_MAX: Final = 10  # OpenRouter's limit on `n`, and OpenAI's
REFERENCES_MAX: Final = 16
PARTIALS_MAX: Final = 3
TOKENS_PER_REFERENCE_MAX: Final = 8192
"""Of the prompt: OpenAI's 1536x1024 in high fidelity is 6,464, any image of Gemini's 2,520."""

TOKENS_PER_IMAGE_MAX: Final = 8192
"""Of the completion: gpt-image-1 makes 6,240 of its largest and 100 of each partial image, its
successor 7,024 of a square; Gemini 1,290, or 1,120, and what it thinks before."""

TOKENS_PER_IMAGE: Final = 1584
"""The same as it usually is: gpt-image-1, its largest of middle quality."""

TOKENS_PER_LARGE_MAX: Final = 16_384
"""The same from two million pixels on: gpt-image-2 makes 12,329 of 3584x2048, Gemini 2,520."""

_LARGE_PIXELS: Final = 2_000_000
_DEAR: Final = ("xhigh", "max")  # qualities beyond what is documented: twice as much
_FRAMES: Final = "frame_count"  # of OpenAI's GIFs: as many images

PINNED: Final = frozenset((
    "model", "prompt", "n", "stream", "size", "width", "height", "quality", "resolution",
    "aspect_ratio", "image", "images", "image_url", "input_references", "mask", "response_format",
    "partial_images", "frame_count", "num_images", "num_outputs", "batch_size", "input_fidelity",
    "contents", "generationConfig", "generation_config", "instances", "sampleCount",
    "sample_count", "sampleImageSize", "sample_image_size", "numberOfImages", "messages", "tools",
    "cachedContent", "cached_content", "service_tier", "serviceTier",
))  # fmt: skip
"""What may not come by way of a provider's own options: what an image costs goes by these."""

_TAKEN: Final = OWN_FIELDS | {
    "input_references", "images", "image", "mask", "response_format", "tools",
    "messages", "options", "edit", "as_url",
}  # fmt: skip
"""What does not travel on, the names among it that `Ask.body` has of its own."""

_NUMBERS: Final = ("n", "seed", "partial_images", "output_compression", _FRAMES)


class _Fields(Common):
    prompt: str | None = None
    n: int | None = None
    size: str | None = None
    resolution: str | None = None
    aspect_ratio: str | None = None
    quality: Literal["auto", "low", "medium", "high", "xhigh", "max", "standard", "hd"] | None = (
        None
    )
    background: Literal["auto", "transparent", "opaque"] | None = None
    output_format: Literal["png", "jpeg", "webp", "svg", "gif"] | None = None
    output_compression: int | None = None
    input_references: list[dict[str, Any]] | None = None
    images: list[dict[str, Any]] | None = None
    seed: int | None = None
    response_format: Literal["b64_json", "url"] | None = None
    moderation: str | None = None
    style: str | None = None
    input_fidelity: Literal["low", "high"] | None = None
    partial_images: int | None = None
    frame_count: int | None = None


def decode_request(body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> Ask:
    """What a caller of `/images`, or of `/images/generations`, asks for.

    Raises GatewayError `invalid_request`, `invalid_image` or `not_supported`, each naming the
    field.
    """
    return _ask(decode_object(body), len(body), tuple(headers), edit=False)


def decode_edit(body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> Ask:
    """The same of `/images/edits`: a form with files in it, or JSON with their URLs."""
    headers = tuple(headers)
    kind = form_in(headers)
    if kind is None:
        fields, size_bytes = decode_object(body), len(body)
    else:
        # The images of a form become base64, which is a third larger.
        fields, size_bytes = _of_form(decode_form(body, kind)), len(body) * 4 // 3
    ask = _ask(fields, size_bytes, headers, edit=True)
    if not ask.media_prompt:
        raise GatewayError("invalid_request", "image: required")
    return ask


def _ask(
    fields: dict[str, Any], size_bytes: int, headers: Iterable[tuple[bytes, bytes]], *, edit: bool
) -> Ask:
    travelling, known = accept(fields, headers, _Fields, _TAKEN)
    options = options_in(known.provider)
    _check(known)
    check_options(options, PINNED)
    for name in (PINNED - _TAKEN).difference(known.__struct_fields__).intersection(fields):
        raise GatewayError("invalid_request", f"{name}: not a parameter of images")
    shape = shape_in(fields)
    references = _references(fields, known)
    mask = _mask(fields.get("mask"))
    content = [{"type": "text", "text": known.prompt}, *references]
    said: dict[str, Any] = {"messages": [{"role": "user", "content": content}]} | travelling
    said |= {"edit": edit} if edit else {}
    said |= {"mask": mask} if mask else {}
    said |= {"options": options} if options else {}
    said |= {"as_url": True} if known.response_format == "url" else {}
    media_bytes = sum(len(part["image_url"]["url"]) for part in references) + len(mask or "")
    text_bytes = max(len((known.prompt or "").encode()), size_bytes - media_bytes)
    return Ask(
        models=known.names,
        body=said,
        stream=known.stream is True,
        session_id=known.session_id,
        preferences=known.wishes,
        media_prompt=len(references),
        text_bytes=text_bytes,
        task="image",
        most=_most(known, shape, text_bytes, len(references) + bool(mask)),
        likely=_likely(known, text_bytes, len(references) + bool(mask)),
        told=wants_routing(headers),
    )


def _most(known: _Fields, shape: Shape, text_bytes: int, references: int) -> Usage:
    """What can be used at most, whoever makes the images."""
    tokens = TOKENS_PER_IMAGE_MAX
    if shape.area > _LARGE_PIXELS:
        tokens = TOKENS_PER_LARGE_MAX
    if known.quality in _DEAR:
        tokens *= 2
    count = known.n or 1
    return Usage(
        prompt_tokens=text_bytes + TOKENS_PER_REFERENCE_MAX * references,
        prompt_image_tokens=TOKENS_PER_REFERENCE_MAX * references,
        completion_tokens=tokens * count * (known.frame_count or 1),
        images=count,
    )


def _likely(known: _Fields, text_bytes: int, references: int) -> Usage:
    """The same as it usually is, for what is sold by tokens and counts none."""
    count = known.n or 1
    tokens = TOKENS_PER_IMAGE * count * (known.frame_count or 1)
    return Usage(
        prompt_tokens=likely_tokens(text_bytes, references),
        completion_tokens=tokens,
        completion_image_tokens=tokens,
        images=count,
    )


def _check(known: _Fields) -> None:
    if not known.prompt:
        raise GatewayError("invalid_request", "prompt: required")
    bounds = (
        ("n", known.n, 1, IMAGES_MAX),
        ("output_compression", known.output_compression, 0, 100),
        ("partial_images", known.partial_images, 0, PARTIALS_MAX),
        ("frame_count", known.frame_count, 2, 16),
    )
    for name, value, low, high in bounds:
        if value is not None and not low <= value <= high:
            raise GatewayError("invalid_request", f"{name}: must be between {low} and {high}")
    if known.background == "transparent" and known.output_format == "jpeg":
        reason = "background: jpeg can not be transparent"
        raise GatewayError("invalid_request", reason)


def _references(fields: dict[str, Any], known: _Fields) -> list[dict[str, Any]]:
    """The images to go by, as parts of a message; OpenAI's JSON says them a little shorter."""
    name = "images" if known.input_references is None else "input_references"
    said: list[dict[str, Any]] = fields.get(name) or []
    if len(said) > REFERENCES_MAX:
        raise GatewayError("invalid_request", f"{name}: at most {REFERENCES_MAX} images")
    parts = []
    for number, one in enumerate(said):
        place, image = f"{name}[{number}]", one.get("image_url")
        if one.get("file_id"):
            raise GatewayError("not_supported", f"{place}.file_id: not supported yet")
        url = image.get("url") if isinstance(image, dict) else image
        if one.get("type", "image_url") != "image_url" or not isinstance(url, str) or not url:
            raise GatewayError("invalid_request", f"{place}.image_url.url: required")
        parts.append(_mended({"type": "image_url", "image_url": {"url": url}}, place))
    return parts


def _mended(part: dict[str, Any], place: str) -> dict[str, Any]:
    try:
        mend([{"content": [part]}])
    except GatewayError as error:
        reason = error.message.rpartition(": ")[2]
        raise GatewayError(error.kind, f"{place}.image_url.url: {reason}") from None
    return part


def _mask(said: Any) -> str | None:
    """The mask as a data URL."""
    url = said.get("image_url") if isinstance(said, dict) else said
    if url is None:
        return None
    if not isinstance(url, str) or not url.startswith("data:"):
        raise GatewayError("invalid_request", "mask: expected the image itself, as a data URL")
    part = _mended({"type": "image_url", "image_url": {"url": url}}, "mask")
    return str(part["image_url"]["url"])


def _of_form(form: list[Field]) -> dict[str, Any]:
    """The fields of a form as JSON has them."""
    fields: dict[str, Any] = {}
    images: list[dict[str, Any]] = []
    for field in form:
        if field.name in ("image", "image[]"):
            images.append({"image_url": _data_url(field)})
        elif field.name == "mask":
            fields["mask"] = _data_url(field)
        elif field.name == "models[]":
            fields.setdefault("models", []).append(field.text)
        elif "[" in field.name or field.filename is not None:
            raise GatewayError("not_supported", f"{field.name[:80]}: not supported in a form")
        else:
            fields[field.name] = _value(field.name, field.text)
    return fields | ({"input_references": images} if images else {})


def _value(name: str, text: str) -> Any:
    if name in _NUMBERS and text.removeprefix("-").isdecimal() and len(text) < 16:
        return int(text)
    if name == "stream" and text in ("true", "false"):
        return text == "true"
    return text


def _data_url(field: Field) -> str:
    if field.filename is None:
        return field.text
    mime = field.mime if field.mime and field.mime.startswith("image/") else "image/png"
    return f"data:{mime};base64,{base64.b64encode(field.data).decode()}"
