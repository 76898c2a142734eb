"""Which tools a request asks its provider to run, in the words of every format."""

import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects import INBOUND, OUTBOUND, hosted
from proxy.dialects.hosted import NONE, Hosted, hosted_in
from proxy.providers import Provider, Quirks, known
from proxy.wire.events import UsageReport
from proxy.wire.request import Ask
from tests.recordings import index, load

Json = dict[str, Any]

FUNCTION: Json = {"name": "f", "description": "d", "parameters": {"type": "object"}}
TALK: Json = {"messages": [{"role": "user", "content": "hi"}]}

TOOLS: list[tuple[str, Json, str | None]] = [
    ("chat", {"type": "function", "function": FUNCTION}, None),
    ("chat", {"function": FUNCTION}, None),
    ("chat", {"type": "custom", "custom": {"name": "f"}}, None),
    ("chat", {}, None),
    ("chat", {"google_search": {}}, "web_search"),
    ("chat", {"googleSearchRetrieval": {}}, "web_search"),
    ("chat", {"type": "google_search"}, "web_search"),
    ("chat", {"enterprise_web_search": {}}, "enterprise_web_search"),
    ("chat", {"google_maps": {}}, "google_maps"),
    ("chat", {"urlContext": {}}, "web_fetch"),
    ("chat", {"codeExecution": {}}, "code_execution"),
    ("chat", {"computerUse": {}}, None),
    ("chat", {"type": "browser_search"}, "web_search"),
    ("chat", {"type": "a b\n"}, "unknown"),
    ("chat", {"type": "builtin_function", "function": {"name": "$web_search"}}, "builtin_function"),
    ("messages", {"name": "f", "input_schema": {"type": "object"}}, None),
    ("messages", {"type": "custom", "name": "f", "input_schema": {"type": "object"}}, None),
    ("messages", {"type": "web_search_20250305", "name": "web_search"}, "web_search"),
    ("messages", {"type": "web_search_20260318", "name": "web_search"}, "web_search"),
    ("messages", {"type": "web_fetch_20260309", "name": "web_fetch"}, "web_fetch"),
    ("messages", {"type": "code_execution_20250825", "name": "c"}, "code_execution"),
    ("messages", {"type": "advisor_20260301", "name": "advisor"}, "advisor"),
    ("messages", {"type": "tool_search_tool_bm25_20251119", "name": "t"}, "tool_search"),
    ("messages", {"type": "mcp_toolset", "mcp_server_name": "m"}, "mcp"),
    ("messages", {"type": "bash_20250124", "name": "bash"}, None),
    ("messages", {"type": "text_editor_20250728", "name": "e"}, None),
    ("messages", {"type": "computer_20251124", "name": "computer"}, None),
    ("messages", {"type": "computer_toolset_20260801", "name": "c"}, None),
    ("messages", {"type": "memory_20250818", "name": "memory"}, None),
    ("messages", {"type": "oracle_20300101", "name": "o"}, "oracle_20300101"),
    ("responses", {"type": "function", **FUNCTION}, None),
    ("responses", {"type": "custom", "name": "f"}, None),
    ("responses", {"type": "namespace", "name": "n", "tools": [{"type": "function"}]}, None),
    ("responses", {"type": "namespace", "name": "n", "tools": [{"type": "mcp"}]}, "mcp"),
    ("responses", {"type": "web_search"}, "web_search"),
    ("responses", {"type": "web_search_preview_2025_03_11"}, "web_search"),
    ("responses", {"type": "x_search"}, "web_search"),
    ("responses", {"type": "code_interpreter", "container": {"type": "auto"}}, "code_execution"),
    ("responses", {"type": "image_generation"}, "image_generation"),
    ("responses", {"type": "mcp", "server_label": "m"}, "mcp"),
    ("responses", {"type": "tool_search"}, "tool_search"),
    ("responses", {"type": "computer_use_preview"}, None),
    ("responses", {"type": "computer"}, None),
    ("responses", {"type": "local_shell"}, None),
    ("responses", {"type": "apply_patch"}, None),
    ("responses", {"type": "shell"}, None),
    ("responses", {"type": "shell", "environment": {"type": "local"}}, None),
    ("responses", {"type": "shell", "environment": {"type": "container_auto"}}, "shell"),
]


def ask_of(words: str, **fields: Any) -> Ask:
    said: Json = {"model": "m", "input": "hi"} if words == "responses" else {"model": "m", **TALK}
    said |= {"max_tokens": 9} if words == "messages" else {}
    return INBOUND[words].decode_request(orjson.dumps(said | fields), ())


@pytest.mark.parametrize(("words", "tool", "name"), TOOLS)
def test_who_runs_a_tool(words: str, tool: Json, name: str | None) -> None:
    ask = ask_of(words, tools=[tool])
    assert ask.hosted == ({name} if name else set())
    assert (ask.searches, ask.names) == (None, None)


@pytest.mark.parametrize(
    ("words", "fields", "expected"),
    [
        ("chat", {"web_search_options": {}}, Hosted(frozenset(("web_search",)))),
        ("chat", {"web_search_options": None}, NONE),
        ("chat", {"enable_search": False}, NONE),
        ("chat", {"search_parameters": {"mode": "on"}}, Hosted(frozenset(("web_search",)))),
        ("messages", {"mcp_servers": []}, NONE),
        ("messages", {"mcp_servers": [{"url": "https://a.test"}]}, Hosted(frozenset(("mcp",)))),
        ("messages", {"container": {"skills": []}}, NONE),
        ("messages", {"container": {"skills": [{"type": "anthropic"}]}}, NONE),
    ],
)
def test_fields_that_ask_for_tools(words: str, fields: Json, expected: Hosted) -> None:
    ask = ask_of(words, **fields)
    assert Hosted(ask.hosted, ask.searches, ask.names) == expected


@pytest.mark.parametrize(
    ("words", "fields", "searches"),
    [
        ("messages", {"tools": [{"type": "web_search_20250305", "max_uses": 3}]}, 3),
        ("messages", {"tools": [{"type": "web_search_20250305", "max_uses": -3}]}, None),
        (
            "messages",
            {"tools": [{"type": "web_search_2", "max_uses": 3}, {"type": "web_search_1"}]},
            None,
        ),
        (
            "chat",
            {"tools": [{"type": "web_search", "max_uses": 2}], "web_search_options": {}},
            None,
        ),
        ("chat", {"tools": [{"type": "web_search"}], "max_tool_calls": 4}, None),
        ("responses", {"tools": [{"type": "web_search"}], "max_tool_calls": 4}, 4),
        ("responses", {"tools": [{"type": "web_search", "max_uses": 9}], "max_tool_calls": 4}, 4),
    ],
)
def test_how_many_searches_a_caller_allows(words: str, fields: Json, searches: int | None) -> None:
    assert ask_of(words, **fields).searches == searches


@pytest.mark.parametrize(
    ("words", "fields", "named"),
    [
        ("responses", {"tools": [{"type": "file_search"}]}, "tools[0]"),
        ("chat", {"tools": [{"type": "x"}, {"retrieval": {}}]}, "tools[1]"),
        (
            "responses",
            {"tools": [{"type": "code_interpreter", "container": "cntr_1"}]},
            "tools[0].container",
        ),
        (
            "responses",
            {"tools": [{"type": "code_interpreter", "container": {"file_ids": ["f"]}}]},
            "tools[0].file_ids",
        ),
        (
            "responses",
            {"tools": [{"type": "image_generation", "input_image_mask": {"file_id": "f"}}]},
            "tools[0].file_id",
        ),
        (
            "responses",
            {"tools": [{"type": "shell", "environment": {"type": "x", "container_id": "c"}}]},
            "tools[0].container_id",
        ),
        ("chat", {"tools": [{"type": "x", "a": [{"vector_store_ids": ["v"]}]}]},
         "tools[0].vector_store_ids"),
        ("chat", {"tools": [{"type": "x", "vector_store_ids": []}]}, None),
        ("messages", {"container": "container_1"}, "container"),
        ("messages", {"container": {"id": "container_1"}}, "container"),
        ("messages", {"container": {"skills": [{"type": "custom"}]}}, "container"),
        (
            "chat",
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": {
                "type": "object", "properties": {"file_id": {"type": "string"}}}}}]},
            None,
        ),
    ],
)  # fmt: skip
def test_what_is_the_operators(words: str, fields: Json, named: str | None) -> None:
    assert ask_of(words, **fields).names == named


def test_tools_that_were_searched_for_are_the_providers_too() -> None:
    found = {"type": "tool_search_output", "call_id": "c", "tools": [{"type": "web_search"}]}
    ask = ask_of("responses", input=[found, {"role": "user", "content": "hi"}])
    assert ask.hosted == {"web_search"}


def test_counting_a_prompt_runs_nothing() -> None:
    body = {"model": "m", **TALK, "tools": [{"type": "web_search_20250305", "name": "w"}]}
    ask = INBOUND["count"].decode_request(orjson.dumps(body | {"max_tokens": 1}), ())
    assert ask.hosted == frozenset()


WEB = {"type": "web_search_20250305", "name": "web_search"}


@pytest.mark.parametrize(
    ("slug", "model", "words", "fields", "expected"),
    [
        ("anthropic", "claude-sonnet-5", "messages", {"tools": [WEB]}, {"web_search"}),
        ("anthropic", "claude-sonnet-5", "chat", {"tools": [WEB]}, {"web_search"}),
        ("openai", "gpt-5", "messages", {"tools": [WEB]}, set()),
        ("openai", "gpt-5", "messages", {"tools": [{"type": "google_search"}]}, {"web_search"}),
        ("openai", "gpt-5", "responses", {"tools": [{"type": "web_search"}]}, {"web_search"}),
        ("anthropic", "claude", "responses", {"tools": [{"type": "web_search"}]}, set()),
        ("groq", "llama", "responses", {"tools": [{"type": "web_search"}]}, set()),
        (
            "google-ai-studio",
            "gemini-3",
            "chat",
            {"tools": [{"google_search": {}}]},
            {"web_search"},
        ),
        ("openai", "gpt-5-search-api", "chat", {}, {"web_search"}),
        ("openai", "gpt-5", "chat", {}, set()),
        ("perplexity", "sonar-pro", "chat", {}, {"web_search"}),
        ("groq", "groq/compound-mini", "chat", {}, {"code_execution", "web_search"}),
    ],
)
def test_what_a_provider_is_told_of(
    slug: str, model: str, words: str, fields: Json, expected: set[str]
) -> None:
    assert hosted(known()[slug], model, ask_of(words, **fields)) == expected


def test_who_can_not_be_asked_runs_nothing() -> None:
    ask = Ask(models=("m",), body={}, task="rerank", hosted=frozenset(("web_search",)))
    provider = Provider(slug="p", name="P", base_url="https://p.test", tasks=())
    assert hosted(provider, "m", ask) == frozenset()


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ("type", "name", "tools", "container", "environment", "max_uses", "file_id")
            )
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(VALUES, VALUES)
def test_nothing_that_a_caller_writes_is_too_odd(tools: Any, container: Any) -> None:
    found = hosted_in({"tools": tools, "container": container})
    assert all(name.isprintable() and len(name) <= 64 for name in found.tools)


@pytest.mark.wire
@pytest.mark.parametrize(
    ("dialect", "api", "pattern"),
    [
        ("anthropic", "messages", rb'"web_search_requests":\s*(\d+)'),
        ("responses", "responses", rb'"num_requests":\s*(\d+)|"(?:web|x)_search_calls":\s*(\d+)'),
        ("openai", "chat", rb'"web_search_requests":\s*(\d+)'),
    ],
)
def test_recorded_searches_are_counted(dialect: str, api: str, pattern: bytes) -> None:
    """As often as the provider says, by the plainest reading of its bytes."""
    found = 0
    for row in index():
        if row["api"] != api:
            continue
        recording = load(row)
        told = [int(a or b[0]) for a, *b in re.findall(pattern + b"()", recording.body)]
        if recording.status != 200 or not any(told):
            continue
        outbound, quirks = OUTBOUND[dialect], Quirks()
        whole = recording.body.lstrip().startswith(b"{")
        if whole:
            events = outbound.decode_answer(recording.body, quirks)
        else:
            events = list(outbound.decoder(quirks).feed(recording.body))
        reports = [one.usage for one in events if isinstance(one, UsageReport)]
        assert reports[-1].web_searches == max(told), row["dir"]
        found += 1
    assert found > 0
