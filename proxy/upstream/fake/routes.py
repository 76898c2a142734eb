"""Which dialect a request to the simulated provider speaks, told by its method and path."""

import re
from typing import Final, NamedTuple

from proxy.upstream.fake.ask import Request
from proxy.upstream.fake.manner import Manner
from proxy.upstream.fake.manners.anthropic import Anthropic
from proxy.upstream.fake.manners.anthropic import Vertex as VertexAnthropic
from proxy.upstream.fake.manners.azure import Azure
from proxy.upstream.fake.manners.bedrock import Bedrock
from proxy.upstream.fake.manners.chat import Chat
from proxy.upstream.fake.manners.cohere import Cohere
from proxy.upstream.fake.manners.gemini import Gemini
from proxy.upstream.fake.manners.gemini import Vertex as VertexGemini
from proxy.upstream.fake.manners.responses import Responses

CHAT: Final = Chat()
_AZURE, _ANTHROPIC, _GEMINI, _COHERE = Azure(), Anthropic(), Gemini(), Cohere()
_BEDROCK, _RESPONSES, _VERTEX = Bedrock(), Responses(), VertexGemini()
_ASKS: Final[tuple[tuple[re.Pattern[str], Manner], ...]] = tuple(
    (re.compile(pattern), manner)
    for pattern, manner in (
        (r".*/openai/(?:deployments/.+|v1)/chat/completions", _AZURE),
        (r".*/chat/completions", CHAT),
        (r".*/responses", _RESPONSES),
        (r".*/publishers/anthropic/models/.+:(?:rawPredict|streamRawPredict)", VertexAnthropic()),
        (r".*/messages", _ANTHROPIC),
        (r".*/publishers/google/models/.+:(?:generateContent|streamGenerateContent)", _VERTEX),
        (r".*/models/.+:(?:generateContent|streamGenerateContent)", _GEMINI),
        (r".*/v2/chat", _COHERE),
        (r".*/model/.+/converse(?:-stream)?", _BEDROCK),
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
    if "/cohere/" in request.path or "endpoint=chat" in request.query:
        return _COHERE
    return _AZURE if "/openai/" in request.path else CHAT
