"""A model's name tells what it takes; the recorded list of models says the same."""

import json

import pytest

from proxy.dialects.messages.models import Claude, Off, Thinks, claude_of
from tests.recordings import index, load


@pytest.mark.parametrize(
    ("name", "thinks", "off", "samples"),
    [
        ("claude-2.1", "never", "absent", 2),
        ("claude-3-opus-20240229", "never", "absent", 2),
        ("claude-3-5-haiku-20241022", "never", "absent", 2),
        ("claude-3-7-sonnet@20250219", "budget", "absent", 2),
        ("claude-sonnet-4-20250514", "budget", "absent", 2),
        ("claude-opus-4-1-20250805", "budget", "absent", 1),
        ("anthropic.claude-opus-4-5-20251101-v1:0", "budget", "absent", 1),
        ("claude-haiku-4-5", "budget", "absent", 1),
        ("anthropic/claude-sonnet-4.6", "both", "absent", 1),
        ("claude-opus-4-6", "both", "absent", 1),
        ("claude-opus-4-7", "adaptive", "absent", 0),
        ("claude-opus-4-8", "adaptive", "absent", 0),
        ("claude-sonnet-5", "adaptive", "disabled", 0),
        ("claude-sonnet-5-5", "adaptive", "between_tools", 0),
        ("claude-opus-5", "adaptive", "disabled", 0),
        ("claude-opus-5-5", "adaptive", "never", 0),
        ("claude-haiku-5-5", "adaptive", "disabled", 0),
        ("claude-fable-5", "adaptive", "never", 0),
        ("claude-mythos-preview", "adaptive", "never", 0),
        ("claude-sonnet-latest", "adaptive", "between_tools", 0),
        ("MiniMax-M2", "budget", "absent", 2),
    ],
)
def test_thinking_and_sampling_by_name(name: str, thinks: Thinks, off: Off, samples: int) -> None:
    claude = claude_of(name)
    assert (claude.thinks, claude.off, claude.samples) == (thinks, off, samples)


@pytest.mark.parametrize(
    ("name", "completion_max"),
    [
        ("claude-3-haiku-20240307", 4096),
        ("claude-3-5-sonnet-20240620", 8192),
        ("claude-3-7-sonnet-20250219", 64_000),
        ("claude-opus-4-20250514", 32_000),
        ("claude-sonnet-4-20250514", 64_000),
        ("claude-sonnet-4-6", 128_000),
        ("another", 8192),
    ],
)
def test_how_long_an_answer_may_be(name: str, completion_max: int) -> None:
    assert claude_of(name).completion_max == completion_max


@pytest.mark.parametrize(
    ("name", "instructable"),
    [
        ("claude-opus-4-7", False),
        ("claude-opus-4-8", True),
        ("claude-sonnet-5", False),
        ("claude-sonnet-5-5", True),
        ("claude-fable-5", True),
    ],
)
def test_who_takes_instructions_amid_a_conversation(name: str, instructable: bool) -> None:
    assert claude_of(name).instructable is instructable


@pytest.mark.parametrize(
    ("name", "binds"),
    [
        ("claude-opus-5", False),
        ("claude-opus-5-5", True),
        ("claude-haiku-5-5", True),
        ("claude-fable-5", False),
        ("claude-fable-5-1", True),
        ("claude-haiku-5-1", False),
    ],
)
def test_whose_thoughts_are_bound(name: str, binds: bool) -> None:
    assert claude_of(name).binds is binds


def thinks(claude: Claude) -> dict[str, bool]:
    return {
        "enabled": claude.thinks in ("budget", "both"),
        "adaptive": claude.thinks in ("adaptive", "both"),
    }


@pytest.mark.wire
def test_the_recorded_list_of_models_agrees() -> None:
    rows = [row for row in index() if (row["provider"], row["api"]) == ("anthropic", "models")]
    listed = [
        model
        for row in rows
        if (recording := load(row)).status == 200
        for model in json.loads(recording.body)["data"]
    ]
    assert len(listed) > 8
    for model in listed:
        claude, said = claude_of(model["id"]), model["capabilities"]
        assert claude.completion_max == model["max_tokens"]
        assert claude.structured is said["structured_outputs"]["supported"]
        types = said["thinking"]["types"]
        assert {name: one["supported"] for name, one in types.items()} == thinks(claude)
        levels = {name for name, one in said["effort"].items() if name != "supported"}
        able = {name for name in levels if (said["effort"][name] or {}).get("supported")}
        assert set(claude.efforts) == able, model["id"]
