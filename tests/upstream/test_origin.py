"""What a call begins with, byte for byte, and who is kept."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.upstream import origin as module
from proxy.upstream.origin import Address, Opening, Origin, address_of, target_of
from proxy.upstream.transport import Call


@pytest.mark.parametrize(
    ("url", "address", "authority", "target"),
    [
        ("https://A.test/v?b=%2F&a=%7e", ("https", "a.test", 443), "a.test", "/v?b=%2F&a=%7e"),
        ("http://acme.test:8080", ("http", "acme.test", 8080), "acme.test:8080", "/"),
        ("http://acme.test:80/a//b/../c", ("http", "acme.test", 80), "acme.test", "/a//b/../c"),
        ("https://acme.test:80?x", ("https", "acme.test", 80), "acme.test:80", "/?x"),
        ("http://[::1]:1/#part", ("http", "::1", 1), "[::1]:1", "/"),
        ("HTTPS://[fd00::1]/m:go", ("https", "fd00::1", 443), "[fd00::1]", "/m:go"),
    ],
)  # fmt: skip
def test_a_url_is_taken_apart(
    url: str, address: tuple[str, str, int], authority: str, target: str
) -> None:
    assert address_of(url) == address
    assert address_of(url).authority == authority
    assert target_of(url) == target


@pytest.mark.parametrize(
    "url",
    [
        "", "acme.test", "/v1", "ftp://acme.test/", "http:///v1", "http://user:pass@acme.test/",
        "http://acme.test:99999/", "http://acme.test:x/",
    ],
)  # fmt: skip
def test_what_leads_nowhere(url: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        address_of(url)


@pytest.mark.parametrize("bad", [" ", "\r\n", "\n", "\t", "\0", "\x7f", "é"])
def test_what_would_break_the_first_line(bad: str) -> None:
    with pytest.raises(ValueError, match="no URL"):
        target_of(f"http://acme.test/a{bad}b")


HERE = Origin(Address("http", "a.test", 80))
OPENING = Opening(HERE, "GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\n")


def test_a_head() -> None:
    headers = {"X-Some": "thing", "Y": "ü"}
    assert OPENING.head(Call("", headers, b"abc", 1.0)) == (
        b"POST / HTTP/1.1\r\nX-Some: thing\r\nY: \xc3\xbc\r\nContent-Length: 3\r\n\r\n"
    )
    assert OPENING.head(Call("", {}, b"", 1.0)).endswith(b"Content-Length: 0\r\n\r\n")
    assert OPENING.head(Call("", {}, None, 1.0)) == b"GET / HTTP/1.1\r\n\r\n"


def test_a_head_is_of_the_headers_that_are_given() -> None:
    headers = {"A": "1", "B": "2"}
    said = b"%b / HTTP/1.1\r\nA: %b\r\nB: 2\r\n%b\r\n"
    for value in ("1", "1", "3", "1"):
        headers["A"] = value  # the same mapping, with another value
        heads = [OPENING.head(Call("", headers, body, 1.0)) for body in (None, b"abc")]
        assert heads == [
            said % (b"GET", value.encode(), b""),
            said % (b"POST", value.encode(), b"Content-Length: 3\r\n"),
        ]
    for body in (None, b""):
        with pytest.raises(ValueError, match="line break"):
            OPENING.head(Call("", headers | {"C": "\n"}, body, 1.0))
        assert b"C:" not in OPENING.head(Call("", headers, body, 1.0))


@given(st.dictionaries(st.text("ab\r\n\0", max_size=3), st.text("cd\r\n\0", max_size=3)))
def test_no_header_becomes_two(headers: dict[str, str]) -> None:
    said = "".join([*headers, *headers.values()])
    try:
        head = OPENING.head(Call("", headers, None, 1.0))
        assert OPENING.head(Call("", headers, b"", 1.0)).startswith(b"POST" + head[3:-2])
    except ValueError:
        assert {"\r", "\n", "\0"} & set(said)
    else:
        assert not {"\r", "\n", "\0"} & set(said)
        assert head.count(b"\r\n") == len(headers) + 2


class Kept:
    def __init__(self, idle_since: float, origin: Origin) -> None:
        self.idle_since = idle_since
        self.origin = origin

    def drop(self) -> None:
        self.origin.lose(self)  # type: ignore[arg-type]


def test_the_last_one_is_taken_first_and_old_ones_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_MAX", 3)
    monkeypatch.setattr(module, "CONNECTIONS_MAX", 4)
    origin = Origin(Address("http", "a.test", 80))
    made: list[Any] = [Kept(float(at), origin) for at in range(4)]
    assert [origin.keep(one) for one in made] == [True, True, True, False]
    origin.open.update(made)
    full = [origin.full]
    assert origin.idle.pop() is made[2]
    origin.lose(made[2])
    assert [*full, origin.full] == [True, False]
    origin.sweep(1.0)
    assert origin.idle == [made[1]]
    assert origin.open == {made[1], made[3]}
