"""A request's parameters as one provider of dialect `openai` takes them.

How much to think, in what form to answer, and what the rest is called: the flags of its row tell.
"""

from typing import Any

import msgspec

from proxy.dialects.chat.messages import unmarked
from proxy.dialects.thinking import effort_of
from proxy.providers import Quirks
from proxy.wire.request import Ask, Effort, Thinking

_Body = dict[str, Any]


def encode_controls(body: _Body, ask: Ask, quirks: Quirks) -> None:
    """Changes `body`, which is the caller's but for its messages, to what the provider takes."""
    _limit(body, quirks)
    _think(body, ask, quirks)
    _form(body, quirks)
    _logprobs(body, quirks)
    if quirks.seed != "seed" and "seed" in body:
        body[quirks.seed] = body.pop("seed")
    if not quirks.cache_marks:
        body.pop("cache_control", None)
        if body.get("tools"):
            body["tools"] = [unmarked(tool) for tool in body["tools"]]
    for name in quirks.omits:
        body.pop(name, None)


def _limit(body: _Body, quirks: Quirks) -> None:
    if quirks.max_tokens == "as_sent":
        return
    other = {"max_tokens", "max_completion_tokens"} - {quirks.max_tokens}
    limit = body.pop(other.pop(), None)
    if limit is not None:
        body.setdefault(quirks.max_tokens, limit)


def _think(body: _Body, ask: Ask, quirks: Quirks) -> None:
    if quirks.reasoning_control == "object":
        if ask.thinking is not None:
            body["reasoning"] = ask.thinking.wish
        return
    if quirks.reasoning_control == quirks.reasoning_switch == "none":
        return  # and `reasoning_effort` is the caller's own to send
    effort = _effort(body.pop("reasoning_effort", None), ask)
    if _forced(body) and not quirks.thinks_when_forced:
        effort = "none"
    if effort is None:
        return
    _switch(body, effort != "none", quirks)
    levels = [one for one in quirks.efforts if (one == "none") == (effort == "none")]
    if effort == "none" and not levels and quirks.reasoning_switch == "none":
        levels = list(quirks.efforts)  # it can not stop, so it thinks as little as it can
    if quirks.reasoning_control == "effort" and levels:
        body["reasoning_effort"] = effort_of(Thinking(wish={}, effort=effort), None, known=levels)


def _effort(said: Effort | None, ask: Ask) -> Effort | None:
    if said is not None or ask.thinking is None:
        return said
    return effort_of(ask.thinking, ask.max_tokens)


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
