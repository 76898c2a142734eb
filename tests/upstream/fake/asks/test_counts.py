"""Requests to count: what is refused in them, and what they have inside."""

from typing import Any

import pytest

from proxy.upstream.fake.ask import Refused
from tests.upstream.fake.tasking import CONVERSE, HI, VERTEX, ask_of, invoked, post

Data = dict[str, Any]
COUNT = "/v1/messages/count_tokens"
INSIDE = "/model/a/b/count-tokens"
CLAUDE: Data = {"anthropic_version": "bedrock-2023-05-31", "messages": [HI]}


def test_what_is_counted() -> None:
    marked = [{"type": "text", "text": "a b", "cache_control": {"type": "ephemeral"}}]
    thinking = {"type": "enabled", "budget_tokens": 2048}
    body = {"model": "m", "messages": [HI], "system": marked, "thinking": thinking}
    asked = ask_of(post(COUNT, body, anthropic_version="x"))
    assert (asked.task, asked.model, asked.prompt_tokens, asked.marks) == ("count", "m", 4, ())
    inside = ask_of(post(INSIDE, {"input": {"converse": CONVERSE}}))
    assert (inside.task, inside.model, inside.prompt_tokens) == ("count", "a/b", 2)
    assert ask_of(post(INSIDE, invoked(CLAUDE | {"max_tokens": 9}))).model == "a/b"


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        (COUNT, {"model": "m", "messages": [HI], "max_tokens": 5}, "max_tokens: Extra inputs"),
        (COUNT, {"messages": [HI]}, "model: Field required"),
        (f"{VERTEX}/anthropic/models/count-tokens:rawPredict", CLAUDE, "model: Field required"),
        (INSIDE, {"input": {}}, "input is required"),
        (INSIDE, {"input": {"invokeModel": {"body": "{}"}}}, "not base64"),
        (INSIDE, {"input": {"invokeModel": {"body": "e30="}}}, "messages: Field required"),
    ],
)
def test_what_is_refused(path: str, body: Data, message: str) -> None:
    with pytest.raises(Refused, match=message):
        ask_of(post(path, body, anthropic_version="x"))
