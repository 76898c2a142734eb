"""One call to one endpoint, driven by hand: what each byte and each clock makes of it."""

from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from proxy.dialects import OUTBOUND, Bill
from proxy.dialects.chat.events import decoder
from proxy.dialects.chat.stream import Encoder
from proxy.errors import GatewayError
from proxy.pipeline import outlet, passing, reading
from proxy.pipeline.attempt import Attempt
from proxy.pipeline.clocks import USAGE_WAIT_S
from proxy.pipeline.exchange import Exchange
from proxy.providers import Quirks
from proxy.wire.events import Ended, Event, Finished, Reasoning, Text, Usage, Verbatim
from proxy.wire.request import Task
from tests.plain import ASK, BILL, HIDING
from tests.stage import DONE, GOOD, SSE, USAGE, chunk, endpoint, model, snapshot, whole

SECRET = "sk-provider-secret-key"
JSON: dict[str, Any] = {"Content_Type": "application/json"}


class Sent:
    """The call under way, and what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def pause(self) -> None:
        self.asked.append("pause")

    def resume(self) -> None:
        self.asked.append("resume")

    def cancel(self) -> None:
        self.asked.append("cancel")


class Tried:
    """An attempt with its surroundings; `now` is the clock, at first 100."""

    def __init__(
        self,
        *,
        stream: bool = True,
        choices: int = 1,
        hide: bool = False,
        task: Task = "chat",
        **timeouts: float,
    ) -> None:
        self.now = 100.0
        self.rung = 0
        served = endpoint("p0", **timeouts)
        self.exchange = Exchange(
            id="gen-1",
            created_at=1.0,
            started_at=100.0,
            snapshot=snapshot(keys={"p0": [SECRET]}),
        )
        ask = replace(HIDING if hide else ASK, choices=choices, task=task)
        self.exchange.ask = ask
        self.exchange.endpoint, self.exchange.model = served, model("test/one", served)
        self.sent = Sent()
        self.attempt = Attempt(
            self.exchange,
            self.exchange.model,
            served,
            encoder=Encoder(self.exchange.head, ask) if stream else None,
            ring=self.ring,
            clock=lambda: self.now,
        )
        self.attempt.read_as(OUTBOUND["openai"])
        self.attempt.sent = self.sent

    def ring(self) -> None:
        self.rung += 1

    def hear(self, *pieces: bytes, status: int = 200, **headers: Any) -> Attempt:
        named = {name.replace("_", "-"): value for name, value in headers.items()} or SSE
        self.attempt.head(status, named)
        for piece in pieces:
            self.attempt.data(piece)
        return self.attempt

    @property
    def error(self) -> GatewayError:
        assert self.attempt.over
        assert self.attempt.error is not None
        return self.attempt.error


def test_a_fault_of_ours_at_the_end_is_an_end_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a whole answer would else wait for minutes, with credit held."""

    def end(_: reading.Reading, *, broken: bool) -> list[Event]:
        raise KeyError(broken)

    monkeypatch.setattr(reading.Reading, "end", end)
    tried = Tried(stream=False)
    tried.hear(whole(), **JSON)
    with pytest.raises(KeyError):
        tried.attempt.end(None)
    assert tried.error.kind == "provider_cut"
    assert tried.rung == 1


# Good answers.


def test_a_stream() -> None:
    tried = Tried()
    attempt = tried.hear(GOOD)
    assert (attempt.over, attempt.error, bool(attempt.outlet.pieces)) == (True, None, True)
    content = attempt.take()
    assert content.count(b"data: ") == 2
    assert b'finish_reason":"stop' not in content  # held until the request is settled
    end = attempt.outlet.encode_end(Bill(Usage(prompt_tokens=7)))
    assert end.count(b'"finish_reason":"stop"') == 2
    assert end.endswith(b"\n\n" + DONE)
    last = orjson.loads(end.split(b"\n\n")[-3].removeprefix(b"data: "))
    assert (list(last)[-1], last["usage"]["prompt_tokens"]) == ("usage", 7)
    attempt.keep()
    exchange = tried.exchange
    assert exchange.usage is not None
    assert exchange.usage.completion_tokens == USAGE["completion_tokens"]
    assert (exchange.finish_reason, exchange.native_finish_reason) == ("stop", "stop")
    assert (exchange.said_bytes, exchange.opened.upstream_id) == (11, "up-1")
    assert tried.rung > 0
    attempt.end(None)
    assert attempt.sent is None
    assert tried.sent.asked == []


def test_a_whole_answer_that_failed_is_none() -> None:
    tried = Tried(stream=False)
    attempt = tried.hear(b'{"error": {"message": "broken", "code": 500}}', **JSON)
    attempt.end(None)
    assert tried.error.kind.startswith("provider_")
    assert attempt.outlet.events == []


def test_a_whole_answer_in_the_callers_own_words() -> None:
    tried = Tried(stream=False)
    tried.attempt.read_as(OUTBOUND["openai"]._replace(decode_answer=_verbatim))
    attempt = tried.hear(b"{}", **JSON)
    attempt.end(None)
    assert (attempt.over, attempt.error) == (True, None)
    assert attempt.outlet.events == _verbatim(b"{}", Quirks())
    assert attempt.heard.said_bytes == 5


def _verbatim(body: bytes, _: Quirks) -> list[Event]:
    meant = (Text(0, "hello"), Finished(0, "stop", None), Ended())
    return [Verbatim(None, body, {}, meant)]


def test_a_whole_answer() -> None:
    tried = Tried(stream=False)
    attempt = tried.hear(whole()[:20], whole()[20:], Content_Type="application/json; charset=x")
    assert not attempt.over
    attempt.end(None)
    assert (attempt.over, attempt.error, bool(attempt.outlet.pieces)) == (True, None, False)
    assert [type(event).__name__ for event in attempt.outlet.events] == [
        "Started", "Text", "Finished", "UsageReport", "Ended",
    ]  # fmt: skip
    assert not attempt.committed


@pytest.mark.parametrize("form", ["application/json", "application/vnd.api+json"])
def test_a_whole_answer_to_a_caller_that_streams(form: str) -> None:
    attempt = Tried().hear(whole(), Content_Type=form)
    attempt.end(None)
    assert b'"content":"hello"' in attempt.take()
    assert attempt.error is None


def test_a_stream_to_a_caller_that_wants_it_whole() -> None:
    attempt = Tried(stream=False).hear(GOOD)
    assert attempt.over
    assert [event.text for event in attempt.outlet.events if isinstance(event, Text)] == [
        "hello ",
        "world",
    ]


@pytest.mark.parametrize("headers", [{}, {"Content_Type": "text/plain"}])
def test_without_a_form_it_is_what_was_asked_for(headers: dict[str, Any]) -> None:
    headers = {"X": "y"} | headers
    assert Tried().hear(GOOD, **headers).error is None
    attempt = Tried(stream=False).hear(whole(), **headers)
    attempt.end(None)
    assert attempt.error is None


@pytest.mark.parametrize("headers", [{"X": "y"}, {"Content_Type": "text/plain"}])
def test_without_a_form_the_first_byte_tells(headers: dict[str, Any]) -> None:
    tried = Tried()
    tried.hear(b"\n ", whole("hello"), **headers).end(None)
    assert tried.attempt.error is None
    assert b"hello" in tried.attempt.take()


def test_a_providers_fault_names_the_provider() -> None:
    tried = Tried()
    tried.hear(chunk("hel")).end(None)
    assert tried.error.kind == "provider_cut"
    assert tried.error.metadata["provider_name"] == tried.exchange.head.provider


def test_the_callers_fault_names_nobody() -> None:
    tried = Tried()
    tried.hear(b"{}", status=400, Content_Type="application/json").end(None)
    assert tried.error.kind == "provider_rejected"


def test_what_comes_after_the_end_is_nothing() -> None:
    tried = Tried()
    attempt = tried.hear(GOOD)
    attempt.take()
    attempt.data(chunk("more"))
    attempt.end(GatewayError("provider_cut", "no"))
    assert (bool(attempt.outlet.pieces), attempt.error) == (False, None)


# Complete or not: a finish reason or the end mark says so, never the end of the bytes.


@pytest.mark.parametrize(
    ("pieces", "complete"),
    [
        ([chunk("a", finish="stop")], True),
        ([chunk("a"), chunk(finish="stop")], True),
        ([chunk("a"), DONE], True),
        ([chunk(finish="stop")], True),
        ([chunk("a")], False),
        ([chunk("")], False),
        ([], False),
        ([b"data: {"], False),
        ([DONE], False),
        ([chunk(""), DONE], False),
    ],
)
def test_what_makes_an_answer_complete(pieces: list[bytes], complete: bool) -> None:
    attempt = Tried().hear(*pieces)
    attempt.end(None)
    assert (attempt.error is None) == complete


def test_a_broken_connection_after_the_finish_is_no_failure() -> None:
    attempt = Tried().hear(chunk("a", finish="stop"))
    assert not attempt.over  # usage may come
    attempt.end(GatewayError("provider_cut", "no"))
    assert (attempt.over, attempt.error) == (True, None)


def test_an_end_mark_finishes_what_has_no_finish() -> None:
    tried = Tried(choices=2)
    attempt = tried.hear(_of(0, "a", finish="length"), _of(1, "b"), DONE)
    assert attempt.error is None
    assert tried.attempt.heard.finish_reason == "length"
    assert b'"index":1' in attempt.outlet.encode_end(BILL)


def _of(choice: int, content: str, finish: str | None = None) -> bytes:
    delta = {"content": content}
    return chunk(choices=[{"index": choice, "delta": delta, "finish_reason": finish}])


def test_every_choice_must_finish() -> None:
    tried = Tried(choices=2)
    attempt = tried.hear(_of(0, "a", finish="stop"), _of(1, "b"))
    assert attempt.finished_at is None
    attempt.end(None)
    assert tried.error.kind == "provider_cut"


def test_a_later_choice_does_not_rename_the_finish() -> None:
    tried = Tried(choices=2)
    tried.hear(_of(0, "a", finish="length"), _of(1, "b", finish="stop"))
    assert tried.attempt.heard.finish_reason == "length"
    assert tried.attempt.finished_at == 100.0
    tried = Tried(choices=2)
    tried.hear(_of(1, "b", finish="stop"), _of(0, "a", finish="length"))
    assert tried.attempt.heard.finish_reason == "length"


# What is no answer.


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Content_Type": "text/html"}, b"<html>"),
        ({"Content_Type": "application/xhtml+xml; charset=utf-8"}, b"<html>"),
        ({"Content_Type": "text/event-stream", "Content_Encoding": "gzip"}, b"\x1f\x8b"),
        ({"Content_Type": "application/json"}, b"<html>"),
        ({"Content_Type": "application/json"}, b"[]"),
        ({"Content_Type": "application/json"}, b""),
        ({"Content_Type": "text/event-stream"}, b"data: <html>\n\n"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_malformed(stream: bool, headers: dict[str, Any], body: bytes) -> None:
    tried = Tried(stream=stream)
    tried.hear(body, **headers).end(None)
    assert tried.error.kind == "provider_malformed"


@pytest.mark.parametrize("encoding", ["identity", "", "Identity"])
def test_an_encoding_that_is_none(encoding: str) -> None:
    headers: Any = {"Content_Type": "text/event-stream", "Content_Encoding": encoding}
    assert Tried().hear(GOOD, **headers).error is None


def test_an_answer_may_not_be_endless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "ANSWER_BYTES_MAX", 10)
    tried = Tried(stream=False)
    tried.hear(b"12345", b"67890", Content_Type="application/json")
    assert not tried.attempt.over
    tried.attempt.data(b"1")
    assert tried.error.kind == "provider_malformed"
    assert tried.sent.asked == ["cancel"]


def test_of_an_endless_error_the_beginning_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "ERROR_BYTES_MAX", 40)
    tried = Tried()
    body = b'{"error": {"message": "busy"}}'
    tried.hear(body, b" " * 100, status=500, Content_Type="application/json").end(None)
    assert "busy" in tried.error.message


@pytest.mark.parametrize("broken", [None, GatewayError("provider_cut", "no")])
def test_a_refusal_is_what_its_status_says(broken: GatewayError | None) -> None:
    """Also where its body broke off: the status came first."""
    tried = Tried()
    body = orjson.dumps({"error": {"message": f"slow down, {SECRET}"}})
    tried.hear(body, status=429, Content_Type="application/json", Retry_After="7").end(broken)
    error = tried.error
    assert (error.kind, error.headers) == ("provider_rate_limited", {"Retry-After": "7"})
    assert SECRET not in error.message + str(error.metadata)


def test_a_good_answer_that_breaks_off_is_cut() -> None:
    tried = Tried(stream=False)
    tried.hear(whole(), Content_Type="application/json")
    tried.attempt.end(GatewayError("provider_cut", "no"))
    assert tried.error.kind == "provider_cut"


def test_an_error_in_a_stream() -> None:
    tried = Tried()
    event = orjson.dumps({"error": {"message": f"key {SECRET} is tired", "code": 503}})
    tried.hear(chunk("a"), b"data: " + event + b"\n\n", chunk("b", finish="stop"))
    assert tried.error.kind == "provider_overloaded"
    assert SECRET not in tried.error.message
    assert tried.sent.asked == ["cancel"]
    assert tried.attempt.sent is None


# What was said before a failure.


def test_what_came_before_a_failure_is_said_however_it_was_sliced() -> None:
    for pieces in ([chunk("a"), b"data: {]\n\n"], [chunk("a") + b"data: {]\n\n"]):
        tried = Tried()
        tried.hear(*pieces)
        assert tried.error.kind == "provider_malformed"
        assert tried.attempt.committed
        assert tried.attempt.outlet.pieces
        assert b'"a"' in tried.attempt.take()


def test_an_answer_that_goes_out_whole_commits_nothing() -> None:
    tried = Tried(stream=False)
    tried.hear(chunk("a"), b"data: {]\n\n")
    assert not tried.attempt.committed


# The box.


def test_a_full_box_holds_the_provider_back_until_it_is_emptied(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outlet, "WAITING_BYTES_MAX", 400)
    tried = Tried()
    attempt = tried.hear(chunk("a"))
    assert tried.sent.asked == []
    attempt.data(chunk("b" * 100))
    attempt.data(chunk("c" * 100))
    attempt.data(chunk("d" * 100))  # was on its way
    assert tried.sent.asked == ["pause"]
    tried.now = 150.0
    assert attempt.take().count(b"data: ") == 4
    assert tried.sent.asked == ["pause", "resume"]
    assert attempt.deadline()[0] == 150.0 + 30.0  # the silence was the caller's
    attempt.data(chunk("e"))
    tried.now = 160.0
    attempt.take()
    assert tried.sent.asked == ["pause", "resume"]


def test_a_full_box_of_an_answer_that_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlet, "WAITING_BYTES_MAX", 10)
    tried = Tried()
    attempt = tried.hear(chunk("a"))
    assert tried.sent.asked == ["pause"]
    attempt.data(chunk(finish="stop"))
    attempt.end(None)
    attempt.take()
    assert tried.sent.asked == ["pause"]  # there is nobody to resume
    attempt = Tried().attempt
    attempt.sent = None
    attempt.head(200, SSE)
    attempt.data(chunk("a"))
    assert attempt.outlet.pieces


def test_nobody_is_held_back_before_there_is_content() -> None:
    """Nobody would take anything out of the box, and the rest of the content never come."""
    giant = chunk("x" * 2 * outlet.WAITING_BYTES_MAX)
    cut = outlet.WAITING_BYTES_MAX + 1000
    tried = Tried()
    attempt = tried.hear(chunk("") + giant[:cut])
    assert attempt.outlet.full
    assert (tried.sent.asked, attempt.committed) == ([], False)
    attempt.data(giant[cut:])
    assert (tried.sent.asked, attempt.committed) == (["pause"], True)
    assert len(attempt.take()) > len(giant)
    assert tried.sent.asked == ["pause", "resume"]


def test_who_talks_for_ever_and_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passing, "SILENCE_BYTES_MAX", 1000)
    monkeypatch.setattr(outlet, "WAITING_BYTES_MAX", 500)
    logprobs = {"content": [{"token": "", "logprob": 0.0}]}
    choice = {"index": 0, "delta": {"content": ""}, "logprobs": logprobs, "finish_reason": None}
    nothing, tried = chunk(choices=[choice]), Tried()
    attempt = tried.hear(nothing)
    while not attempt.over:
        assert attempt.reading.data_bytes <= 1000 + len(nothing)
        attempt.data(nothing)
    assert tried.error.kind == "provider_malformed"
    assert tried.sent.asked == ["cancel"]


def test_what_can_not_be_said_to_the_caller_is_the_providers_fault() -> None:
    deep: Any = {}
    for _ in range(600):
        deep = [deep]
    tried = Tried()
    tried.hear(chunk("a"))
    tried.attempt.show(Reasoning(0, "", ({"type": "x", "deep": deep},)))
    assert tried.attempt.take() == b""
    assert tried.error.kind == "provider_malformed"
    assert tried.sent.asked == ["cancel"]


# The clocks.

CLOCKS: dict[str, Any] = {
    "first_byte_s": 10, "first_token_s": 20, "between_chunks_s": 5, "answer_s": 60,
}  # fmt: skip


def test_the_deadlines_of_a_stream() -> None:
    tried = Tried(**CLOCKS)
    attempt = tried.attempt
    assert attempt.deadline() == (110.0, "the head of an answer")
    tried.now = 105.0
    tried.hear(chunk(""))
    assert attempt.deadline() == (120.0, "the first piece of the answer")
    tried.now = 107.0
    attempt.data(chunk("a"))
    assert attempt.deadline() == (112.0, "the next piece of the answer")
    tried.now = 109.0
    attempt.data(chunk(finish="stop"))
    assert attempt.deadline() == (109.0 + USAGE_WAIT_S, "usage")


def test_the_first_token_may_be_due_before_the_head() -> None:
    tried = Tried(first_byte_s=30, first_token_s=10)
    assert tried.attempt.deadline() == (110.0, "the first piece of the answer")


def test_a_finish_is_a_sign_of_life() -> None:
    tried = Tried(choices=2, **CLOCKS)
    tried.hear(_of(0, "a"))
    tried.now = 104.0
    tried.attempt.data(_of(0, "", finish="stop"))
    assert tried.attempt.deadline()[0] == 109.0


def test_the_deadline_of_a_whole_answer() -> None:
    tried = Tried(stream=False, **CLOCKS)
    assert tried.attempt.deadline() == (160.0, "the whole answer")
    tried.hear(chunk("a"))
    assert tried.attempt.deadline() == (160.0, "the whole answer")
    tried.attempt.data(chunk(finish="stop"))
    assert tried.attempt.deadline() == (102.0, "usage")


def test_what_is_made_in_one_piece_may_begin_late() -> None:
    tried = Tried(task="image", **CLOCKS)
    assert tried.attempt.deadline() == (160.0, "the whole answer")
    tried.hear(chunk("a"))
    assert tried.attempt.deadline() == (105.0, "the next piece of the answer")


def test_what_expires() -> None:
    tried = Tried()
    tried.attempt.expire("the head")
    assert (tried.error.kind, tried.error.status) == ("provider_timeout", 504)
    assert "the head" in tried.error.message
    assert tried.sent.asked == ["cancel"]


def test_a_finished_answer_that_lacks_usage_expires_well() -> None:
    tried = Tried()
    tried.hear(chunk("a", finish="stop"))
    tried.attempt.expire("usage")
    assert (tried.attempt.over, tried.attempt.error) == (True, None)


def test_hanging_up_twice_is_once() -> None:
    tried = Tried()
    tried.attempt.cancel()
    tried.attempt.cancel()
    assert tried.sent.asked == ["cancel"]


def test_events_of_every_kind_reach_a_whole_answer() -> None:
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
    message: dict[str, Any] = {
        "content": "a", "reasoning_content": "hm", "refusal": "no", "tool_calls": [call],
        "audio": {"data": "AA", "transcript": "hey"},
    }  # fmt: skip
    choices = [{"index": 0, "message": message, "finish_reason": "tool_calls"}]
    tried = Tried(stream=False)
    tried.hear(whole(choices=choices), Content_Type="application/json").end(None)
    assert tried.attempt.heard.said_bytes == len("ahmnof{}hey")
    assert isinstance(tried.attempt.outlet.events[-3], Finished)


# Two of them may run side by side.


def test_what_is_heard_is_the_exchanges_only_when_it_is_kept() -> None:
    tried = Tried()
    other = model("test/two", endpoint("p1"))
    tried.exchange.model, tried.exchange.endpoint = other, other.endpoints[0]
    tried.hear(chunk("a"))
    assert (tried.exchange.said_bytes, tried.exchange.content_at) == (0, None)
    tried.attempt.keep()
    assert tried.exchange.endpoint is tried.attempt.endpoint
    assert tried.exchange.model is tried.attempt.model
    tried.attempt.data(chunk("b"))
    assert tried.exchange.said_bytes == 2


@pytest.mark.parametrize(
    ("stream", "pieces", "ended", "ahead"),
    [
        (True, [chunk("")], False, False),
        (True, [chunk("a")], False, True),
        (True, [chunk(finish="stop")], False, False),
        (True, [chunk(finish="stop")], True, True),
        (True, [b"data: {]\n\n"], False, False),
        (False, [chunk("a")], False, False),
        (False, [chunk("a", finish="stop")], True, True),
        (False, [chunk("a")], True, False),
    ],
)
def test_who_is_ahead(stream: bool, pieces: list[bytes], ended: bool, ahead: bool) -> None:
    attempt = Tried(stream=stream).hear(*pieces)
    if ended:
        attempt.end(None)
    assert (attempt.committed or (attempt.over and attempt.error is None)) == ahead


def test_who_is_late_by_its_own_habits() -> None:
    tried = Tried(**CLOCKS)
    attempt = tried.attempt
    assert not attempt.hurried(1000.0)
    attempt.first_token_s = 6.0
    assert attempt.deadline() == (106.0, "the first piece of the answer")
    assert not attempt.hurried(105.0)
    assert attempt.hurried(106.0)
    tried.hear(chunk("a"))
    assert not attempt.hurried(106.0)
    finished = Tried(**CLOCKS)
    finished.attempt.first_token_s = 6.0
    finished.hear(chunk(finish="stop"))
    assert not finished.attempt.hurried(106.0)
    whole_one = Tried(stream=False, **CLOCKS)
    whole_one.attempt.first_token_s = 6.0
    assert not whole_one.attempt.hurried(106.0)


# The account's money ends.


def _reasons(attempt: Attempt) -> list[tuple[int, str, str | None]]:
    last = attempt.outlet.encode_end(BILL).split(b"\n\n")[-3].removeprefix(b"data: ")
    return [
        (choice["index"], choice["finish_reason"], choice["native_finish_reason"])
        for choice in orjson.loads(last)["choices"]
    ]


def test_what_is_not_covered_is_dropped_and_the_answer_ends_by_its_length() -> None:
    tried = Tried()
    attempt = tried.hear(chunk("abc"), chunk("def"), chunk("ghi"))
    attempt.curtail(lambda tokens: tokens <= 2)
    assert tried.sent.asked == ["cancel"]
    assert (attempt.over, attempt.error) == (True, None)
    assert attempt.take().count(b"data: ") == 2
    assert (attempt.heard.said_bytes, attempt.heard.finish_reason) == (6, "length")
    assert _reasons(attempt) == [(0, "length", None)]


def test_a_choice_that_lost_nothing_keeps_its_reason() -> None:
    tried = Tried(choices=3)
    attempt = tried.hear(_of(0, "abc", finish="stop"), _of(1, "abc", finish="stop"))
    attempt.curtail(lambda tokens: tokens <= 1)
    assert _reasons(attempt) == [(0, "stop", "stop"), (1, "length", None), (2, "length", None)]


def test_a_complete_answer_that_is_covered_is_not_cut() -> None:
    tried = Tried(choices=2)
    attempt = tried.hear(_of(0, "abc"), DONE)
    attempt.curtail(lambda tokens: True)
    assert _reasons(attempt) == [(0, "stop", None)]


def test_hidden_reasoning_is_no_piece_but_counts() -> None:
    tried = Tried(hide=True)
    thought = {"reasoning_content": "hm" * 30}
    attempt = tried.attempt
    tried.hear(chunk(choices=[{"index": 0, "delta": thought, "finish_reason": None}]))
    assert (attempt.take(), attempt.heard.tokens_max) == (b"", 20)
    attempt.data(chunk("abc"))
    attempt.curtail(lambda tokens: tokens <= 20)
    assert (bool(attempt.outlet.pieces), attempt.heard.said_bytes) == (False, 60)


def test_images_count() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    delta = {"images": [image, image], "annotations": [{"type": "url_citation"}]}
    tried = Tried()
    tried.hear(chunk(choices=[{"index": 0, "delta": delta, "finish_reason": None}]))
    assert (tried.attempt.heard.images, tried.attempt.heard.tokens_max) == (2, 2000)
    tried.attempt.curtail(lambda tokens: False)
    assert (tried.attempt.heard.images, tried.attempt.outlet.pieces) == (0, [])


def test_what_is_no_content_has_no_choice_to_end() -> None:
    logprobs = {"content": [{"token": "", "logprob": 0.0}]}
    choice = {"index": 0, "delta": {"content": ""}, "logprobs": logprobs, "finish_reason": None}
    attempt = Tried().hear(chunk("abc"), chunk(choices=[choice]))
    assert attempt.outlet.pieces
    attempt.curtail(lambda tokens: False)
    assert _reasons(attempt) == [(0, "length", None)]


# The caller is gone.


@pytest.mark.parametrize("stream", [True, False])
def test_what_nobody_hears_is_counted_and_forgotten(stream: bool) -> None:
    tried = Tried(stream=stream)
    attempt = tried.hear(chunk("abc"))
    rung: list[None] = []
    attempt.forget(lambda: rung.append(None))
    assert not attempt.outlet.pieces
    attempt.data(chunk("def", finish="stop", usage=USAGE))
    assert (bool(attempt.outlet.pieces), attempt.outlet.events) == (False, [])
    if stream:
        assert b'finish_reason":"stop' not in attempt.outlet.encode_end(BILL)
    assert (attempt.heard.said_bytes, attempt.heard.finish_reason) == (6, "stop")
    assert attempt.heard.usage is not None
    assert rung


# What is spliced is heard as what is decoded.

STREAMS: dict[str, list[bytes]] = {
    "one by one": [chunk(text) for text in ("a", "b", "zwölf", "", "\\", "c")],
    "all at once": [b"".join(chunk(text) for text in ("a", "b", "zwölf", "d", "c"))],
    "two reads": [chunk("a") + chunk("b"), chunk("c") + chunk("dd") + chunk("e")],
    "with its end": [chunk("a"), chunk("b"), chunk("c") + chunk("d", finish="stop") + DONE],
    "reasoning first": [
        *(chunk(choices=[{"index": 0, "delta": {"reasoning": text}}]) for text in "abc"),
        *map(chunk, "def"),
    ],
    "two choices": [_of(number % 2, text) for number, text in enumerate("abcdefgh")],
    "cut in two": [chunk("a"), chunk("b"), chunk("c")[:50], chunk("c")[50:] + chunk("d")],
    "an error behind it": [*map(chunk, "abcd"), chunk(error={"message": "no", "code": 503})],
    "no JSON behind it": [*map(chunk, "abc"), chunk("d") + b"data: {]\n\n"],
}


def decoding(tried: Tried) -> Tried:
    tried.attempt.read_as(OUTBOUND["openai"]._replace(splice=None))
    return tried


@pytest.mark.parametrize("pieces", STREAMS.values(), ids=STREAMS)
@pytest.mark.parametrize("tokens_max", [None, 0, 1, 2])
def test_it_makes_no_difference(pieces: list[bytes], tokens_max: int | None) -> None:
    told = []
    for tried in (Tried(choices=2), decoding(Tried(choices=2))):
        attempt = tried.hear(*pieces)
        if tokens_max is not None:
            attempt.curtail(tokens_max.__ge__)
        heard, error = attempt.heard, attempt.error
        weight = attempt.outlet.size_bytes
        content = [orjson.loads(one[6:]) for one in attempt.take().split(b"\n\n") if one]
        end = attempt.outlet.encode_end(BILL)
        told.append((heard, error and error.message, weight, content, end, attempt.committed,
                     attempt.content_at, tried.sent.asked, attempt.over))  # fmt: skip
    assert told[0] == told[1]


def test_how_it_goes_on() -> None:
    tried = Tried()
    attempt = tried.hear(chunk("a"))
    assert attempt.state == "decoded"
    attempt.data(chunk("b"))
    assert attempt.state == "spliced"
    attempt.data(chunk("c") + chunk("d"))
    attempt.data(chunk("e", finish="stop"))
    assert attempt.state == "held"
    assert attempt.take().count(b"data: ") == 5
    assert decoding(Tried()).hear(*map(chunk, "abcd")).state == "decoded"
    assert Tried(stream=False).hear(*map(chunk, "abcd")).state == "decoded"


def test_a_caller_that_reads_slowly_holds_back_what_is_spliced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outlet, "WAITING_BYTES_MAX", 500)
    tried = Tried()
    attempt = tried.hear(chunk("a"), chunk("b"))
    attempt.take()
    while not tried.sent.asked:
        attempt.data(chunk("c") + chunk("d"))
    assert attempt.state == "spliced"
    assert attempt.take().count(b"data: ") == attempt.heard.said_bytes - 2
    assert tried.sent.asked == ["pause", "resume"]


@pytest.mark.parametrize("way", ["cancel", "forget", "fail"])
def test_ways_to_end_while_it_is_spliced(way: str) -> None:
    tried = Tried()
    attempt = tried.hear(*map(chunk, "abcd"))
    assert (attempt.state, attempt.committed) == ("spliced", True)
    if way == "forget":
        attempt.forget(lambda: None)
        attempt.data(chunk("e") + chunk("f"))
        assert (bool(attempt.outlet.pieces), attempt.heard.said_bytes) == (False, 6)
        attempt.data(chunk("g", finish="stop"))
        assert attempt.heard.complete
        return
    if way == "cancel":
        attempt.cancel()
        attempt.end(None)
    else:
        attempt.fail(GatewayError("provider_timeout", "late"))
    attempt.data(chunk("e"))
    assert tried.error.kind == ("provider_cut" if way == "cancel" else "provider_timeout")
    assert attempt.heard.said_bytes == 4
    assert attempt.take().count(b"data: ") == 4
    assert tried.sent.asked == ["cancel"]


def test_what_is_carried_as_it_came_is_heard_by_what_it_means() -> None:
    tried = Tried()
    row = OUTBOUND["openai"]
    tried.attempt.read_as(row._replace(decoder=lambda quirks: decoder(quirks).keep(), splice=None))
    images = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]
    delta = {"content": "abc", "reasoning": "hm", "images": images}
    attempt = tried.hear(chunk(choices=[{"index": 0, "delta": delta, "finish_reason": None}]))
    assert (attempt.heard.said_bytes, attempt.heard.images, attempt.committed) == (5, 1, True)
    attempt.curtail(lambda tokens: False)
    assert (attempt.heard.said_bytes, attempt.heard.images) == (0, 0)
    assert _reasons(attempt) == [(0, "length", None)]
