"""A request's parameters as one provider of dialect `openai` takes them.

How much to think, in what form to answer, and what the rest is called: the flags of its row tell.
"""

from typing import Any, Final

import msgspec

from proxy.dialects.chat.messages import unmarked
from proxy.dialects.thinking import check_optional, effort_of, wish_of
from proxy.providers import Quirks
from proxy.wire.request import Ask, Effort, Thinking

_Body = dict[str, Any]

_CONTROLS: Final = frozenset((
    "tools", "tool_choice", "parallel_tool_calls", "reasoning_effort", "response_format",
    "logprobs", "top_logprobs", "seed", "cache_control", "image_config", "prompt_cache_options",
    "store", "metadata", "verbosity", "structured_outputs",
))  # fmt: skip
"""What providers take in ways of their own, beside the limit; other fields are sent as they are."""


def encode_controls(body: _Body, ask: Ask, quirks: Quirks) -> None:
    """Changes `body`, which is the caller's but for its messages, to what the provider takes."""
    if quirks.max_tokens != "as_sent":
        _limit(body, quirks.max_tokens)
    effort = None
    if ask.thinking is not None or not _CONTROLS.isdisjoint(body):
        effort = _control(body, ask, quirks)
    if quirks.omits or quirks.thinking_omits:
        for name in quirks.refused(body["model"], effort):
            body.pop(name, None)
    if ask.stream:
        body["stream"] = True
        options = {"include_usage": True} if quirks.usage_option else {}
        if quirks.obfuscation_option:
            options["include_obfuscation"] = False
        if options:
            body["stream_options"] = options


def _control(body: _Body, ask: Ask, quirks: Quirks) -> Effort | None:
    """Says the wishes that few requests have; how much to think is the answer."""
    _tools(body)
    effort = _think(body, ask, quirks)
    _form(body, quirks)
    _logprobs(body, quirks)
    if quirks.seed != "seed" and "seed" in body:
        body[quirks.seed] = body.pop("seed")
    if not quirks.cache_marks:
        body.pop("cache_control", None)
        if body.get("tools"):
            body["tools"] = [unmarked(tool) for tool in body["tools"]]
    if quirks.reasoning_control != "object":
        _forget_ours(body)
    return effort


def _limit(body: _Body, name: str) -> None:
    other = "max_tokens" if name == "max_completion_tokens" else "max_completion_tokens"
    limit = body.pop(other, None)
    if limit is not None:
        body.setdefault(name, limit)


def _tools(body: _Body) -> None:
    """An empty list is refused, and so is a choice among no tools."""
    if not body.get("tools"):
        for name in ("tools", "tool_choice", "parallel_tool_calls"):
            body.pop(name, None)


def _forget_ours(body: _Body) -> None:
    """Leaves out what means something to OpenRouter alone; vLLM's own `structured_outputs` is an
    object.
    """
    for name in ("image_config", "prompt_cache_options"):
        body.pop(name, None)
    if body.get("store") is not True:
        body.pop("metadata", None)  # OpenAI refuses it for what it does not keep
    if body.get("verbosity") in ("xhigh", "max"):
        body["verbosity"] = "high"
    if isinstance(body.get("structured_outputs"), bool):
        del body["structured_outputs"]


def _think(body: _Body, ask: Ask, quirks: Quirks) -> Effort | None:
    """Says how much to think, which is the answer, if anything is to be said of it."""
    if quirks.reasoning_control == "object":
        if ask.thinking is not None:
            body["reasoning"] = ask.thinking.wish
        return None
    if quirks.reasoning_control == quirks.reasoning_switch == "none":
        return None  # and `reasoning_effort` is the caller's own to send
    wish = wish_of(ask)
    body.pop("reasoning_effort", None)
    known = quirks.efforts_for(body["model"])
    effort = effort_of(wish, ask.max_tokens) if wish and known else None
    if effort == "none" and quirks.always_thinks(body["model"]):
        check_optional(ask)
    if _forced(body) and not quirks.thinks_when_forced:
        effort = "none"
    if effort is None:
        return None
    _switch(body, effort != "none", quirks)
    if quirks.reasoning_control != "effort":
        return effort
    if effort == "none" and "none" not in known and quirks.reasoning_switch != "none":
        return effort  # the switch has said it
    # What can not stop thinks as little as it can.
    level = effort_of(Thinking(wish={}, effort=effort), None, known=known)
    if level is not None:
        body["reasoning_effort"] = level
    return level


def _forced(body: _Body) -> bool:
    choice = body.get("tool_choice")
    return choice in ("required", "any") or isinstance(choice, dict)


def _switch(body: _Body, on: bool, quirks: Quirks) -> None:
    match quirks.reasoning_switch:
        case "thinking":
            body.setdefault("thinking", {"type": "enabled" if on else "disabled"})
        case "template":
            # Templates have one name or the other for it, and ignore what they do not know.
            said = body.get("chat_template_kwargs")
            own = said if isinstance(said, dict) else {}
            body["chat_template_kwargs"] = {"enable_thinking": on, "thinking": on, **own}
        case "reasoning":
            body["reasoning"] = {"enabled": on}


def _form(body: _Body, quirks: Quirks) -> None:
    """Where a schema can not be sent, it is told: the word JSON must be in the conversation."""
    wish = body.get("response_format")
    if quirks.json_schema or not isinstance(wish, dict) or wish.get("type") != "json_schema":
        return
    told = wish.get("json_schema")
    schema = told.get("schema") if isinstance(told, dict) else None
    text = "Answer with nothing but JSON"
    if schema is not None:
        text += f" that fits this JSON schema: {msgspec.json.encode(schema).decode()}"
    body["response_format"] = {"type": "json_object"}
    body["messages"] = [{"role": "system", "content": f"{text}."}, *body["messages"]]


def _logprobs(body: _Body, quirks: Quirks) -> None:
    """Together counts alternatives in `logprobs` itself; everyone else asks for them beside it."""
    said = body.get("logprobs")
    if quirks.logprobs_count and said is True:
        body["logprobs"] = body.pop("top_logprobs", None) or 1
    elif not quirks.logprobs_count and type(said) is int:
        body["logprobs"] = said > 0
        if said > 0:
            body.setdefault("top_logprobs", said)
