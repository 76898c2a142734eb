"""What a prompt is guessed to have in tokens."""

import json
from typing import Any

import pytest

from proxy.dialects.messages.asked import decode_count
from proxy.pipeline.guess import count_tokens, prompt_tokens
from proxy.wire.request import Ask

TOOL = {"name": "look", "input_schema": {"type": "object"}}


def counted(*messages: Any, **more: Any) -> int:
    """What is told of a prompt in Anthropic's words."""
    body = {"model": "a/b", "max_tokens": 1, "messages": [*messages], **more}
    return count_tokens(decode_count(json.dumps(body).encode()))


def test_a_word_is_a_token_in_a_message() -> None:
    """The words of the format are no prompt."""
    assert counted({"role": "user", "content": "Once"}) == 1 + 4
    assert counted({"role": "user", "content": [{"type": "text", "text": "Once"}]}) == 1 + 4
    assert counted({"role": "user", "content": "Once"}, system="Upon a time") == 1 + 3 + 2 * 4


def test_tools_and_calls_are_a_part_of_it() -> None:
    use = {"type": "tool_use", "id": "t", "name": "look", "input": {"at": "x" * 4000}}
    said = {"role": "user", "content": "Once"}, {"role": "assistant", "content": [use]}
    result = {"type": "tool_result", "tool_use_id": "t", "content": "y" * 400}
    plain = counted(said[0])
    assert plain + 10 < counted(said[0], tools=[TOOL]) < plain + 50
    assert 1000 < counted(*said, tools=[TOOL]) < 1100
    told = counted(*said, {"role": "user", "content": [result]}, tools=[TOOL])
    assert told == counted(*said, tools=[TOOL]) + 100 + 4


@pytest.mark.parametrize("content", [None, "", [], [{"type": "image_url"}], [{"text": None}]])
def test_what_is_no_text_has_no_bytes(content: object) -> None:
    ask = Ask(models=("m",), body={"messages": [{"role": "user", "content": content}]})
    assert prompt_tokens(ask) == count_tokens(ask) == 4
    assert prompt_tokens(ask, 8) == 6


def test_attachments_are_a_thousand_each() -> None:
    ask = Ask(models=("m",), body={"messages": []}, media_prompt=2, audio_prompt=1)
    assert prompt_tokens(ask) == 3000
