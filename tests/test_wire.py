"""Every recorded chat, whoever spoke it, goes through the sans-I/O core and comes out the same.

Bytes are fed whole, one by one and in random slices; what clients hear is compared with what an
independent reader finds in the recording (`tests/truths/chat.py`).
"""

import functools
import itertools
import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from proxy.dialects import OUTBOUND, Outbound
from proxy.dialects.chat.errors import encode_error
from proxy.dialects.chat.request import decode_request
from proxy.dialects.chat.stream import Encoder, encode_answer
from proxy.dialects.faults import decode_refusal, provider_error
from proxy.dialects.forms import Bill
from proxy.errors import GatewayError
from proxy.pipeline.exchange import Exchange
from proxy.pipeline.heard import said_bytes
from proxy.pipeline.settle import plausible
from proxy.providers import Quirks, known
from proxy.wire.events import Ended, Event, Failed, Finished, Started, Usage, UsageReport
from proxy.wire.request import Head
from tests.heard import check_error, check_same, heard_answer, heard_stream
from tests.plain import ASK
from tests.recordings import Recording, load
from tests.stage import endpoint, snapshot
from tests.truths.chat import PAIRS, PROVIDERS, Json, Truth, chats, check_count, events, kind
from tests.truths.dialects import dialect_of, retry_after, truth_of

pytestmark = pytest.mark.wire

CHAT = OUTBOUND["openai"]
HEAD = Head(id="gen-1-test", created=1, model="test/model", provider="Test")
SLUGS = {"zai": "z-ai"}


def quirks_of(provider: str) -> Quirks:
    row = known().get(SLUGS.get(provider, provider))
    return row.quirks if row else Quirks()


def encode(decoded: Iterable[Event]) -> bytes:
    """The stream of these events, as the pipeline sends it."""
    encoder = Encoder(HEAD, ASK)
    out, usage = b"", Usage()
    for event in decoded:
        if isinstance(event, Failed):
            return out + encoder.encode_failure(provider_error(event, provider="Test"))
        if isinstance(event, UsageReport):
            usage = event.usage
        out += encoder.encode(event)
    return out + encoder.encode_end(Bill(usage))


def answer(decoded: list[Event]) -> bytes:
    """The whole answer of these events, as the pipeline sends it."""
    counts = [event.usage for event in decoded if isinstance(event, UsageReport)]
    return encode_answer(decoded, HEAD, ASK, Bill(counts[-1] if counts else Usage())).body


def sliced(body: bytes, rng: random.Random) -> Iterator[bytes]:
    start = 0
    while start < len(body):
        end = start + rng.choice((1, 2, 3, 7, 40, 333, 4096))
        yield body[start:end]
        start = end


def decode(pieces: Iterable[bytes], quirks: Quirks, dialect: Outbound = CHAT) -> list[Event]:
    stream = dialect.decoder(quirks)
    decoded = list(itertools.chain.from_iterable(map(stream.feed, pieces)))
    return [*decoded, *stream.end()]


def check_stream(recording: Recording) -> None:
    quirks, body = quirks_of(recording.row["provider"]), recording.body
    dialect = dialect_of(recording)
    whole = decode([body], quirks, dialect)
    assert decode((bytes([byte]) for byte in body), quirks, dialect) == whole
    rng = random.Random(recording.row["name"])
    for _ in range(3):
        assert decode(sliced(body, rng), quirks, dialect) == whole
    truth, heard = truth_of(recording), heard_stream(encode(whole))
    if truth.error is not None:
        check_broken(heard, truth)
        return
    check_same(heard, truth)
    folded = heard_answer(answer(whole))
    check_same(folded, truth)
    assert isinstance(whole[0], Started)
    assert any(isinstance(event, Finished) for event in whole)
    if recording.row["api"] == "chat":
        assert any(isinstance(event, Ended) for event in whole) == (b"[DONE]" in body)


def check_broken(heard: Truth, truth: Truth) -> None:
    """A stream that failed: what came before is there, and an error says what happened."""
    assert heard.error is not None
    assert heard.usage is None, "an error is no success"
    assert truth.error is not None
    assert truth.error["message"] in heard.error["message"]
    assert heard.error["metadata"]["provider_name"] == "Test"
    for number, told in truth.voices.items():
        got = heard.voices.get(number)
        assert (got.text if got else "") == told.text
        assert (got.reasoning if got else "") == told.reasoning


def check_answer(recording: Recording) -> None:
    quirks = quirks_of(recording.row["provider"])
    decoded = dialect_of(recording).decode_answer(recording.body, quirks)
    truth = truth_of(recording)
    if truth.error is not None:
        assert any(isinstance(event, Failed) for event in decoded)
        assert heard_stream(encode(decoded)).error is not None
        return
    check_same(heard_answer(answer(decoded)), truth)
    check_same(heard_stream(encode(decoded)), truth)


def check_refusal(recording: Recording) -> None:
    headers = {"Retry-After": recording.headers.get("retry-after", "")}
    headers |= {name: value for name, value in recording.headers.items() if "amzn" in name}
    failed = decode_refusal(recording.status, recording.body, headers)
    error = provider_error(failed, provider="Test", secrets=("secret-of-ours",))
    check_error(encode_error(error), error.status, recording, "Test")
    assert error.headers.get("Retry-After") == retry_after(recording)


@functools.cache
def replayed(api: str, provider: str) -> Counter[str]:
    """How many recordings of `provider` went through, by what they show."""
    check = {"stream": check_stream, "answer": check_answer, "error": check_refusal}
    counts: Counter[str] = Counter()
    for row in chats(provider, api):
        recording = load(row)
        try:
            check[kind(recording)](recording)
        except Exception as error:
            error.add_note(f"in the recording {row['dir']}")
            raise
        counts[kind(recording)] += 1
    return counts


@pytest.mark.parametrize(("api", "provider"), PAIRS)
def test_what_was_said_is_heard(api: str, provider: str) -> None:
    assert replayed(api, provider).total() > 0


def test_no_recording_was_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    table = check_count({pair: replayed(*pair) for pair in PAIRS})
    with capsys.disabled():
        print(f"\n\nrecordings replayed through the sans-I/O core\n{table}")


# The shape of our answers beside that of OpenRouter's own.


def kept_in(objects: list[Json]) -> list[str]:
    """The keys that more than 95 % of these have, in the order that most of them have."""
    counts = Counter(key for one in objects for key in one)
    common = {key for key, count in counts.items() if count > 0.95 * len(objects)}
    orders = Counter(tuple(key for key in one if key in common) for one in objects)
    return list(orders.most_common(1)[0][0])


def of_openrouter(what: str) -> list[Recording]:
    recordings = map(load, chats("openrouter"))
    return [
        recording
        for recording in recordings
        if kind(recording) == what and recording.row["fidelity"] == "raw"
    ]


def chunks_of(body: bytes) -> list[Json]:
    return [json.loads(data) for data in events(body) if data != b"[DONE]"]


def parts(objects: list[Json]) -> Iterator[tuple[str, Json]]:
    """Every object whose keys clients rely on, by name."""
    for one in objects:
        if "error" in one:
            continue
        yield ("usage event" if "usage" in one else "event"), one
        if usage := one.get("usage"):
            yield "usage", usage
            yield from ((key, value) for key, value in usage.items() if isinstance(value, dict))
        for choice in one["choices"]:
            yield "choice", choice
            said: dict[str, Any] = choice.get("delta") or choice["message"]
            yield "said", said
            for call in said.get("tool_calls") or []:
                yield ("first of a call" if "id" in call else "more of a call"), call


@pytest.mark.parametrize("what", ["stream", "answer"])
def test_keys_are_those_of_openrouter_in_its_order(what: str) -> None:
    theirs: dict[str, list[Json]] = {}
    ours: dict[str, list[Json]] = {}
    for recording in of_openrouter(what):
        body = recording.body
        if what == "stream":
            told, heard = chunks_of(body), chunks_of(encode(decode([body], Quirks())))
        else:
            decoded = CHAT.decode_answer(body, Quirks())
            if any(isinstance(event, Failed) for event in decoded):
                continue
            told = [json.loads(body)]
            heard = [json.loads(answer(decoded))]
        for name, value in parts(told):
            theirs.setdefault(name, []).append(value)
        for name, value in parts(heard):
            ours.setdefault(name, []).append(value)
    # Six recordings count the calls of OpenRouter's own server tools, which only it can run.
    assert theirs.keys() - ours.keys() <= {"server_tool_use_details"}
    for name, values in ours.items():
        wanted = kept_in(theirs[name])
        for one in values:
            assert [key for key in one if key in wanted] == wanted, name


# What recorded providers counted is never more than the hold and the charge take for possible.


def counted(recording: Recording) -> Exchange | None:
    """The recorded request and answer as an exchange that is over; None where nothing was counted,
    or a request that we would refuse.
    """
    quirks = quirks_of(recording.row["provider"])
    streamed = kind(recording) == "stream"
    whole = (
        decode([recording.body], quirks) if streamed else CHAT.decode_answer(recording.body, quirks)
    )
    usages = [event.usage for event in whole if isinstance(event, UsageReport)]
    try:
        ask = decode_request(json.dumps(recording.request["body"]).encode())
    except GatewayError:
        return None
    if not usages:
        return None
    exchange = Exchange(id="gen", created_at=0.0, started_at=0.0, snapshot=snapshot())
    exchange.ask, exchange.endpoint = ask, endpoint()
    exchange.usage = usages[-1]
    exchange.said_bytes = sum(map(said_bytes, whole))
    return exchange


@pytest.mark.parametrize("provider", PROVIDERS)
def test_no_recorded_usage_is_beyond_the_possible(provider: str) -> None:
    checked, beyond = 0, []
    for row in chats(provider):
        recording = load(row)
        exchange = None if kind(recording) == "error" else counted(recording)
        if exchange is not None and exchange.usage is not None:
            checked += 1
            if plausible(exchange, exchange.usage) != exchange.usage:
                beyond.append((row["dir"], exchange.usage, exchange.said_bytes))
    assert checked > 0
    assert beyond == []
