"""Embeddings, as OpenAI, Azure, Voyage and Cohere write them."""

import struct
import uuid
from base64 import b64encode
from typing import Final

from proxy.upstream.fake.ask import ATTACHMENT_TOKENS, Ask, JSONObject, Request
from proxy.upstream.fake.asks.cohere import decode_embed
from proxy.upstream.fake.asks.openai import decode_embeddings
from proxy.upstream.fake.manner import Whole
from proxy.upstream.fake.manners.azure import Azure
from proxy.upstream.fake.manners.chat import Chat
from proxy.upstream.fake.manners.cohere import Cohere
from proxy.upstream.fake.reply import Reply
from proxy.upstream.fake.seals import Seal
from proxy.upstream.fake.vectors import coarse, packed, vector

_DIMENSIONS: Final = 1536


class Embeddings(Whole, Chat):
    """OpenAI's own, and of those like it."""

    name = "embeddings"
    contents = ("data",)

    def decode(self, request: Request, seal: Seal) -> Ask:
        """See `Manner.decode`."""
        return decode_embeddings(request)

    def whole(self, reply: Reply) -> JSONObject:
        """See `Manner.whole`."""
        body, tokens = reply.ask.body, reply.count.prompt
        dimensions = body.get("dimensions") or body.get("output_dimension") or _DIMENSIONS
        vectors = [vector(text, dimensions) for text in reply.ask.texts if not reply.mute]
        rows = [_packed(values, body["encoding_format"]) for values in vectors]
        return {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": row}
                for index, row in enumerate(rows)
            ],
            "model": reply.ask.model,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }


def _packed(values: list[float], packing: str) -> list[float] | str:
    """`values` as they were asked for; Perplexity has bytes."""
    if packing == "base64_int8":
        return b64encode(struct.pack(f"{len(values)}b", *map(int, coarse(values, "int8")))).decode()
    return packed(values) if packing == "base64" else values


class AzureEmbeddings(Embeddings, Azure):
    """The same on Azure."""

    name = "azure-embeddings"


class CohereEmbed(Whole, Cohere):
    """Cohere's v2, which has a list for each kind of number."""

    name = "cohere-embeddings"
    contents = ("embeddings",)
    usages = ("meta",)

    def decode(self, request: Request, seal: Seal) -> Ask:
        """See `Manner.decode`."""
        return decode_embed(request)

    def whole(self, reply: Reply) -> JSONObject:
        """See `Manner.whole`."""
        return cohere_embeddings(reply, _billed(reply))


def cohere_embeddings(reply: Reply, meta: JSONObject) -> JSONObject:
    """Cohere's own answer, which Bedrock passes on without `meta`."""
    body = reply.ask.body
    inputs = [] if reply.mute else body["inputs"]
    vectors = [vector(text, body.get("output_dimension") or _DIMENSIONS) for text in inputs]
    return {
        "id": str(uuid.UUID(bytes=reply.letters.encode()[:16], version=4)),
        "texts": list(reply.ask.texts),
        "embeddings": {kind: [coarse(v, kind) for v in vectors] for kind in body["types"]},
        "response_type": "embeddings_by_type",
    } | meta


def _billed(reply: Reply) -> JSONObject:
    words = sum(len(text.split()) for text in reply.ask.texts)
    billed = {"input_tokens": words} if words else {}
    if images := len(reply.ask.attachments):
        billed |= {"images": images, "image_tokens": images * ATTACHMENT_TOKENS}
    return {"meta": {"api_version": {"version": "2"}, "billed_units": billed}}
