"""Bedrock's models as they are: Titan's embeddings, Cohere's, and documents in order."""

from proxy.upstream.fake.ask import Ask, JSONObject, Request
from proxy.upstream.fake.asks.invoke import decode_invoke
from proxy.upstream.fake.manner import Headers, Whole
from proxy.upstream.fake.manners.bedrock import Bedrock
from proxy.upstream.fake.manners.embeddings import cohere_embeddings
from proxy.upstream.fake.manners.rerank import rows_of
from proxy.upstream.fake.reply import Reply
from proxy.upstream.fake.seals import Seal
from proxy.upstream.fake.vectors import vector


class Invoke(Whole, Bedrock):
    """Bedrock's own. The count stands in a header, whoever made the model."""

    name = "bedrock-invoke"
    binary = False
    contents = ("embedding", "embeddings", "results")
    usages = ("inputTextTokenCount",)

    def decode(self, request: Request, seal: Seal) -> Ask:
        """See `Manner.decode`."""
        return decode_invoke(request)

    def more_headers(self, reply: Reply) -> Headers:
        """See `Manner.more_headers`."""
        tokens = str(reply.count.prompt).encode()
        return ((b"x-amzn-bedrock-input-token-count", tokens),)

    def whole(self, reply: Reply) -> JSONObject:
        """See `Manner.whole`."""
        body = reply.ask.body
        match body["form"]:
            case "titan":
                values = [] if reply.mute else vector(" ".join(body["inputs"]), body["dimensions"])
                return {"embedding": values, "inputTextTokenCount": reply.count.prompt}
            case "cohere":
                return _cohere(reply)
            case _:
                return {"results": rows_of(reply)}


def _cohere(reply: Reply) -> JSONObject:
    """Without a wish for kinds of numbers, a lone list of floats comes."""
    answer = cohere_embeddings(reply, {})
    if "embedding_types" in reply.ask.body:
        return answer
    floats = answer["embeddings"]["float"]
    return answer | {"embeddings": floats, "response_type": "embeddings_floats"}
