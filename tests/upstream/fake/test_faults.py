"""Every fault in every dialect, streamed and not: the steps of its response."""

import json
import zlib
from collections.abc import Iterator
from itertools import islice
from random import Random
from typing import Any

import orjson
import pytest

from proxy.upstream.fake.faults import (
    BODY_EDITS,
    BODY_FAULTS,
    INSTEAD,
    RESPONSE_FAULTS,
    flow_of,
    head,
    plain,
    play,
)
from proxy.upstream.fake.mangle import (
    EVENT_FAULTS,
    FOREVER,
    FRAME_FAULTS,
    Cut,
    Scene,
    Step,
    Wait,
)
from proxy.upstream.fake.manner import JSON, SSE
from proxy.upstream.fake.scenario import FAULTS, Answer, Rule
from tests.upstream.fake.speaking import MANNERS, Wish, body_of, head_of, reply

STEPS_MAX = 5000
CHAT = MANNERS["chat"]


def steps(
    fault: str | None,
    *,
    stream: bool,
    dialect: str = "chat",
    rule: Rule = Rule(),  # noqa: B008
    base: Answer = Answer(tokens=4),  # noqa: B008
    wish: Wish = Wish(),  # noqa: B008
) -> list[Step]:
    rule = Rule(
        fault=fault,
        delay_s=1.5,
        status=rule.status,
        retry_after_s=rule.retry_after_s,
        event_bytes=rule.event_bytes,
    )
    answer = flow_of(rule, base)
    said = reply(dialect, wish, answer, mute=fault == "no-content")
    scene = Scene(rule, MANNERS[dialect], said, Random(2))
    return list(islice(play(scene, answer, stream=stream, credential="sk-mine"), STEPS_MAX))


body = body_of
HEALTHY = {stream: steps(None, stream=stream) for stream in (False, True)}
ELSEWHERE = {"other-form", "slow-tokens", "giant", "no-content"}


def test_every_fault_is_played_somewhere_and_nothing_else_is() -> None:
    tables = (INSTEAD, EVENT_FAULTS, FRAME_FAULTS, BODY_EDITS, BODY_FAULTS, RESPONSE_FAULTS)
    assert ELSEWHERE.union(*tables) == set(FAULTS)
    assert all(description for description in FAULTS.values())


LINES = {
    "garbage-lines", "crlf", "cr", "bom", "comments", "multi-line", "no-space", "fields",
    "no-last-blank",
}  # fmt: skip
HARMLESS = {
    "chat": set[str](),
    "azure": set[str](),
    "gemini": {"crlf", "no-done", "usage-cumulative"},
    "vertex-gemini": {"crlf", "no-done", "usage-cumulative"},
    "bedrock": LINES | {"usage-cumulative"},
}
HARMLESS_PLAIN = LINES - {"comments"} | {"usage-twice", "usage-cumulative", "no-done"}


@pytest.mark.parametrize("dialect", MANNERS)
@pytest.mark.parametrize("fault", FAULTS)
def test_every_streamed_fault_differs_from_health_or_has_no_form(fault: str, dialect: str) -> None:
    whole = steps(None, stream=True, dialect=dialect)
    harmless = fault in HARMLESS.get(dialect, {"usage-cumulative"})
    assert (steps(fault, stream=True, dialect=dialect) == whole) == harmless


@pytest.mark.parametrize("dialect", MANNERS)
@pytest.mark.parametrize("fault", FAULTS)
def test_every_plain_fault_differs_from_health_or_has_no_form(fault: str, dialect: str) -> None:
    whole = steps(None, stream=False, dialect=dialect)
    harmless = fault in HARMLESS_PLAIN
    assert (steps(fault, stream=False, dialect=dialect) == whole) == harmless


REFUSALS = {
    "azure": {"rate-limit": 429, "overloaded": 503, "bad-key": 401, "unknown-model": 404},
    "anthropic": {"rate-limit": 429, "overloaded": 529, "bad-key": 401, "unknown-model": 404},
    "vertex-anthropic": {"rate-limit": 429, "overloaded": 529, "unknown-model": 404},
    "gemini": {"rate-limit": 429, "overloaded": 503, "bad-key": 400, "unknown-model": 404},
    "vertex-gemini": {"rate-limit": 429, "overloaded": 503, "bad-key": 401, "unknown-model": 404},
    "cohere": {"rate-limit": 429, "overloaded": 503, "bad-key": 401, "unknown-model": 404},
    "bedrock": {"rate-limit": 429, "overloaded": 503, "bad-key": 403, "unknown-model": 400},
    "responses": {"rate-limit": 429, "overloaded": 503, "bad-key": 401, "unknown-model": 400},
}
MESSAGE = {
    "cohere": lambda body: body["message"],
    "bedrock": lambda body: body["message"],
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", REFUSALS)
def test_refusals_have_the_dialects_own_status_and_body(dialect: str, stream: bool) -> None:
    def refusal(fault: str, rule: Rule = Rule()) -> tuple[int, str]:  # noqa: B008
        made = steps(fault, stream=stream, dialect=dialect, rule=rule)
        labelled = stream and "gemini" in dialect and fault != "error-200"
        content_type = b"text/event-stream" if labelled else JSON
        assert (b"content-type", content_type) in head_of(made).headers
        body = json.loads(body_of(made))
        told = MESSAGE.get(dialect, lambda body: body["error"]["message"])(body)
        assert told
        return head_of(made).status, told

    for fault, status in (REFUSALS[dialect] | {"too-long": 400, "error-200": 200}).items():
        assert refusal(fault)[0] == status
    for status in (400, 403, 404, 408, 429, 500, 502, 503, 504, 529):
        assert refusal("status", Rule(status=status))[0] == status
    assert "sk-mine" in refusal("echoes-key")[1]
    assert "sk-mine" not in refusal("bad-key")[1]


@pytest.mark.parametrize("dialect", sorted(set(REFUSALS) - {"bedrock", "gemini", "vertex-gemini"}))
def test_retry_after_is_a_header(dialect: str) -> None:
    for fault in ("rate-limit", "overloaded", "status"):
        made = steps(fault, stream=True, dialect=dialect, rule=Rule(retry_after_s=7))
        assert dict(head_of(made).headers)[b"retry-after"] == b"7"


def test_google_says_it_in_its_details_and_bedrock_never() -> None:
    made = steps("rate-limit", stream=True, dialect="gemini", rule=Rule(retry_after_s=7))
    error = json.loads(body_of(made))["error"]
    assert error["status"] == "RESOURCE_EXHAUSTED"
    assert error["details"][-1] == {
        "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"
    }  # fmt: skip
    assert b"retry-after" not in dict(head_of(made).headers)
    told = head_of(steps("rate-limit", stream=True, dialect="bedrock", rule=Rule(retry_after_s=7)))
    assert b"retry-after" not in dict(told.headers)
    assert dict(told.headers)[b"x-amzn-errortype"].startswith(b"ThrottlingException:")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("status", 500, None),
        ("rate-limit", 429, "rate_limit_exceeded"),
        ("overloaded", 503, None),
        ("bad-key", 401, "invalid_api_key"),
        ("echoes-key", 401, "invalid_api_key"),
        ("unknown-model", 404, "model_not_found"),
        ("too-long", 400, "context_length_exceeded"),
        ("error-200", 200, None),
    ],
)
def test_refusals(fault: str, status: int, code: str | None, stream: bool) -> None:
    made = steps(fault, stream=stream)
    assert head_of(made).status == status
    assert (b"content-type", JSON) in head_of(made).headers
    error = json.loads(body(made))["error"]
    assert error["code"] == code
    assert ("sk-mine" in error["message"]) == (fault == "echoes-key")


@pytest.mark.parametrize(
    ("fault", "told", "sent"),
    [
        ("rate-limit", None, b"1"),
        ("rate-limit", 0, b"0"),
        ("overloaded", 7, b"7"),
        ("status", 3, b"3"),
        ("status", None, None),
        ("bad-key", 9, None),
    ],
)
def test_retry_after(fault: str, told: int | None, sent: bytes | None) -> None:
    made = steps(fault, stream=True, rule=Rule(retry_after_s=told, status=503))
    assert dict(head_of(made).headers).get(b"retry-after") == sent


@pytest.mark.parametrize("stream", [False, True])
def test_no_answers(stream: bool) -> None:
    wanted = SSE if stream else JSON
    assert steps("no-head", stream=stream) == [FOREVER]
    assert steps("cut-head", stream=stream) == [Cut.NOW]
    assert steps("empty", stream=stream) == [head(CHAT, 200, wanted)]
    for fault, status, kind in (
        ("html", 200, b"text/html; charset=utf-8"),
        ("html-disguised", 200, wanted),
        ("gateway-page", 502, b"text/html; charset=utf-8"),
    ):
        made = steps(fault, stream=stream)
        assert (head_of(made).status, head_of(made).headers[0][1]) == (status, kind)
        assert body(made).startswith(b"<!doctype html>")
    moved = head_of(steps("redirect", stream=stream))
    assert moved.status == 302
    assert dict(moved.headers)[b"location"].endswith(b"/chat/completions")


def test_the_other_form() -> None:
    assert steps("other-form", stream=True) == HEALTHY[False]
    assert steps("other-form", stream=False) == HEALTHY[True]


@pytest.mark.parametrize(
    ("fault", "after"),
    [
        ("stall", [FOREVER]),
        ("cut", [Cut.NOW]),
        ("truncated", []),
        ("early-end", []),
    ],
)
def test_half_a_plain_body(fault: str, after: list[Step]) -> None:
    made = steps(fault, stream=False)
    whole = body(HEALTHY[False])
    assert made == [HEALTHY[False][0], whole[: len(whole) // 2], *after]


@pytest.mark.parametrize(
    "fault", ["truncated", "early-end", "error-event", "error-named", "bad-json", "bad-utf8",
              "binary", "after-done"]
)  # fmt: skip
def test_broken_plain_bodies_are_no_json(fault: str) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(body(steps(fault, stream=False)))


def test_edited_plain_bodies() -> None:
    def edited(fault: str, wish: Wish = Wish()) -> dict[str, Any]:  # noqa: B008
        answer: dict[str, Any] = json.loads(body(steps(fault, stream=False, wish=wish)))
        return answer

    assert edited("no-finish")["choices"][0]["finish_reason"] is None
    silent = edited("no-content", Wish(tools=("add",), must=True))["choices"][0]
    assert silent["message"] == {
        "role": "assistant", "content": "", "refusal": None, "annotations": []
    }  # fmt: skip
    assert silent["finish_reason"] == "stop"
    assert edited("done-only")["choices"] == []
    assert edited("null-choices")["choices"] is None
    assert "usage" not in edited("usage-missing")
    assert list(edited("error-first")) == ["error"]
    assert json.loads(body(steps("wrong-json", stream=False))) == ["weir"]
    assert json.loads(body(steps("comments", stream=False))) == json.loads(body(HEALTHY[False]))


def test_the_list_of_models_may_fail_too() -> None:
    def listed(fault: str | None) -> list[Step]:
        return list(plain(CHAT, Rule(fault=fault), CHAT.models(["a"], 0), Random(1)))

    assert json.loads(body(listed(None)))["data"][0]["id"] == "a"
    assert head_of(listed("status")).status == 500
    assert listed("cut")[-1] is Cut.NOW
    assert json.loads(body(listed("no-finish")))["object"] == "list"


@pytest.mark.parametrize("stream", [False, True])
def test_bytes_arrive_whole_in_any_slices(stream: bool) -> None:
    whole = body(HEALTHY[stream])
    single = steps("one-byte", stream=stream)
    assert {len(step) for step in single if isinstance(step, bytes)} == {1}
    assert body(single) == whole
    sliced = steps("slices", stream=stream)
    assert body(sliced) == whole
    assert len({len(step) for step in sliced if isinstance(step, bytes)}) > 2
    packed = steps("gzip", stream=stream)
    assert head_of(packed).headers[-1] == (b"content-encoding", b"gzip")
    assert zlib.decompress(body(packed), wbits=31) == whole


def test_slices_and_gzip_keep_the_waits() -> None:
    flow = Answer(tokens=4, tokens_per_s=10, first_token_s=0.5)
    for fault in ("one-byte", "slices", "gzip"):
        waits = [s for s in steps(fault, stream=True, base=flow) if isinstance(s, Wait)]
        assert waits == [Wait(0.5), *[Wait(0.1)] * 3]


def test_slices_never_end_with_nothing() -> None:
    def empty() -> Iterator[Step]:
        yield head(CHAT, 200, JSON)

    assert list(RESPONSE_FAULTS["slices"](empty(), Rule(), Random(1))) == list(empty())


def test_a_compressed_event_can_be_read_at_once() -> None:
    reader = zlib.decompressobj(wbits=31)
    first = next(step for step in steps("gzip", stream=True) if isinstance(step, bytes))
    assert reader.decompress(first).endswith(b"\n\n")


def test_time_before_a_plain_head() -> None:
    assert steps("slow-head", stream=False) == [Wait(1.5), *HEALTHY[False]]
    assert steps("slow-head", stream=True) == [Wait(1.5), *HEALTHY[True]]
    flow = Answer(tokens=4, tokens_per_s=2, first_token_s=1)
    assert steps(None, stream=False, base=flow)[0] == Wait(3.0)
    slow = steps("slow-first-token", stream=False)
    assert slow[1:5] == [b"\n", Wait(1.0), b"\n", Wait(0.5)]


def test_slow_tokens_are_slow_unless_told_how_slow() -> None:
    assert flow_of(Rule(fault="slow-tokens"), Answer()).tokens_per_s == 2
    assert flow_of(Rule(fault="slow-tokens"), Answer(tokens_per_s=7)).tokens_per_s == 7


@pytest.mark.parametrize(("told", "size"), [(None, 1024 * 1024), (100, 100)])
def test_a_giant_event(told: int | None, size: int) -> None:
    made = steps("giant", stream=True, rule=Rule(event_bytes=told))
    assert max(len(step) for step in made if isinstance(step, bytes)) in range(size, size + 400)
