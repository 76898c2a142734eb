"""Whose a model is, by its id or its ARN."""

import pytest

from proxy.dialects.bedrock.families import family_of

ARN = "arn:aws:bedrock:us-east-1:000000000000:inference-profile/"
TABLE = [
    ("anthropic.claude-3-sonnet-20240229-v1:0", "claude", False, False),
    ("anthropic.claude-v2", "claude", False, False),
    ("us.anthropic.claude-3-5-haiku-20241022-v1:0", "claude", True, False),
    ("us.anthropic.claude-3-7-sonnet-20250219-v1:0", "claude", True, False),
    ("us.anthropic.claude-sonnet-4-20250514-v1:0", "claude", True, False),
    ("us.anthropic.claude-opus-4-1-20250805-v1:0", "claude", True, False),
    ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude", True, True),
    ("global.anthropic.claude-opus-4-6-v1", "claude", True, True),
    ("us.anthropic.claude-sonnet-5", "claude", True, True),
    ("anthropic.claude-mythos-preview", "claude", True, True),
    (ARN + "us.anthropic.claude-haiku-4-5-20251001-v1:0", "claude", True, True),
    ("us.amazon.nova-2-lite-v1:0", "nova", True, False),
    ("amazon.nova-lite-v1:0", "never", True, False),
    ("amazon.titan-text-express-v1", "never", False, False),
    ("openai.gpt-oss-120b-1:0", "effort", False, False),
    ("mistral.mistral-large-2407-v1:0", "never", False, False),
    ("cohere.command-r-plus-v1:0", "never", False, False),
    ("moonshot.kimi-k2-thinking", "never", False, False),
    (ARN.replace("inference", "application-inference") + "abc123", "never", False, False),
]


@pytest.mark.parametrize(("model", "thinks", "caches", "hour"), TABLE)
def test_families(model: str, thinks: str, caches: bool, hour: bool) -> None:
    family = family_of(model)
    assert (family.thinks, family.caches, family.hour) == (thinks, caches, hour)
    assert (family.claude is not None) == (thinks == "claude")
    assert family.caches_tools == (caches and thinks == "claude")
    assert family.one_call == hour


def test_claudes_are_those_of_anthropics_own_dialect() -> None:
    claude = family_of("us.anthropic.claude-opus-4-7").claude
    assert claude is not None
    assert (claude.thinks, claude.samples) == ("adaptive", 0)
