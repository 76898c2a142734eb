"""Images, the answer of a provider that speaks as OpenAI does: bytes in, canonical events out.

Made are the finished images, as `Attachments`. Partial ones are `Produced`, and no image is counted
for them; but who has seen one and hangs up pays for the image that was being made.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from msgspec.structs import replace

from proxy.dialects.chat.errors import failure
from proxy.dialects.counts import count, usable
from proxy.dialects.faults import text_of, word_of
from proxy.dialects.reading import Decoder, parse
from proxy.dialects.values import mapping, objects, string
from proxy.providers import Quirks
from proxy.wire.events import (
    Attachments,
    Ended,
    Event,
    Failed,
    Finished,
    Produced,
    Started,
    Usage,
    UsageReport,
)

SIGNS: Final = (
    ("iVBORw0KGgo", "image/png"),
    ("/9j/", "image/jpeg"),
    ("UklGR", "image/webp"),
    ("R0lGOD", "image/gif"),
    ("PHN2Zy", "image/svg+xml"),
    ("PD94bWwg", "image/svg+xml"),
)
"""How the base64 of each kind of image begins."""

_REFUSED: Final = ("moderation_blocked", "content_policy_violation", "content_filter")
_TOLD: Final = ("background", "created_at", "output_format", "quality", "size")
_TOKENS: Final = {"low": 408, "medium": 1584}
_TOKENS_HIGH: Final = 6240  # gpt-image-1 and its largest size, OpenAI's guide "Image generation"


def image_of(data: str, mime: str | None = None, **more: Any) -> dict[str, Any]:
    """A finished image out of its base64."""
    told = next((kind for sign, kind in SIGNS if data.startswith(sign)), mime or "image/png")
    return {"type": "image_url", "image_url": {"url": f"data:{told};base64,{data}"}} | more


def finished(images: Iterable[dict[str, Any]], usage: Usage) -> Iterator[Event]:
    """An answer with these images."""
    yield Attachments(0, "images", tuple(images))
    yield UsageReport(usage)
    yield Finished(0, "stop", None)
    yield Ended()


def refused(why: str | None) -> Failed:
    """What to say where a filter held all images back."""
    said = f" ({why})" if why else ""
    return Failed(
        400, f"The content filter held the image back{said}.", "content_filter", why or ""
    )


def without_image(said: str = "") -> Failed:
    """What to say where there is none, and nobody says why."""
    return Failed(None, "The provider sent no image.", None, said)


def decode_usage(said: Any, images: int) -> Usage | None:
    """OpenAI's counts; None where nothing was counted."""
    usage = mapping(said)
    names = ("input_tokens", "prompt_tokens"), ("output_tokens", "completion_tokens")
    if all(usable(usage.get(name)) is None for pair in names for name in pair):
        return None
    prompt, completion = (
        next((count(usage[name]) for name in pair if usable(usage.get(name)) is not None), 0)
        for pair in names
    )
    made = mapping(usage.get("output_tokens_details")).get("image_tokens")
    seen = mapping(usage.get("input_tokens_details"))
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=count(seen.get("cached_tokens")),
        prompt_image_tokens=count(seen.get("image_tokens")),
        completion_image_tokens=completion if usable(made) is None else count(made),
        images=images,
    )


def decode_answer(body: bytes, quirks: Quirks) -> list[Event]:
    """The events of a whole answer.

    Raises GatewayError `provider_malformed` for what is no answer.
    """
    answer = parse(body)
    if failed := _failure(answer):
        return [failed]
    images = [image for one in objects(answer.get("data")) if (image := _image(one))]
    if not images:
        hidden = any(one.get("respect_moderation") is False for one in objects(answer.get("data")))
        return [refused(None) if hidden else without_image()]
    usage = _counted(answer, len(images))
    return [Started(upstream_id=string(answer.get("id"))), *finished(images, usage)]


def _counted(said: dict[str, Any], images: int) -> Usage:
    """The usage of these images, guessed as far as it was not counted."""
    usage, guessed = decode_usage(said.get("usage"), images), _guessed(said, images)
    return guessed if usage is None else with_tokens(usage, guessed)


def with_tokens(usage: Usage, guessed: Usage) -> Usage:
    """`usage` with the tokens of `guessed` where it has none of what was made."""
    if usage.completion_tokens or not guessed.completion_tokens:
        return usage
    return replace(
        usage,
        completion_tokens=guessed.completion_tokens,
        completion_image_tokens=guessed.completion_image_tokens,
        estimated=True,
    )


def _guessed(said: dict[str, Any], images: int) -> Usage:
    """The usage of images that nobody counted, or that are still being made. Those that tell their
    quality are of GPT Image, and sold by tokens; others are not.
    """
    quality = said.get("quality")
    tokens = 0 if quality is None else _TOKENS.get(str(quality), _TOKENS_HIGH)
    return drawn(images, tokens)


def drawn(images: int, tokens: int = 0) -> Usage:
    """The usage of so many images, with a guess at the tokens of each."""
    tokens *= images
    return Usage(
        completion_tokens=tokens, completion_image_tokens=tokens, images=images, estimated=True
    )


def _image(said: dict[str, Any]) -> dict[str, Any] | None:
    if said.get("respect_moderation") is False:  # xAI: there is an image, but not for callers
        return None
    more = {"revised_prompt": text} if (text := string(said.get("revised_prompt"))) else {}
    if data := string(said.get("b64_json")):
        if data.startswith("data:"):
            data = data.partition(",")[2]
        return image_of(data, string(said.get("mime_type")), **more)
    url = string(said.get("url"))
    return {"type": "image_url", "image_url": {"url": url}} | more if url else None


def _failure(said: dict[str, Any]) -> Failed | None:
    failed = failure(said)
    if failed is None and said.get("type") == "error":
        failed = Failed(None, text_of(said), word_of(said.get("code")), "")
    if failed is not None and failed.status is None and failed.code in _REFUSED:
        return Failed(400, failed.message, failed.code, failed.raw)
    return failed


class Stream:
    """A stream of OpenAI's. Its end is that of the bytes, or `[DONE]`; without an image it is a
    failure.
    """

    def __init__(self, quirks: Quirks) -> None:
        self._decoder = Decoder(self._read)
        self._images = 0
        self._over = False

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that `data` completes, those before a fault included."""
        yield from self._checked(self._decoder.feed(data))

    def end(self) -> Iterator[Event]:
        """What stood in the last lines; where an image came, the end of the answer."""
        yield from self._checked(self._decoder.end())
        if self._images and not self._over:
            self._over = True
            yield Finished(0, "stop", None)
            yield Ended()

    def _checked(self, events: Iterable[Event]) -> Iterator[Event]:
        for event in events:
            self._over = self._over or isinstance(event, Ended | Failed)
            if isinstance(event, Ended) and not self._images:
                event = without_image()
            yield event

    def _read(self, name: str, said: dict[str, Any], events: list[Event]) -> None:
        if failed := _failure(said):
            events.append(failed)
            return
        kind, data = string(said.get("type")) or name, string(said.get("b64_json"))
        if data is None:
            return
        if kind.endswith(".partial_image"):
            told: dict[str, Any] = {
                key: said[key] for key in _TOLD if isinstance(said.get(key), str | int)
            }
            index = said.get("partial_image_index")
            told |= {"partial_image_index": index if isinstance(index, int) else 0}
            events.append(UsageReport(_guessed({"quality": "high"} | said, 1)))
            events.append(Produced(0, told | {"b64_json": data}))
        elif kind.endswith(".completed"):
            self._images += 1
            events.append(Attachments(0, "images", (image_of(data),)))
            events.append(UsageReport(_counted(said, self._images)))
