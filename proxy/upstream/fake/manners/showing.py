"""What a Gemini model shows or speaks beside its text: parts with pictures or sounds in them."""

from base64 import b64encode
from collections.abc import Iterable, Iterator
from typing import Final

from proxy.upstream.fake.ask import JSONObject, strings
from proxy.upstream.fake.asks.openai import FORBIDDEN
from proxy.upstream.fake.media import RATE_HZ, picture, tone
from proxy.upstream.fake.reply import Reply, Token

_PICTURE_TOKENS = 1290  # of Gemini 2.5 Flash Image, as recorded
_WORD_TOKENS = 6  # 25 for each second
_SOUND: Final = f"audio/L16;codec=pcm;rate={RATE_HZ}"


def _kinds(reply: Reply) -> set[str]:
    """What is to come; a model for pictures makes them unasked, as recorded."""
    told = {kind.upper() for kind in strings(reply.ask.body.get("responseModalities"))}
    return told or ({"TEXT", "IMAGE"} if "image" in reply.ask.model else {"TEXT"})


def spoken(reply: Reply) -> Iterable[Token]:
    """The tokens of the answer, none where it is to be without text."""
    return reply.spoken[0] if "TEXT" in _kinds(reply) else ()


def refused(reply: Reply) -> bool:
    """Whether a picture is wanted that must not be made."""
    return "IMAGE" in _kinds(reply) and FORBIDDEN in reply.ask.said.lower()


def parts_of(reply: Reply) -> Iterator[JSONObject]:
    """The picture, or a piece of sound for each word of the prompt."""
    kinds = _kinds(reply)
    if reply.mute or refused(reply):
        return
    if "IMAGE" in kinds:
        yield _inline("image/png", picture(reply.ask.said))
    if "AUDIO" in kinds:
        piece = tone()
        yield from (_inline(_SOUND, piece) for _ in reply.ask.said.split())


def shown_tokens(reply: Reply) -> int:
    """What these parts count for."""
    return sum(row["tokenCount"] for row in _shown(reply))


def details(reply: Reply) -> list[JSONObject]:
    """What the answer counts for, by what it is."""
    text = reply.count.completion - reply.count.reasoning
    shown = list(_shown(reply))
    return [*(modality(text) if text or not shown else ()), *shown]


def _shown(reply: Reply) -> Iterator[JSONObject]:
    kinds = _kinds(reply)
    if reply.mute or refused(reply):
        return
    if "IMAGE" in kinds:
        yield from modality(_PICTURE_TOKENS, "IMAGE")
    if "AUDIO" in kinds:
        yield from modality(_WORD_TOKENS * len(reply.ask.said.split()), "AUDIO")


def modality(tokens: int, kind: str = "TEXT") -> list[JSONObject]:
    """A count as Google details it."""
    return [{"modality": kind, "tokenCount": tokens}]


def _inline(mime_type: str, data: bytes) -> JSONObject:
    return {"inlineData": {"mimeType": mime_type, "data": b64encode(data).decode()}}
