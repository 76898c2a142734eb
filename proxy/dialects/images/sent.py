"""Images, asked of providers that speak as OpenAI does: as JSON, or with references as a form.

What each of them knows is in its row (`Quirks.image_*`), and in the names of OpenAI's own models.
Sources: OpenAI's "Create image" and "Create image edit", xAI's "Image generation", Together's and
DeepInfra's references of `/images/generations`.
"""

import base64
import re
from typing import Any, Final

from proxy.dialects.asking import Encoded, Target, encode_json, inexpressible, segment
from proxy.dialects.images.shape import pixels_of, ratio_of, shape_in, tier_of
from proxy.dialects.multipart import Field, encode_form
from proxy.dialects.parts import Media, media_of, text_in
from proxy.providers import Quirks
from proxy.wire.request import Ask

EDITS: Final = "/images/edits"

GPT_FIRST: Final = re.compile(r"(?:.*/)?gpt-image-1")
DALL_E: Final = re.compile(r"(?:.*/)?dall-e-(\d)")
"""OpenAI's own models that know fewer sizes; DALL-E knows fewer of everything."""

_GPT: Final = re.compile(r"(?:.*/)?(?:gpt-image|chatgpt-image)")
_SIZES_GPT: Final = ((1024, 1024), (1536, 1024), (1024, 1536))
_SIZES_DALL_E: Final = {
    "2": ((1024, 1024),),
    "3": ((1024, 1024), (1792, 1024), (1024, 1792)),
}
NOT_DALL_E: Final = (
    "background", "moderation", "output_format", "output_compression", "partial_images", "seed",
)  # fmt: skip
RATIOS_XAI: Final = (
    "1:1", "1:2", "2:1", "2:3", "3:2", "3:4", "4:3", "9:16", "16:9", "9:19.5", "19.5:9", "9:20",
    "20:9",
)  # fmt: skip
TIERS_XAI: Final = ("1K", "2K")
_OURS: Final = (
    "messages", "size", "resolution", "aspect_ratio", "edit", "mask", "options", "as_url",
)  # fmt: skip
_MIME: Final = re.compile(r"image/[\w.+-]{1,40}")


def streams(model: str) -> bool:
    """Whether this model of OpenAI's shows images while it makes them."""
    return _GPT.match(model) is not None


def media_in(ask: Ask, target: Target) -> list[Media]:
    """The images to go by. Raises GatewayError `provider_unfit` for what is none."""
    found = []
    for part in ask.body["messages"][0]["content"][1:]:
        media = media_of(part)
        if media is None or media.kind != "image":
            raise inexpressible(target.provider, "an image that can not be read")
        found.append(media)
    return found


def prompt_in(ask: Ask) -> str:
    """What is to be made."""
    return text_in(ask.body["messages"][0]["content"])


def options_in(ask: Ask, target: Target) -> dict[str, Any]:
    """What the caller says to this provider alone."""
    said: dict[str, Any] = ask.body.get("options", {}).get(target.provider.slug, {})
    return said


def path(target: Target, stream: bool) -> str:
    """The path of images made from a text alone."""
    return target.provider.quirks.images_path


def azure_path(target: Target, stream: bool) -> str:
    """The same at Azure, where `target.model` is the name of a deployment."""
    return _azure(target, "/images/generations")


def _azure(target: Target, end: str) -> str:
    version = segment(target.provider.options["api_version"])
    return f"/openai/deployments/{target.path_name}{end}?api-version={version}"


def encode_request(ask: Ask, target: Target) -> Encoded:
    """The request as this provider takes it.

    Raises GatewayError `provider_unfit` for what it can not be asked for.
    """
    return _encoded(ask, target, EDITS)


def encode_azure(ask: Ask, target: Target) -> Encoded:
    """The same for Azure."""
    return _encoded(ask, target, _azure(target, EDITS))


def _encoded(ask: Ask, target: Target, edits: str) -> Encoded:
    quirks = target.provider.quirks
    body = _body(ask, target)
    media, mask = media_in(ask, target), ask.body.get("mask")
    if mask and quirks.image_edits != "form":
        raise inexpressible(target.provider, "a mask")
    if not media:
        return Encoded(encode_json(body))
    if DALL_E.match(target.model) and (len(media) > 1 or "dall-e-2" not in target.model):
        raise inexpressible(target.provider, "so many images to go by")
    match quirks.image_edits:
        case "form":
            return _form(body, media, mask, target, edits)
        case "json":
            said = [{"url": _url(one, target), "type": "image_url"} for one in media]
            body |= {"image": said[0]} if len(said) == 1 else {"images": said}
            return Encoded(encode_json(body), path=edits)
        case "image_url":
            if len(media) > 1:
                raise inexpressible(target.provider, "more than one image to go by")
            return Encoded(encode_json(body | {"image_url": _url(media[0], target)}))
        case "references":
            urls = [_url(one, target) for one in media]
            parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
            return Encoded(encode_json(body | {"input_references": parts}))
    raise inexpressible(target.provider, "images to go by")


def _body(ask: Ask, target: Target) -> dict[str, Any]:
    said, model, quirks = ask.body, target.model, target.provider.quirks
    body: dict[str, Any] = {"model": model, "prompt": prompt_in(ask)}
    omits = {*quirks.image_omits, *_OURS}
    omits |= set() if _shown(ask, model) else {"partial_images"}
    body |= {name: value for name, value in said.items() if name not in omits}
    body |= _shaped(said, model, quirks)
    if DALL_E.match(model):
        _of_dall_e(body, target)
    elif not _GPT.match(model) and quirks.image_format != "none":
        body["response_format"] = quirks.image_format
    body |= options_in(ask, target)
    if _shown(ask, model):
        body["stream"] = True
    return body


def _of_dall_e(body: dict[str, Any], target: Target) -> None:
    """Mends the request for OpenAI's older models, which know less."""
    third = "dall-e-3" in target.model
    if third and body.get("n", 1) > 1:
        raise inexpressible(target.provider, "a request for more than one image at once")
    for name in NOT_DALL_E:
        body.pop(name, None)
    quality = body.pop("quality", "auto")
    if third and quality != "auto":
        body["quality"] = "hd" if quality in ("high", "hd") else "standard"
    body["response_format"] = "b64_json"


def _shown(ask: Ask, model: str) -> bool:
    """Whether the provider is to stream: of several images it is not said how it counts them."""
    return ask.stream and streams(model) and ask.body.get("n", 1) == 1


def _shaped(said: dict[str, Any], model: str, quirks: Quirks) -> dict[str, Any]:
    """How large, and of which proportions, in the provider's words."""
    if quirks.image_shape == "said":
        return {name: said[name] for name in ("size", "resolution", "aspect_ratio") if name in said}
    shape = shape_in(said)
    if quirks.image_shape == "ratio":
        ratio, tier = ratio_of(shape, RATIOS_XAI), tier_of(shape, TIERS_XAI)
        told = {"aspect_ratio": ratio, "resolution": tier and tier.lower()}
        return {name: value for name, value in told.items() if value}
    known: tuple[tuple[int, int], ...] = ()
    if dall_e := DALL_E.match(model):
        known = _SIZES_DALL_E.get(dall_e[1], ())
    elif GPT_FIRST.match(model):
        known = _SIZES_GPT
    pixels = pixels_of(shape, known)
    if pixels is None:
        return {}
    width, height = pixels
    if quirks.image_shape == "pixels":
        return {"width": width, "height": height}
    return {"size": f"{width}x{height}"}


def _url(media: Media, target: Target) -> str:
    if media.url is not None:
        if not media.url.startswith("https://"):
            raise inexpressible(target.provider, "an image at such a URL")
        return media.url
    return f"data:{media.mime or 'image/png'};base64,{media.data}"


def _form(
    body: dict[str, Any], media: list[Media], mask: str | None, target: Target, edits: str
) -> Encoded:
    fields = [
        Field(name, _text(value).encode())
        for name, value in body.items()
        if isinstance(value, str | int | float)
    ]
    name = "image" if len(media) == 1 else "image[]"
    files = [(name, one) for one in media]
    if mask:
        found = media_of({"type": "image_url", "image_url": {"url": mask}})
        files += [("mask", found)] if found else []
    for number, (field, one) in enumerate(files):
        if one.data is None:
            raise inexpressible(target.provider, "an image by its URL")
        mime = one.mime if one.mime and _MIME.fullmatch(one.mime) else "image/png"
        filename = f"{number}.{mime.removeprefix('image/')}"
        fields.append(Field(field, base64.b64decode(one.data), filename, mime))
    data, form = encode_form(fields)
    return Encoded(data, {"Content-Type": form}, edits)


def _text(value: str | int | float) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
