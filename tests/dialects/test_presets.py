"""Which preset a request names, and the merge: the request wins, tools of both are offered."""

import contextlib
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.presets import (
    CONFIG_BYTES_MAX,
    Named,
    draft_of_chat,
    drafted,
    identity,
    in_chat,
    in_completion,
    merged,
    named,
    refuse_caching,
    united,
    without,
)
from proxy.errors import GatewayError

Json = dict[str, Any]
HELLO = [{"role": "user", "content": "hello"}]


def function(name: str, **more: Any) -> Json:
    return {"type": "function", "function": {"name": name, **more}}


def hosted(type_: str, name: str | None = None, **more: Any) -> Json:
    return {"type": type_, "parameters": {"name": name, **more} if name else more}


# Which one.


@pytest.mark.parametrize(
    ("fields", "found", "rest"),
    [
        ({"model": "@preset/one"}, Named("one", None), {}),
        ({"model": "a/b@preset/one"}, Named("one", "a/b"), {"model": "a/b"}),
        ({"model": "a/b:nitro@preset/one"}, Named("one", "a/b:nitro"), {"model": "a/b:nitro"}),
        ({"preset": "one"}, Named("one", None), {}),
        ({"preset": "one", "model": "a/b"}, Named("one", "a/b"), {"model": "a/b"}),
        ({"preset": "one", "model": "@preset/one"}, Named("one", None), {}),
        ({"preset": None, "model": "@preset/one", "n": 1}, Named("one", None), {"n": 1}),
    ],
)
def test_a_preset_is_named_in_model_or_in_preset(fields: Json, found: Named, rest: Json) -> None:
    assert named(fields) == found
    assert without(fields, found) == rest


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"model": "a/b"}, {"model": "a/b", "preset": None}, {"model": 7}, {"model": "preset/x"},
        {"models": 7}, {"models": ["a", 7]},
    ],
)  # fmt: skip
def test_most_requests_name_none(fields: Json) -> None:
    assert named(fields) is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"preset": ""}, "preset: expected the name of a preset"),
        ({"preset": 7}, "preset: expected the name of a preset"),
        ({"model": "@preset/"}, "model: expected the name of a preset"),
        ({"model": "@preset/one", "preset": "two"}, "preset: another one than that of model"),
        ({"models": ["a/b", "@preset/one"]}, "models[1]: must not be a preset"),
    ],
)
def test_what_can_not_be_a_preset_is_refused(fields: Json, words: str) -> None:
    with pytest.raises(GatewayError) as refused:
        named(fields)
    assert (refused.value.kind, refused.value.message) == ("invalid_request", words)


# The merge.

VALUES = st.recursive(
    st.integers(0, 9) | st.text(max_size=3) | st.booleans(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=4,
)
NAMES = st.sampled_from(["model", "provider", "temperature", "stop", "seed", "plugins", "x"])
FIELDS = st.dictionaries(NAMES, st.none() | VALUES, max_size=5)
CONFIGS = st.dictionaries(NAMES, VALUES, max_size=5)
TOOLS = st.lists(
    st.one_of(
        st.builds(function, st.sampled_from("abc"), description=st.sampled_from("xy")),
        st.builds(
            hosted,
            st.sampled_from(["openrouter:advisor", "openrouter:subagent", "openrouter:web_search"]),
            st.none() | st.sampled_from("abc"),
            model=st.sampled_from("xy"),
        ),
    ),
    max_size=5,
)


def test_who_wants_no_logprobs_gets_none_of_the_preset_s() -> None:
    config = {"logprobs": True, "top_logprobs": 5}
    assert merged({"logprobs": False}, config) == {"logprobs": False}
    assert merged({"top_logprobs": 2}, config) == {"logprobs": True, "top_logprobs": 2}


@given(fields=FIELDS, config=CONFIGS)
def test_presets_are_merged_shallowly_and_the_request_wins(fields: Json, config: Json) -> None:
    whole = merged(fields, config)
    for name, value in fields.items():
        if value is not None:
            assert whole[name] == value
    for name, value in config.items():
        if fields.get(name) is None:
            assert whole[name] == value
    assert whole.keys() == fields.keys() | config.keys()
    assert merged(whole, config) == whole


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("max_tokens", "max_completion_tokens"),
        ("max_completion_tokens", "max_tokens"),
        ("reasoning", "reasoning_effort"),
        ("speed", "service_tier"),
        ("fallbacks", "models"),
    ],
)
def test_the_request_wins_by_another_word_for_the_same_too(said: str, kept: str) -> None:
    assert merged({said: "mine"}, {kept: "its"}) == {said: "mine"}
    assert merged({said: None}, {kept: "its"}) == {said: None, kept: "its"}


@given(tools=TOOLS, more=TOOLS)
def test_the_tools_of_a_preset_are_united_by_identity(tools: list[Json], more: list[Json]) -> None:
    whole = merged({"tools": tools}, {"tools": more})["tools"]
    assert whole[: len(tools)] == tools
    assert {identity(tool) for tool in whole} == {identity(tool) for tool in [*tools, *more]}
    taken = {identity(tool) for tool in tools}
    assert all(identity(tool) not in taken for tool in whole[len(tools) :])
    assert united(whole, more) == whole


@pytest.mark.parametrize(
    ("tool", "same"),
    [
        (function("f"), ("function", "f")),
        ({"function": {"name": "f"}}, ("function", "f")),
        ({"type": "custom", "name": "f"}, ("function", "f")),
        ({"name": "f", "input_schema": {}}, ("function", "f")),
        (hosted("openrouter:advisor", " reviewer "), ("openrouter:advisor", "reviewer")),
        (hosted("openrouter:advisor"), ("openrouter:advisor", "")),
        (hosted("openrouter:subagent", "a"), ("openrouter:subagent", "a")),
        ({"type": "openrouter:subagent", "name": "a"}, ("openrouter:subagent", "a")),
        (hosted("openrouter:web_search", "a"), ("openrouter:web_search", "")),
        ({"type": "bash_20250124", "name": "bash"}, ("bash_20250124", "")),
    ],
)
def test_a_tool_is_the_same_by_a_function_s_name_an_advisor_s_name_or_its_type(
    tool: Json, same: tuple[str, str]
) -> None:
    assert identity(tool) == same


def test_what_is_no_list_of_tools_is_left_to_whoever_checks_it() -> None:
    assert merged({"tools": "all"}, {"tools": [function("f")]}) == {"tools": "all"}


# In a chat.


def test_a_system_prompt_comes_first() -> None:
    whole = in_chat({"messages": HELLO}, {"seed": 1}, "Be kind.")
    assert whole == {"seed": 1, "messages": [{"role": "system", "content": "Be kind."}, *HELLO]}
    asked = in_chat({"prompt": "hello"}, {}, "Be kind.")
    assert asked["messages"] == [{"role": "system", "content": "Be kind."}, *HELLO]


@pytest.mark.parametrize("role", ["system", "developer"])
def test_the_system_prompt_of_a_request_wins(role: str) -> None:
    messages = [{"role": role, "content": "Be brief."}, *HELLO]
    assert in_chat({"messages": messages}, {}, "Be kind.") == {"messages": messages}


@pytest.mark.parametrize("fields", [{}, {"messages": "hello"}, {"prompt": ["hello"]}])
def test_what_is_no_conversation_gets_no_system_prompt(fields: Json) -> None:
    assert in_chat(fields, {}, "Be kind.") == fields


def test_without_a_system_prompt_messages_stay() -> None:
    assert in_chat({"messages": HELLO}, {}, None) == {"messages": HELLO}


def test_a_text_completion_takes_what_it_has_words_for() -> None:
    config = {"seed": 1, "max_completion_tokens": 5, "logprobs": True, "top_logprobs": 2}
    told = {"prompt": "a", "seed": 1, "max_tokens": 5, "logprobs": 2}
    assert in_completion({"prompt": "a"}, config, None) == told
    own = {"prompt": "a", "max_tokens": 9}
    assert in_completion(own, {"max_completion_tokens": 5}, None) == own
    assert in_completion({"prompt": "a"}, {"logprobs": True}, None)["logprobs"] == 0


@pytest.mark.parametrize(
    ("config", "system", "what"),
    [({}, "Be kind.", "system_prompt"), ({"tools": [{}]}, None, "tools")],
)
def test_a_text_completion_has_no_place_for_the_rest(
    config: Json, system: str | None, what: str
) -> None:
    with pytest.raises(GatewayError, match=f"preset.{what}: not supported by text") as refused:
        in_completion({"prompt": "a"}, config, system)
    assert refused.value.kind == "not_supported"


@pytest.mark.parametrize("headers", [[], [(b"x-openrouter-cache", b"yes")]])
def test_a_preset_that_caches_answers_is_refused_where_it_is_used(
    headers: list[tuple[bytes, bytes]],
) -> None:
    with pytest.raises(GatewayError) as refused:
        refuse_caching({"cache_enabled": True}, headers)
    assert (refused.value.kind, refused.value.status) == ("not_supported", 400)
    assert refused.value.message == "preset.cache_enabled: not supported yet"


@pytest.mark.parametrize(
    ("config", "headers"),
    [
        ({"cache_enabled": True}, [(b"X-OpenRouter-Cache", b" False")]),
        ({"cache_enabled": False}, []),
        ({"cache_ttl_seconds": 60}, []),
    ],
)
def test_what_caches_nothing_is_not(config: Json, headers: list[tuple[bytes, bytes]]) -> None:
    refuse_caching(config, headers)


# What is kept.


def test_a_preset_keeps_settings_and_the_system_prompt_and_nothing_else() -> None:
    kept = {
        "model": "a/b", "models": ["c/d"], "temperature": 0.5, "provider": {"order": ["x"]},
        "tools": [function("f")], "reasoning": {"effort": "low"}, "cache_enabled": True,
        "cache_ttl_seconds": 60, "plugins": [{"id": "web"}], "route": "fallback",
    }  # fmt: skip
    system: list[Json] = [{"role": "system", "content": "Be kind."}]
    parts = [{"type": "text", "text": "Be"}, {"type": "text", "text": "brief."}]
    system += [{"role": "developer", "content": parts}]
    other = {"stream": True, "user": "u", "metadata": {}, "session_id": "s", "prompt": "p", "n": 2}
    ignored = {"seed": None, "preset": "old", "unheard_of": 1}
    messages = [*system, *HELLO, {"role": "system", "content": "Later."}]
    draft = draft_of_chat({"messages": messages, **kept, **other, **ignored})
    assert orjson.loads(draft.config) == kept
    assert draft.system_prompt == "Be kind.\n\nBe\n\nbrief."


def test_a_preset_may_have_no_system_prompt() -> None:
    assert draft_of_chat({"messages": HELLO}).system_prompt is None
    assert draft_of_chat({"messages": [{"role": "system", "content": ""}]}).system_prompt is None
    assert draft_of_chat({}).config == b"{}"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"temperature": "hot"}, "temperature: "),
        ({"temperature": 3}, "temperature: must be between"),
        ({"tools": [7]}, r"tools\[0\]"),
        ({"provider": {"order": 7}}, "provider.order"),
        ({"service_tier": "premium"}, "service_tier: expected one of"),
        ({"cache_enabled": "yes"}, "cache_enabled, cache_ttl_seconds: expected"),
        ({"cache_ttl_seconds": "60abc"}, "cache_enabled, cache_ttl_seconds: expected"),
        ({"model": "@preset/other"}, "model: a preset can not name a preset"),
        ({"models": ["a/b@preset/other"]}, "model: a preset can not name a preset"),
        ({"stop": "x" * CONFIG_BYTES_MAX}, "at most 65536 bytes"),
    ],
)
def test_a_preset_that_no_request_could_use_is_refused(fields: Json, words: str) -> None:
    with pytest.raises(GatewayError, match=words) as refused:
        drafted(fields, None)
    assert refused.value.kind == "invalid_request"


@given(fields=st.dictionaries(NAMES | st.text(max_size=3), st.none() | VALUES))
def test_whatever_is_to_be_kept_is_kept_or_refused(fields: Json) -> None:
    with contextlib.suppress(GatewayError):
        assert orjson.loads(draft_of_chat(fields).config).items() <= fields.items()
