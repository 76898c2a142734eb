"""A caller's request for a reranking, decoded: OpenRouter's `POST /rerank`.

In the canonical body `documents` are texts, or objects with `text` and `image`. Where one has an
image, `messages` hold the images in the form of a chat, one message for each document: that is
where they are fetched and inlined. Contract: `createRerank` in OpenRouter's API description.
"""

from typing import Any, Final

from proxy.dialects.asked import (
    TOKENS_PER_INPUT_MAX,
    Common,
    decode,
    size_bytes,
    unknown_bytes,
)
from proxy.dialects.attached import mend
from proxy.dialects.chat.fields import wants_routing
from proxy.dialects.forms import Headers
from proxy.dialects.options import options_bytes
from proxy.errors import GatewayError
from proxy.wire.events import Usage
from proxy.wire.request import Ask
from proxy.wire.tokens import TOKENS_PER_MEDIUM_MAX, likely_tokens

CHUNK_TOKENS: Final = 500
"""Cohere bills a document of more tokens, those of the query among them, as several documents."""

CHUNK_TOKENS_MIN: Final = 100
"""What is left of a chunk for the document, however long the query."""

UNIT_DOCUMENTS: Final = 100
"""How many documents a search unit has at most."""


class _Fields(Common):
    query: str | None = None
    documents: list[Any] | None = None
    top_n: int | None = None


def decode_request(body: bytes, headers: Headers = ()) -> Ask:
    """What the caller asks for.

    Raises GatewayError `invalid_request`, `invalid_image` or `not_supported`, each naming the
    field.
    """
    travelling, known = decode(body, headers, _Fields)
    if not known.query:
        raise GatewayError("invalid_request", "query: a text is required")
    if not known.documents:
        raise GatewayError("invalid_request", "documents: a list is required, not an empty one")
    if known.top_n is not None and known.top_n < 1:
        raise GatewayError("invalid_request", "top_n: must be at least 1")
    more = unknown_bytes(travelling, known) + options_bytes(known.options)
    more *= len(known.documents)
    texts = [_text(one, f"documents[{n}]") for n, one in enumerate(known.documents)]
    images = _images(known.documents)
    if images:
        travelling["messages"] = images
    media = sum(len(message["content"]) for message in images)
    query, sizes = size_bytes(known.query), [size_bytes(text) for text in texts]
    text_bytes = query * len(sizes) + sum(sizes)
    room = TOKENS_PER_MEDIUM_MAX * media + TOKENS_PER_INPUT_MAX * len(sizes)
    return Ask(
        models=known.names,
        body=travelling,
        session_id=known.session_id,
        preferences=known.wishes,
        options=known.options,
        media_prompt=media,
        text_bytes=text_bytes,  # each document is read beside the query
        task="rerank",
        told=wants_routing(headers),
        most=Usage(
            prompt_tokens=text_bytes + room + more,
            prompt_image_tokens=TOKENS_PER_MEDIUM_MAX * media,
            search_units=search_units(query, sizes),
        ),
        likely=Usage(
            prompt_tokens=likely_tokens(text_bytes, media),
            search_units=search_units(likely_tokens(query), [*map(likely_tokens, sizes)]),
        ),
    )


def search_units(query_tokens: int, documents_tokens: list[int]) -> int:
    """How many search units no provider counts more of."""
    chunk = max(CHUNK_TOKENS - query_tokens, CHUNK_TOKENS_MIN)
    chunks = sum(max(1, -(-tokens // chunk)) for tokens in documents_tokens)
    return -(-chunks // UNIT_DOCUMENTS)


def _text(said: object, field: str) -> str:
    if isinstance(said, str):
        return said
    if not isinstance(said, dict):
        raise GatewayError("invalid_request", f"{field}: must be a text or an object")
    text, image = said.get("text"), said.get("image")
    for name, value in (("text", text), ("image", image)):
        if value is not None and not isinstance(value, str):
            raise GatewayError("invalid_request", f"{field}.{name}: must be a text")
    if not text and not image:
        raise GatewayError("invalid_request", f"{field}: has neither text nor image")
    return text or ""


def _images(documents: list[Any]) -> list[dict[str, Any]]:
    """The images of the documents, a message for each document; none where there is none."""
    urls = [one.get("image") if isinstance(one, dict) else None for one in documents]
    if not any(urls):
        return []
    messages: list[dict[str, Any]] = []
    for number, url in enumerate(urls):
        parts = [{"type": "image_url", "image_url": {"url": url}}] if url else []
        messages.append({"role": "user", "content": parts})
        try:
            mend(messages[-1:])
        except GatewayError as error:
            wrong = error.message.rpartition(": ")[2]
            raise GatewayError(error.kind, f"documents[{number}].image: {wrong}") from None
    return messages
