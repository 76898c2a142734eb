"""Pieces that are spliced are told as decoding would have them told, however they were sliced."""

import itertools
import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects import INBOUND, OUTBOUND
from proxy.dialects.chat.splice import HELD_BYTES_MAX, Splicer, spliced
from proxy.dialects.chat.stream import Encoder
from proxy.dialects.forms import StreamDecoder
from proxy.dialects.reading import Decoder
from proxy.errors import GatewayError
from proxy.pipeline.heard import Heard
from proxy.providers import Quirks
from proxy.wire.events import Event, Spliced, Text, is_content
from proxy.wire.request import Ask, Head
from tests.plain import ASK, HIDING
from tests.recordings import Recording, load
from tests.test_wire import quirks_of
from tests.truths.chat import PROVIDERS, chats, events, kind

CHAT = OUTBOUND["openai"]
HEAD = Head(id="gen-1-test", created=1, model="test/model", provider="Test")


BYTES_MAX = 4000  # that come one by one


class Told(NamedTuple):
    """What a caller is told and an account is charged for, piece by piece, and how it broke off."""

    pieces: list[tuple[int, int, bytes]]  # choice, size, bytes
    fault: str | None
    spliced: int


def tell(pieces: Iterable[bytes], quirks: Quirks, ask: Ask = ASK, *, splice: bool) -> Told:
    encoder, decoder = Encoder(HEAD, ask), CHAT.decoder(quirks)
    if splice:
        assert CHAT.splice is not None
        splicer = CHAT.splice(decoder, encoder)
        assert splicer is not None
        decoder = splicer
    told: list[tuple[int, int, bytes]] = []
    number = 0
    try:
        for event in _fed(decoder, pieces):
            parts: list[Any] = [event]
            if isinstance(event, Spliced):
                parts = event.parts()
                number += len(parts)
                assert b"".join(part.data for part in parts) == encoder.encode(event)
                assert said_bytes(event) == sum(map(said_bytes, parts))
            for part in parts:
                choice = part.choice if is_content(part) else -1
                told.append((choice, said_bytes(part), encoder.encode(part)))
    except GatewayError as error:
        return Told(told, error.message, number)
    return Told(told, None, number)


def said_bytes(event: Event) -> int:
    """How much text it is counted as."""
    return Heard().speak(event, 0.0)[0] if is_content(event) else 0


def _fed(decoder: StreamDecoder, pieces: Iterable[bytes]) -> Iterator[Event]:
    for piece in pieces:
        yield from decoder.feed(piece)
    yield from decoder.end()


def read(told: Told) -> Any:
    """The same with its JSON read: nobody is promised how a character is escaped."""
    return [
        (choice, size, [parsed(line) for line in data.split(b"\n\n")])
        for choice, size, data in told.pieces
    ]


def parsed(event: bytes) -> Any:
    return orjson.loads(event.removeprefix(b"data: ")) if event else None


def check(pieces: list[bytes], quirks: Quirks, ask: Ask = ASK, decoded: Told | None = None) -> Told:
    """What is told of these, after it was found to be what is `decoded`."""
    told = tell(pieces, quirks, ask, splice=True)
    if decoded is None:
        decoded = tell(pieces, quirks, ask, splice=False)
    if told.pieces != decoded.pieces:
        assert b"\\" in b"".join(pieces)
        assert read(told) == read(decoded)
    assert told.fault == decoded.fault
    return told


def slicings(body: bytes, seed: str) -> Iterator[list[bytes]]:
    """Whole, by event, byte by byte, at random."""
    rng = random.Random(seed)
    yield [body]
    yield [event + b"\n\n" for event in body.split(b"\n\n")]
    yield [bytes([byte]) for byte in body[:BYTES_MAX]] + [body[BYTES_MAX:]]
    for sizes in ((1, 2, 3, 7, 40, 333, 4096), (200, 500, 900)):
        edges = [0]
        while edges[-1] < len(body):
            edges.append(edges[-1] + rng.choice(sizes))
        yield [body[a:b] for a, b in itertools.pairwise(edges)]


# Recorded traffic.


def streams(provider: str) -> Iterator[Recording]:
    for row in chats(provider):
        recording = load(row)
        if kind(recording) == "stream":
            yield recording


def steady(body: bytes) -> bool:
    """Whether most of its events differ in nothing but a text, as a reader of their JSON finds."""
    forms = Counter(form(event) for event in events(body) if event != b"[DONE]")
    often = sum(number for _, number in forms.most_common(2))
    return often > 20 and often > 0.9 * forms.total()


def form(event: bytes) -> str:
    value = json.loads(event)
    if not isinstance(value, dict) or value.get("error"):
        return ""
    for choice in value.get("choices") or ():
        blank(choice.get("delta") or {})
        if choice.get("logprobs"):
            return repr(event)  # of its own
    return repr(value)


def blank(said: dict[str, Any]) -> None:
    for name in ("content", "reasoning", "reasoning_content"):
        if said.get(name):
            said[name] = "text"
    for detail in said.get("reasoning_details") or ():
        detail |= {name: "text" for name in ("text", "summary") if name in detail}


@pytest.mark.wire
@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_recorded_stream_is_told_as_if_it_were_decoded(provider: str) -> None:
    texts = number = 0
    for recording in streams(provider):
        body, quirks = recording.body, quirks_of(provider)
        decoded = tell([body], quirks, splice=False)
        for place, pieces in enumerate(slicings(body, recording.row["name"])):
            told = check(pieces, quirks, decoded=decoded)
            if place == 1 and steady(body):
                number += told.spliced
                texts += sum(size > 0 for _, size, _ in told.pieces)
        check([body], quirks, HIDING)
    assert number >= 0.9 * texts
    assert texts > 300 or provider not in ("openrouter", "xai")


# What may be spliced, and what not.


def chunk(text: Any = "a", finish: str | None = None, **more: Any) -> bytes:
    """One event, its choice and delta changed by keys that begin with `choice_` and `delta_`."""
    choice: dict[str, Any] = {"index": 0}
    delta, event = {"content": text}, {"id": "up-1"}
    for key, value in more.items():
        if key.startswith("choice_"):
            choice[key.removeprefix("choice_")] = value
        elif key.startswith("delta_"):
            delta[key.removeprefix("delta_")] = value
        else:
            event[key] = value
    choices = [choice | {"delta": delta, "finish_reason": finish}]
    return b"data: " + orjson.dumps(event | {"choices": choices}) + b"\n\n"


BEGUN = [chunk(), chunk("b"), chunk("c")]


def fits(*pieces: bytes, ask: Ask = ASK) -> int:
    """How many of these are spliced behind a stream that has begun."""
    begun = check(BEGUN, Quirks(), ask)
    return check([*BEGUN, *pieces], Quirks(), ask).spliced - begun.spliced


def raw(text: bytes) -> bytes:
    """An event whose text is exactly that."""
    return chunk("TEXT").replace(b"TEXT", text)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"plain", 1),
        (b" ", 1),
        ("gru\u00df 😀".encode(), 1),
        (rb"a \"word\" \\ \/ \n \u00e9 \ud83d\ude00", 1),
        (b"\x7f\xe2\x80\xa8", 1),
        (rb"{\"content\":\"x\"}", 1),
        (b"data: x", 1),
        (b"x" * 100_000, 1),
        (b"", 0),
        (rb"\x", 0),
        (rb"\ud83d", 0),
        (rb"\ude00", 0),
        (b"tab\t", 0),
        (b"\x00", 0),
        (b"line\nline", 0),
        (b"\xff", 0),
        (b"\xc3", 0),
        (b"\xed\xa0\x80", 0),
        (b"end\\", 0),
        (b'","', 0),
        (b'","role":"tool', 0),
        (b'"},"finish_reason":"stop","x":{"a":"', 0),
        (b'"},"finish_reason":null}],"error":{"message":"no"},"choices":[{"delta":{"content":"', 0),
    ],
    ids=repr,
)
def test_the_inside_of_a_string_is_spliced_and_nothing_else(text: bytes, number: int) -> None:
    assert fits(raw(text)) == number
    # Together with others, whoever is the first of them.
    for pieces in ([raw(text), chunk()], [chunk(), raw(text)], [chunk(), raw(text), chunk()]):
        assert fits(b"".join(pieces)) <= len(pieces)


@pytest.mark.parametrize(
    "event",
    [
        chunk("x", finish="stop"),
        chunk("x", usage={"prompt_tokens": 1, "completion_tokens": 1}),
        chunk("x", error={"message": "no", "code": 500}),
        chunk("x", service_tier="flex"),
        chunk("x", citations=["https://a.test"]),
        chunk("x", choice_logprobs={"content": []}),
        chunk("x", choice_index=1),
        chunk("x", delta_refusal="y"),
        chunk("x", delta_audio={"data": "AA"}),
        chunk("x", delta_tool_calls=[{"index": 0, "id": "c", "function": {"name": "f"}}]),
        chunk(None),
        chunk("x").replace(b"\n", b"\r\n"),
        chunk("x").replace(b"\n", b"\r"),
        chunk("x").replace(b'"id"', b'"ID"'),
        b": a comment\n" + chunk("x"),
        b"event: x\n" + chunk("x"),
        b"\xef\xbb\xbf" + chunk("x"),
        chunk("x").replace(b',"', b',\ndata: "', 1),
        chunk("x").removeprefix(b"d"),
        chunk("x")[:-3] + b"\n\n",
        b"data: [DONE]\n\n" + chunk("x"),
        b"data: [DONE]\n\n",
        b"data: {}\n\n",
        b"\n\n\n",
        b"\n",
    ],
)
def test_what_differs_is_decoded(event: bytes) -> None:
    assert fits(event) == 0
    assert check([*BEGUN, event, *BEGUN], Quirks()).spliced >= 1
    check([b"".join([*BEGUN, event, *BEGUN])], Quirks())
    check([chunk() + event[:9], event[9:] + chunk()], Quirks())
    for place in range(len(event)):
        check([*BEGUN, chunk() + event[:place], event[place:] + chunk(), chunk()], Quirks())


@pytest.mark.parametrize("other", [b"x", b'"', b"\\", b"\n", b"\r", b" ", b"\xff", b""], ids=repr)
def test_one_byte_makes_a_difference(other: bytes) -> None:
    event, begun = chunk("text"), tell(BEGUN, Quirks(), splice=True).spliced
    within = range(event.index(b"text"), event.index(b"text") + 4)
    for place in range(len(event)):
        changed = event[:place] + other + event[place + 1 :]
        told = check([*BEGUN, changed], Quirks())
        assert changed == event or place in within or told.spliced == begun
        check([b"".join([*BEGUN, changed, event])], Quirks())


def thought(text: str, **more: Any) -> bytes:
    return chunk(None, delta_reasoning=text, **more)


def detailed(text: str, /, **more: Any) -> bytes:
    detail = {"type": "reasoning.text", "text": text, "format": "unknown", "index": 0}
    return thought(text, delta_reasoning_details=[detail | more])


def called(arguments: str, **more: Any) -> bytes:
    call = {"index": 0, "function": {"arguments": arguments}} | more
    return chunk(None, delta_tool_calls=[call])


HEADED = called("", id="c", function={"name": "f", "arguments": ""})
VARIETY: dict[str, tuple[list[bytes], int]] = {
    "reasoning": ([thought("ab"), thought("a\nb"), thought("é")], 2),
    "reasoning told twice": ([detailed("ab"), detailed("a\nb"), detailed("é")], 2),
    "twice but not the same": ([detailed("ab"), detailed("cd", text="ef"), detailed("é")], 1),
    "with a signature": ([detailed("ab", signature="s"), detailed("é", signature="t")], 0),
    "both names": ([thought(text, delta_reasoning_content=text) for text in "abc"], 2),
    "refusals": ([chunk(None, delta_refusal=text) for text in ("ab", "é")], 1),
    "arguments": ([HEADED, called("{"), called('"é"'), called(""), called("}")], 2),
    "arguments of a call that follows": (
        [HEADED, called("{"), called("}"), called("", id="d"), called("{"), called("}")], 2,
    ),
    "text and reasoning in turn": ([chunk("x"), thought("y"), chunk("z"), thought("é")], 2 + 1),
    "two choices": ([chunk("x", choice_index=number % 2) for number in range(6)], 2 + 3),
    "five forms in turn are too many": (
        [chunk("x", choice_index=number % 5) for number in range(20)], 1,
    ),
    "text behind the finish": ([chunk("x", finish="stop"), chunk("y")], 1),
    "a fingerprint that changes": (
        [chunk("x", system_fingerprint=str(number)) for number in range(9)], 0,
    ),
    "a tier that is told late": (
        [chunk("x"), chunk("x", service_tier="flex"), chunk("y"), chunk("z")], 1 + 1,
    ),
    "half of a character elsewhere": (
        [chunk(text, id="HALF").replace(b"HALF", rb"\ud83d") for text in "xyz"], 0,
    ),
    "a text like the mark": ([chunk(text) for text in ("the-text-stands-here", "x")], 2),
    "content that is a list": ([chunk([{"type": "text", "text": text}]) for text in "xyz"], 2),
}  # fmt: skip


@pytest.mark.parametrize(("pieces", "number"), VARIETY.values(), ids=VARIETY)
def test_pieces_of_every_kind(pieces: list[bytes], number: int) -> None:
    assert fits(*pieces) == number
    check([b"".join([*BEGUN, *pieces])], Quirks())
    check(pieces, Quirks())


def test_a_stream_that_says_the_mark_is_decoded() -> None:
    texts = [chunk("the-text-stands-here"), chunk("x", service_tier="the-text-stands-here")]
    assert check([texts[0]] * 9, Quirks()).spliced == 0
    assert check([texts[1]] * 9, Quirks()).spliced == 0


def test_hidden_reasoning_is_decoded() -> None:
    assert fits(thought("x"), thought("y"), chunk("z"), ask=HIDING) == 1


def test_learning_stops_where_nothing_comes_of_it() -> None:
    ids = [chunk("x", id=str(number)) for number in range(20)]
    decoder = Splicer(CHAT.decoder(Quirks()), Encoder(HEAD, ASK))
    for event in ids:
        list(decoder.feed(event))
    assert not decoder.splicing
    assert check([*ids, *BEGUN], Quirks()).spliced == 0
    # Where every template serves for a while it goes on.
    runs = [chunk("x", id=str(number // 10)) for number in range(200)]
    assert check(runs, Quirks()).spliced > 170


def test_what_stands_beside_the_text_is_not_tried_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A provider that sends a thousand texts in an event must not hold all others up."""
    fed = list[int]()
    feed = Decoder.feed

    def counting(decoder: Decoder, data: bytes) -> Iterable[Event]:
        fed.append(len(data))
        return feed(decoder, data)

    beside = [{"text": f"{number:x}"} for number in range(900)]
    same = [{"text": "ab"}, {"text": "a\\u0062"}, {"text": "\\u0061b"}, {"text": "\\u0061\\u0062"}]
    for more in (beside, beside * 2, [{"text": "ab"}] * 900, same):
        event = (
            b"data: "
            + json.dumps({"x": more, "choices": [{"index": 0, "delta": {"content": "ab"}}]})
            .replace("\\\\", "\\")
            .encode()
        )
        check([*BEGUN, event + b"\n\n", chunk("d")], Quirks())
        decoder = Splicer(CHAT.decoder(Quirks()), Encoder(HEAD, ASK))
        with monkeypatch.context() as patch:
            patch.setattr(Decoder, "feed", counting)
            list(decoder.feed(BEGUN[0]))
            fed.clear()
            list(decoder.feed(event + b"\n\n"))
        assert len(fed) <= 3


def test_only_the_caller_of_a_chat_is_told_so() -> None:
    decoder, ask = CHAT.decoder(Quirks()), ASK
    for name in ("completions", "messages", "responses"):
        encoding = INBOUND[name].encoder
        assert encoding is not None
        assert spliced(decoder, encoding(HEAD, ask)) is None
    assert {name for name, row in OUTBOUND.items() if row.splice} == {"openai", "azure"}


def test_a_part_of_an_event_waits_for_its_end() -> None:
    decoder = Splicer(CHAT.decoder(Quirks()), Encoder(HEAD, ASK))
    for event in BEGUN:
        list(decoder.feed(event))
    event = chunk("x" * (HELD_BYTES_MAX - 500))
    assert [*decoder.feed(event[:-1])] == []
    (told,) = decoder.feed(event[-1:])
    assert isinstance(told, Spliced)
    long = chunk("x" * HELD_BYTES_MAX)
    assert [*decoder.feed(long[:-1])] == []
    assert [*decoder.feed(long[-1:])] == [Text(0, "x" * HELD_BYTES_MAX)]
    assert [*decoder.feed(chunk())] == [Text(0, "a")], "so it goes on"


def test_what_was_left_at_the_end_is_read() -> None:
    for last in (chunk("x")[:-2], chunk("x")[:-9], chunk("x", finish="stop")[:-1], b"data: {"):
        check([*BEGUN, last], Quirks())


PARTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(['"', "\\", '","', "\n", "\n\n", "\r", "\0", "data: ", "😀", "}", '"}}]}']),
)
TEXTS = st.lists(PARTS, max_size=4).map("".join)
STREAMS = st.lists(
    st.one_of(
        TEXTS.map(chunk),
        TEXTS.map(thought),
        TEXTS.map(detailed),
        TEXTS.map(called),
        st.just(HEADED),
        TEXTS.map(lambda text: chunk(text, choice_index=1)),
        st.sampled_from([chunk("x", finish="stop"), b": note\n\n", b"data: [DONE]\n\n"]),
        st.binary(max_size=6).map(raw),
        st.sampled_from([rb"\ud83d", rb"\ude00", rb"\u0041", b"\\", b"\xed\xa0\x80"]).map(raw),
    ),
    max_size=12,
)


@given(STREAMS, st.integers(0, 3), st.lists(st.integers(1, 400), max_size=20))
def test_any_stream_is_told_as_if_it_were_decoded(
    stream: list[bytes], damaged: int, sizes: list[int]
) -> None:
    body = b"".join([*BEGUN, *stream])
    if damaged and stream:  # a byte is lost, or doubled
        place = len(body) * damaged // 4
        body = body[:place] + body[place + 1 :] if damaged % 2 else body[:place] + body[place - 1 :]
    edges = [*itertools.accumulate(sizes, initial=0), len(body)]
    check([body[a:b] for a, b in itertools.pairwise(edges)], Quirks())
    check([body], Quirks())
    check([*BEGUN, *stream], Quirks())


def test_what_is_curtailed_is_cut_between_its_pieces() -> None:
    decoder = Splicer(CHAT.decoder(Quirks()), Encoder(HEAD, ASK))
    list(decoder.feed(BEGUN[0]))
    list(decoder.feed(BEGUN[1]))
    (told,) = decoder.feed(chunk("one") + chunk("zwölf") + chunk("\\"))
    assert isinstance(told, Spliced)
    assert told.sizes == (3, 6, 1)
    assert [parsed(part.data)["choices"][0]["delta"]["content"] for part in told.parts()] == [
        "one\n\n"[:3], "zwölf", "\\",
    ]  # fmt: skip
