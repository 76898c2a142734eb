"""How providers differ: what their rows say of them is what is done."""

from typing import Any

import msgspec
import pytest

from proxy.providers import known
from proxy.quirks import Quirks
from proxy.wire.request import Effort

LOW_TO_HIGH = ("low", "medium", "high")
ALL = Quirks().efforts
# What a model of a provider knows of efforts, and whether it thinks without being told to.
MODELS: dict[tuple[str, str], tuple[tuple[str, ...], bool]] = {
    ("openai", "gpt-4o-mini"): ((), False),
    ("openai", "gpt-5-chat-latest"): ((), False),
    ("openai", "gpt-5.2-chat-latest"): ((), False),
    ("openai", "o3-mini"): (LOW_TO_HIGH, True),
    ("openai", "gpt-5"): (("minimal", *LOW_TO_HIGH), True),
    ("openai", "gpt-5-codex"): (LOW_TO_HIGH, True),
    ("openai", "gpt-5-pro"): (("high",), True),
    ("openai", "gpt-5.2-pro"): (("medium", "high", "xhigh"), True),
    ("openai", "gpt-5.1"): (("none", *LOW_TO_HIGH), False),
    ("openai", "gpt-5.1-codex-max"): (("none", *LOW_TO_HIGH, "xhigh"), True),
    ("openai", "gpt-5.4"): (("none", *LOW_TO_HIGH, "xhigh"), False),
    ("openai", "gpt-5.6-sol"): (ALL, True),
    ("xai", "grok-3"): ((), False),
    ("xai", "grok-3-mini"): (("low", "high"), True),
    ("xai", "grok-4-0709"): ((), True),
    ("xai", "grok-4-fast-non-reasoning"): ((), False),
    ("xai", "grok-4.20-reasoning"): ((), True),
    ("xai", "grok-4.3"): (("none", *LOW_TO_HIGH), True),
    ("xai", "grok-4.5"): (LOW_TO_HIGH, True),
    ("groq", "openai/gpt-oss-20b"): (LOW_TO_HIGH, False),
    ("groq", "qwen/qwen3-32b"): (("none",), False),
    ("groq", "llama-3.3-70b-versatile"): ((), False),
    ("deepseek", "deepseek-chat"): (known()["deepseek"].quirks.efforts, False),
    ("deepseek", "deepseek-v4-pro"): (known()["deepseek"].quirks.efforts, True),
}


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_models_of_one_provider_differ(model: tuple[str, str]) -> None:
    slug, name = model
    efforts, thinks = MODELS[model]
    quirks = known()[slug].quirks
    assert quirks.efforts_for(name) == efforts
    assert (quirks.refused(name, None) != quirks.omits) is thinks
    if quirks.thinking_omits:
        assert set(quirks.thinking_omits) <= set(quirks.refused(name, "high"))
    assert quirks.refused(name, "none") == quirks.omits


@pytest.mark.parametrize(
    ("completes", "model", "continues"),
    [
        (True, "m", True),
        (False, "m", False),
        ("davinci|m", "m-2", True),
        ("davinci|m", "a-m", False),
    ],
)
def test_which_models_continue_texts(completes: bool | str, model: str, continues: bool) -> None:
    assert Quirks(completes=completes).continues(model) is continues


@pytest.mark.parametrize(
    ("efforts_of", "more", "always"),
    [
        ({"m": ("low", "high")}, {}, True),
        ({"x": ("low", "high")}, {}, False),
        ({"m": ("none", "low")}, {}, False),
        ({"m": ()}, {}, False),
        ({"m": ("low",)}, {"reasoning_switch": "thinking"}, False),
        ({}, {"efforts": ("low",)}, False),
    ],
    ids=str,
)
def test_which_models_always_think_is_known_by_their_names(
    efforts_of: dict[str, tuple[Effort, ...]], more: dict[str, Any], always: bool
) -> None:
    assert Quirks(efforts_of=efforts_of, **more).always_thinks("m-2") is always


def test_an_unknown_flag_is_an_error() -> None:
    with pytest.raises(msgspec.ValidationError, match="colour"):
        msgspec.convert({"colour": "red"}, Quirks)
