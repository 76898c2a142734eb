"""Documents in the order of a query, as Together, Jina, Voyage and Cohere write them."""

import uuid

from proxy.upstream.fake.ask import Ask, JSONObject, Request, count_of
from proxy.upstream.fake.asks.cohere import decode_ranking
from proxy.upstream.fake.asks.openai import decode_rerank
from proxy.upstream.fake.manner import Whole
from proxy.upstream.fake.manners.chat import Chat
from proxy.upstream.fake.manners.cohere import Cohere
from proxy.upstream.fake.reply import Reply
from proxy.upstream.fake.seals import Seal
from proxy.upstream.fake.vectors import ranked

_DOCUMENTS_PER_UNIT = 100


class Rerank(Whole, Chat):
    """Together's and Jina's; Voyage calls the results otherwise and limits them by `top_k`."""

    name = "rerank"
    contents = ("results", "data")

    def decode(self, request: Request, seal: Seal) -> Ask:
        """See `Manner.decode`."""
        return decode_rerank(request)

    def whole(self, reply: Reply) -> JSONObject:
        """See `Manner.whole`."""
        body, tokens = reply.ask.body, reply.count.prompt
        rows = rows_of(reply)
        if body.get("return_documents") is True:
            rows = [row | {"document": _document(reply, row["index"])} for row in rows]
        if body["voyage"]:
            found: JSONObject = {"object": "list", "data": rows, "model": reply.ask.model}
            return found | {"usage": {"total_tokens": tokens}}
        return {
            "id": f"rerank-{reply.letters}",
            "object": "rerank",
            "model": reply.ask.model,
            "results": rows,
            "usage": {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens},
        }


class CohereRerank(Whole, Cohere):
    """Cohere's v2, which counts searches: up to 100 documents are one."""

    name = "cohere-rerank"
    contents = ("results",)
    usages = ("meta",)

    def decode(self, request: Request, seal: Seal) -> Ask:
        """See `Manner.decode`."""
        return decode_ranking(request)

    def whole(self, reply: Reply) -> JSONObject:
        """See `Manner.whole`."""
        units = -(-(len(reply.ask.texts) - 1) // _DOCUMENTS_PER_UNIT)
        billed = {"billed_units": {"search_units": units}}
        return {
            "id": str(uuid.UUID(bytes=reply.letters.encode()[:16], version=4)),
            "results": rows_of(reply),
            "meta": {"api_version": {"version": "2"}} | billed,
        }


def rows_of(reply: Reply) -> list[JSONObject]:
    """The documents by their rank, as many as are wanted."""
    query, *documents = reply.ask.texts
    body = reply.ask.body
    most = count_of(body.get("top_n", body.get("top_k")))
    return [] if reply.mute else ranked(query, documents, most)


def _document(reply: Reply, index: int) -> str | JSONObject:
    text = reply.ask.texts[index + 1]
    return text if reply.ask.body["voyage"] else {"text": text}
