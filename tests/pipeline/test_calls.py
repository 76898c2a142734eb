"""Which tool calls count as sound, told as events and as pieces that were spliced."""

from typing import Any

import orjson
import pytest

from proxy.pipeline import calls as calls_of
from proxy.pipeline.calls import Calls
from proxy.wire.events import ToolCall
from tests.stage import DONE, END, GOOD, HEAD, JSON_HEAD, USAGE, asked, chunk, tell, whole

TOOLS = [
    {"type": "function", "function": {"name": "weather", "parameters": {}}},
    {"type": "custom", "custom": {"name": "free"}},
]


def call(
    name: str | None, arguments: str, index: int = 0, *, choice: int = 0, custom: bool = False
) -> ToolCall:
    return ToolCall(choice, index, None, name, arguments, custom)


def piece(arguments: str, index: int = 0) -> bytes:
    delta = {"tool_calls": [{"index": index, "type": "function", "function": {}}]}
    delta["tool_calls"][0]["function"] = {"arguments": arguments}
    told = orjson.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    return b"data: %b\n\n" % told


def judged(
    *pieces: ToolCall | bytes,
    tools: Any = TOOLS,
    choice: Any = None,
    finish_reason: str | None = "tool_calls",
) -> bool | None:
    found = Calls({"tools": tools, "tool_choice": choice})
    for one in pieces:
        if isinstance(one, bytes):
            found.splice(one)
        else:
            found.hear(one)
    return found.sound(finish_reason)


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([], None),
        ([call("weather", '{"at": 1}')], True),
        ([call("weather", '{"at"'), call(None, ": 1}")], True),
        ([call("weather", "")], True),
        ([call("weather", "[]")], False),
        ([call("weather", '"text"')], False),
        ([call("weather", "{")], False),
        ([call("wether", "{}")], False),
        ([call(None, "{}")], False),
        ([call("free", "any text", custom=True)], True),
        ([call("freed", "any text", custom=True)], False),
        ([call("weather", "{}"), call("weather", "{", 1)], False),
        ([call("weather", "{}"), call("weather", "{", choice=1)], False),
        ([call("weather", "{}"), call("weather", "{}", 1)], True),
        ([call("weather", ""), piece('{"a":') + piece("1}")], True),
        ([call("weather", ""), piece('{"a":'), piece("1")], False),
        ([call("weather", "{"), call("weather", "{", 1), piece("}"), piece("}", 1)], True),
        ([b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'], None),
    ],
)
def test_a_call_is_sound_that_names_a_tool_and_has_an_object(
    pieces: list[ToolCall | bytes], expected: bool | None
) -> None:
    assert judged(*pieces) is expected


def test_a_custom_call_may_be_spliced() -> None:
    delta = {"tool_calls": [{"index": 0, "type": "custom", "custom": {"input": "text"}}]}
    told = orjson.dumps({"choices": [{"index": 0, "delta": delta}]})
    assert judged(call("free", "", custom=True), b"data: %b\n\n" % told) is True


@pytest.mark.parametrize("finish_reason", ["length", "content_filter", "error", None])
def test_nothing_is_said_of_an_answer_that_was_cut(finish_reason: str | None) -> None:
    assert judged(call("weather", "{"), finish_reason=finish_reason) is None
    assert judged(choice="required", finish_reason=finish_reason) is None


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, None),
        ("auto", None),
        ("none", None),
        ("required", False),
        ({"type": "function", "function": {"name": "weather"}}, False),
        ({"type": "custom", "custom": {"name": "free"}}, False),
        ({"type": "allowed_tools"}, None),
        ({"type": ["function"]}, None),
        (7, None),
    ],
)
def test_no_call_is_not_sound_where_one_was_insisted_on(choice: Any, expected: bool | None) -> None:
    assert judged(choice=choice, finish_reason="stop") is expected


@pytest.mark.parametrize(
    "tools",
    [
        [{"type": "openrouter:web_search"}],
        [*TOOLS, {"type": "function"}],
        [*TOOLS, {"type": "function", "function": {"name": 7}}],
        ["weather"],
    ],
)
def test_names_are_not_judged_where_a_tool_has_none_that_we_know(tools: Any) -> None:
    assert judged(call("anything", "{}"), tools=tools) is True
    assert judged(call("anything", "{"), tools=tools) is False


def test_a_request_without_a_list_of_tools_has_no_names() -> None:
    assert judged(call("anything", "{}"), tools=None) is False


def test_nothing_is_said_of_calls_that_are_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls_of, "CALLS_BYTES_MAX", 10)
    assert judged(call("weather", '{"a": 1}')) is True
    assert judged(call("weather", '{"a": '), call(None, "1    }")) is None
    assert judged(call("weather", ""), piece("{}"), call(None, "")) is None


# On their way through the gateway.


def told(delta: dict[str, Any], finish: str | None = None) -> bytes:
    return chunk(choices=[{"index": 0, "delta": delta, "finish_reason": finish}])


def grows(text: str) -> bytes:
    return told({"tool_calls": [{"index": 0, "function": {"arguments": text}}]})


def streamed(arguments: str, name: str = "weather") -> list[tuple[float, Any]]:
    """A call whose arguments come a character at a time, so that most are spliced."""
    function = {"name": name, "arguments": ""}
    call = {"index": 0, "id": "c", "type": "function", "function": function}
    begins = told({"tool_calls": [call]})
    pieces = [
        begins,
        *map(grows, arguments),
        told({}, "tool_calls"),
        chunk(choices=[], usage=USAGE),
    ]
    steps = [(0.2 + at / 100, piece) for at, piece in enumerate((*pieces, DONE))]
    return [(0.1, HEAD), *steps, (9.0, END)]


def at_once(arguments: str, name: str = "weather") -> list[tuple[float, Any]]:
    call = {"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choices = [{"index": 0, "message": message, "finish_reason": "tool_calls"}]
    return [(0.1, JSON_HEAD), (0.2, whole(choices=choices)), (0.3, END)]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("arguments", "name", "expected"),
    [
        ('{"town": "Gouda", "when": "today"}', "weather", (1.0, 1.0)),
        ('{"town": "Gouda", "when": "today"', "weather", (0.0, 1.0)),
        ('{"town": "Gouda", "when": "today"}', "whether", (0.0, 1.0)),
    ],
)
def test_the_pool_hears_of_calls_streamed_and_whole(
    stream: bool, arguments: str, name: str, expected: tuple[float, float]
) -> None:
    script = streamed(arguments, name) if stream else at_once(arguments, name)
    client, stage = tell(script, body=asked(stream=stream, tools=TOOLS[:1]))
    assert client.status == 200
    now = 9.0
    assert stage.pool.calls(("p0", "p0-model"), now) == pytest.approx(expected, abs=0.01)


def test_the_pool_hears_nothing_of_requests_without_tools() -> None:
    client, stage = tell(streamed('{"a": 1}'), body=asked())
    assert client.status == 200
    assert stage.pool.calls(("p0", "p0-model"), 9.0) == (0.0, 0.0)


def test_the_pool_hears_nothing_of_an_answer_in_words() -> None:
    client, stage = tell([(0.1, HEAD), (0.2, GOOD), (0.3, END)], body=asked(tools=TOOLS[:1]))
    assert client.status == 200
    assert stage.pool.calls(("p0", "p0-model"), 9.0) == (0.0, 0.0)
