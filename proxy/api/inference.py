"""The paths that ask a model for an answer: raw ASGI, because bytes flow here."""

from collections.abc import Awaitable

from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.dialects import INBOUND
from proxy.pipeline.flow import Flow
from proxy.serving.caller import meet

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


def handlers(flow: Flow, headers: tuple[tuple[bytes, bytes], ...]) -> dict[str, ASGIApp]:
    """An application for each path, for POST requests only; every answer has `headers`."""
    return {path: _handler(flow, name, headers) for path, name in PATHS.items()}


def _handler(flow: Flow, name: str, headers: tuple[tuple[bytes, bytes], ...]) -> ASGIApp:
    dialect = INBOUND[name]

    def handle(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return flow.serve(meet(scope, receive, send, headers), dialect)

    return handle
