"""Where providers go their own ways: counts, numbers of calls, parts of content, sources."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.chat.compat import (
    Calls,
    citations,
    content_parts,
    decode_usage,
)
from proxy.dialects.counts import COUNT_MAX
from proxy.providers import Quirks
from proxy.wire.events import Event, Reasoning, Text, ToolCall, Usage

Json = dict[str, Any]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "index", "function", "custom", "name", "arguments", "input", "text"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


def piece(arguments: Any = "", *, name: str | None = None, **more: Any) -> Json:
    function = {"arguments": arguments} | ({"name": name} if name is not None else {})
    return {"function": function, **more}


def call(index: int, id: str | None, name: str | None, arguments: str = "") -> ToolCall:
    return ToolCall(choice=0, index=index, id=id, name=name, arguments=arguments)


CALLS: dict[str, tuple[list[list[Json]], list[ToolCall]]] = {
    "fragments by index": (
        [
            [piece(name="f", index=0, id="a")], [piece("{", index=0)], [piece("}", index=0)],
            [piece(name="g", index=1, id="b")], [piece("{}", index=1)],
        ],
        [
            call(0, "a", "f"), call(0, None, None, "{"), call(0, None, None, "}"),
            call(1, "b", "g"), call(1, None, None, "{}"),
        ],
    ),
    "whole calls without index": (
        [[piece("{}", name="f", id="a"), piece("{}", name="g", id="b")]],
        [call(0, "a", "f", "{}"), call(1, "b", "g", "{}")],
    ),
    "index 0 for every call": (
        [[piece("{}", name="f", id="a", index=0)], [piece("{}", name="g", id="b", index=0)]],
        [call(0, "a", "f", "{}"), call(1, "b", "g", "{}")],
    ),
    "a fragment goes to the last of them": (
        [[piece("", name="f", id="a", index=0), piece("", name="g", id="b", index=0)],
         [piece("{}", index=0)]],
        [call(0, "a", "f"), call(1, "b", "g"), call(1, None, None, "{}")],
    ),
    "an id that is repeated": (
        [[piece("{", name="f", id="a", index=0)], [piece("}", name="f", id="a", index=0)]],
        [call(0, "a", "f", "{"), call(0, None, None, "}")],
    ),
    "fragments by id": (
        [[piece("{", name="f", id="a")], [piece("}", id="a")], [piece("{}", id="b", name="g")]],
        [call(0, "a", "f", "{"), call(0, None, None, "}"), call(1, "b", "g", "{}")],
    ),
    "names alone": (
        [[piece("{}", name="f"), piece("{}", name="g")], [piece(" ")]],
        [call(0, None, "f", "{}"), call(1, None, "g", "{}"), call(1, None, None, " ")],
    ),
    "an index that does not begin at 0": (
        [[piece("{}", name="f", id="a", index=5)]], [call(0, "a", "f", "{}")]
    ),
    "an empty name and id": (
        [[piece("{", name="f", id="a", index=0)], [piece("}", name="", id="", index=0)]],
        [call(0, "a", "f", "{"), call(0, None, None, "}")],
    ),
    "an id that comes later": (
        [[piece("{", name="f", index=0)], [piece("}", id="a", index=0)]],
        [call(0, None, "f", "{"), call(0, None, None, "}")],
    ),
    "arguments as an object": (
        [[piece({"a": [1, "é"]}, name="f", id="a")]], [call(0, "a", "f", '{"a":[1,"é"]}')]
    ),
    "no arguments": ([[piece(None, name="f", id="a")]], [call(0, "a", "f")]),
    "no function": ([[{"id": "a"}]], [call(0, "a", None)]),
    "a custom tool": (
        [[{"id": "a", "custom": {"name": "f", "input": "4 "}}],
         [{"id": "a", "custom": {"input": "+"}}]],
        [
            ToolCall(choice=0, index=0, id="a", name="f", arguments="4 ", custom=True),
            ToolCall(choice=0, index=0, id=None, name=None, arguments="+", custom=True),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("deltas", "expected"), CALLS.values(), ids=CALLS)
def test_calls_are_numbered(deltas: list[list[Json]], expected: list[ToolCall]) -> None:
    calls = Calls()
    assert [event for delta in deltas for event in calls.read(0, delta)] == expected


@given(
    st.lists(st.lists(JSON.filter(lambda value: isinstance(value, dict)), max_size=3), max_size=4)
)
def test_calls_of_any_kind_are_numbered_without_a_gap(deltas: list[list[Json]]) -> None:
    calls = Calls()
    events = [event for delta in deltas for event in calls.read(0, delta)]
    numbers = [event.index for event in events]
    assert sorted(set(numbers)) == list(range(len(set(numbers))))
    assert len(events) == sum(map(len, deltas))


DETAILS = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}
USAGES: dict[str, tuple[Json, Quirks, Usage | None]] = {
    "nothing": ({}, Quirks(), None),
    "zero": ({"prompt_tokens": 0, "completion_tokens": 0}, Quirks(), Usage()),
    "only the completion": ({"completion_tokens": 0}, Quirks(), Usage()),
    "only the prompt": (
        {"prompt_tokens": 5, "completion_tokens": None}, Quirks(), Usage(prompt_tokens=5),
    ),
    "one is absurd": (
        DETAILS | {"prompt_tokens": COUNT_MAX + 1}, Quirks(), Usage(completion_tokens=20),
    ),
    "the largest": (
        {"prompt_tokens": COUNT_MAX, "completion_tokens": 1}, Quirks(),
        Usage(prompt_tokens=COUNT_MAX, completion_tokens=1),
    ),
    "both are absurd": (
        {"prompt_tokens": 2**63, "completion_tokens": 10**30, "cached_tokens": 5}, Quirks(), None,
    ),
    "an absurd part": (
        DETAILS | {"prompt_tokens_details": {"cached_tokens": 2**63}}, Quirks(),
        Usage(prompt_tokens=10, completion_tokens=20),
    ),
    "plain": (DETAILS, Quirks(), Usage(prompt_tokens=10, completion_tokens=20)),
    "all": (
        DETAILS
        | {
            "prompt_tokens_details": {
                "cached_tokens": 1, "cache_write_tokens": 2, "audio_tokens": 3, "video_tokens": 4,
            },
            "completion_tokens_details": {
                "reasoning_tokens": 5, "audio_tokens": 6, "image_tokens": 7,
            },
        },
        Quirks(),
        Usage(
            prompt_tokens=10, completion_tokens=20, cached_tokens=1, cache_write_tokens=2,
            prompt_audio_tokens=3, prompt_video_tokens=4, reasoning_tokens=5,
            completion_audio_tokens=6, completion_image_tokens=7,
        ),
    ),
    "DeepSeek's cache": (
        DETAILS | {"prompt_cache_hit_tokens": 8, "prompt_cache_miss_tokens": 2},
        Quirks(),
        Usage(prompt_tokens=10, completion_tokens=20, cached_tokens=8),
    ),
    "Moonshot's cache": (
        DETAILS | {"cached_tokens": 8}, Quirks(),
        Usage(prompt_tokens=10, completion_tokens=20, cached_tokens=8),
    ),
    "Mistral's older cache": (
        DETAILS | {"num_cached_tokens": 8}, Quirks(),
        Usage(prompt_tokens=10, completion_tokens=20, cached_tokens=8),
    ),
    "Together's reasoning": (
        DETAILS | {"reasoning_tokens": 9}, Quirks(),
        Usage(prompt_tokens=10, completion_tokens=20, reasoning_tokens=9),
    ),
    "reasoning apart": (
        {
            "prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 35,
            "completion_tokens_details": {"reasoning_tokens": 5},
        },
        Quirks(reasoning_apart=True),
        Usage(prompt_tokens=10, completion_tokens=25, reasoning_tokens=5),
    ),
    "reasoning said to be apart, and included": (
        DETAILS | {"completion_tokens_details": {"reasoning_tokens": 5}},
        Quirks(reasoning_apart=True),
        Usage(prompt_tokens=10, completion_tokens=20, reasoning_tokens=5),
    ),
    "reasoning apart elsewhere": (
        {
            "prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 35,
            "completion_tokens_details": {"reasoning_tokens": 5},
        },
        Quirks(),
        Usage(prompt_tokens=10, completion_tokens=20, reasoning_tokens=5),
    ),
    "audio apart": (
        {
            "prompt_tokens": 9, "completion_tokens": 248, "total_tokens": 632,
            "prompt_tokens_details": {"audio_tokens": 375},
        },
        Quirks(audio_apart=True),
        Usage(prompt_tokens=384, completion_tokens=248, prompt_audio_tokens=375),
    ),
    "audio apart and not named": (
        {"prompt_tokens": 16, "completion_tokens": 2, "total_tokens": 393},
        Quirks(audio_apart=True),
        Usage(prompt_tokens=391, completion_tokens=2, prompt_audio_tokens=375),
    ),
    "no audio": (DETAILS, Quirks(audio_apart=True), Usage(prompt_tokens=10, completion_tokens=20)),
    "a total that is less": (
        DETAILS | {"total_tokens": 3}, Quirks(audio_apart=True, reasoning_apart=True),
        Usage(prompt_tokens=10, completion_tokens=20),
    ),
    "no counts": (
        {
            "prompt_tokens": -1, "completion_tokens": "5", "total_tokens": 1.5,
            "prompt_tokens_details": [], "completion_tokens_details": {"reasoning_tokens": True},
        },
        Quirks(),
        None,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("usage", "quirks", "expected"), USAGES.values(), ids=USAGES)
def test_counts(usage: Json, quirks: Quirks, expected: Usage | None) -> None:
    assert decode_usage(usage, quirks) == expected


@given(st.dictionaries(st.sampled_from([*DETAILS, "prompt_tokens_details", "cached_tokens"]), JSON))
def test_counts_are_neither_negative_nor_absurd(usage: Json) -> None:
    for quirks in (Quirks(), Quirks(audio_apart=True, reasoning_apart=True)):
        decoded = decode_usage(usage, quirks) or Usage()
        counts = [getattr(decoded, name) for name in decoded.__struct_fields__]
        assert all(0 <= count <= 2 * COUNT_MAX for count in counts)


PARTS: dict[str, tuple[list[Any], list[Event]]] = {
    "none": ([], []),
    "text": ([{"type": "text", "text": "a"}, {"text": "b"}], [Text(2, "a"), Text(2, "b")]),
    "thinking, then text": (
        [
            {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}], "closed": True},
            {"type": "text", "text": "a"},
        ],
        [Reasoning(2, "hm"), Text(2, "a")],
    ),
    "empty": ([{"type": "thinking", "thinking": [{"text": ""}]}, {"text": ""}], []),
    "no parts": (["a", 1, None, {"type": "image_url"}, {"thinking": "x"}, {"text": 5}], []),
}


@pytest.mark.parametrize(("content", "expected"), PARTS.values(), ids=PARTS)
def test_content_of_parts(content: list[Any], expected: list[Event]) -> None:
    assert content_parts(2, content) == expected


def cited(url: str, title: str) -> Json:
    source = {"url": url, "title": title, "start_index": 0, "end_index": 0}
    return {"type": "url_citation", "url_citation": source}


CITED: dict[str, tuple[Json, list[Json]]] = {
    "none": ({}, []),
    "addresses": ({"citations": ["https://a"]}, [cited("https://a", "https://a")]),
    "results": (
        {"search_results": [{"url": "https://a", "title": "A"}, {"url": "https://b"}]},
        [cited("https://a", "A"), cited("https://b", "https://b")],
    ),
    "results come first": (
        {"citations": ["https://b"], "search_results": [{"url": "https://a", "title": "A"}]},
        [cited("https://a", "A")],
    ),
    "something else": ({"citations": {"a": 1}}, []),
    "sources without address": ({"citations": [1, None, {"title": "A"}]}, []),
}


@pytest.mark.parametrize(("chunk", "expected"), CITED.values(), ids=CITED)
def test_citations(chunk: Json, expected: list[Json]) -> None:
    assert list(citations(chunk)) == expected


@pytest.mark.parametrize(
    "said",
    [
        {"server_tool_use_details": {"web_search_requests": 3}},
        {"server_tool_use": {"web_search_requests": 3}},
        {"num_search_queries": 3},
    ],
)
def test_searches_of_the_web(said: Json) -> None:
    counts = {"prompt_tokens": 1, "completion_tokens": 2}
    expected = Usage(prompt_tokens=1, completion_tokens=2, web_searches=3)
    assert decode_usage(counts | said, Quirks()) == expected
