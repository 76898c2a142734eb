"""Bodies beside inference: as large as they may be, and who hangs up is no fault of ours."""

import pytest
from starlette.requests import Request
from starlette.types import Message

from proxy.api.bodies import body_of
from proxy.errors import GatewayError


def request(*messages: Message, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Request:
    waiting = list(messages)

    async def receive() -> Message:
        return waiting.pop(0)

    return Request({"type": "http", "headers": list(headers)}, receive)


def piece(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_a_body_comes_in_pieces() -> None:
    assert await body_of(request(piece(b"ab"), piece(b"c", more=False)), 3) == b"abc"


GONE: Message = {"type": "http.disconnect"}


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        (request(piece(b"ab"), piece(b"cd", more=False)), "body_too_large"),
        (request(headers=((b"content-length", b"4"),)), "body_too_large"),
        (request(headers=((b"content-encoding", b"gzip"),)), "encoding_unsupported"),
        (request(piece(b"a"), GONE), "body_too_slow"),
        (request(GONE), "body_too_slow"),
    ],
)
async def test_what_is_no_whole_body_is_refused(asked: Request, kind: str) -> None:
    with pytest.raises(GatewayError) as refused:
        await body_of(asked, 3)
    assert refused.value.kind == kind
