"""The addresses of a gateway: bound before anything is served, by whom they belong to.

With several workers the supervisor binds, and every worker accepts on the same sockets: whoever
connects while one of them ends is taken by another.
"""

import asyncio
import contextlib
import errno
import os
import socket
import stat
import struct
from collections.abc import Iterator, Sequence

SEND_BUFFER_BYTES = 256 * 1024  # what the kernel may hold for a caller that does not read
BACKLOG = 2048


@contextlib.contextmanager
def bound(bind: Sequence[str]) -> Iterator[list[socket.socket]]:
    """A listening socket for each address (`host:port` or `unix:/path`); who connects waits until
    somebody accepts. They are closed at the end, and the paths of unix sockets removed.

    Raises OSError that names the address that can not be bound.
    """
    with contextlib.ExitStack() as stack:
        sockets: list[socket.socket] = []
        for address in bind:
            try:
                sock = stack.enter_context(_bind(address))
            except OSError as error:
                raise OSError(error.errno, f"{address}: {error.strerror}") from None
            sockets.append(sock)
            if sock.family == socket.AF_UNIX:
                stack.callback(_Path(sock).unlink)
        yield sockets


def _bind(address: str) -> socket.socket:
    name: str | tuple[str, int]
    if address.startswith("unix:"):
        family, name = socket.AF_UNIX, address.removeprefix("unix:")
        _clear(name)
    else:
        host, _, port = address.rpartition(":")
        family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
        name = (host.strip("[]"), int(port))
    sock = socket.socket(family)
    try:
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            # What is accepted inherits it; asyncio sets it for sockets that name their protocol.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.bind(name)
        sock.listen(BACKLOG)  # Linux lets two bind one port, and refuses the second that listens
    except OSError:
        sock.close()
        raise
    return sock


def _clear(path: str) -> None:
    """Removes the socket that a killed process left at `path`; one that is in use stays."""
    if not stat.S_ISSOCK(_mode(path)):
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _mode(path: str) -> int:
    try:
        return os.stat(path).st_mode
    except OSError:
        return 0


class _Path:
    """Where a unix socket stands, to be removed at the end if it is still ours."""

    def __init__(self, sock: socket.socket) -> None:
        self._path: str = sock.getsockname()
        self._ours = self._seen()

    def _seen(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def unlink(self) -> None:
        if self._ours is not None and self._seen() == self._ours:
            os.unlink(self._path)


def urls(sockets: Sequence[socket.socket], *, secure: bool) -> list[str]:
    """What those bound sockets are called from outside."""
    return [_url(sock, secure) for sock in sockets]


def _url(sock: socket.socket, secure: bool) -> str:
    if sock.family == socket.AF_UNIX:
        return f"unix:{sock.getsockname()}"
    host, port = sock.getsockname()[:2]
    host = f"[{host}]" if sock.family == socket.AF_INET6 else host
    return f"{'https' if secure else 'http'}://{host}:{port}"


def reset(transport: asyncio.WriteTransport) -> None:
    """Closes with a reset, so that what the caller did not read does not linger in the kernel."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family != socket.AF_UNIX:
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
