"""Heads that come again: known by their bytes, and never anything but what the parser would say."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from proxy.serving.direct import DIRECT
from proxy.serving.familiar import Familiar, familiar
from tests.serving.pipe import Pipe, cut, hall

HEAD = b"POST /v1/x?a=b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\nX-Api-Key: k\r\n\r\n"
HEADS = [
    HEAD,
    b"POST / HTTP/1.1\r\ncontent-length:%d \r\nhost:a\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: a\r\nX: a\r\nx: \xe9\r\nContent-LENGTH:   %d\r\n\r\n",
    b"\r\nPUT /%%41 HTTP/1.1\r\nhost: a\r\ncontent-length: 0%d\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n",
    b"POST / HTTP/1.0\r\nconnection: keep-alive\r\ncontent-length: %d\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: %d\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: %d\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: a\r\nupgrade: x\r\ncontent-length: %d\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: x\r\n"
    b"Content-Length: %d\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: a\r\ncontent-encoding: br\r\ncontent-length: %d\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\ncontent-length: 1\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n",
    b"GET / HTTP/1.1\r\nhost: a\r\nx: content-length: %d\r\n\r\n",
    b"BREW / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n",
]
BODIES = [b"", b"{}", b"0\r\n\r\n", b"12345678\r\n\r\n90", b"x" * 100, b"x" * 9000]


class App:
    """Notes what it is asked, and answers."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.kept: list[dict[str, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        direct = scope["extensions"][DIRECT]
        self.kept.append(direct.kept)
        said = {name: value for name, value in scope.items() if name != "extensions"}
        coded = direct.coded
        body = direct.body()
        while body is None:
            message = await receive()
            if message["type"] == "http.disconnect" or not message["more_body"]:
                body = message.get("body", b"")
        self.heard.append((said, coded, body))
        direct.start(200, [(b"content-length", b"2")])
        direct.finish(b"ok")


class Story:
    """What became of some pieces; `knows` says whether heads are remembered, and `known` how many
    requests had one that was.
    """

    def __init__(self, *pieces: bytes, knows: bool = True) -> None:
        self.app = App()
        self.known = 0
        asyncio.run(self._play(pieces, knows=knows))

    async def _play(self, pieces: tuple[bytes, ...], *, knows: bool) -> None:
        async with hall(self.app) as here:
            here.date = b"date: now\r\n"
            pipe = Pipe(here)
            connection = pipe.connection
            recognise = connection._recognise

            def recognised(familiar: Familiar, data: bytes) -> bool:
                found = knows and recognise(familiar, data)
                self.known += found
                return found

            connection._recognise = recognised  # type: ignore[method-assign]
            await pipe.hear(*pieces)
            self.said = b"".join(pipe.written)
            self.ended = (pipe.is_closing(), pipe.ended, pipe.aborted, connection._deaf)
            await pipe.hear(b"GET /last HTTP/1.1\r\nhost: a\r\n\r\n")
            self.last = b"".join(pipe.written)

    @property
    def told(self) -> list[Any]:
        return [self.app.heard, self.said, self.ended, self.last]


def test_the_third_request_with_a_head_is_known() -> None:
    story = Story(*(HEAD % len(body) + body for body in BODIES))
    assert story.known == len(BODIES) - 2
    assert [body for *_, body in story.app.heard] == [*BODIES, b""]
    for (scope, *_), body in zip(story.app.heard, BODIES, strict=False):
        assert scope["headers"][1] == (b"content-length", b"%d" % len(body))
        assert (scope["path"], scope["query_string"], scope["state"]) == ("/v1/x", b"a=b", {"a": 1})
    assert story.app.kept[1] is story.app.kept[2] is story.app.kept[5]
    assert story.app.kept[0] is not story.app.kept[1]


def test_scopes_are_of_one_request_each() -> None:
    app = Story(*[HEAD % 1 + b"a"] * 4).app
    (one, *_), (other, *_) = app.heard[2:4]
    assert one == other
    assert one["headers"] is not other["headers"]
    assert one["state"] is not other["state"]


def test_another_key_is_another_head() -> None:
    other = HEAD.replace(b": k", b": j")
    story = Story(*[HEAD % 0, HEAD % 0, HEAD % 0, other % 0, other % 0, HEAD % 0])
    assert story.known == 2
    keys = [dict(scope["headers"]).get(b"x-api-key") for scope, *_ in story.app.heard]
    assert keys[:-1] == [b"k", b"k", b"k", b"j", b"j", b"k"]
    assert story.app.kept[2] is not story.app.kept[3]
    assert story.app.kept[3] is not story.app.kept[5]


@pytest.mark.parametrize("rest", [b"P", b"\r", b"\r\n", b"POST /v1", HEAD % 3 + b"a", b"\0"])
def test_what_is_left_in_the_parser_counts(rest: bytes) -> None:
    """Of a request that began in the piece before, the same bytes would be something else."""
    pieces = [HEAD % 2 + b"ab"] * 3
    pieces = [*pieces, pieces[0] + rest, *pieces]
    story = Story(*pieces)
    assert story.told == Story(*pieces, knows=False).told
    assert story.known == (1 if rest.strip() else 3)


@pytest.mark.parametrize("head", HEADS, ids=range(len(HEADS)))
@pytest.mark.parametrize("body", BODIES, ids=len)
def test_it_is_what_the_parser_says(head: bytes, body: bytes) -> None:
    pieces = [head % len(body) + body] * 4
    assert Story(*pieces).told == Story(*pieces, knows=False).told


@st.composite
def spoken(draw: st.DrawFn) -> list[bytes]:
    """Requests of few kinds, one after the other, some of them broken, cut anywhere or nowhere."""
    heads = draw(st.lists(st.sampled_from(HEADS), min_size=1, max_size=2))
    pieces = []
    for _ in range(draw(st.integers(3, 6))):
        body = draw(st.sampled_from(BODIES))
        length = len(body) + draw(st.sampled_from([0, 0, 0, 0, 0, 1, -1]))
        piece = draw(st.sampled_from(heads)) % max(length, 0) + body
        if draw(st.integers(0, 5)) == 0:
            at = draw(st.integers(0, len(piece)))
            more = draw(
                st.sampled_from([b"", b"\r", b"\n", b"0", b" ", b":", b"-1", b"\r\n", b"x"])
            )
            piece = piece[:at] + more + piece[at + draw(st.integers(0, 1)) :]
        cuts = draw(st.lists(st.integers(0, 200), max_size=2)) if draw(st.booleans()) else []
        pieces += cut(piece, cuts) if piece else []
    if draw(st.integers(0, 4)) == 0:
        at = draw(st.integers(0, len(pieces) - 1))
        pieces[at : at + 2] = [b"".join(pieces[at : at + 2])]
    return pieces


@given(spoken())
def test_nothing_is_heard_that_the_parser_would_not_say(pieces: list[bytes]) -> None:
    assert Story(*pieces).told == Story(*pieces, knows=False).told


@pytest.mark.parametrize(
    ("digits", "body", "found"),
    [
        (b"3", b"abc", b"abc"),
        (b"03", b"abc", b"abc"),
        (b"0", b"", b""),
        (b"000000003", b"abc", b"abc"),
        (b"0000000003", b"abc", None),  # the parser may say what that is
        (b"", b"", None),
        (b"+3", b"abc", None),
        (b" 3", b"abc", None),
        (b"3 ", b"abc", None),
        (b"0x3", b"abc", None),
        (b"1_0", b"0123456789", None),
        (b"\xb2", b"ab", None),
        (b"2", b"abc", None),
        (b"4", b"abc", None),
    ],
)
def test_bodies(digits: bytes, body: bytes, found: bytes | None) -> None:
    scope = {"headers": [(b"host", b"a"), (b"content-length", b"1"), (b"x-api-key", b"k")]}
    head = familiar(HEAD % 1 + b"a", scope, {})
    assert head is not None
    request = head.request(HEAD.replace(b"%d", digits) + body)
    assert (request and request[1]) == found
    if request is not None:
        assert request[0]["headers"][1] == (b"content-length", digits)
