"""How much a model may think: efforts and budgets, each said in terms of the other.

The rule is OpenRouter's ("Reasoning", contract section 4.21): an effort is a share of the
completion, a budget has at least 1,024 and at most 128,000 tokens.
"""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from proxy.errors import GatewayError
from proxy.wire.request import Ask, Effort, Thinking

EFFORT_RATIOS: Final[dict[Effort, float]] = {
    "max": 0.95,
    "xhigh": 0.95,
    "high": 0.8,
    "medium": 0.5,
    "low": 0.2,
    "minimal": 0.1,
}
"""Share of the completion that each effort may spend on reasoning."""

BUDGET_MIN: Final = 1024
BUDGET_MAX: Final = 128_000
EFFORTS: Final[tuple[Effort, ...]] = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_USUAL: Final[tuple[Effort, ...]] = ("high", "medium", "low", "minimal")


def wish_of(ask: Ask) -> Thinking | None:
    """What the caller wishes of the reasoning; OpenAI's `reasoning_effort` counts where nothing
    else says how much.
    """
    wish, said = ask.thinking, ask.body.get("reasoning_effort")
    if said not in EFFORTS or (wish is not None and (wish.effort or wish.max_tokens)):
        return wish
    return replace(wish or Thinking(wish={}), effort=said)


def check_optional(ask: Ask) -> None:
    """Raises GatewayError `provider_unfit` where the caller will not have a model think that always
    does; of who asked for the newest of a family (`~author/family-latest`), which may be any, the
    wish becomes the nearest (contract, 4.13).
    """
    wish = wish_of(ask)
    newest = any(name.startswith("~") for name in ask.models)
    if wish is not None and wish.effort == "none" and not newest:
        text = "reasoning: is mandatory for this model and can not be disabled"
        raise GatewayError("provider_unfit", text)


def budget_of(thinking: Thinking, completion_max: int) -> int | None:
    """The tokens that `thinking` may take of a completion of `completion_max`; None where nothing
    is said of it, 0 for effort `none`.
    """
    if thinking.max_tokens is not None:
        return min(max(thinking.max_tokens, BUDGET_MIN), BUDGET_MAX)
    if thinking.effort is None:
        return None
    if thinking.effort == "none":
        return 0
    return max(min(int(completion_max * EFFORT_RATIOS[thinking.effort]), BUDGET_MAX), BUDGET_MIN)


def effort_of(
    thinking: Thinking, completion_max: int | None, *, known: Sequence[Effort] = EFFORTS
) -> Effort | None:
    """The effort among `known` that comes nearest to what `thinking` says, though never `none` for
    another; None where it says nothing, or no other is known. A budget without a limit on the
    completion counts as `medium`.
    """
    effort = thinking.effort
    if effort is None and thinking.max_tokens is not None:
        effort = _nearest(thinking.max_tokens, completion_max)
    if effort is None or effort in known:
        return effort
    place, levels = EFFORTS.index(effort), [one for one in known if one != "none"]
    return min(levels, key=lambda one: abs(EFFORTS.index(one) - place), default=None)


def _nearest(budget: int, completion_max: int | None) -> Effort:
    if not completion_max:
        return "medium"
    return min(_USUAL, key=lambda level: abs(EFFORT_RATIOS[level] - budget / completion_max))
