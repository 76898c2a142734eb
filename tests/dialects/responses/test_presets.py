"""Presets in the words of Responses: what one keeps of a request, and what it says in another."""

from typing import Any

import orjson
import pytest

from proxy.dialects.presets import drafted
from proxy.dialects.responses.asked import decode_request
from proxy.dialects.responses.presets import draft_of_responses, in_responses
from proxy.errors import GatewayError

Json = dict[str, Any]
SCHEMA = {"type": "object", "properties": {}}
FUNCTION = {"type": "function", "name": "f", "parameters": SCHEMA, "strict": True}
NESTED = {"type": "function", "function": {"name": "f", "parameters": SCHEMA, "strict": True}}
SEARCH = {"type": "web_search"}
SAID: Json = {"name": "n", "schema": {}}


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"model": "a/b", "seed": 1, "stop": "x"}, {"model": "a/b"}),
        ({"max_completion_tokens": 5, "max_tokens": 6}, {"max_output_tokens": 5}),
        ({"max_tokens": 6}, {"max_output_tokens": 6}),
        ({"reasoning_effort": "low"}, {"reasoning": {"effort": "low"}}),
        (
            {"reasoning": {"effort": "high"}, "reasoning_effort": "high"},
            {"reasoning": {"effort": "high"}},
        ),
        ({"tools": [NESTED]}, {"tools": [FUNCTION]}),
        ({"tools": [SEARCH], "tool_choice": "auto"}, {"tools": [SEARCH], "tool_choice": "auto"}),
        (
            {"tools": [NESTED], "tool_choice": {"type": "function", "function": {"name": "f"}}},
            {"tools": [FUNCTION], "tool_choice": {"type": "function", "name": "f"}},
        ),
        ({"response_format": {}}, {}),
        ({"verbosity": "low"}, {"text": {"verbosity": "low"}}),
        (
            {"response_format": {"type": "json_schema", "json_schema": SAID}},
            {"text": {"format": {"type": "json_schema", "name": "n", "schema": {}}}},
        ),
        (
            {"response_format": {"type": "json_object"}},
            {"text": {"format": {"type": "json_object"}}},
        ),
    ],
)
def test_a_preset_speaks_the_words_of_responses(config: Json, told: Json) -> None:
    whole = in_responses({"input": "hello"}, config, None)
    assert whole == {"input": "hello", **told}
    decode_request(orjson.dumps({"model": "a/b", **whole}))  # who reads it understands it


@pytest.mark.parametrize(
    ("fields", "instructions"),
    [
        ({"input": "hello"}, "Be kind."),
        ({"input": [{"role": "user", "content": "hello"}], "instructions": None}, "Be kind."),
        ({"input": "hello", "instructions": "Be brief."}, "Be brief."),
        ({"input": [{"role": "developer", "content": "Be brief."}]}, None),
    ],
)
def test_the_instructions_are_the_preset_s_where_there_are_none(
    fields: Json, instructions: str | None
) -> None:
    assert in_responses(fields, {}, "Be kind.").get("instructions") == instructions


def test_the_request_wins() -> None:
    mine = FUNCTION | {"description": "mine"}
    other = {"type": "function", "function": {"name": "g"}}
    fields = {"input": "hello", "max_output_tokens": 9, "tools": [mine, SEARCH]}
    config = {"max_tokens": 1, "tools": [SEARCH, NESTED, other], "top_k": 3}
    whole = in_responses(fields, config, None)
    united = [mine, SEARCH, {"type": "function", "name": "g"}]
    assert whole == fields | {"top_k": 3, "tools": united}


def test_a_preset_of_a_request_is_kept_in_the_words_of_a_chat() -> None:
    schema = {"type": "json_schema", "name": "n", "schema": {}}
    fields = {
        "model": "a/b", "input": "hello", "instructions": "Be kind.", "stream": True,
        "max_output_tokens": 9, "tools": [FUNCTION, SEARCH], "reasoning": {"effort": "low"},
        "tool_choice": {"type": "function", "name": "f"}, "store": False, "include": [],
        "text": {"format": {**schema, "strict": None}, "verbosity": "low"}, "stop": ["nothing"],
        "previous_response_id": "resp_1", "metadata": {"a": "b"}, "cache_enabled": False,
    }  # fmt: skip
    draft = draft_of_responses(fields)
    config = orjson.loads(draft.config)
    assert draft.system_prompt == "Be kind."
    assert config == {
        "model": "a/b", "max_tokens": 9, "tools": [NESTED, SEARCH], "reasoning": {"effort": "low"},
        "tool_choice": {"type": "function", "function": {"name": "f"}}, "verbosity": "low",
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}},
        "cache_enabled": False,
    }  # fmt: skip
    used = in_responses({"input": "hello"}, config, draft.system_prompt)
    assert used["text"] == {"format": schema, "verbosity": "low"}
    for name in ("model", "max_output_tokens", "tools", "tool_choice", "reasoning", "instructions"):
        assert used[name] == fields[name]


def test_what_has_the_form_of_a_chat_stays() -> None:
    draft = draft_of_responses({"tools": [NESTED], "text": {"format": {"type": "text"}}})
    assert draft == drafted({"tools": [NESTED], "response_format": {"type": "text"}}, None)


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"tools": [7]}, r"tools\[0\]"), ({"tools": 7}, "tools"), ({"top_p": 7}, "top_p")],
)
def test_a_wrong_field_is_named(fields: Json, words: str) -> None:
    with pytest.raises(GatewayError, match=words):
        draft_of_responses(fields)
