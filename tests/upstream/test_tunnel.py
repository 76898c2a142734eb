"""Tunnels: asked for in one way, and trusted in one."""

import asyncio
import socket

import pytest

from proxy.upstream.tunnel import Proxy, open_tunnel, proxy_of

HELLO = b"HTTP/1.1 200 Connection established\r\nVia: a\r\n\r\n"


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("", None),
        ("http://proxy.test", Proxy("proxy.test", 80, "")),
        ("http://[::1]:3128/", Proxy("::1", 3128, "")),
        (
            "http://us%40er:p%3Aa@proxy.test:1",
            Proxy("proxy.test", 1, "Proxy-Authorization: Basic dXNAZXI6cDph\r\n"),
        ),
        ("http://user@h", Proxy("h", 80, "Proxy-Authorization: Basic dXNlcjo=\r\n")),
    ],
)
def test_a_proxy_is_read(url: str, proxy: Proxy | None) -> None:
    assert proxy_of(url) == proxy


@pytest.mark.parametrize("url", ["https://proxy.test", "proxy:80", "http://", "http://h:99999"])
def test_what_is_no_proxy(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        proxy_of(url)


def test_a_proxy_shows_no_password() -> None:
    assert repr(proxy_of("http://user:secret@proxy.test")) == "Proxy(…)"


async def asked(*answers: bytes, host: str = "acme.test") -> bytes:
    """What a proxy that answers so is asked."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        theirs.sendall(answers[0])
        proxy = Proxy("proxy.test", 80, "Proxy-Authorization: Basic YQ==\r\n")
        opening = asyncio.create_task(open_tunnel(ours, host, 443, proxy))
        for answer in answers[1:]:
            await asyncio.sleep(0.01)
            theirs.sendall(answer)
        theirs.shutdown(socket.SHUT_WR)
        try:
            await opening
        finally:
            request = theirs.recv(4096)
        return request


async def test_a_tunnel_is_asked_for() -> None:
    assert await asked(HELLO) == (
        b"CONNECT acme.test:443 HTTP/1.1\r\nHost: acme.test:443\r\n"
        b"Proxy-Authorization: Basic YQ==\r\n\r\n"
    )
    assert (await asked(HELLO, host="::1")).startswith(b"CONNECT [::1]:443 ")


async def test_an_answer_may_come_in_pieces() -> None:
    assert await asked(HELLO[:9], HELLO[9:-1], HELLO[-1:])


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        HELLO[:-2],
        HELLO + b"more",
        b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"SSH-2.0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 20_000,
    ],
)
async def test_what_opens_no_tunnel(answer: bytes) -> None:
    with pytest.raises(OSError, match=r"the proxy"):
        await asked(answer)


async def test_the_log_says_why(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(OSError, match="no tunnel"):
        await asked(b"HTTP/1.1 407 No\r\n\r\n")
    (record,) = caplog.records
    assert record.__dict__["status"] == 407
