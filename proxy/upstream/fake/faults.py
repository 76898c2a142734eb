"""How the simulated provider answers, fault by fault: the steps of one response.

`play` picks what `scenario.FAULTS` names from four tables: answers that are none,
changes of events (in `mangle`), changes of a plain body, and changes of the bytes of either.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from random import Random
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from proxy.upstream.fake import mangle
from proxy.upstream.fake.ask import JSONObject
from proxy.upstream.fake.mangle import FOREVER, Cut, Head, Scene, Step, Wait
from proxy.upstream.fake.manner import JSON, Failure, Headers, Manner, Refusal
from proxy.upstream.fake.scenario import Answer, Rule

HTML: Final = b"text/html; charset=utf-8"
_GIANT_BYTES = 1024 * 1024
_SLOW_TOKENS_PER_S = 2.0
_PAGE: Final = b"<!doctype html><html><head><title>502 Bad Gateway</title></head><body>" + (
    b"<h1>502 Bad Gateway</h1><p>The upstream is being restarted.</p></body></html>\n"
)


def head(manner: Manner, status: int, content_type: bytes, more: Headers = ()) -> Head:
    """A head with the headers that the recorded answers of `manner` have."""
    return Head(status, ((b"content-type", content_type), *manner.headers, *more))


def flow_of(rule: Rule, base: Answer) -> Answer:
    """How the answer flows under `rule`, the faults of pace and size included."""
    answer = rule.answer(base)
    match rule.fault:
        case "slow-tokens" if not answer.tokens_per_s:
            return Rule(tokens_per_s=_SLOW_TOKENS_PER_S).answer(answer)
        case "giant":
            size = rule.event_bytes or _GIANT_BYTES
            return Rule(event_bytes=size, tokens=1).answer(answer)
        case _:
            return answer


def play(scene: Scene, answer: Answer, *, stream: bool, credential: str) -> Iterator[Step]:
    """The steps of the response to a request for an answer.

    `answer` comes from `flow_of`; `credential` is what the caller sent as its own.
    """
    rule, manner = scene.rule, scene.manner
    if instead := INSTEAD.get(rule.fault or ""):
        content_type = manner.content_type(scene.reply.ask, stream=stream)
        return instead(Failing(rule, manner, content_type, credential, scene.reply.ask.model))
    if stream != (rule.fault == "other-form" and not manner.one_form):
        return _as_ruled(_streamed(scene, answer), rule, scene.rng)
    body = manner.whole(scene.reply)
    after_s = answer.first_token_s
    if answer.tokens_per_s:
        after_s += scene.reply.count.completion / answer.tokens_per_s
    content_type = manner.content_type(scene.reply.ask, stream=False)
    failing = Failing(rule, manner, content_type)
    more = manner.more_headers(scene.reply)
    return _as_ruled(_plain(failing, body, scene.rng, after_s, more), rule, scene.rng)


def plain(manner: Manner, rule: Rule, body: JSONObject, rng: Random) -> Iterator[Step]:
    """The steps of a plain response that is no answer, as the list of models is."""
    if instead := INSTEAD.get(rule.fault or ""):
        return instead(Failing(rule, manner, JSON))
    return _as_ruled(_plain(Failing(rule, manner, JSON), body, rng), rule, rng)


def refusal(manner: Manner, failure: Failure) -> Iterator[Step]:
    """A plain response with a status of its own; it keeps nothing waiting."""
    return _refusal(manner, manner.refusal(failure))


def _refusal(manner: Manner, refused: Refusal, content_type: bytes = JSON) -> Iterator[Step]:
    yield head(manner, refused.status, content_type, refused.headers)
    yield manner.encode(refused.body)


def _as_ruled(steps: Iterator[Step], rule: Rule, rng: Random) -> Iterator[Step]:
    change = RESPONSE_FAULTS.get(rule.fault or "")
    return change(steps, rule, rng) if change else steps


def _streamed(scene: Scene, answer: Answer) -> Iterator[Step]:
    content_type = scene.manner.content_type(scene.reply.ask, stream=True)
    yield head(scene.manner, 200, content_type)
    events: mangle.Mangled = scene.manner.events(scene.reply)
    if change := mangle.EVENT_FAULTS.get(scene.rule.fault or ""):
        events = change(scene.manner.events(scene.reply), scene)
    yield from mangle.framed(mangle.paced(events, answer), scene)


def _plain(
    failing: "Failing", body: JSONObject, rng: Random, after_s: float = 0, more: Headers = ()
) -> Iterator[Step]:
    manner, fault = failing.manner, failing.rule.fault or ""
    if after_s:
        yield Wait(after_s)
    yield head(manner, 200, failing.content_type, more)
    if edit := BODY_EDITS.get(fault):
        body = edit(manner, body)
    data = manner.written(body, failing.content_type)
    if spoil := BODY_FAULTS.get(fault):
        yield from spoil(data, failing, rng)
    else:
        yield data


# Instead of an answer.


class Failing(NamedTuple):
    """What an answer that is none may look at."""

    rule: Rule
    manner: Manner
    content_type: bytes
    credential: str = ""
    model: str = ""

    def refusal(self, kind: str, **more: Any) -> Refusal:
        """The refusal of this kind in the dialect's words."""
        return self.manner.refusal(Failure(kind, model=self.model, **more))

    def steps(self, kind: str, **more: Any) -> Iterator[Step]:
        """The same as the steps of a response."""
        content_type = self.content_type if self.manner.labels_errors else JSON
        return _refusal(self.manner, self.refusal(kind, **more), content_type)

    def page(self, status: int, content_type: bytes, page: bytes = _PAGE) -> Iterator[Step]:
        """A page."""
        return iter([head(self.manner, status, content_type), page])

    @property
    def error(self) -> JSONObject:
        """The error of a server that failed, as a plain body."""
        return self.refusal("status").body


_Instead = Callable[[Failing], Iterator[Step]]


def _later(kind: str) -> _Instead:
    """A refusal that is gone after a while."""

    def steps(failing: Failing) -> Iterator[Step]:
        told = failing.rule.retry_after_s
        return failing.steps(kind, retry_after_s=1 if told is None else told)

    return steps


def _status(failing: Failing) -> Iterator[Step]:
    rule = failing.rule
    return failing.steps("status", status=rule.status, retry_after_s=rule.retry_after_s)


def _redirect(failing: Failing) -> Iterator[Step]:
    location = (b"location", b"/redirected/v1/chat/completions")
    return iter([head(failing.manner, 302, HTML, (location,))])


def _error_200(failing: Failing) -> Iterator[Step]:
    return _refusal(failing.manner, Refusal(200, failing.error))


INSTEAD: Final[Mapping[str, _Instead]] = MappingProxyType(
    {
        "no-head": lambda failing: iter([FOREVER]),
        "cut-head": lambda failing: iter([Cut.NOW]),
        "status": _status,
        "rate-limit": _later("rate-limit"),
        "overloaded": _later("overloaded"),
        "bad-key": lambda failing: failing.steps("bad-key"),
        "echoes-key": lambda failing: failing.steps(
            "bad-key", message=f"Incorrect API key provided: {failing.credential}."
        ),
        "unknown-model": lambda failing: failing.steps("unknown-model"),
        "too-long": lambda failing: failing.steps("too-long"),
        "gateway-page": lambda failing: failing.page(502, HTML),
        "html": lambda failing: failing.page(200, HTML),
        "html-disguised": lambda failing: failing.page(200, failing.content_type),
        "redirect": _redirect,
        "empty": lambda failing: iter([head(failing.manner, 200, failing.content_type)]),
        "error-200": _error_200,
    }
)


# Changes of a plain body.

BODY_EDITS: Final[Mapping[str, Callable[[Manner, JSONObject], JSONObject]]] = MappingProxyType(
    {
        "no-finish": lambda manner, body: manner.unfinished(body) or {},
        "done-only": lambda manner, body: manner.emptied(body),
        "null-choices": lambda manner, body: manner.nulled(body),
        "usage-missing": lambda manner, body: manner.uncounted(body),
        "error-first": lambda manner, body: manner.refusal(Failure("status")).body,
    }
)

_BodyFault = Callable[[bytes, Failing, Random], Iterator[Step]]


def _half_then(*steps: Step) -> _BodyFault:
    return lambda data, failing, rng: iter([data[: len(data) // 2], *steps])


def _error_inside(data: bytes, failing: Failing, rng: Random) -> Iterator[Step]:
    yield data[: len(data) // 2]
    yield failing.manner.encode(failing.error)


def _slow_body(data: bytes, failing: Failing, rng: Random) -> Iterator[Step]:
    yield from mangle.keep_alives(failing.rule.delay_s, b"\n")
    yield data


BODY_FAULTS: Final[Mapping[str, _BodyFault]] = MappingProxyType(
    {
        "slow-first-token": _slow_body,
        "stall": _half_then(FOREVER),
        "cut": _half_then(Cut.NOW),
        "truncated": _half_then(),
        "early-end": _half_then(),
        "after-done": lambda data, failing, rng: iter([data, data]),
        "error-event": _error_inside,
        "error-named": _error_inside,
        "bad-json": lambda data, failing, rng: iter([b"{]", data]),
        "bad-utf8": lambda data, failing, rng: iter([mangle.no_utf8(data)]),
        "binary": lambda data, failing, rng: iter([data[: len(data) // 2], rng.randbytes(1024)]),
        "wrong-json": lambda data, failing, rng: iter([mangle.NO_OBJECT]),
        "comments": lambda data, failing, rng: iter([b"\n" * 20, data]),
        "endless": lambda data, failing, rng: mangle.endless(b'{"id":"'),
    }
)


# Faults of the whole response: the same for a stream and for a plain body.


def _slow_head(steps: Iterator[Step], rule: Rule, rng: Random) -> Iterator[Step]:
    yield Wait(rule.delay_s)
    yield from steps


def _one_byte(steps: Iterator[Step], rule: Rule, rng: Random) -> Iterator[Step]:
    for step in steps:
        if isinstance(step, bytes):
            yield from (step[at : at + 1] for at in range(len(step)))
        else:
            yield step


def _slices(steps: Iterator[Step], rule: Rule, rng: Random) -> Iterator[Step]:
    pending = b""
    for step in steps:
        if not isinstance(step, bytes):
            yield from (pending, step) if pending else (step,)
            pending = b""
            continue
        pending += step
        while len(pending) > (size := rng.choice((1, 2, 7, 40, 300))):
            yield pending[:size]
            pending = pending[size:]
    if pending:
        yield pending


def _gzip(steps: Iterator[Step], rule: Rule, rng: Random) -> Iterator[Step]:
    press = zlib.compressobj(wbits=31)
    for step in steps:
        if isinstance(step, Head):
            yield replace(step, headers=(*step.headers, (b"content-encoding", b"gzip")))
        elif isinstance(step, bytes):
            yield press.compress(step) + press.flush(zlib.Z_SYNC_FLUSH)
        else:
            yield step
    yield press.flush()


RESPONSE_FAULTS: Final[Mapping[str, Callable[[Iterator[Step], Rule, Random], Iterator[Step]]]] = (
    MappingProxyType(
        {"slow-head": _slow_head, "one-byte": _one_byte, "slices": _slices, "gzip": _gzip}
    )
)
