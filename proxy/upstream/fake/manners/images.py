"""Pictures, made or changed, as OpenAI and those like it write them; newer ones stream."""

from base64 import b64encode
from collections.abc import Iterator
from typing import Final

from proxy.upstream.fake.ask import ATTACHMENT_TOKENS, Ask, JSONObject, Request, count_of
from proxy.upstream.fake.asks.openai import decode_image
from proxy.upstream.fake.manner import Event
from proxy.upstream.fake.manners.azure import Azure
from proxy.upstream.fake.manners.chat import Chat
from proxy.upstream.fake.media import picture
from proxy.upstream.fake.reply import Reply
from proxy.upstream.fake.seals import Seal

_TOKENS: Final = {"low": 272, "medium": 1056, "high": 4160}  # of GPT Image, 1024 pixels square


class Images(Chat):
    """OpenAI's GPT Image, and DALL·E where the model's name has it."""

    name = "image"
    contents = ("data", "b64_json")

    def decode(self, request: Request, seal: Seal) -> Ask:
        """See `Manner.decode`."""
        return decode_image(request)

    def events(self, reply: Reply) -> Iterator[Event]:
        """See `Manner.events`: half-done pictures, as many as are wanted, then each picture."""
        name = "image_edit" if reply.ask.body["edits"] else "image_generation"
        partial = _count(reply.ask.body.get("partial_images"))
        for index in range(0 if reply.mute else reply.ask.body["n"]):
            for number in range(partial):
                data = _event(f"{name}.partial_image", reply, f"{index}.{number}")
                yield Event("token", data | {"partial_image_index": number}, data["type"])
            data = _event(f"{name}.completed", reply, str(index))
            yield Event("token", data | {"usage": _usage(reply, 1)}, data["type"])

    def whole(self, reply: Reply) -> JSONObject:
        """See `Manner.whole`."""
        body, count = reply.ask.body, 0 if reply.mute else reply.ask.body["n"]
        answer: JSONObject = {"created": reply.created}
        if not body["older"]:
            answer |= _style(reply)
        answer["data"] = [_row(reply, str(index)) for index in range(count)]
        return answer if body["older"] else answer | {"usage": _usage(reply, count)}

    def unfinished(self, data: JSONObject) -> JSONObject | None:
        """See `Manner.unfinished`: in a stream, the picture itself is its end."""
        return None if str(data.get("type")).endswith(".completed") else data

    def emptied(self, body: JSONObject) -> JSONObject:
        """See `Manner.emptied`."""
        return body | {"data": []}

    def recounted(self, event: Event) -> Event:
        """See `Manner.recounted`."""
        return event

    def growing(self, event: Event, reply: Reply) -> Event:
        """See `Manner.growing`."""
        return event

    def error_events(self) -> tuple[Event, ...]:
        """See `Manner.error_events`: in a stream of pictures an error has a type as they have."""
        return tuple(
            event._replace(data={"type": "error"} | event.data, name="error")
            for event in super().error_events()
            if event.data is not None
        )


class AzureImages(Images, Azure):
    """The same on Azure."""

    name = "azure-image"


def _count(value: object) -> int:
    """A whole number as JSON has it, or a form."""
    return int(value) if isinstance(value, str) and value.isdecimal() else count_of(value) or 0


def _style(reply: Reply) -> JSONObject:
    wanted = {key: value for key, value in reply.ask.body.items() if value != "auto"}
    background = "transparent" if wanted.get("background") == "transparent" else "opaque"
    return {
        "background": background,
        "output_format": wanted.get("output_format", "png"),
        "quality": wanted.get("quality", "medium"),
        "size": wanted.get("size", "1024x1024"),
    }


def _drawn(reply: Reply, which: str) -> str:
    wanted = str(reply.ask.body.get("output_format", "png"))
    return b64encode(picture(f"{which} {reply.ask.said}", wanted)).decode()


def _row(reply: Reply, which: str) -> JSONObject:
    body = reply.ask.body
    if not body["older"] and body.get("response_format") != "url":
        return {"b64_json": _drawn(reply, which)}
    words = f"A picture of water: {reply.ask.said}"
    revised = {"revised_prompt": words} if body["older"] else {}
    if body.get("response_format") == "b64_json":
        return revised | {"b64_json": _drawn(reply, which)}
    return revised | {"url": f"https://example.com/{reply.letters}-{which}.png"}


def _event(name: str, reply: Reply, which: str) -> JSONObject:
    drawn: JSONObject = {"type": name, "b64_json": _drawn(reply, which)}
    return drawn | {"created_at": reply.created} | _style(reply)


def _usage(reply: Reply, count: int) -> JSONObject:
    said = _TOKENS.get(str(reply.ask.body.get("quality")), _TOKENS["medium"]) * count
    seen = ATTACHMENT_TOKENS * len(reply.ask.attachments)
    words = reply.count.prompt - seen
    return {
        "input_tokens": words + seen,
        "input_tokens_details": {"image_tokens": seen, "text_tokens": words},
        "output_tokens": said,
        "output_tokens_details": {"image_tokens": said, "text_tokens": 0},
        "total_tokens": words + seen + said,
    }
