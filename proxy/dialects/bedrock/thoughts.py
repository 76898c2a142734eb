"""How much a model on Bedrock is to think, and what else that allows it to be told.

Claude takes Anthropic's own fields, Nova 2 its `reasoningConfig`, OpenAI's models an effort. For
Claude the rules are those of the dialect of Anthropic.
"""

from typing import Any, Final, NamedTuple

from proxy.dialects.asking import Target
from proxy.dialects.bedrock.families import Family
from proxy.dialects.messages.effort import encode_effort, encode_sampling
from proxy.dialects.messages.models import Claude
from proxy.dialects.thinking import check_optional, effort_of, wish_of
from proxy.wire.request import Ask, Effort, Thinking

_LEVELS: Final[tuple[Effort, ...]] = ("low", "medium", "high")

_Object = dict[str, Any]


class Thought(NamedTuple):
    """Fields for `inferenceConfig`, for the model's own fields and for `outputConfig`."""

    config: _Object
    own: _Object
    output: _Object


def encode_thinking(
    ask: Ask, family: Family, target: Target, turns: list[_Object], *, forced: bool
) -> Thought:
    """Thinking, sampling and the limit on the completion. `forced` is whether the model has to call
    a tool.
    """
    limit = ask.max_tokens and min(ask.max_tokens, target.completion_max or ask.max_tokens)
    config: _Object = {"maxTokens": limit} if limit else {}
    if family.claude is not None:
        return _of_claude(ask, family.claude, target, turns, config, forced=forced)
    sampling = {name: ask.body.get(name) for name in ("temperature", "top_p", "top_k")}
    own: _Object = {}
    level = _level(ask)
    if family.thinks == "effort" and level is not None:
        check_optional(ask)
        own["reasoning_effort"] = "low" if level == "none" else level
    if family.thinks == "nova" and level not in (None, "none"):
        if level == "high" and limit:
            level = "medium"  # at its highest it takes no limit
        own["reasoningConfig"] = {"type": "enabled", "maxReasoningEffort": level}
        sampling = {} if level == "high" else sampling  # and these neither
    return Thought(config | _sampling(sampling), own | _top_k(sampling, family), {})


def _of_claude(
    ask: Ask, claude: Claude, target: Target, turns: list[_Object], config: _Object, *, forced: bool
) -> Thought:
    completion_max = target.completion_max or claude.completion_max
    fields = encode_effort(ask, claude, config.get("maxTokens", completion_max), forced=forced)
    said = ask.body.get("thinking")
    thinking = _fitting(said if isinstance(said, dict) else fields.get("thinking"), claude, turns)
    if thinking.get("type") == "enabled":
        # The budget is a part of it, and what Bedrock takes without it depends on the model.
        config.setdefault("maxTokens", completion_max)
    on = thinking.get("type") in ("enabled", "adaptive")
    sampled = encode_sampling(ask.body, claude, thinking=on)
    own: _Object = {"top_k": sampled["top_k"]} if "top_k" in sampled else {}
    if thinking:
        own["thinking"] = thinking
    return Thought(config | _sampling(sampled), own, dict(fields.get("output_config") or {}))


def _sampling(told: _Object) -> _Object:
    names = (("temperature", "temperature"), ("top_p", "topP"))
    return {own: min(told[name], 1) for name, own in names if told.get(name) is not None}


def _top_k(told: _Object, family: Family) -> _Object:
    fields: Any = told.get("top_k")
    if not fields:  # 0 asks for nothing at OpenRouter
        return {}
    for name in reversed(family.top_k):
        fields = {name: fields}
    return fields if family.top_k else {}


def _level(ask: Ask) -> Effort | None:
    """The wish for thinking as one of three levels, or `none`; None where there is no wish."""
    wish = wish_of(ask) or Thinking(wish={})
    return "none" if wish.effort == "none" else effort_of(wish, ask.max_tokens, known=_LEVELS)


def _fitting(thinking: _Object | None, claude: Claude, turns: list[_Object]) -> _Object:
    """`thinking` as the turns allow it: with a budget, the turn that is to go on has to begin with
    thoughts, which an answer of another provider never had.
    """
    thinking = thinking or {}
    answers = [turn for turn in turns if turn["role"] == "assistant"]
    if thinking.get("type") != "enabled" or not answers:
        return thinking
    going_on = turns[-1] is answers[-1] or any("toolResult" in b for b in turns[-1]["content"])
    if not going_on or "reasoningContent" in answers[-1]["content"][0]:
        return thinking
    return {"type": "adaptive", "display": "summarized"} if claude.thinks == "both" else {}
