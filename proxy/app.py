"""The ASGI application: which path goes where, and what every answer carries.

Two prefixes, `/api/v1` and `/v1`, lead to the same routes, so that both habits of base URL work.
Inference paths are raw ASGI; all else goes through Starlette's router. Errors have the contract's
shape everywhere, and browsers may read everything: a page on any origin can use a key its user
typed in, and no cookie is ever a credential.
"""

import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.api.inference import PATHS
from proxy.api.paging import ANTHROPIC
from proxy.dialects import INBOUND
from proxy.dialects.chat.errors import encode_error
from proxy.errors import GatewayError
from proxy.metrics import Dump, render
from proxy.serving.channel import Channel, Refused
from proxy.stores.schema import StoreUnavailable

log = logging.getLogger(__name__)

PREFIXES = ("/api/v1", "/v1")
METRICS_S = 3.0  # for the supervisor to ask every worker

CORS = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"X-Generation-Id,X-Provider-Name,cf-ray"),
)
PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, PATCH, PUT, DELETE, OPTIONS",
    "Access-Control-Max-Age": "86400",
}
ALLOWED_HEADERS = (
    "Authorization, Content-Type, HTTP-Referer, X-Title, X-OpenRouter-Title, X-Api-Key"
)

# fmt: off
UNBUILT = (
    "/activity", "/analytics", "/auth/keys", "/batches", "/benchmarks", "/byok",
    "/classifications", "/containers", "/datasets",
    "/external-users", "/files", "/generation/content",
    "/guardrails", "/keys", "/messages/batches", "/oauth",
    "/observability", "/organization", "/private-endpoints",
    "/scim", "/systemone", "/tools", "/vault", "/videos", "/workspaces",
)
# fmt: on
"""OpenRouter's paths, with all below them, that lead nowhere here yet."""

Probe = Callable[[], tuple[int, dict[str, Any]]]
Envelope = Callable[[GatewayError, str | None, dict[str, Any] | None], bytes]


class App:
    """Routes requests of type `http`; what it is given is asked anew for every one of them. The
    applications of `inference` are by path below the prefixes, and say CORS themselves.
    """

    def __init__(
        self,
        *,
        inference: Mapping[str, ASGIApp],
        routes: Sequence[BaseRoute],
        health: Probe,
        ready: Probe,
        metrics: Callable[[], Awaitable[bytes]],
    ) -> None:
        self._inference = {
            prefix + path: handler for path, handler in inference.items() for prefix in PREFIXES
        }
        self._router = Router(routes, redirect_slashes=False, default=_nowhere)
        self._probes = {"/health": health, "/ready": ready}
        self._metrics = metrics

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        handler = self._inference.get(scope["path"])
        if handler is not None and scope["method"] == "POST":
            return handler(scope, receive, send)  # which says CORS itself
        return self._others(scope, receive, send, asks=handler is not None)

    async def _others(self, scope: Scope, receive: Receive, send: Send, *, asks: bool) -> None:
        """All but inference; `asks` says that it is a path of inference, by another method."""
        path = scope["path"]
        for prefix in PREFIXES:
            if path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in ("/", ""):
                below = {**scope, "path": path[len(prefix) :], "app": self}
                await self._api(below, receive, _with_cors(send), asks=asks)
                return
        await self._plain(scope, receive, send)

    async def _api(self, scope: Scope, receive: Receive, send: Send, *, asks: bool) -> None:
        """Below the prefixes, with CORS on all: preflight, or a control route; `asks` says that it
        is a path of inference, by another method than its own.
        """
        if scope["method"] == "OPTIONS":
            await _preflight(scope)(scope, receive, send)
        elif asks:
            error = _not_allowed(scope["method"], "POST")
            await refusal(error, _envelope(scope["path"]))(scope, receive, send)
        else:
            await self._control(scope, receive, send)

    async def _control(self, scope: Scope, receive: Receive, send: Send) -> None:
        response: Response
        encode = _envelope_for(scope)
        try:
            await self._router(scope, receive, send)
            return
        except GatewayError as error:
            response = refusal(error, encode)
        except HTTPException as error:
            allowed = (error.headers or {}).get("Allow", "")
            response = refusal(_not_allowed(scope["method"], allowed), encode)
        except StoreUnavailable as error:
            log.warning("the store does not answer", extra={"reason": str(error)})
            response = refusal(
                GatewayError("store_unavailable", "The store does not answer."), encode
            )
        except Exception:
            log.exception("internal error")
            response = refusal(GatewayError("internal", "Internal Server Error"), encode)
        await response(scope, receive, send)

    async def _plain(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Outside the API: probes and metrics."""
        probe = self._probes.get(scope["path"])
        response: Response
        if scope["path"] != "/metrics" and probe is None:
            response = refusal(GatewayError("not_found", "Not Found"))
        elif scope["method"] not in ("GET", "HEAD"):
            response = refusal(_not_allowed(scope["method"], "GET, HEAD"))
        elif probe is not None:
            status, body = probe()
            response = Response(orjson.dumps(body), status, media_type="application/json")
        else:
            media_type = "text/plain; version=0.0.4; charset=utf-8"
            response = Response(await self._metrics(), media_type=media_type)
        await response(scope, receive, send)


async def metrics_of_all(own: Callable[[], Dump], channel: Channel | None) -> bytes:
    """The metrics of this process, or of all workers as far as the supervisor answers."""
    if channel is not None:
        with contextlib.suppress(ConnectionError, TimeoutError, Refused):
            return render(await channel.request("metrics", timeout_s=METRICS_S))
    return render(own())


def refusal(error: GatewayError, encode: Envelope = encode_error) -> Response:
    """An error as an answer in the contract's shape, or in that of another format."""
    body = encode(error, None, None)
    return Response(body, error.status, headers=error.headers, media_type="application/json")


def refuse(error: GatewayError) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The same as header pairs and a body, for whoever stands outside the application."""
    response = refusal(error)
    return [*response.raw_headers, *CORS], bytes(response.body)


async def _nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    for path in UNBUILT:
        if f"{scope['path']}/".startswith(f"{path}/"):
            raise GatewayError("not_found", f"{path}: not supported yet")
    raise GatewayError("not_found", "Not Found")


def _envelope(path: str) -> Envelope:
    """How errors are written to callers of an inference path."""
    name = PATHS.get(path)
    return encode_error if name is None else INBOUND[name].encode_error


def _envelope_for(scope: Scope) -> Envelope:
    """The same for callers of all other paths, of whom Anthropic's SDKs name themselves."""
    named = any(name == ANTHROPIC.encode() for name, _ in scope["headers"])
    return INBOUND["messages"].encode_error if named else encode_error


def _not_allowed(method: str, allowed: str) -> GatewayError:
    return GatewayError(
        "method_not_allowed", f"Method not allowed: {method}", headers={"Allow": allowed}
    )


def _preflight(scope: Scope) -> Response:
    """Any header a page wishes to send is allowed: nothing is decided by a header but the key."""
    headers = dict(scope["headers"])
    wished = headers.get(b"access-control-request-headers", b"").decode("latin-1")
    allowed = wished if wished.isascii() and wished.isprintable() and wished else ALLOWED_HEADERS
    return Response(status_code=204, headers={**PREFLIGHT, "Access-Control-Allow-Headers": allowed})


def _with_cors(send: Send) -> Send:
    async def send_with_cors(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *CORS]}
        await send(message)

    return send_with_cors
