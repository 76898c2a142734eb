"""Calls an ASGI application without a server: the scope, the body, and what was answered."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from starlette.types import ASGIApp, Message


class Answer(NamedTuple):
    """What came back; `headers` in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The contract's error object, after checking that it is one."""
        error: dict[str, Any] = self.json["error"]
        assert error["code"] == self.status
        assert isinstance(error["message"], str)
        assert error["message"]
        assert isinstance(error["metadata"]["error_type"], str)
        return error


async def call(
    app: ASGIApp,
    method: str,
    path: str,
    *,
    query: str | bytes = b"",
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
) -> Answer:
    """One request; its caller stays connected until the answer is complete."""
    pairs = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("utf-8", "surrogatepass"),
        "query_string": query.encode() if isinstance(query, str) else query,
        "root_path": "",
        "headers": [(b"host", b"weir"), *pairs],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    pieces: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[Message] = []

    async def receive() -> Message:
        if not pieces:
            await asyncio.Event().wait()  # nobody hangs up
        return pieces.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    start, *bodies = sent
    assert start["type"] == "http.response.start"
    assert not bodies[-1].get("more_body", False)
    answered = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
    assert all(name == name.lower() for name in answered)
    return Answer(start["status"], answered, b"".join(one.get("body", b"") for one in bodies))
