"""What only the transport over aiohttp must be told."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from proxy.upstream import session as module
from proxy.upstream.session import AiohttpTransport, _translated
from tests.upstream.hostile import ask


@pytest.fixture
async def transport() -> AsyncIterator[AiohttpTransport]:
    made = AiohttpTransport()
    yield made
    assert made.open_calls == 0
    await made.close()


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (TimeoutError(), "provider_timeout"),
        (aiohttp.ConnectionTimeoutError(), "provider_timeout"),
        (aiohttp.SocketTimeoutError(), "provider_timeout"),
        (aiohttp.ClientPayloadError("at 10.0.0.1"), "provider_cut"),
        (aiohttp.ServerDisconnectedError("at 10.0.0.1"), "provider_cut"),
        (aiohttp.ClientOSError(104, "reset by 10.0.0.1"), "provider_cut"),
        (aiohttp.InvalidURL("http://10.0.0.1"), "provider_unreachable"),
        (OSError("10.0.0.1"), "provider_unreachable"),
    ],
)
def test_no_text_of_a_fault_is_passed_on(fault: Exception, kind: str) -> None:
    error = _translated(fault)
    assert error.kind == kind
    assert "10.0.0.1" not in error.message


async def test_an_answer_may_take_as_long_as_it_likes(
    transport: AiohttpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """aiohttp's own 300 seconds would cut it; the clocks are the pipeline's."""
    asked: list[Any] = []

    def request(*_: Any, **options: Any) -> Any:
        asked.append(options)
        raise aiohttp.ClientError

    monkeypatch.setattr(transport._session, "request", request)
    await ask(transport, "http://provider.test/")
    (options,) = asked
    timeout = options["timeout"]
    assert (timeout.total, timeout.sock_read, timeout.connect) == (None, None, 2.0)


async def test_a_call_without_a_trace_is_none_of_ours() -> None:
    """aiohttp tells of connections of any request of a session."""
    context: Any = type("Context", (), {"trace_request_ctx": None})()
    session: Any = None
    await module._mark_reused(session, context, object())
