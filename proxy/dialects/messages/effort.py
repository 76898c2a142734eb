"""How much a Claude is to think, and what else that allows it to be told.

OpenRouter's rules ("Reasoning" and its migration guides for Claude 4.6 to 5.5): models that know
`adaptive` get it unless the caller names a budget that they still take; `verbosity` is
`output_config.effort` and goes before the effort of the reasoning.
"""

from typing import Any, Final

from proxy.dialects.messages.blocks import THOUGHTS
from proxy.dialects.messages.models import Claude
from proxy.dialects.thinking import (
    BUDGET_MIN,
    EFFORTS,
    budget_of,
    check_optional,
    effort_of,
    wish_of,
)
from proxy.wire.request import Ask, Effort, Thinking

_ROOM: Final = 0.95
"""The most of a completion that a budget takes: one without room for the answer is a 400."""

_TOP_P_MIN: Final = 0.95
"""While it thinks, a Claude takes no smaller `top_p`, and no other sampling parameter."""


def encode_effort(ask: Ask, claude: Claude, completion_max: int, *, forced: bool) -> dict[str, Any]:
    """The fields `thinking` and `output_config` for what the caller wishes. `forced` is whether the
    model has to call a tool, which forbids a budget.

    Raises GatewayError `provider_unfit` where a model always thinks that is not to.
    """
    wish = wish_of(ask)
    spoken = ask.body.get("verbosity")
    effort = None
    if spoken in EFFORTS and claude.efforts:
        effort = effort_of(Thinking(wish={}, effort=spoken), None, known=claude.efforts)
    thinking: dict[str, Any] = {}
    if wish is not None and wish.effort == "none":
        if claude.off == "never":
            check_optional(ask)
        thinking, least = _off(claude)
        effort = effort or least
        if thinking and effort in ("xhigh", "max"):  # allowed to those alone that think
            effort = "high"
    elif wish is not None and (wish.effort or wish.max_tokens):
        thinking = _on(wish, claude, completion_max, forced=forced)
        if thinking.get("type") == "adaptive" and effort is None:
            effort = effort_of(wish, completion_max, known=claude.efforts)
    encoded: dict[str, Any] = {"thinking": thinking} if thinking else {}
    if effort is not None and claude.efforts:
        encoded["output_config"] = {"effort": effort}
    return encoded


def _off(claude: Claude) -> tuple[dict[str, Any], Effort | None]:
    """How this model is told not to think; where it always does, to think as little as it can."""
    if claude.off == "never":
        return {}, "low"
    return ({} if claude.off == "absent" else {"type": claude.off}), None


def _on(wish: Thinking, claude: Claude, completion_max: int, *, forced: bool) -> dict[str, Any]:
    if claude.thinks == "never":
        return {}
    adaptive = claude.thinks == "adaptive" or (claude.thinks == "both" and not wish.max_tokens)
    if adaptive:
        # Without it the newest models send signatures alone.
        shown = "omitted" if wish.hidden else "summarized"
        return {"type": "adaptive", "display": shown}
    budget = budget_of(wish, completion_max) or 0
    budget = max(min(budget, int(completion_max * _ROOM)), BUDGET_MIN)
    if forced or budget >= completion_max:
        return {}
    return {"type": "enabled", "budget_tokens": budget}


def fitting(
    thinking: dict[str, Any], claude: Claude, turns: list[dict[str, Any]]
) -> dict[str, Any]:
    """`thinking` as the turns allow it: with a budget, the turn that is to go on has to begin with
    thoughts, which an answer of another provider never had.
    """
    answers = [turn for turn in turns if turn["role"] == "assistant"]
    if thinking.get("type") != "enabled" or not answers:
        return thinking
    last = answers[-1]["content"]
    calling = any(block["type"] == "tool_use" for block in last)
    going_on = turns[-1] is answers[-1] or (calling and _has_results(turns[-1]))
    if not going_on or last[0]["type"] in THOUGHTS:
        return thinking
    return {"type": "adaptive", "display": "summarized"} if claude.thinks == "both" else {}


def _has_results(turn: dict[str, Any]) -> bool:
    return any(block["type"] == "tool_result" for block in turn["content"])


def unbound(thinking: dict[str, Any], claude: Claude, turns: list[dict[str, Any]]) -> bool:
    """Has thoughts that were bound to another conversation left out, instead of a 400: what came
    before them is here as OpenRouter's form keeps it, and may have been said to another provider.
    Changes `thinking`; False where there is nothing to say of it.
    """
    blocks = (block for turn in turns for block in turn["content"])
    if not claude.binds or thinking.get("type", "adaptive") != "adaptive":
        return False
    if not any(block["type"] in THOUGHTS for block in blocks):
        return False
    thinking.setdefault("type", "adaptive")  # which it is without a word, too
    thinking.setdefault("block_binding", {"prefix_mismatch_behavior": "drop_block"})
    return True


def encode_sampling(body: dict[str, Any], claude: Claude, *, thinking: bool) -> dict[str, Any]:
    """Those of temperature, top_p and top_k that this model takes."""
    temperature, top_p, top_k = (body.get(name) for name in ("temperature", "top_p", "top_k"))
    sampling: dict[str, Any] = {}
    if claude.samples == 0:
        return sampling
    if temperature is not None and not thinking:
        sampling["temperature"] = min(temperature, 1)
    alone = claude.samples > 1 or not sampling
    if top_p is not None and alone and (not thinking or top_p >= _TOP_P_MIN):
        sampling["top_p"] = top_p
    if top_k and not thinking:  # 0 asks for nothing at OpenRouter
        sampling["top_k"] = top_k
    return sampling
