"""Reranking at providers: `POST /rerank` in whatever dress.

Cohere's form is everybody's: `results` with `index` and `relevance_score`. Voyage AI has `data` and
`top_k`; what else differs stands in the rows. On Bedrock models of Cohere and Amazon are invoked
with the same body. Sources: "Rerank API (v2)" in Cohere's reference, the references of Voyage AI
and Together, vLLM's docs, "Rerank models" in Bedrock's user guide, and recorded traffic.
"""

from typing import Any, Final

from proxy.dialects.asking import Encoded, Target, encode_json, inexpressible
from proxy.dialects.chat.errors import failure
from proxy.dialects.counts import count, usable
from proxy.dialects.parts import media_of
from proxy.dialects.reading import parse
from proxy.dialects.values import mapping, objects, string
from proxy.errors import GatewayError
from proxy.providers import Quirks
from proxy.wire.events import Ended, Event, Finished, Produced, Started, Usage, UsageReport
from proxy.wire.request import Ask

_OWN: Final = ("max_tokens_per_doc", "priority")
"""Cohere's own parameters, which travel on as they are."""


def path(target: Target, stream: bool) -> str:
    """Where it is asked."""
    return "/rerank"


def cohere_path(target: Target, stream: bool) -> str:
    """Where Cohere is."""
    return "/v2/rerank"


def encode_request(ask: Ask, target: Target) -> Encoded:
    """The request as a provider of dialect `openai` takes it.

    Raises GatewayError `provider_unfit` for images where it takes none.
    """
    quirks = target.provider.quirks
    body: dict[str, Any] = {"model": target.model} | ask.body
    images = body.pop("messages", None)
    if images is None:
        body["documents"] = _texts(ask, target)
    else:
        if not quirks.embeds_media:
            raise inexpressible(target.provider, "images to rank")
        body["documents"] = [
            _pictured(document, message["content"])
            for document, message in zip(body["documents"], images, strict=True)
        ]
    if "top_n" in body:
        body[quirks.top_n] = body.pop("top_n")
    for name in quirks.omits:
        body.pop(name, None)
    return Encoded(encode_json(body))


def encode_cohere(ask: Ask, target: Target) -> Encoded:
    """The request as Cohere takes it. Raises as `encode_request` does."""
    return Encoded(encode_json({"model": target.model} | _ranking(ask, target)))


def encode_bedrock(ask: Ask, target: Target) -> Encoded:
    """The request as a model on Bedrock is invoked with it. Raises as `encode_request` does."""
    body = _ranking(ask, target)
    if "cohere." in target.model:
        body["api_version"] = 2
    return Encoded(encode_json(body))


def _ranking(ask: Ask, target: Target) -> dict[str, Any]:
    said = ask.body
    body = {"query": said["query"], "documents": _texts(ask, target)}
    return body | {name: said[name] for name in ("top_n", *_OWN) if name in said}


def _texts(ask: Ask, target: Target) -> list[str]:
    if "messages" in ask.body:
        raise inexpressible(target.provider, "images to rank")
    return [one if isinstance(one, str) else one["text"] for one in ask.body["documents"]]


def _pictured(document: str | dict[str, Any], parts: list[dict[str, Any]]) -> Any:
    """A document with its image as it is to be sent: it may have been fetched."""
    media = media_of(parts[0]) if parts else None
    if media is None or isinstance(document, str):
        return document
    return document | {"image": media.url or f"data:{media.mime};base64,{media.data}"}


def decode_answer(body: bytes, quirks: Quirks) -> list[Event]:
    """The ranking, and what it cost.

    Raises GatewayError `provider_malformed` where there is none.
    """
    said = parse(body)
    if failed := failure(said):
        return [failed]
    results = said.get("results", said.get("data"))
    if not isinstance(results, list):
        raise GatewayError("provider_malformed", "The provider's answer has no ranking.")
    ranking = [_result(one) for one in objects(results)]
    events: list[Event] = [Started(upstream_id=string(said.get("id"))), Produced(0, ranking)]
    if (usage := decode_usage(said)) is not None:
        events.append(UsageReport(usage))
    return [*events, Finished(0, "stop", None), Ended()]


def _result(said: dict[str, Any]) -> dict[str, Any]:
    index = usable(said.get("index"))
    names = ("relevance_score", "relevanceScore", "score")
    score = next((said[name] for name in names if name in said), None)
    number = isinstance(score, int | float) and not isinstance(score, bool)
    if index is None or not number:
        raise GatewayError("provider_malformed", "The provider's answer has no ranking.")
    return {"index": index, "relevance_score": score}


def decode_usage(said: dict[str, Any]) -> Usage | None:
    """What was counted: tokens in `usage`, Cohere's units in `meta`; None where nothing was."""
    usage, billed = mapping(said.get("usage")), mapping(said.get("meta")).get("billed_units")
    units = usable(mapping(billed).get("search_units"))
    if units is None:
        units = usable(usage.get("search_units"))
    counts = (usage.get("total_tokens"), usage.get("prompt_tokens"))
    tokens = next((one for each in counts if (one := usable(each)) is not None), None)
    if units is tokens is None:
        return None
    return Usage(prompt_tokens=count(tokens), search_units=count(units))
