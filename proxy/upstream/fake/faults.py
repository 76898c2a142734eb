"""How the simulated provider answers, fault by fault: the steps of one response.

`play` picks what `scenario.FAULTS` names from four tables: answers that are none,
changes of events (in `mangle`), changes of a plain body, and changes of the bytes of either.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from random import Random
from types import MappingProxyType
from typing import Final

from proxy.upstream.fake import mangle, shapes
from proxy.upstream.fake.mangle import FOREVER, Cut, Head, Scene, Step, Wait
from proxy.upstream.fake.scenario import Answer, Rule
from proxy.upstream.fake.shapes import JSONObject

SSE: Final = b"text/event-stream; charset=utf-8"
JSON: Final = b"application/json"
HTML: Final = b"text/html; charset=utf-8"
_GIANT_BYTES = 1024 * 1024
_SLOW_TOKENS_PER_S = 2.0
_PAGE: Final = b"<!doctype html><html><head><title>502 Bad Gateway</title></head><body>" + (
    b"<h1>502 Bad Gateway</h1><p>The upstream is being restarted.</p></body></html>\n"
)


def head(status: int, content_type: bytes, *more: tuple[bytes, bytes]) -> Head:
    """A head with the headers that OpenAI's recorded answers have."""
    return Head(
        status,
        (
            (b"content-type", content_type),
            (b"openai-processing-ms", b"12"),
            (b"openai-version", b"2020-10-01"),
            (b"x-request-id", b"req_5f0c3a"),
            *more,
        ),
    )


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
    """The steps of the response to a chat request.

    `answer` comes from `flow_of`; `credential` is what the caller sent as its own.
    """
    rule = scene.rule
    if instead := INSTEAD.get(rule.fault or ""):
        return instead(rule, SSE if stream else JSON, credential)
    if stream == (rule.fault != "other-form"):
        return _as_ruled(_streamed(scene, answer), rule, scene.rng)
    body = scene.reply.whole()
    after_s = answer.first_token_s
    if answer.tokens_per_s:
        after_s += scene.reply.count.completion / answer.tokens_per_s
    return plain(rule, body, scene.rng, after_s=after_s)


def plain(rule: Rule, body: JSONObject, rng: Random, *, after_s: float = 0) -> Iterator[Step]:
    """The steps of a plain response, the list of models included. Its head comes `after_s`."""
    if instead := INSTEAD.get(rule.fault or ""):
        return instead(rule, JSON, "")
    return _as_ruled(_plain(rule, body, rng, after_s), rule, rng)


def refusal(status: int, body: JSONObject, retry_after_s: int | None = None) -> Iterator[Step]:
    """A plain response with a status of its own; it keeps nothing waiting."""
    retry = () if retry_after_s is None else ((b"retry-after", str(retry_after_s).encode()),)
    yield head(status, JSON, *retry)
    yield shapes.encode(body)


def _as_ruled(steps: Iterator[Step], rule: Rule, rng: Random) -> Iterator[Step]:
    change = RESPONSE_FAULTS.get(rule.fault or "")
    return change(steps, rule, rng) if change else steps


def _streamed(scene: Scene, answer: Answer) -> Iterator[Step]:
    fault = scene.rule.fault or ""
    yield head(200, SSE)
    events: mangle.Mangled = scene.reply.events()
    if change := mangle.EVENT_FAULTS.get(fault):
        events = change(scene.reply.events(), scene)
    frame = mangle.FRAME_FAULTS.get(fault, mangle.plain_frame)
    yield from mangle.framed(mangle.paced(events, answer), frame)


def _plain(rule: Rule, body: JSONObject, rng: Random, after_s: float) -> Iterator[Step]:
    fault = rule.fault or ""
    if after_s:
        yield Wait(after_s)
    yield head(200, JSON)
    if edit := BODY_EDITS.get(fault):
        body = edit(body)
    data = shapes.encode(body)
    if spoil := BODY_FAULTS.get(fault):
        yield from spoil(data, rule, rng)
    else:
        yield data


# Instead of an answer.

_Instead = Callable[[Rule, bytes, str], Iterator[Step]]


def _refuses(status: int, message: str, code: str | None, *, later: str = "") -> _Instead:
    """A refusal; with `later`, the type of an error that is gone after a while."""

    def steps(rule: Rule, content_type: bytes, credential: str) -> Iterator[Step]:
        if not later:
            return refusal(status, shapes.error(message, code))
        retry_after_s = 1 if rule.retry_after_s is None else rule.retry_after_s
        return refusal(status, shapes.error(message, code, later), retry_after_s)

    return steps


def _status(rule: Rule, content_type: bytes, credential: str) -> Iterator[Step]:
    return refusal(rule.status, mangle.ERROR_EVENT, rule.retry_after_s)


def _echoes_key(rule: Rule, content_type: bytes, credential: str) -> Iterator[Step]:
    message = f"Incorrect API key provided: {credential}."
    return refusal(401, shapes.error(message, "invalid_api_key"))


INSTEAD: Final[Mapping[str, _Instead]] = MappingProxyType(
    {
        "no-head": lambda rule, content_type, credential: iter([FOREVER]),
        "cut-head": lambda rule, content_type, credential: iter([Cut.NOW]),
        "status": _status,
        "rate-limit": _refuses(429, "Rate limit reached.", "rate_limit_exceeded", later="requests"),
        "overloaded": _refuses(
            503, "The engine is currently overloaded.", None, later="server_error"
        ),
        "bad-key": _refuses(401, "Incorrect API key provided.", "invalid_api_key"),
        "echoes-key": _echoes_key,
        "unknown-model": _refuses(404, "The model does not exist.", "model_not_found"),
        "too-long": _refuses(
            400, "This model's maximum context length is 8 tokens.", "context_length_exceeded"
        ),
        "gateway-page": lambda rule, content_type, credential: iter([head(502, HTML), _PAGE]),
        "html": lambda rule, content_type, credential: iter([head(200, HTML), _PAGE]),
        "html-disguised": lambda rule, content_type, credential: iter(
            [head(200, content_type), _PAGE]
        ),
        "redirect": lambda rule, content_type, credential: iter(
            [head(302, HTML, (b"location", b"/redirected/v1/chat/completions"))]
        ),
        "empty": lambda rule, content_type, credential: iter([head(200, content_type)]),
        "error-200": lambda rule, content_type, credential: refusal(200, mangle.ERROR_EVENT),
    }
)


# Changes of a plain body.


def _choices(body: JSONObject, change: Callable[[JSONObject], JSONObject]) -> JSONObject:
    return body | {"choices": [choice | change(choice) for choice in body.get("choices", ())]}


BODY_EDITS: Final[Mapping[str, Callable[[JSONObject], JSONObject]]] = MappingProxyType(
    {
        "no-finish": lambda body: _choices(body, lambda choice: {"finish_reason": None}),
        "no-content": lambda body: _choices(body, _said_nothing),
        "done-only": lambda body: body | {"choices": []},
        "null-choices": lambda body: body | {"choices": None},
        "usage-missing": lambda body: {key: body[key] for key in body if key != "usage"},
        "error-first": lambda body: mangle.ERROR_EVENT,
    }
)


def _said_nothing(choice: JSONObject) -> JSONObject:
    kept = {key: value for key, value in choice["message"].items() if key != "tool_calls"}
    return {"message": kept | {"content": ""}, "finish_reason": "stop"}


_BodyFault = Callable[[bytes, Rule, Random], Iterator[Step]]


def _half_then(*steps: Step) -> _BodyFault:
    return lambda data, rule, rng: iter([data[: len(data) // 2], *steps])


def _slow_body(data: bytes, rule: Rule, rng: Random) -> Iterator[Step]:
    yield from mangle.keep_alives(rule.delay_s, b"\n")
    yield data


BODY_FAULTS: Final[Mapping[str, _BodyFault]] = MappingProxyType(
    {
        "slow-first-token": _slow_body,
        "stall": _half_then(FOREVER),
        "cut": _half_then(Cut.NOW),
        "truncated": _half_then(),
        "early-end": _half_then(),
        "after-done": lambda data, rule, rng: iter([data, data]),
        "error-event": _half_then(shapes.encode(mangle.ERROR_EVENT)),
        "error-named": _half_then(shapes.encode(mangle.ERROR_EVENT)),
        "bad-json": lambda data, rule, rng: iter([b"{]", data]),
        "bad-utf8": lambda data, rule, rng: iter([data.replace(b'"id":"', b'"id":"\xff', 1)]),
        "binary": lambda data, rule, rng: iter([data[: len(data) // 2], rng.randbytes(1024)]),
        "wrong-json": lambda data, rule, rng: iter([mangle.NO_OBJECT]),
        "comments": lambda data, rule, rng: iter([b"\n" * 20, data]),
        "endless": lambda data, rule, rng: mangle.endless(b'{"id":"'),
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
