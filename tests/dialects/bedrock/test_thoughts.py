"""How much to think, and what that leaves of the sampling parameters."""

from typing import Any

import pytest

from proxy.dialects.asking import Target
from proxy.dialects.bedrock.families import family_of
from proxy.dialects.bedrock.thoughts import Thought, encode_thinking
from proxy.errors import GatewayError
from proxy.providers import Provider
from proxy.wire.request import Ask, Thinking

Json = dict[str, Any]

PROVIDER = Provider(slug="amazon-bedrock", name="Amazon Bedrock", base_url="http://127.0.0.1:1")
SONNET_45 = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
OPUS_46 = "us.anthropic.claude-opus-4-6-v1"
OPUS_47 = "us.anthropic.claude-opus-4-7"
HAIKU_3 = "anthropic.claude-3-haiku-20240307-v1:0"
NOVA = "amazon.nova-lite-v1:0"
NOVA_2 = "us.amazon.nova-2-lite-v1:0"
OSS = "openai.gpt-oss-120b-1:0"
MISTRAL = "mistral.mistral-large-2407-v1:0"
LLAMA = "us.meta.llama4-scout-17b-instruct-v1:0"
SAMPLING = {"temperature": 1.5, "top_p": 0.9, "top_k": 5}
WARM = {"temperature": 1, "topP": 0.9}
ADAPTIVE = {"type": "adaptive", "display": "summarized"}
HIGH = {"effort": "high"}


def encode(
    model: str,
    said: Json,
    wish: Json | None = None,
    *,
    limit: int | None = None,
    most: int | None = None,
    forced: bool = False,
    turns: list[Json] | None = None,
) -> Thought:
    thinking = None
    if wish is not None:
        thinking = Thinking(wish=wish, effort=wish.get("effort"), max_tokens=wish.get("max_tokens"))
    ask = Ask(models=("m",), body=said, max_tokens=limit, thinking=thinking)
    target = Target(PROVIDER, model, most)
    return encode_thinking(ask, family_of(model), target, turns or [], forced=forced)


def budget(tokens: int) -> Json:
    return {"thinking": {"type": "enabled", "budget_tokens": tokens}}


TABLE: list[tuple[str, Json, Json | None, Json, Json, Json]] = [
    (LLAMA, {}, None, {}, {}, {}),
    (LLAMA, SAMPLING, HIGH, WARM, {}, {}),
    (LLAMA, {"top_k": 0, "temperature": 0}, None, {"temperature": 0}, {}, {}),
    (MISTRAL, SAMPLING, None, WARM, {"top_k": 5}, {}),
    (NOVA, SAMPLING, HIGH, WARM, {"inferenceConfig": {"topK": 5}}, {}),
    (OSS, SAMPLING, HIGH, WARM, {"reasoning_effort": "high"}, {}),
    (OSS, {"reasoning_effort": "minimal"}, None, {}, {"reasoning_effort": "low"}, {}),
    (OSS, {}, {"max_tokens": 2000}, {}, {"reasoning_effort": "medium"}, {}),
    (NOVA_2, {}, {"effort": "none"}, {}, {}, {}),
    (NOVA_2, SAMPLING, HIGH, {},
     {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}, {}),
    (NOVA_2, SAMPLING, {"effort": "low"}, WARM,
     {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"},
      "inferenceConfig": {"topK": 5}}, {}),
    (HAIKU_3, SAMPLING, HIGH, WARM, {"top_k": 5}, {}),
    (SONNET_45, SAMPLING, None, {"temperature": 1}, {"top_k": 5}, {}),
    (SONNET_45, SAMPLING, HIGH, {"maxTokens": 64_000}, budget(51_200), {}),
    (SONNET_45, {"reasoning_effort": "low"}, None, {"maxTokens": 64_000}, budget(12_800), {}),
    (SONNET_45, {}, {"max_tokens": 2000}, {"maxTokens": 64_000}, budget(2000), {}),
    (SONNET_45, {}, {"effort": "none"}, {}, {}, {}),
    (SONNET_45, {"thinking": budget(1500)["thinking"]}, HIGH, {"maxTokens": 64_000},
     budget(1500), {}),
    (OPUS_46, {}, {"max_tokens": 2000}, {"maxTokens": 128_000}, budget(2000), {}),
    (OPUS_46, {}, HIGH, {}, {"thinking": ADAPTIVE}, {"effort": "high"}),
    (OPUS_47, SAMPLING, HIGH, {}, {"thinking": ADAPTIVE}, {"effort": "high"}),
    (OPUS_47, {"verbosity": "low"}, None, {}, {}, {"effort": "low"}),
]  # fmt: skip


@pytest.mark.parametrize(("model", "said", "wish", "config", "own", "output"), TABLE, ids=str)
def test_thinking(
    model: str, said: Json, wish: Json | None, config: Json, own: Json, output: Json
) -> None:
    assert encode(model, said, wish) == Thought(config, own, output)


@pytest.mark.parametrize("model", [OSS, "us.anthropic.claude-fable-5-v1:0"])
def test_what_always_thinks_can_not_be_told_not_to(model: str) -> None:
    with pytest.raises(GatewayError, match="reasoning: is mandatory for this model"):
        encode(model, {}, {"effort": "none"})
    with pytest.raises(GatewayError, match="reasoning: is mandatory for this model"):
        encode(model, {"reasoning_effort": "none"})


@pytest.mark.parametrize(
    ("limit", "most", "sent"),
    [(None, 500, None), (100, None, 100), (100, 500, 100), (1000, 500, 500)],
)
def test_the_limit(limit: int | None, most: int | None, sent: int | None) -> None:
    wanted = {} if sent is None else {"maxTokens": sent}
    assert encode(LLAMA, {}, limit=limit, most=most).config == wanted


def test_a_limit_leaves_room_for_the_answer() -> None:
    config, own, _ = encode(SONNET_45, {}, HIGH, limit=10_000)
    assert (config, own) == ({"maxTokens": 10_000}, budget(8000))
    assert encode(SONNET_45, {}, HIGH, limit=500) == Thought({"maxTokens": 500}, {}, {})
    assert encode(NOVA_2, {}, HIGH, limit=500) == Thought(
        {"maxTokens": 500},
        {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"}},
        {},
    )


def test_what_has_to_call_does_not_think() -> None:
    assert encode(SONNET_45, {}, HIGH, forced=True) == Thought({}, {}, {})


def turn(role: str, *kinds: str) -> Json:
    return {"role": role, "content": [{kind: {}} for kind in kinds]}


USER, ANSWER, CALL = turn("user", "text"), turn("assistant", "text"), turn("assistant", "toolUse")
RESULT, THOUGHT = turn("user", "toolResult"), turn("assistant", "reasoningContent", "toolUse")


@pytest.mark.parametrize(
    ("turns", "thinks"),
    [
        ([USER], True),
        ([USER, ANSWER, USER], True),
        ([USER, CALL, RESULT, ANSWER, USER], True),
        ([USER, THOUGHT, RESULT], True),
        ([USER, CALL, RESULT], False),
        ([USER, ANSWER], False),
    ],
)
def test_a_turn_that_goes_on_without_thoughts(turns: list[Json], thinks: bool) -> None:
    """Calls of another provider's answer have no thoughts before them."""
    assert bool(encode(SONNET_45, {}, HIGH, turns=turns).own) is thinks
    own = encode(OPUS_46, {}, {"max_tokens": 2000}, turns=turns).own
    assert own == (budget(2000) if thinks else {"thinking": ADAPTIVE})
