"""What generations of Gemini take, and how thinking is said to each."""

from typing import Any

import pytest
from msgspec.structs import replace

from proxy.dialects.gemini.family import family_of, thinking_config
from proxy.errors import GatewayError
from proxy.wire.request import Ask, Thinking

Json = dict[str, Any]


@pytest.mark.parametrize(
    ("model", "version", "thinks", "level"),
    [
        ("gemini-2.0-flash-001", (2, 0), False, False),
        ("gemini-2.5-flash", (2, 5), True, False),
        ("models/gemini-2.5-pro", (2, 5), True, False),
        ("gemini-2.5-flash-image", (2, 5), False, False),
        ("gemini-2.5-flash-preview-tts", (2, 5), False, False),
        ("gemini-3-pro-preview", (3, 0), True, True),
        ("gemini-3.1-flash-lite", (3, 1), True, True),
        ("gemini-10-pro", (10, 0), True, True),
        ("gemini-flash-latest", (99, 0), True, False),
        ("gemma-3-27b-it", (0, 0), False, False),
    ],
)
def test_families(model: str, version: tuple[int, int], thinks: bool, level: bool) -> None:
    family = family_of(model)
    assert family.version == version
    assert family.thinks is thinks
    assert family.takes_level is level
    assert family.names_calls is family.mixes_json_and_tools is (version >= (3, 0))


def config(model: str, ask: Ask, completion_max: int | None = None) -> Json:
    return thinking_config(ask, family_of(model), completion_max)


def asked(max_tokens: int | None = None, body: Json | None = None, **thinking: Any) -> Ask:
    wish = Thinking(wish={}, **thinking) if thinking else None
    return Ask(models=("x",), body=body or {}, max_tokens=max_tokens, thinking=wish)


SHOWN = {"includeThoughts": True}

TABLE: list[tuple[str, Ask, Json]] = [
    ("gemini-2.5-flash", asked(), {}),
    ("gemini-2.0-flash", asked(effort="high"), {}),
    ("gemini-2.5-flash", asked(hidden=True), {}),
    ("gemini-2.5-flash", asked(hidden=False), SHOWN),
    ("gemini-2.5-flash", asked(effort="none"), {"thinkingBudget": 0}),
    ("gemini-2.5-flash", asked(10_000, effort="medium"), SHOWN | {"thinkingBudget": 5000}),
    ("gemini-2.5-flash", asked(effort="high"), SHOWN | {"thinkingBudget": 24_576}),
    ("gemini-2.5-pro", asked(effort="xhigh"), SHOWN | {"thinkingBudget": 32_768}),
    ("gemini-2.5-flash-lite", asked(max_tokens=None, hidden=True, effort="low"),
     {"thinkingBudget": 13_107}),
    ("gemini-flash-latest", asked(effort="minimal"), SHOWN | {"thinkingBudget": 6553}),
    ("gemini-3-pro-preview", asked(effort="medium"), SHOWN | {"thinkingLevel": "low"}),
    ("gemini-3.1-pro-preview", asked(effort="medium"), SHOWN | {"thinkingLevel": "medium"}),
    ("gemini-3-flash-preview", asked(effort="max", hidden=True), {"thinkingLevel": "high"}),
    ("gemini-3.1-flash-image", asked(effort="low"), SHOWN | {"thinkingLevel": "minimal"}),
    ("gemini-3-pro-image-preview", asked(effort="low"), SHOWN),
    ("gemini-2.5-flash", asked(body={"reasoning_effort": "none"}), {"thinkingBudget": 0}),
    ("gemini-3-flash-preview", asked(body={"reasoning_effort": "low"}, hidden=True),
     {"thinkingLevel": "low"}),
    ("gemini-3-flash-preview", asked(body={"reasoning_effort": "low"}, effort="high"),
     SHOWN | {"thinkingLevel": "high"}),
]  # fmt: skip


@pytest.mark.parametrize(("model", "ask", "said"), TABLE)
def test_thinking(model: str, ask: Ask, said: Json) -> None:
    assert config(model, ask) == said


@pytest.mark.parametrize(
    ("model", "least"),
    [
        ("gemini-2.5-pro", {"thinkingBudget": 128}),
        ("gemini-3-pro-preview", {"thinkingLevel": "low"}),
        ("gemini-3-flash-preview", {"thinkingLevel": "minimal"}),
    ],
)
def test_what_always_thinks_can_not_be_told_not_to(model: str, least: Json) -> None:
    ask = asked(effort="none")
    with pytest.raises(GatewayError, match="reasoning: is mandatory for this model"):
        config(model, ask)
    newest = replace(ask, models=("~google/gemini-latest",))
    assert config(model, newest) == SHOWN | least, "who asked for whichever is the newest"


def test_budgets_go_to_every_generation() -> None:
    ask = Ask(models=("x",), body={}, thinking=Thinking(wish={}, max_tokens=3000))
    for model in ("gemini-2.5-flash", "gemini-3-pro-preview", "gemini-pro-latest"):
        assert config(model, ask) == SHOWN | {"thinkingBudget": 3000}


def test_an_effort_is_a_share_of_what_the_model_can_answer_with() -> None:
    assert config("gemini-2.5-flash", asked(effort="medium"), 8192)["thinkingBudget"] == 4096
