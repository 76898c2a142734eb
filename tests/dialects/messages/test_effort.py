"""How much a model is to think, in the words that it has for it."""

from typing import Any

import pytest

from proxy.dialects.messages.effort import encode_effort, encode_sampling, fitting, unbound
from proxy.dialects.messages.models import claude_of
from proxy.errors import GatewayError
from proxy.wire.request import Ask, Effort, Thinking

SHOWN = {"type": "adaptive", "display": "summarized"}
OPUS_5, OPUS_46, OPUS_45, HAIKU_45, OLD = (
    "claude-opus-5",
    "claude-opus-4-6",
    "claude-opus-4-5",
    "claude-haiku-4-5",
    "claude-3-5-haiku-20241022",
)


def wish(effort: Effort | None = None, **more: Any) -> Thinking:
    return Thinking(wish={}, effort=effort, **more)


def encoded(
    model: str, thinking: Thinking | None = None, completion_max: int = 10_000, **body: Any
) -> tuple[Any, Any]:
    """The `thinking` and the effort that go to `model`."""
    forced = body.pop("forced", False)
    ask = Ask(models=("m",), body=body, thinking=thinking)
    fields = encode_effort(ask, claude_of(model), completion_max, forced=forced)
    assert fields.keys() <= {"thinking", "output_config"}
    return fields.get("thinking"), fields.get("output_config", {}).get("effort")


def budget(tokens: int) -> dict[str, Any]:
    return {"type": "enabled", "budget_tokens": tokens}


@pytest.mark.parametrize("model", [OPUS_5, OPUS_46, OPUS_45, HAIKU_45, OLD])
@pytest.mark.parametrize("thinking", [None, wish(), wish(hidden=True)])
def test_without_a_wish_nothing_is_said(model: str, thinking: Thinking | None) -> None:
    assert encoded(model, thinking) == (None, None)


@pytest.mark.parametrize(
    ("model", "thinking", "wanted"),
    [
        (OPUS_5, wish("high"), (SHOWN, "high")),
        (OPUS_5, wish("minimal"), (SHOWN, "low")),
        (OPUS_5, wish(max_tokens=2000), (SHOWN, "low")),
        (OPUS_5, wish("xhigh"), (SHOWN, "xhigh")),
        (OPUS_5, wish("low", hidden=True), ({"type": "adaptive", "display": "omitted"}, "low")),
        (OPUS_46, wish("medium"), (SHOWN, "medium")),
        (OPUS_46, wish("max"), (SHOWN, "max")),
        (OPUS_46, wish(max_tokens=2000), (budget(2000), None)),
        (OPUS_45, wish("medium"), (budget(5000), None)),
        (HAIKU_45, wish("max"), (budget(9500), None)),
        (HAIKU_45, wish("minimal"), (budget(1024), None)),
        (HAIKU_45, wish(max_tokens=50_000), (budget(9500), None)),
        (OLD, wish("high"), (None, None)),
    ],
)
def test_a_wish_to_think(model: str, thinking: Thinking, wanted: Any) -> None:
    assert encoded(model, thinking) == wanted


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        (OPUS_5, ({"type": "disabled"}, None)),
        ("claude-opus-4-8", (None, None)),
        ("claude-sonnet-5-5", ({"type": "between_tools"}, None)),
        (HAIKU_45, (None, None)),
        (OLD, (None, None)),
    ],
)
def test_a_wish_not_to_think(model: str, wanted: Any) -> None:
    assert encoded(model, wish("none")) == wanted


@pytest.mark.parametrize("model", ["claude-opus-5-5", "claude-fable-5"])
def test_what_always_thinks_can_not_be_told_not_to(model: str) -> None:
    with pytest.raises(GatewayError, match="reasoning: is mandatory for this model") as raised:
        encoded(model, wish("none"))
    assert (raised.value.kind, raised.value.status) == ("provider_unfit", 400)
    newest = Ask(models=("~anthropic/claude-latest",), body={}, thinking=wish("none"))
    told = encode_effort(newest, claude_of(model), 10_000, forced=False)
    assert told == {"output_config": {"effort": "low"}}, "who asked for whichever is the newest"


def test_a_budget_without_room_is_none() -> None:
    assert encoded(HAIKU_45, wish("high"), completion_max=1024) == (None, None)
    assert encoded(HAIKU_45, wish("high"), completion_max=1025) == (budget(1024), None)


def test_a_tool_that_has_to_be_called_forbids_a_budget() -> None:
    assert encoded(HAIKU_45, wish("high"), forced=True) == (None, None)
    assert encoded(OPUS_5, wish("high"), forced=True) == (SHOWN, "high")


@pytest.mark.parametrize(
    ("model", "thinking", "body", "wanted"),
    [
        (OPUS_5, None, {"verbosity": "low"}, (None, "low")),
        (OPUS_5, wish("high"), {"verbosity": "low"}, (SHOWN, "low")),
        (OPUS_5, wish("none"), {"verbosity": "max"}, ({"type": "disabled"}, "high")),
        (OPUS_5, wish("none"), {"verbosity": "low"}, ({"type": "disabled"}, "low")),
        (OPUS_45, wish("high"), {"verbosity": "max"}, (budget(8000), "high")),
        (HAIKU_45, None, {"verbosity": "low"}, (None, None)),
        (OPUS_5, None, {"verbosity": "loud"}, (None, None)),
        (OPUS_5, None, {"reasoning_effort": "low"}, (SHOWN, "low")),
        (OPUS_5, wish(hidden=True), {"reasoning_effort": "none"}, ({"type": "disabled"}, None)),
        (OPUS_5, wish("high"), {"reasoning_effort": "low"}, (SHOWN, "high")),
    ],
)
def test_verbosity_and_effort(model: str, thinking: Any, body: Any, wanted: Any) -> None:
    assert encoded(model, thinking, **body) == wanted


def turn(role: str, *types: str) -> dict[str, Any]:
    return {"role": role, "content": [{"type": type_} for type_ in types]}


ASKED = turn("user", "text")
GIVEN = turn("user", "tool_result")


@pytest.mark.parametrize(
    ("turns", "fits"),
    [
        ([ASKED], True),
        ([ASKED, turn("assistant", "text"), ASKED], True),
        ([ASKED, turn("assistant", "tool_use"), GIVEN], False),
        ([ASKED, turn("assistant", "thinking", "tool_use"), GIVEN], True),
        ([ASKED, turn("assistant", "redacted_thinking", "tool_use"), GIVEN], True),
        ([ASKED, turn("assistant", "text")], False),
        ([ASKED, turn("assistant", "tool_use"), GIVEN, turn("assistant", "text"), ASKED], True),
    ],
)
def test_a_budget_fits_only_what_began_with_thoughts(turns: Any, fits: bool) -> None:
    for model, instead in ((HAIKU_45, {}), (OPUS_46, SHOWN)):
        wanted = budget(2000) if fits else instead
        assert fitting(budget(2000), claude_of(model), turns) == wanted
    assert fitting(SHOWN, claude_of(OPUS_5), turns) == SHOWN


THOUGHT = [ASKED, turn("assistant", "thinking", "text"), ASKED]
DROPPING = {"prefix_mismatch_behavior": "drop_block"}


@pytest.mark.parametrize(
    ("model", "turns", "thinking", "wanted"),
    [
        ("claude-opus-5-5", THOUGHT, {}, {"type": "adaptive", "block_binding": DROPPING}),
        ("claude-opus-5-5", THOUGHT, SHOWN, {**SHOWN, "block_binding": DROPPING}),
        ("claude-opus-5-5", [ASKED], SHOWN, None),
        (OPUS_5, THOUGHT, SHOWN, None),
        ("claude-sonnet-5-5", THOUGHT, {"type": "between_tools"}, None),
        (
            "claude-fable-5-1",
            THOUGHT,
            {**SHOWN, "block_binding": {}},
            {**SHOWN, "block_binding": {}},
        ),
    ],
)
def test_thoughts_of_another_conversation_are_no_fault(
    model: str, turns: Any, thinking: Any, wanted: Any
) -> None:
    told = dict(thinking)
    assert unbound(told, claude_of(model), turns) is (wanted is not None)
    assert told == (thinking if wanted is None else wanted)


@pytest.mark.parametrize(
    ("model", "thinking", "kept"),
    [
        (OPUS_5, False, {}),
        (HAIKU_45, False, {"temperature": 0.5, "top_k": 5}),
        (OLD, False, {"temperature": 0.5, "top_p": 0.9, "top_k": 5}),
        (HAIKU_45, True, {}),
    ],
)
def test_sampling(model: str, thinking: bool, kept: Any) -> None:
    body = {"temperature": 0.5, "top_p": 0.9, "top_k": 5}
    assert encode_sampling(body, claude_of(model), thinking=thinking) == kept


@pytest.mark.parametrize(
    ("body", "thinking", "kept"),
    [
        ({}, False, {}),
        ({"temperature": 1.7}, False, {"temperature": 1}),
        ({"temperature": 0}, False, {"temperature": 0}),
        ({"top_k": 0}, False, {}),
        ({"top_p": 0.5}, False, {"top_p": 0.5}),
        ({"temperature": 0.2, "top_p": 0.97}, True, {"top_p": 0.97}),
    ],
)
def test_what_is_no_choice_of_this_api(body: Any, thinking: bool, kept: Any) -> None:
    assert encode_sampling(body, claude_of(HAIKU_45), thinking=thinking) == kept
