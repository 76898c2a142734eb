"""Which dialect a request to the simulated provider speaks, told by its method and path."""

import re
from typing import Final, NamedTuple

from proxy.upstream.fake.ask import Request
from proxy.upstream.fake.manner import Manner
from proxy.upstream.fake.manners.anthropic import Anthropic
from proxy.upstream.fake.manners.anthropic import Vertex as VertexAnthropic
from proxy.upstream.fake.manners.audio import (
    AzureSpeech,
    AzureTranscriptions,
    Speech,
    Transcriptions,
)
from proxy.upstream.fake.manners.azure import Azure
from proxy.upstream.fake.manners.bedrock import Bedrock
from proxy.upstream.fake.manners.chat import Chat
from proxy.upstream.fake.manners.cohere import Cohere
from proxy.upstream.fake.manners.completions import AzureCompletions, Completions, Fim
from proxy.upstream.fake.manners.counts import AnthropicCount, BedrockCount, VertexAnthropicCount
from proxy.upstream.fake.manners.embeddings import AzureEmbeddings, CohereEmbed, Embeddings
from proxy.upstream.fake.manners.gemini import Gemini
from proxy.upstream.fake.manners.gemini import Vertex as VertexGemini
from proxy.upstream.fake.manners.google import (
    GeminiCount,
    GeminiEmbed,
    GeminiPredict,
    VertexCount,
    VertexEmbed,
    VertexPredict,
)
from proxy.upstream.fake.manners.images import AzureImages, Images
from proxy.upstream.fake.manners.invoke import Invoke
from proxy.upstream.fake.manners.rerank import CohereRerank, Rerank
from proxy.upstream.fake.manners.responses import Responses

CHAT: Final = Chat()
_AZURE, _ANTHROPIC, _GEMINI, _COHERE = Azure(), Anthropic(), Gemini(), Cohere()
_BEDROCK, _VERTEX = Bedrock(), VertexGemini()
_DEPLOYED: Final = r".*/openai/(?:deployments/.+|v1)"
_CLAUDE: Final = r".*/publishers/anthropic/models/.+"
_GOOGLE: Final = r".*/publishers/google/models/.+"
_ASKS: Final[tuple[tuple[re.Pattern[str], Manner], ...]] = tuple(
    (re.compile(pattern), manner)
    for pattern, manner in (
        (rf"{_DEPLOYED}/chat/completions", _AZURE),
        (r".*/chat/completions", CHAT),
        (rf"{_DEPLOYED}/completions", AzureCompletions()),
        (r".*/fim/completions", Fim()),
        (r".*/completions", Completions()),
        (r".*/responses", Responses()),
        (rf"{_DEPLOYED}/embeddings", AzureEmbeddings()),
        (r".*/embeddings", Embeddings()),
        (rf"{_DEPLOYED}/images/(?:generations|edits)", AzureImages()),
        (r".*/images(?:/generations|/edits)?", Images()),
        (rf"{_DEPLOYED}/audio/speech", AzureSpeech()),
        (r".*/audio/speech", Speech()),
        (rf"{_DEPLOYED}/audio/transcriptions", AzureTranscriptions()),
        (r".*/audio/transcriptions", Transcriptions()),
        (r".*/publishers/anthropic/models/count-tokens:rawPredict", VertexAnthropicCount()),
        (rf"{_CLAUDE}:(?:rawPredict|streamRawPredict)", VertexAnthropic()),
        (r".*/messages/count_tokens", AnthropicCount()),
        (r".*/messages", _ANTHROPIC),
        (rf"{_GOOGLE}:(?:generateContent|streamGenerateContent)", _VERTEX),
        (rf"{_GOOGLE}:countTokens", VertexCount()),
        (rf"{_GOOGLE}:(?:embedContent|batchEmbedContents)", VertexEmbed()),
        (rf"{_GOOGLE}:predict", VertexPredict()),
        (r".*/models/.+:(?:generateContent|streamGenerateContent)", _GEMINI),
        (r".*/models/.+:countTokens", GeminiCount()),
        (r".*/models/.+:(?:embedContent|batchEmbedContents)", GeminiEmbed()),
        (r".*/models/.+:predict", GeminiPredict()),
        (r".*/v2/chat", _COHERE),
        (r".*/v2/embed", CohereEmbed()),
        (r".*/v2/rerank", CohereRerank()),
        (r".*/rerank", Rerank()),
        (r".*/model/.+/converse(?:-stream)?", _BEDROCK),
        (r".*/model/.+/count-tokens", BedrockCount()),
        (r".*/model/.+/invoke", Invoke()),
    )
)


class Route(NamedTuple):
    """Where a request goes: to a dialect, for an answer or else for the list of models."""

    manner: Manner
    lists: bool


def route(request: Request) -> Route | None:
    """The route of `request`; None where there is nothing."""
    if request.method == "POST":
        found = (manner for pattern, manner in _ASKS if pattern.fullmatch(request.path))
        return next((Route(manner, lists=False) for manner in found), None)
    lister = _lister(request) if request.method == "GET" else None
    return None if lister is None else Route(lister, lists=True)


def _lister(request: Request) -> Manner | None:
    """Whose list of models is wanted: several providers have the same path for it."""
    if request.path.endswith("/foundation-models"):
        return _BEDROCK
    if request.path.endswith("/publishers/google/models"):
        return _VERTEX
    if not request.path.endswith("/models"):
        return None
    if "anthropic-version" in request.headers:
        return _ANTHROPIC
    if "/v1beta" in request.path:
        return _GEMINI
    if "/cohere/" in request.path or "page_size=" in request.query:
        return _COHERE
    return _AZURE if "/openai/" in request.path else CHAT
