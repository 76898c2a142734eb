"""Embeddings of Google: AI Studio's `:batchEmbedContents`, and the methods of Vertex.

At Vertex newer models take contents, as AI Studio does; older ones take instances of text, of which
`gemini-embedding-001` takes one at a time. Sources: "Embeddings" in the references of the Gemini
API and of Vertex AI, Google's SDK, and recorded traffic.
"""

import re
from typing import Any, Final

from proxy.dialects.asking import Encoded, Target, encode_json
from proxy.dialects.counts import count, usable
from proxy.dialects.embeddings import inputs
from proxy.dialects.embeddings.vectors import vector
from proxy.dialects.gemini.content import encode_contents
from proxy.dialects.gemini.family import family_of
from proxy.dialects.gemini.request import publisher_path
from proxy.dialects.reading import parse
from proxy.dialects.values import mapping, objects
from proxy.errors import GatewayError
from proxy.providers import Quirks
from proxy.wire.events import Event, Usage
from proxy.wire.request import Ask
from proxy.wire.slices import at_once

_KINDS: Final = inputs.sides("RETRIEVAL_QUERY", "RETRIEVAL_DOCUMENT") | {
    "classification": "CLASSIFICATION",
    "clustering": "CLUSTERING",
}
_CONTENTS: Final = re.compile(r"gemini-embedding-(?!001|exp)")
"""Models that embed contents of several parts. They are told what an input is for in the text."""

_ONE: Final = re.compile(r"gemini-embedding-001")

_Json = dict[str, Any]


def path(target: Target, stream: bool) -> str:
    """The path at AI Studio."""
    return f"/v1beta/models/{target.path_name}:batchEmbedContents"


def encode_request(ask: Ask, target: Target) -> Encoded:
    """The request as AI Studio takes it.

    Raises GatewayError `provider_unfit` for tokens, and for an attachment it can not be sent.
    """
    settings = _settings(ask, target)
    contents = _contents(ask, target, vertex=False)
    model = f"models/{target.model}"
    requests = [{"model": model, "content": content} | settings for content in contents]
    return Encoded(encode_json({"requests": requests}))


def vertex_path(target: Target, stream: bool) -> str:
    """The path at Vertex."""
    if _CONTENTS.match(target.model):
        return f"{publisher_path(target, 'google', 'v1beta1')}:batchEmbedContents"
    return f"{publisher_path(target, 'google')}:predict"


def encode_vertex_request(ask: Ask, target: Target) -> Encoded:
    """The same as Vertex takes it. Raises as `encode_request` does, for several inputs as well
    where a model takes one.
    """
    settings = _settings(ask, target)
    if _CONTENTS.match(target.model):
        contents = _contents(ask, target, vertex=True)
        own = {"embedContentConfig": settings} if settings else {}
        return Encoded(encode_json({"requests": [{"content": one} | own for one in contents]}))
    texts = inputs.texts(ask, target)
    if _ONE.match(target.model):
        inputs.alone(texts, target)
    kind = settings.pop("taskType", None)
    own = {"task_type": kind} if kind else {}
    body: _Json = {"instances": [{"content": text} | own for text in texts]}
    if settings:
        body["parameters"] = settings
    return Encoded(encode_json(body))


def _contents(ask: Ask, target: Target, *, vertex: bool) -> list[_Json]:
    family = family_of(target.model)
    found = []
    for message in inputs.messages(ask, target):
        _, contents = at_once(encode_contents([message], target, family, vertex=vertex))
        found.append({"parts": contents[0]["parts"]})
    return found


def _settings(ask: Ask, target: Target) -> _Json:
    settings: _Json = {}
    kind = inputs.purpose(ask, _KINDS)
    if kind is not None and not _CONTENTS.match(target.model):
        settings["taskType"] = kind.upper()
    if "dimensions" in ask.body:
        settings["outputDimensionality"] = ask.body["dimensions"]
    return settings


def decode_answer(body: bytes, quirks: Quirks) -> list[Event]:
    """The vectors, and what they cost where Google counted it.

    Raises GatewayError `provider_malformed` where there are none.
    """
    said = parse(body)
    told = objects(said.get("embeddings")) or objects([said.get("embedding")])
    predicted = [mapping(one.get("embeddings")) for one in objects(said.get("predictions"))]
    found = [
        (index, vector(one.get("values"), quirks)) for index, one in enumerate(told or predicted)
    ]
    if not found:
        raise GatewayError("provider_malformed", "The provider's answer has no vector.")
    if predicted:
        counts = [usable(mapping(one.get("statistics")).get("token_count")) for one in predicted]
        known = [one for one in counts if one is not None]
        usage = Usage(prompt_tokens=sum(known)) if len(known) == len(counts) else None
        return inputs.answer(found, usage)
    return inputs.answer(found, _usage(mapping(said.get("usageMetadata"))))


def _usage(said: _Json) -> Usage | None:
    """The counts, those of media among them; None where nothing was counted."""
    prompt = usable(said.get("promptTokenCount"))
    if prompt is None:
        return None
    kinds: dict[str, int] = {}
    for one in objects(said.get("promptTokenDetails") or said.get("promptTokensDetails")):
        name = str(one.get("modality"))
        kinds[name] = kinds.get(name, 0) + count(one.get("tokenCount"))
    return Usage(
        prompt_tokens=prompt,
        prompt_image_tokens=kinds.get("IMAGE", 0),
        prompt_audio_tokens=kinds.get("AUDIO", 0),
        prompt_video_tokens=kinds.get("VIDEO", 0),
    )
