"""Images, the answer for a caller: OpenRouter's form, which OpenAI's SDKs read as well.

Contract: ImageGenerationResponse in OpenRouter's API reference. `url` stands in place of
`b64_json` where the caller wished that, as a data URL, or where the provider gave nothing else.
"""

from collections.abc import Iterable
from typing import Any

import orjson

from proxy.dialects.asking import Encoded
from proxy.dialects.chat.stream import encode_usage
from proxy.dialects.forms import Bill
from proxy.dialects.parts import media_of
from proxy.wire.events import Attachments, Event
from proxy.wire.request import Ask, Head


def encode_answer(events: Iterable[Event], head: Head, ask: Ask, bill: Bill) -> Encoded:
    """A whole answer out of its events."""
    images = [image for event in events for image in images_in(event)]
    as_url = bool(ask.body.get("as_url"))
    answer = {
        "created": head.created,
        "data": [encode_image(image, as_url) for image in images],
        "usage": usage_row(bill),
    }
    if bill.routing is not None:
        answer["openrouter_metadata"] = bill.routing
    return Encoded(orjson.dumps(answer))


def images_in(event: Event) -> tuple[dict[str, Any], ...]:
    """The finished images of an event."""
    return event.items if isinstance(event, Attachments) and event.name == "images" else ()


def encode_image(image: dict[str, Any], as_url: bool = False) -> dict[str, Any]:
    """One finished image."""
    media, row = media_of(image), dict[str, Any]()
    if media is None or media.data is None or as_url:
        row["url"] = image["image_url"]["url"]
    else:
        row["b64_json"] = media.data
    if media is not None and media.mime is not None:
        row["media_type"] = media.mime
    if "revised_prompt" in image:
        row["revised_prompt"] = image["revised_prompt"]
    return row


def usage_row(bill: Bill) -> dict[str, Any]:
    """OpenRouter's `usage`, with OpenAI's names for its counts beside its own."""
    row = encode_usage(bill.usage, bill.cost)
    row["input_tokens"], row["output_tokens"] = row["prompt_tokens"], row["completion_tokens"]
    return row
