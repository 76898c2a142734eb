"""The guarded fetch, against real sockets on loopback that only an explicit list lets it reach."""

import asyncio
import contextlib
import gzip
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest
import trustme
from yarl import URL

from proxy.errors import GatewayError
from proxy.upstream.addresses import plain
from proxy.upstream.egress import Egress
from proxy.upstream.found import Budget, Fetched
from proxy.upstream.visitor import Visitor

PNG = b"\x89PNG\r\n\x1a\nrest"
NOWHERE = "The URL can not be fetched: it has no public address."
PLAIN = "The URL can not be fetched: only https at its usual port is fetched."

Handler = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


def said(body: bytes = PNG, *headers: str, status: str = "200 OK") -> Handler:
    """Answers that, with its length."""

    async def handle(_head: bytes, writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
        writer.write("\r\n".join(lines).encode("latin-1") + body)

    return handle


@contextlib.asynccontextmanager
async def server(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[Any]:
    """A server on loopback; it gives its port and the heads of what it was asked."""
    heads: list[bytes] = []
    tasks: list[asyncio.Task[Any]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.append(asyncio.current_task())  # type: ignore[arg-type]
        with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            await handler(heads[-1], writer)
            await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield listening.sockets[0].getsockname()[1], heads
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def names(**known: Sequence[str]) -> tuple[Any, list[str]]:
    """A resolver of just these names, dots written as `_`, and the list of what it was asked."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        if host.replace(".", "_") in known:
            return known[host.replace(".", "_")]
        if all(part.isdigit() for part in host.split(".")) or ":" in host:
            return [host]
        raise OSError("unknown")

    return resolve, asked


async def fetch(
    egress: Egress, url: str, *, bytes_max: int = 1000, timeout_s: float = 5.0
) -> Fetched:
    return await egress.fetch(url, bytes_max=bytes_max, timeout_s=timeout_s)


async def refused(egress: Egress, url: str, **more: Any) -> str:
    with pytest.raises(GatewayError) as caught:
        await fetch(egress, url, **more)
    assert caught.value.kind == "provider_lacks_media"
    return caught.value.message


# What is fetched.


async def test_what_the_operator_allows_is_fetched() -> None:
    async with server(said(PNG, "Content-Type: image/jpeg", "Set-Cookie: a=b")) as (port, heads):
        egress = Egress(["127.0.0.1"], agent="Weir/1")
        url = f"http://127.0.0.1:{port}/a%2Fb?sig=%2F%2B"
        assert await fetch(egress, url) == Fetched("image/png", PNG, url)
        assert await fetch(egress, url) == Fetched("image/png", PNG, url)
    lines = heads[1].decode().split("\r\n")
    assert lines[0] == "GET /a%2Fb?sig=%2F%2B HTTP/1.1"
    assert "Accept-Encoding: identity" in lines
    assert "User-Agent: Weir/1" in lines
    assert not any(line.lower().startswith(("cookie", "auth", "referer")) for line in lines)


async def test_nothing_of_the_environment_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:9")
    async with server(said()) as (port, _):
        assert (await fetch(Egress(["127.0.0.0/8"]), f"http://127.0.0.1:{port}/")).data == PNG


async def test_a_name_is_resolved_once_and_the_connection_goes_there() -> None:
    """What rebinding does: another answer the second time."""
    asked = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.255.255.1"]

    async with server(said()) as (port, heads):
        egress = Egress(["127.0.0.1"], resolve=resolve)
        found = await fetch(egress, f"http://files.test:{port}/", timeout_s=2.0)
        assert found.data == PNG
        assert asked == ["files.test"]
        assert f"Host: files.test:{port}".encode() in heads[0]
        assert await refused(egress, f"http://files.test:{port}/") == PLAIN


async def test_a_certificate_has_to_be_the_named_hosts() -> None:
    authority = trustme.CA()
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("files.test").configure_cert(theirs)
    ours = ssl.create_default_context()
    authority.configure_trust(ours)
    resolve, _ = names(files_test=["127.0.0.1"], other_test=["127.0.0.1"])
    async with server(said(), theirs) as (port, _heads):
        egress = Egress(["files.test", "other.test"], resolve=resolve, tls=ours)
        assert (await fetch(egress, f"https://files.test:{port}/")).data == PNG
        assert "can not be reached" in await refused(egress, f"https://other.test:{port}/")
        egress = Egress(["files.test"], resolve=resolve)
        assert "can not be reached" in await refused(egress, f"https://files.test:{port}/")


def test_aiohttp_is_imported_when_something_is_fetched() -> None:
    code = "import sys, proxy.upstream.egress; sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_public_addresses_are_gone_to(monkeypatch: pytest.MonkeyPatch) -> None:
    went = []

    async def get(_self: Egress, url: URL, addresses: Any, *_: Any) -> Fetched:
        went.append((str(url), addresses))
        return Fetched(None, b"x", str(url))

    monkeypatch.setattr(Visitor, "_get", get)
    both = ["93.184.216.34", "2606:2800:220:1::1"]
    resolve, asked = names(example_com=both, mixed_test=["93.184.216.34", "10.0.0.1"])
    egress = Egress(resolve=resolve)
    await fetch(egress, "https://example.com/a")
    assert went == [("https://example.com/a", [plain(one) for one in both])]
    assert asked == ["example.com"]
    assert await refused(egress, "https://mixed.test/") == NOWHERE
    assert len(went) == 1


# Where nobody is led.


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "0x7f.1", "0", "0.0.0.0",
        "127.0.0.1.", "localhost", "localhost.", "LOCALHOST", "[::1]", "[::]",
        "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:0:0:1]", "[fe80::1%25lo]",
        "169.254.169.254", "[fd00:ec2::254]", "[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]",
        "10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1", "198.18.0.1", "224.0.0.1",
        "255.255.255.255", "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021",
        "\u2460\u2461\u2466.0.0.1", "127%2e0.0.1",
        "nobody.invalid", "a" * 64 + ".invalid", "xn--", "%00.invalid",
    ],
)  # fmt: skip
async def test_inner_hosts_and_unknown_ones_look_the_same(host: str) -> None:
    """With the system's own reading of addresses, which knows every way to write one."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        if host.lower().rstrip(".") == "localhost":
            return ["127.0.0.1", "::1"]
        found = socket.getaddrinfo(host.rstrip("."), port, flags=socket.AI_NUMERICHOST)
        return [str(address[0]) for *_, address in found]

    egress = Egress(resolve=resolve)
    assert await refused(egress, f"https://{host}/latest/meta-data") == NOWHERE
    assert await refused(egress, f"http://{host}/") == PLAIN
    assert await refused(egress, f"https://{host}:8443/") == PLAIN


async def test_the_systems_resolver_is_asked() -> None:
    assert await refused(Egress(), "https://localhost/") == NOWHERE
    async with server(said()) as (port, heads):
        found = await fetch(Egress(["127.0.0.0/8", "::1"]), f"http://localhost:{port}/")
        assert (found.data, len(heads)) == (PNG, 1)


async def test_without_the_list_not_even_a_listening_one_is_asked() -> None:
    async with server(said()) as (port, heads):
        for egress in (Egress(), Egress(["10.0.0.0/8", "other.test", "127.0.0.2"])):
            assert await refused(egress, f"http://127.0.0.1:{port}/") == PLAIN
        assert heads == []


async def test_metadata_is_refused_whoever_allows_it() -> None:
    resolve, _ = names(files_test=["169.254.169.254"])
    egress = Egress(["files.test", "0.0.0.0/0"], resolve=resolve)
    assert await refused(egress, "https://files.test/") == NOWHERE
    assert await refused(egress, "http://169.254.169.254/") == PLAIN


@pytest.mark.parametrize(
    "url",
    [
        "", "x", "//h/x", "ftp://h/", "file:///etc/passwd", "gopher://h/", "data:text/plain,x",
        "https://", "https:///x", "http:h", "https://h:0/", "https://h:99999/", "https://h:x/",
        "https://a@h/", "https://a:b@h/", "https://:b@h/", "https://h\\@i/", "https://h /",
        "https://h/\r\nX: y", "https://h/\0", "\thttps://h/", "https://[::1/", "https://h/\ud800",
        "https://h/" + "x" * 9000, "https://\u2100.test/",
    ],
)  # fmt: skip
async def test_what_is_no_url_of_the_web(url: str) -> None:
    resolve, asked = names(h=["93.184.216.34"])
    assert "can not be fetched" in await refused(Egress(resolve=resolve), url)
    assert asked == []


# Redirects.


async def test_a_redirect_is_followed() -> None:
    async def handle(head: bytes, writer: asyncio.StreamWriter) -> None:
        answer = said() if head.startswith(b"GET /b ") else said(b"", "Location: /b", status="302")
        await answer(head, writer)

    async with server(handle) as (port, _):
        found = await fetch(Egress(["127.0.0.1"]), f"http://127.0.0.1:{port}/a")
        assert found == Fetched("image/png", PNG, f"http://127.0.0.1:{port}/b")


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ("http://127.0.0.1:{port}/secret", PLAIN),
        ("https://127.0.0.1/secret", NOWHERE),
        ("http://169.254.169.254/latest", PLAIN),
        ("//localhost/", PLAIN),
        ("https://nobody.invalid/", NOWHERE),
        ("file:///etc/passwd", "The URL can not be fetched: only https URLs are fetched."),
        ("https://a:b@h/", "The URL can not be fetched: it has a user or a password in it."),
        ("https://h/\xff\xfe", "The URL can not be fetched: only https URLs are fetched."),
        ("/again", "The URL can not be fetched: it is redirected too often."),
    ],
)
async def test_every_redirect_begins_anew(to: str, message: str) -> None:
    resolve, asked = names(files_test=["127.0.0.1"], localhost=["127.0.0.1"])
    answer: list[Handler] = []

    async def handle(head: bytes, writer: asyncio.StreamWriter) -> None:
        await answer[0](head, writer)

    async with server(handle) as (port, heads):
        answer.append(said(b"", f"Location: {to.format(port=port)}", status="302 Found"))
        egress = Egress(["files.test"], resolve=resolve)
        assert await refused(egress, f"http://files.test:{port}/") == message
        assert len(heads) == (6 if to == "/again" else 1)
        assert asked.count("files.test") == len(heads)


# Who does not behave.


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (said(status="404 Not Found"), "its host answers with status 404"),
        (said(status="302 Found"), "its host answers with status 302"),
        (said(status="206 Partial"), "its host answers with status 206"),
        (said(b""), "it is empty"),
        (said(b"x" * 1001), "it has more than 1000 bytes"),
        (
            said(gzip.compress(b"\0" * 100_000), "Content-Encoding: gzip"),
            "it comes compressed, though that was not asked for",
        ),
    ],
)
async def test_what_is_not_taken(handler: Handler, reason: str) -> None:
    async with server(handler) as (port, _):
        message = await refused(Egress(["127.0.0.1"]), f"http://127.0.0.1:{port}/")
        assert message == f"The URL can not be fetched: {reason}."


@pytest.mark.parametrize(
    "answer",
    [
        b"hello\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"",
    ],
)
async def test_what_is_no_http(answer: bytes) -> None:
    async def handle(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    async with server(handle) as (port, _):
        message = await refused(Egress(["127.0.0.1"]), f"http://127.0.0.1:{port}/")
        assert "can not be reached, or breaks off" in message
        assert "127.0.0.1" not in message


async def test_a_body_without_end_is_cut() -> None:
    sent = 0

    async def handle(_head: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while sent < 2**30:
            writer.write(b"x" * 65536)
            sent += 65536
            await writer.drain()

    async with server(handle) as (port, _):
        egress = Egress(["127.0.0.1"])
        assert "more than 1000 bytes" in await refused(egress, f"http://127.0.0.1:{port}/")
        assert sent < 2**25


async def test_drips_do_not_stretch_the_time() -> None:
    async def handle(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with server(handle) as (port, _):
        egress = Egress(["127.0.0.1"])
        message = await refused(egress, f"http://127.0.0.1:{port}/", timeout_s=0.1)
        assert message == "The URL can not be fetched: it takes too long."


async def test_a_name_that_is_never_told_takes_no_longer() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return []

    message = await refused(Egress(resolve=resolve), "https://slow.test/", timeout_s=0.02)
    assert "takes too long" in message


async def test_several_share_a_budget() -> None:
    async with server(said(b"x" * 600)) as (port, _):
        egress, budget = Egress(["127.0.0.1"]), Budget(1000)
        url = f"http://127.0.0.1:{port}/"
        await egress.fetch(url, bytes_max=1000, timeout_s=5, budget=budget)
        with pytest.raises(GatewayError, match="together are too large"):
            await egress.fetch(url, bytes_max=1000, timeout_s=5, budget=budget)


async def test_a_cancelled_fetch_hangs_up() -> None:
    came, gone = asyncio.Event(), asyncio.Event()

    async def handle(_head: bytes, writer: asyncio.StreamWriter) -> None:
        came.set()
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.005)
        finally:
            gone.set()

    async with server(handle) as (port, _):
        task = asyncio.create_task(fetch(Egress(["127.0.0.1"]), f"http://127.0.0.1:{port}/"))
        await came.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(20):
            await gone.wait()
