"""The short way through a request says what the whole check says, or leaves it to that."""

import copy
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.dialects.asking import Encoded, Target
from proxy.dialects.bodies import decode_object
from proxy.dialects.chat.plain import PLAIN_PER_STEP, plain_ask, plain_steps
from proxy.dialects.chat.request import (
    ask_of,
    ask_steps,
    check_steps,
    decode_request,
    encode_request,
    encode_steps,
)
from proxy.errors import GatewayError
from proxy.providers import Provider, Quirks, known
from proxy.wire.request import Ask
from proxy.wire.slices import at_once
from tests.recordings import index, load

Json = dict[str, Any]
HELLO: Json = {"role": "user", "content": "hello"}

TEXT = st.text(max_size=6)
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.just(2**70), st.floats(-3, 3), TEXT,
    st.just([]), st.just({}), st.just([HELLO]), st.just({"type": "function"}), st.just(10.0),
)  # fmt: skip
PART = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, TEXT),
    st.sampled_from((
        {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo"}},
        {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}},
        {"type": "input_video", "video_url": {"url": "https://x.test/a.mp4"}},
        {"type": "text", "text": None}, {"type": "text"}, {"text": "x"}, "x", {"type": 1},
    )),
)  # fmt: skip
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
ROLE = st.sampled_from(
    ("user", "assistant", "system", "tool", "developer", "function", "bard", None, ["user"])
)
MESSAGE = st.one_of(
    st.builds(
        lambda role, content: {"role": role, "content": content},
        st.sampled_from(("user", "assistant", "system")),
        st.one_of(TEXT, TEXT, TEXT, st.none(), st.lists(PART, max_size=3)),
    ),
    st.fixed_dictionaries(
        {"role": ROLE},
        optional={
            "content": st.one_of(ODD, TEXT, st.lists(PART, max_size=3)),
            "name": st.one_of(TEXT, ODD),
            "tool_calls": st.one_of(st.just([CALL]), ODD),
            "tool_call_id": st.one_of(TEXT, ODD),
            "function_call": st.sampled_from((None, {"name": "f", "arguments": "{}"}, 1)),
            "reasoning": st.one_of(TEXT, ODD),
            "audio": st.just({"id": "a"}),
            "x": ODD,
        },
    ),
    ODD,
)
NAMES = (
    "model", "models", "stream", "stream_options", "temperature", "top_p", "top_k", "min_p",
    "max_tokens", "max_completion_tokens", "n", "seed", "stop", "user", "tool_choice", "usage",
    "parallel_tool_calls", "logprobs", "top_logprobs", "response_format", "reasoning_effort",
    "reasoning", "provider", "plugins", "transforms", "metadata", "service_tier", "prompt",
    "functions", "function_call", "web_search_options", "enable_search", "container",
    "structured_outputs", "verbosity", "store", "cache_control", "debug", "route", "session_id",
    "frequency_penalty", "x-unknown",
)  # fmt: skip
TOOL = st.sampled_from((
    {"type": "function", "function": {"name": "f"}}, {"function": {"name": "f"}}, {}, 1,
    {"type": "web_search"}, {"type": "openrouter:x"}, {"type": "Function"}, {"type": None},
))  # fmt: skip
FIELDS = st.builds(
    lambda messages, more, rest: {"model": "a/b", "messages": messages, **more, **rest},
    st.lists(MESSAGE, max_size=4),
    st.dictionaries(st.sampled_from(NAMES), ODD, max_size=3),
    st.fixed_dictionaries(
        {},
        optional={
            "tools": st.one_of(ODD, st.lists(TOOL, max_size=2)),
            "temperature": st.one_of(st.integers(-1, 3), st.floats(0, 2)),
            "stream": st.booleans(),
            "max_tokens": st.one_of(st.integers(0, 5), st.just(2**31 + 1)),
            "x": ODD,
        },
    ),
)
HEADERS = st.lists(
    st.sampled_from((
        (b"host", b"x"), (b"content-type", b"application/json"), (b"x-openrouter-cache", b"true"),
        (b"x-anthropic-beta", b"a,b"), (b"x-openrouter-metadata", b"enabled"),
        (b"x-provider-api-keys", b"{}"), (b"x-openrouter-cache", b"false"),
    )),
    max_size=3,
)  # fmt: skip


def outcome(read: Any, *args: Any) -> Any:
    """What comes of it: the value, or the error."""
    try:
        return read(*args)
    except GatewayError as error:
        return error.kind, error.message, error.status


def checked(fields: Json, headers: Any) -> Any:
    return at_once(check_steps(copy.deepcopy(fields), 1000, headers))


def stepwise(ask: Ask, target: Target) -> Encoded:
    return at_once(encode_steps(ask, target))


def without_mark(told: Any) -> Any:
    return msgspec.structs.replace(told, bare=False) if isinstance(told, Ask) else told


@settings(max_examples=600, deadline=None)
@given(FIELDS, HEADERS)
def test_both_ways_say_the_same(fields: Json, headers: list[tuple[bytes, bytes]]) -> None:
    whole = outcome(checked, fields, headers)
    before = copy.deepcopy(fields)
    short = plain_ask(fields, 1000, headers)
    assert fields == before
    if short is not None:
        assert without_mark(short) == whole
        assert list(short.body) == list(whole.body)
        assert at_once(plain_steps(fields, 1000, headers)) == short
    told = outcome(ask_of, copy.deepcopy(fields), 1000, headers)
    assert without_mark(told) == whole
    in_steps = outcome(lambda: at_once(ask_steps(copy.deepcopy(fields), 1000, headers)))
    assert in_steps == told


@settings(max_examples=200, deadline=None)
@given(FIELDS, st.sampled_from(sorted(known())))
def test_a_provider_is_sent_the_same(fields: Json, slug: str) -> None:
    target = Target(known()[slug], "m")
    short, whole = plain_ask(fields, 1000, ()), outcome(checked, fields, ())
    if short is not None:
        said = encode_request(short, target).body
        assert said == encode_request(whole, target).body
        assert at_once(encode_steps(short, target)).body == said


PLAIN: list[Json] = [
    {},
    {"stream": True, "temperature": 0.7, "bench": {"events": 1}},
    {"stream_options": {"include_usage": True}, "usage": {"include": True}, "user": "u"},
    {"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "auto"},
    {"messages": [{"role": "assistant", "content": None, "tool_calls": [CALL]}]},
    {"messages": [HELLO, {"role": "tool", "tool_call_id": "c", "content": "x", "name": "f"}]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}]},
    {"messages": [HELLO, {"role": "assistant", "content": "a", "reasoning": "b", "new": [1]}]},
    {"max_tokens": 5, "max_completion_tokens": 6, "n": 2, "seed": -1, "stop": "x", "top_k": 0},
]


@pytest.mark.parametrize("more", PLAIN)
def test_what_is_plain(more: Json) -> None:
    fields = {"model": "a/b", "messages": [HELLO], **more}
    short = plain_ask(fields, 1000, [(b"host", b"x")])
    assert short is not None
    assert without_mark(short) == checked(fields, ())
    assert short.bare == ("messages" not in more)


@pytest.mark.parametrize(
    "more",
    [
        {"models": ["b"]}, {"model": ""}, {"model": None}, {"messages": []}, {"messages": {}},
        {"temperature": 3}, {"temperature": True}, {"max_tokens": 5.0}, {"seed": 2**70},
        {"stream": None}, {"tools": [{"type": "web_search"}]}, {"tools": [{}]}, {"prompt": "x"},
        {"service_tier": "auto"}, {"enable_search": True}, {"messages": ["x"]},
        {"messages": [{"role": "user", "content": 1}]}, {"messages": [{"content": "x"}]},
        {"tools": []}, {"structured_outputs": True}, {"response_format": {"type": "text"}},
        {"messages": [HELLO | {"name": 1}]}, {"messages": [HELLO | {"tool_calls": [1]}]},
        {"messages": [HELLO | {"function_call": None}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
    ],
)  # fmt: skip
def test_what_is_not(more: Json) -> None:
    fields = {"model": "a/b", "messages": [HELLO], **more}
    assert plain_ask(fields, 9, ()) is None
    assert at_once(plain_steps(fields, 9, ())) is None


SOFT_WISHES: list[tuple[Json, set[str]]] = [
    ({"tools": [{"type": "function", "function": {"name": "f"}}]}, {"tools"}),
    ({"verbosity": "low", "tool_choice": "auto"}, {"verbosity"}),
    ({"response_format": {"type": "json_object"}}, {"response_format"}),
    ({"response_format": {"type": "json_schema"}}, {"response_format", "structured_outputs"}),
    ({"structured_outputs": True}, {"structured_outputs"}),
    ({"tools": [], "temperature": 1, "structured_outputs": None}, set()),
]


@pytest.mark.parametrize(("more", "soft"), SOFT_WISHES)
def test_parameters_are_preferred_alike_by_either_way(more: Json, soft: set[str]) -> None:
    fields = {"model": "a/b", "messages": [HELLO], **more}
    assert ask_of(copy.deepcopy(fields), 9).soft == checked(fields, ()).soft == soft


def test_a_step_is_so_many_messages() -> None:
    fields = {"model": "a/b", "messages": [HELLO] * (2 * PLAIN_PER_STEP + 1)}
    steps = plain_steps(fields, 9, ())
    assert [next(steps) for _ in range(3)] == [None] * 3
    with pytest.raises(StopIteration) as end:
        next(steps)
    assert end.value.value == plain_ask(fields, 9, ())


def test_turns_are_joined_where_they_must_be() -> None:
    provider = Provider(
        slug="p", name="P", base_url="http://p.test", quirks=Quirks(alternates=True)
    )
    asked = decode_request(msgspec.json.encode({"model": "a", "messages": [HELLO] * 3}))
    assert asked.bare
    for write in (encode_request, stepwise):
        [message] = json.loads(write(asked, Target(provider, "m")).body)["messages"]
        assert message["content"] == [{"type": "text", "text": "hello"}] * 3


@pytest.mark.wire
def test_every_recorded_request_is_sent_on_the_same() -> None:
    providers, plain = list(known().values()), 0
    for row in index():
        said = load(row).request
        said = said.get("body", said)
        if not isinstance(said, dict) or not isinstance(said.get("messages"), list):
            continue
        body = json.dumps({"model": "a/b"} | said).encode()
        whole = outcome(checked, decode_object(body), ())
        told = outcome(ask_of, decode_object(body), 1000)
        assert without_mark(told) == whole, row["dir"]
        if not isinstance(told, Ask):
            continue
        plain += told.bare
        for provider in providers:
            target = Target(provider, "m")
            expected = outcome(encode_request, whole, target)
            assert outcome(encode_request, told, target) == expected, row["dir"]
            assert outcome(stepwise, told, target) == expected, row["dir"]
    assert plain > 100
