"""The paths that ask a model for an answer: raw ASGI, because bytes flow here."""

from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.dialects import INBOUND
from proxy.pipeline.flow import Flow
from proxy.serving.caller import Caller

PATHS = {
    "/chat/completions": "chat",
    "/messages": "messages",
    "/messages/count_tokens": "count",
    "/v1/messages": "messages",  # Anthropic's SDKs append that to their base URL
    "/v1/messages/count_tokens": "count",
    "/completions": "completions",
    "/embeddings": "embeddings",
    "/rerank": "rerank",
    "/images": "images",
    "/images/generations": "images",
    "/images/edits": "image edits",
    "/audio/speech": "speech",
    "/audio/transcriptions": "transcription",
    "/responses": "responses",
}
"""Which of the callers' formats each path below `/api/v1` speaks."""


def handlers(flow: Flow) -> dict[str, ASGIApp]:
    """An application for each path, for POST requests only."""
    return {path: _handler(flow, name) for path, name in PATHS.items()}


def _handler(flow: Flow, name: str) -> ASGIApp:
    dialect = INBOUND[name]

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        await flow.serve(Caller(scope, receive, send), dialect)

    return handle
