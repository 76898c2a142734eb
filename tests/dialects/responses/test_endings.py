"""How answers end: reasons, counts and failures."""

from typing import Any

import pytest

from proxy.dialects.responses.endings import counted, failed, failure_of, finished
from proxy.wire.events import Failed, Finished, Usage, UsageReport

Json = dict[str, Any]

ENDS: list[tuple[Json, bool, str, str]] = [
    ({"status": "completed"}, False, "stop", "completed"),
    ({"status": "completed", "incomplete_details": None}, True, "tool_calls", "completed"),
    ({}, False, "stop", "completed"),
    (
        {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
        False,
        "length",
        "max_output_tokens",
    ),
    (
        {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
        True,
        "length",
        "max_output_tokens",
    ),
    (
        {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
        False,
        "content_filter",
        "content_filter",
    ),
    ({"status": "incomplete"}, False, "length", "incomplete"),
    ({"status": "incomplete", "incomplete_details": {"reason": "new"}}, False, "length", "new"),
]


@pytest.mark.parametrize(("response", "called", "reason", "native"), ENDS)
def test_why_it_ended(response: Json, called: bool, reason: str, native: str) -> None:
    assert finished(response, called=called) == Finished(0, reason, native)


FAILURES: list[tuple[Json, Failed | None]] = [
    ({"status": "completed", "error": None}, None),
    (
        {"status": "failed", "error": {"code": "server_error", "message": "m"}},
        Failed(None, "m", "server_error", '{"code":"server_error","message":"m"}'),
    ),
    (
        {"status": "failed", "error": {"code": "rate_limit_exceeded", "message": "m"}},
        Failed(429, "m", "rate_limit_exceeded", '{"code":"rate_limit_exceeded","message":"m"}'),
    ),
    (
        {"error": {"code": 502, "message": "m"}},  # OpenRouter
        Failed(502, "m", "502", '{"code":502,"message":"m"}'),
    ),
    ({"error": "m"}, Failed(None, "m", None, '"m"')),
    (
        {"status": "cancelled"},
        Failed(
            None,
            "The provider ended the answer: cancelled.",
            None,
            '{"message":"The provider ended the answer: cancelled."}',
        ),
    ),
]


@pytest.mark.parametrize(("response", "failure"), FAILURES)
def test_what_went_wrong(response: Json, failure: Failed | None) -> None:
    assert failed(response) == failure


def test_an_error_that_says_nothing_is_one() -> None:
    assert failure_of({}).message == "The provider ended the answer."


def test_counts() -> None:
    usage = {
        "input_tokens": 20,
        "input_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 6},
        "output_tokens": 10,
        "output_tokens_details": {"reasoning_tokens": 7},
        "total_tokens": 30,
    }
    whole = Usage(
        prompt_tokens=20,
        completion_tokens=10,
        cached_tokens=5,
        cache_write_tokens=6,
        reasoning_tokens=7,
    )
    assert counted({"usage": usage}) == [UsageReport(whole)]


@pytest.mark.parametrize("usage", [None, 7, {}, {"input_tokens": -1, "output_tokens": 2**60}])
def test_what_was_not_counted_is_not_reported(usage: Any) -> None:
    assert counted({"usage": usage}) == []


SEARCHED: Json = {"type": "web_search_call", "action": {"type": "search"}}
COUNTS: Json = {"input_tokens": 1, "output_tokens": 2}


@pytest.mark.parametrize(
    ("response", "searches"),
    [
        ({"output": [SEARCHED, SEARCHED, {"type": "message"}]}, 2),
        ({"output": [{"type": "web_search_call"}]}, 1),
        ({"output": [SEARCHED | {"action": {"type": "open_page"}}]}, 0),
        ({"output": "?"}, 0),
        ({"output": [SEARCHED], "tool_usage": {"web_search": {"num_requests": 0}}}, 0),
        ({"tool_usage": {"web_search": {"num_requests": 4}}}, 4),
        ({"output": [SEARCHED], "tool_usage": {"web_search": {"num_requests": -4}}}, 1),
        ({"output": [SEARCHED], "tool_usage": 3}, 1),
        (
            {
                "output": [SEARCHED],
                "usage": COUNTS
                | {"server_side_tool_usage_details": {"web_search_calls": 3, "x_search_calls": 4}},
            },
            7,
        ),
        (
            {
                "output": [SEARCHED],
                "usage": COUNTS | {"server_tool_use_details": {"web_search_requests": 5}},
            },
            5,
        ),
    ],
)
def test_searches_of_the_web(response: Json, searches: int) -> None:
    usage = Usage(prompt_tokens=1, completion_tokens=2, web_searches=searches)
    assert counted({"usage": COUNTS} | response) == [UsageReport(usage)]


def test_searches_that_a_stream_told_of_count_where_its_end_does_not_repeat_them() -> None:
    rows: tuple[tuple[list[Json], int], ...] = (([], 2), ([SEARCHED] * 3, 3))
    for output, expected in rows:
        usage = Usage(prompt_tokens=1, completion_tokens=2, web_searches=expected)
        assert counted({"usage": COUNTS, "output": output}, 2) == [UsageReport(usage)]
