"""Addresses bound for others to accept on."""

import asyncio
import socket
from pathlib import Path

import pytest

from proxy.serving.sockets import bound, reset, urls


def test_every_address_is_bound_and_listens(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with bound(["127.0.0.1:0", "[::1]:0", f"unix:{path}"]) as sockets:
        plain, six, unix = urls(sockets, secure=False)
        assert plain.startswith("http://127.0.0.1:")
        assert six.startswith("http://[::1]:")
        assert unix == f"unix:{path}"
        assert urls(sockets, secure=True)[0].startswith("https://")
        for sock in sockets:
            with socket.socket(sock.family) as caller:
                caller.connect(sock.getsockname())
    assert not path.exists()
    assert [sock.fileno() for sock in sockets] == [-1] * 3


def test_what_can_not_be_bound_is_named_and_nothing_left(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with bound(["127.0.0.1:0"]) as (taken,):
        port = taken.getsockname()[1]
        with (
            pytest.raises(OSError, match=f"127.0.0.1:{port}: Address already in use"),
            bound([f"unix:{path}", f"127.0.0.1:{port}"]),
        ):
            pass
    assert not path.exists()


def test_a_path_that_somebody_else_took_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with bound([f"unix:{path}"]):
        path.unlink()
        path.write_text("mine")
    assert path.read_text() == "mine"
    path.unlink()
    with bound([f"unix:{path}"]):
        path.unlink()
    with pytest.raises(OSError, match="in use"), bound([f"unix:{path}"]), bound([f"unix:{path}"]):
        pass
    path.write_text("no socket")
    with pytest.raises(OSError, match="in use"), bound([f"unix:{path}"]):
        pass
    path.unlink()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with bound([f"unix:{path}"]):
        assert path.is_socket()


def test_what_is_written_is_sent_at_once(tmp_path: Path) -> None:
    with bound(["127.0.0.1:0", f"unix:{tmp_path}/s"]) as (sock, _):
        with socket.create_connection(sock.getsockname()):
            accepted, _ = sock.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_a_reset_of_what_is_closed_already_does_no_harm() -> None:
    class Closed(asyncio.Transport):
        aborted = False

        def abort(self) -> None:
            self.aborted = True

    with socket.socket() as sock:
        pass
    for transport in (Closed({"socket": sock}), Closed()):
        reset(transport)
        assert transport.aborted
