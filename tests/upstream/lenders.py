"""Servers that lend tokens, on loopback: Google's and Entra's, as far as clients see them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.running import serving


class Asked(NamedTuple):
    """One request for a token."""

    path: str
    form: dict[str, str]
    headers: dict[str, str]


class Lender:
    """Answers as `answers` say, the last of them for ever: status and body, or what gives both."""

    def __init__(self, *answers: tuple[int, Any] | Callable[[Asked], tuple[int, Any]]) -> None:
        self._answers = list(answers)
        self.asked: list[Asked] = []
        self.open = asyncio.Event()
        self.open.set()
        self.app = Starlette(routes=[Route("/{path:path}", self._answer, methods=["POST"])])

    async def _answer(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode(), strict_parsing=True))
        asked = Asked(request.url.path, form, dict(request.headers))
        answer = self._answers[min(len(self.asked), len(self._answers) - 1)]
        self.asked.append(asked)
        await self.open.wait()
        status, body = answer(asked) if callable(answer) else answer
        return Response(body if isinstance(body, bytes) else orjson.dumps(body), status)


@contextlib.asynccontextmanager
async def lending(lender: Lender) -> AsyncIterator[str]:
    """The lender's address."""
    async with serving(lender.app) as url:
        yield url


def token(value: str, life_s: Any = 3600) -> tuple[int, dict[str, Any]]:
    """A good answer."""
    return 200, {"access_token": value, "expires_in": life_s, "token_type": "Bearer"}
