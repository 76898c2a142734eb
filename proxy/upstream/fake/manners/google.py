"""Google's counts, embeddings and predictions, on its own API and on Vertex."""

from base64 import b64encode

from proxy.upstream.fake.ask import Ask, JSONObject, Request
from proxy.upstream.fake.asks.google import decode_count, decode_embed, decode_predict
from proxy.upstream.fake.manner import Whole
from proxy.upstream.fake.manners.gemini import Gemini, Vertex
from proxy.upstream.fake.manners.showing import modality
from proxy.upstream.fake.media import picture
from proxy.upstream.fake.reply import Reply
from proxy.upstream.fake.seals import Seal
from proxy.upstream.fake.vectors import vector

_DIMENSIONS = 3072
_SILENT = "embedding-001"  # the older model never says what it counted, as recorded


class GeminiCount(Whole, Gemini):
    """How many tokens a request has."""

    name = "gemini-count"
    contents = ("totalTokens",)
    usages = ("totalTokens",)

    def decode(self, request: Request, seal: Seal) -> Ask:
        """See `Manner.decode`."""
        return decode_count(request, seal)

    def whole(self, reply: Reply) -> JSONObject:
        """See `Manner.whole`."""
        tokens = reply.count.prompt
        return {"totalTokens": tokens, "promptTokensDetails": modality(tokens)}


class VertexCount(GeminiCount, Vertex):
    """The same on Vertex, with its characters."""

    name = "vertex-gemini-count"

    def whole(self, reply: Reply) -> JSONObject:
        """See `Manner.whole`."""
        characters = sum(len("".join(text.split())) for text in reply.ask.texts)
        counted = super().whole(reply)
        details = {"promptTokensDetails": counted["promptTokensDetails"]}
        return details | {"totalBillableCharacters": characters} | counted


class GeminiEmbed(Whole, Gemini):
    """Embeddings, one or a batch."""

    name = "gemini-embeddings"
    contents = ("embedding", "embeddings")

    def decode(self, request: Request, seal: Seal) -> Ask:
        """See `Manner.decode`."""
        return decode_embed(request)

    def whole(self, reply: Reply) -> JSONObject:
        """See `Manner.whole`."""
        wanted = zip(reply.ask.texts, reply.ask.body["dimensions"], strict=True)
        rows = [{"values": vector(text, size or _DIMENSIONS)} for text, size in wanted]
        rows = [{"values": []} for _ in rows] if reply.mute else rows
        body: JSONObject = {"embedding": rows[0]}
        if reply.ask.body["batch"]:
            body = {"embeddings": rows}
        usage = self._counted(reply.count.prompt)
        return body if _SILENT in reply.ask.model else body | {"usageMetadata": usage}

    def _counted(self, tokens: int) -> JSONObject:
        return {"promptTokenCount": tokens, "promptTokenDetails": modality(tokens)}


class VertexEmbed(GeminiEmbed, Vertex):
    """The same on Vertex."""

    name = "vertex-gemini-embeddings"

    def _counted(self, tokens: int) -> JSONObject:
        counted = {"promptTokenCount": tokens, "promptTokensDetails": modality(tokens)}
        return counted | {"totalTokenCount": tokens}


class GeminiPredict(Whole, Gemini):
    """Imagen's pictures and, on Vertex, the embeddings of older models."""

    name = "gemini-predict"
    contents = ("predictions",)
    usages = ("metadata",)

    def decode(self, request: Request, seal: Seal) -> Ask:
        """See `Manner.decode`."""
        return decode_predict(request)

    def whole(self, reply: Reply) -> JSONObject:
        """See `Manner.whole`."""
        if reply.mute:
            return {}
        return _pictures(reply) if reply.ask.task == "image" else _embeddings(reply)


class VertexPredict(GeminiPredict, Vertex):
    """The same on Vertex."""

    name = "vertex-gemini-predict"


def _pictures(reply: Reply) -> JSONObject:
    body = reply.ask.body
    if body["barred"]:
        words = (
            "Unable to show generated images. All images were filtered out because they violated"
        )
        return {"predictions": [{"raiFilteredReason": f"{words} the usage guidelines."}]}
    mime_type = str(body["output"].get("mimeType", "image/png"))
    drawn = (
        picture(f"{number} {reply.ask.said}", mime_type.partition("/")[2])
        for number in range(body["n"])
    )
    rows = [{"mimeType": mime_type, "bytesBase64Encoded": b64encode(p).decode()} for p in drawn]
    return {"predictions": rows}


def _embeddings(reply: Reply) -> JSONObject:
    size = reply.ask.body["dimensions"] or _DIMENSIONS
    rows = []
    for text in reply.ask.texts:
        statistics = {"truncated": False, "token_count": len(text.split())}
        rows.append({"embeddings": {"values": vector(text, size), "statistics": statistics}})
    characters = sum(len("".join(text.split())) for text in reply.ask.texts)
    return {"predictions": rows, "metadata": {"billableCharacterCount": characters}}
