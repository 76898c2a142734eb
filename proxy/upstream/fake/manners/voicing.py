"""What a model of OpenAI's chat speaks, and what one of OpenRouter's draws, beside its text."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Final

from proxy.upstream.fake.ask import Ask, JSONObject, child, strings
from proxy.upstream.fake.media import picture, sounds, tone
from proxy.upstream.fake.reply import Reply

_LASTS_S: Final = 3600
_FORMATS: Final = {"pcm16": "pcm"}


def speaks(ask: Ask) -> bool:
    """Whether the answer is to be spoken; its text is the transcript then."""
    return "audio" in strings(ask.body.get("modalities")) and not ask.thinks


def draws(reply: Reply) -> bool:
    """Whether a picture is to come with the answer."""
    return "image" in strings(reply.ask.body.get("modalities")) and not reply.mute


def spoken(reply: Reply, words: Sequence[str]) -> JSONObject:
    """The whole of what is spoken."""
    wanted = str(child(reply.ask.body, "audio").get("format"))
    data = b"".join(sounds(len(words), _FORMATS.get(wanted, wanted)))
    return {
        "id": _id(reply),
        "data": b64encode(data).decode(),
        "expires_at": reply.created + _LASTS_S,
        "transcript": "".join(words),
    }


def pieces_of(reply: Reply, word: str) -> Iterator[JSONObject]:
    """A word as its transcript and then its sound; sounds are streamed as `pcm16` only."""
    yield {"id": _id(reply), "transcript": word}
    yield {"id": _id(reply), "data": b64encode(tone()).decode()}


def expiry(reply: Reply) -> JSONObject:
    """The end of what is spoken."""
    return {"id": _id(reply), "expires_at": reply.created + _LASTS_S}


def drawn(reply: Reply) -> list[JSONObject]:
    """The pictures, as OpenRouter has them in a message."""
    data = b64encode(picture(reply.ask.said)).decode()
    url = {"url": f"data:image/png;base64,{data}"}
    return [{"type": "image_url", "image_url": url, "index": 0}]


def _id(reply: Reply) -> str:
    return f"audio_{reply.letters}"
