"""A prompt is counted by the providers that count, in the words in which it would be sent."""

import json
from typing import Any

import pytest
from google.genai import types as genai

from proxy.dialects import outbound, tasks_of
from proxy.dialects.asking import Target
from proxy.dialects.count.outbound import decode_answer
from proxy.dialects.messages.asked import decode_count
from proxy.dialects.messages.seals import sealed
from proxy.errors import GatewayError
from proxy.providers import Provider, Quirks
from proxy.wire.events import Produced
from tests.recordings import index, load

Json = dict[str, Any]
HELLO: list[Json] = [{"role": "user", "content": "hello"}]
TOOLS = [{"name": "f", "input_schema": {"type": "object"}}]
REQUEST: Json = {
    "model": "a/b",
    "messages": HELLO,
    "system": "s",
    "tools": TOOLS,
    "max_tokens": 9,
    "temperature": 0.5,
    "metadata": {"user_id": "me"},
    "stop_sequences": ["a"],
}
PLACE = {"project": "p", "location": "eu", "region": "eu-north-1"}
BETA = [(b"anthropic-beta", b"one-1")]


def sent(dialect: str, model: str, **fields: Any) -> tuple[Json, Any, str]:
    """Body, headers and path of what is sent."""
    provider = Provider(
        slug="p", name="P", base_url="http://p.test", dialect=dialect, options=PLACE
    )
    headers = fields.pop("headers", BETA)
    ask = decode_count(json.dumps(REQUEST | fields).encode(), headers)
    row = outbound(provider, model, ask)
    target = Target(provider, model)
    encoded = row.encode_request(ask, target)
    return json.loads(encoded.body), encoded.headers, row.path(target, False)


def test_at_anthropic() -> None:
    body, headers, path = sent("anthropic", "claude-sonnet-4-5")
    assert body == {"model": "claude-sonnet-4-5", "messages": HELLO, "system": "s", "tools": TOOLS}
    assert headers == {"anthropic-version": "2023-06-01", "anthropic-beta": "one-1"}
    assert path == "/v1/messages/count_tokens"


def test_at_anthropic_with_thoughts_of_another() -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": sealed({})}
    said = [*HELLO, {"role": "assistant", "content": [thought, {"type": "text", "text": "x"}]}]
    body, _, _ = sent("anthropic", "claude-sonnet-4-5", messages=said)
    assert body["messages"][1]["content"] == [{"type": "text", "text": "x"}]
    assert body.keys() == {"model", "messages", "system", "tools"}


def test_at_vertex() -> None:
    body, _, path = sent("vertex", "claude-sonnet-4-5")
    assert body == {
        "anthropic_version": "vertex-2023-10-16",
        "anthropic_beta": ["one-1"],
        "model": "claude-sonnet-4-5",
        "messages": HELLO,
        "system": "s",
        "tools": TOOLS,
    }
    place = "/v1/projects/p/locations/eu/publishers"
    assert path == f"{place}/anthropic/models/count-tokens:rawPredict"
    assert "anthropic_beta" not in sent("vertex", "claude-sonnet-4-5", headers=[])[0]
    body, _, path = sent("vertex", "gemini-2.5-flash")
    assert path == f"{place}/google/models/gemini-2.5-flash:countTokens"
    assert body.keys() == {"contents", "systemInstruction", "tools", "generationConfig"}


def test_at_ai_studio() -> None:
    body, _, path = sent("gemini", "gemini-3-flash")
    assert path == "/v1beta/models/gemini-3-flash:countTokens"
    assert body.keys() == {"generateContentRequest"}
    asked = body["generateContentRequest"]
    assert asked["model"] == "models/gemini-3-flash"
    assert genai.Content.model_validate(asked["contents"][0]).role == "user"


def test_at_bedrock() -> None:
    body, _, path = sent("bedrock", "eu.anthropic.claude-sonnet-4-5-v1:0")
    assert path == "/model/anthropic.claude-sonnet-4-5-v1%3A0/count-tokens"
    assert body["input"].keys() == {"converse"}
    asked = body["input"]["converse"]
    known = {"messages", "system", "toolConfig", "additionalModelRequestFields"}
    assert {"messages", "system", "toolConfig"} <= asked.keys() <= known
    assert (
        sent("bedrock", "amazon.nova-pro-v1:0")[2] == "/model/amazon.nova-pro-v1%3A0/count-tokens"
    )


def test_everybody_else_is_estimated() -> None:
    provider = Provider(slug="p", name="P", base_url="http://p.test", dialect="cohere")
    assert "count" in tasks_of(provider)
    ask = decode_count(json.dumps(REQUEST).encode())
    with pytest.raises(GatewayError) as caught:
        outbound(provider, "command-a", ask)
    assert caught.value.kind == "provider_unfit"


def test_recorded_counts() -> None:
    count = 0
    for row in index():
        if row["api"] == "count_tokens" and row["status"] == 200:
            body = load(row).body
            said = json.loads(body)
            first = decode_answer(body, Quirks())[0]
            wanted = said.get("input_tokens") or said.get("totalTokens")
            assert first == Produced(0, {"input_tokens": wanted})
            count += 1
    assert count == 6


def test_a_count_of_nothing_is_one() -> None:
    assert decode_answer(b'{"inputTokens":0}', Quirks())[0] == Produced(0, {"input_tokens": 0})


@pytest.mark.parametrize("body", [b"{}", b'{"input_tokens":-1}', b'{"totalTokens":"7"}', b"no"])
def test_what_is_no_count(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        decode_answer(body, Quirks())
    assert caught.value.kind == "provider_malformed"
