"""Images of Google: Gemini's, which come as parts of an answer, and Imagen's, of `:predict`.

Source: Google's guides "Image generation" (Gemini API and Vertex AI) and its reference of Imagen;
both are the same at AI Studio and at Vertex.
"""

import re
from typing import Any, Final, NamedTuple

from msgspec.structs import replace

from proxy.dialects.asking import Encoded, Target, encode_json, inexpressible
from proxy.dialects.gemini import request as gemini
from proxy.dialects.gemini.events import Reader
from proxy.dialects.images.made import (
    drawn,
    finished,
    image_of,
    refused,
    with_tokens,
    without_image,
)
from proxy.dialects.images.sent import media_in, options_in, prompt_in
from proxy.dialects.images.shape import ratio_of, shape_in, tier_of
from proxy.dialects.parts import media_of
from proxy.dialects.reading import parse
from proxy.dialects.values import mapping, objects, string
from proxy.providers import Quirks
from proxy.wire.events import Attachments, Event, Failed, Finished, Started, Text, UsageReport
from proxy.wire.request import Ask

_IMAGEN: Final = re.compile(r"imagen|image(?:generation|text)@")
_RATIOS_IMAGEN: Final = ("1:1", "3:4", "4:3", "9:16", "16:9")
_RATIOS: Final = (
    "1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9",
)  # fmt: skip
_EXTREMES: Final = ("1:4", "4:1", "1:8", "8:1")
_BEFORE_SIZES: Final = re.compile(r"gemini-[12]")
_EXTREME: Final = re.compile(r"gemini-3\.1-flash")
_TOKENS: Final = 1290  # of an image of 2.5; of the next at 1K it is 1120
_METHOD: Final = ":generateContent"
_IMAGEN_MAX: Final = 4  # images of one request


class Knows(NamedTuple):
    """What a model of Google's can be asked for: ratios, tiers of resolution, images at once."""

    ratios: tuple[str, ...]
    tiers: tuple[str, ...]
    images: int


def knows(model: str) -> Knows:
    """The same for `model`, told by its name."""
    if _IMAGEN.match(model):
        return Knows(_RATIOS_IMAGEN, () if "fast" in model else ("1K", "2K"), _IMAGEN_MAX)
    if _EXTREME.match(model):
        return Knows((*_RATIOS, *_EXTREMES), ("512", "1K", "2K", "4K"), 1)
    return Knows(_RATIOS, () if _BEFORE_SIZES.match(model) else ("1K", "2K", "4K"), 1)


def draws_only(model: str) -> bool:
    """Whether it is one of Imagen's, which take a text alone."""
    return _IMAGEN.match(model) is not None


def path(target: Target, stream: bool) -> str:
    """The path at AI Studio; nothing of an image is streamed."""
    return _method(gemini.path(target, False), target)


def vertex_path(target: Target, stream: bool) -> str:
    """The path at Vertex."""
    return _method(gemini.vertex_path(target, False), target)


def _method(path: str, target: Target) -> str:
    if draws_only(target.model):
        return f"{path.removesuffix(_METHOD)}:predict"
    return path


def encode_request(ask: Ask, target: Target) -> Encoded:
    """The request as AI Studio takes it.

    Raises GatewayError `provider_unfit` for what it can not be asked for.
    """
    return _encoded(ask, target, vertex=False)


def encode_vertex(ask: Ask, target: Target) -> Encoded:
    """The same as Vertex takes it."""
    return _encoded(ask, target, vertex=True)


def _encoded(ask: Ask, target: Target, *, vertex: bool) -> Encoded:
    if ask.body.get("mask"):
        raise inexpressible(target.provider, "a mask")
    if draws_only(target.model):
        return Encoded(encode_json(_predict(ask, target)))
    if ask.body.get("n", 1) > 1:
        raise inexpressible(target.provider, "a request for more than one image at once")
    said = replace(ask, body=_as_chat(ask, target), native=None)
    encode = gemini.encode_vertex_request if vertex else gemini.encode_request
    encoded = encode(said, target)
    options = options_in(ask, target)
    return Encoded(encode_json(parse(encoded.body) | options)) if options else encoded


def _as_chat(ask: Ask, target: Target) -> dict[str, Any]:
    """The request as one for a chat whose answer is an image."""
    shape, known = shape_in(ask.body), knows(target.model)
    config = {
        "aspect_ratio": ratio_of(shape, known.ratios),
        "image_size": tier_of(shape, known.tiers),
    }
    body = {"messages": ask.body["messages"], "modalities": ["text", "image"]}
    body |= {"image_config": config} if any(config.values()) else {}
    seed = ask.body.get("seed")
    return body | ({} if seed is None else {"seed": seed})


def _predict(ask: Ask, target: Target) -> dict[str, Any]:
    if media_in(ask, target):
        raise inexpressible(target.provider, "images to go by")
    count, known, shape = ask.body.get("n", 1), knows(target.model), shape_in(ask.body)
    if count > known.images:
        raise inexpressible(target.provider, f"a request for more than {known.images} images")
    parameters: dict[str, Any] = {"sampleCount": count, "includeRaiReason": True}
    if ratio := ratio_of(shape, known.ratios):
        parameters["aspectRatio"] = ratio
    if tier := tier_of(shape, known.tiers):
        parameters["sampleImageSize"] = tier
    form, compression = ask.body.get("output_format"), ask.body.get("output_compression")
    if form in ("png", "jpeg"):
        output: dict[str, Any] = {"mimeType": f"image/{form}"}
        if form == "jpeg" and compression is not None:
            output["compressionQuality"] = compression
        parameters["outputOptions"] = output
    parameters |= options_in(ask, target)
    return {"instances": [{"prompt": prompt_in(ask)}], "parameters": parameters}


def decode_answer(body: bytes, quirks: Quirks) -> list[Event]:
    """The events of a whole answer of either.

    Raises GatewayError `provider_malformed` for what is none.
    """
    answer = parse(body)
    if "candidates" in answer or "promptFeedback" in answer or "error" in answer:
        return _of_parts(answer)
    return _of_predictions(answer)


def _of_predictions(answer: dict[str, Any]) -> list[Event]:
    images, why = [], None
    for one in objects(answer.get("predictions")):
        why = string(one.get("raiFilteredReason")) or why
        if data := string(one.get("bytesBase64Encoded")):
            images.append(image_of(data, string(one.get("mimeType"))))
    if images:
        return [Started(), *finished(images, drawn(len(images)))]
    return [refused(why) if why else without_image()]


def _of_parts(answer: dict[str, Any]) -> list[Event]:
    events: list[Event] = []
    Reader(whole=True).read(_without_thoughts(answer), events)
    images: list[dict[str, Any]] = []
    begun, usage, told, said = Started(), None, None, ""
    for event in events:
        match event:
            case Failed():
                return [event]
            case Started():
                begun = event
            case Attachments(name="images"):
                images += _whole(event.items)
            case Text():
                said += event.text
            case UsageReport():
                usage = event.usage
            case Finished(reason="content_filter"):
                told = event.native or ""
    if images:
        count = len(images)
        guessed = drawn(count, _TOKENS)
        counted = with_tokens(replace(usage, images=count), guessed) if usage else guessed
        return [begun, *finished(images, counted)]
    return [without_image(said) if told is None else refused(told)]


def _whole(items: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    found = (media_of(item) for item in items)
    return [image_of(one.data, one.mime) for one in found if one and one.data]


def _without_thoughts(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer without the images that its model made while it thought, which are no answer."""
    for candidate in objects(answer.get("candidates")):
        content = mapping(candidate.get("content"))
        content["parts"] = [
            part
            for part in objects(content.get("parts"))
            if part.get("thought") is not True or "inlineData" not in part
        ]
    return answer
