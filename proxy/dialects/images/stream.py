"""Images, streamed to a caller: partial ones as they come, and each finished one in an event.

Contract: ImageStreamingResponse in OpenRouter's API reference; names and fields are OpenAI's. Who
asked for an edit by OpenAI's path hears of `image_edit`, not `image_generation`.
"""

from typing import Any

import orjson

from proxy.dialects.chat.errors import envelope
from proxy.dialects.forms import Bill
from proxy.dialects.images.answer import encode_image, images_in, usage_row
from proxy.errors import GatewayError
from proxy.wire.events import Event, Produced
from proxy.wire.frames import DONE, encode_data
from proxy.wire.request import Ask, Head


class Encoder:
    """One answer, streamed. The last image waits for the end, which tells its price."""

    def __init__(self, head: Head, ask: Ask) -> None:
        self._head = head
        self._as_url = bool(ask.body.get("as_url"))
        self._kind = "image_edit" if ask.body.get("edit") else "image_generation"
        self._last: dict[str, Any] | None = None

    def encode(self, event: Event) -> bytes:
        """One event; nothing for what is no image."""
        if isinstance(event, Produced):
            return self._event("partial_image", event.value)
        told = b""
        for image in images_in(event):
            told += self._completed({})
            self._last = image
        return told

    def encode_end(self, bill: Bill) -> bytes:
        """The last image with usage and cost, and the end mark."""
        more: dict[str, Any] = {"usage": usage_row(bill)}
        if bill.routing is not None:
            more["openrouter_metadata"] = bill.routing
        return self._completed(more) + DONE

    def encode_failure(self, error: GatewayError, routing: dict[str, Any] | None = None) -> bytes:
        """The error event after which nothing more comes, and the end mark."""
        told = envelope(error, routing)
        metadata = told["error"]["metadata"]
        said = {
            "message": error.message,
            "code": metadata.get("provider_code") or error.error_type,
            "type": error.error_type,
            "param": None,
            "status": error.status,
            "metadata": metadata,
        }
        if error.availability is not None:
            said["availability"] = error.availability
        return (
            encode_data(orjson.dumps(told | {"type": "error", "error": said}, default=str)) + DONE
        )

    def _completed(self, more: dict[str, Any]) -> bytes:
        if self._last is None:
            return b""
        image, self._last = encode_image(self._last, self._as_url), None
        return self._event("completed", image | more)

    def _event(self, name: str, value: dict[str, Any]) -> bytes:
        created = {"created": self._head.created, "created_at": self._head.created}
        return encode_data(orjson.dumps({"type": f"{self._kind}.{name}"} | created | value))
