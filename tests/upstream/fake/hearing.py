"""What an answer of the simulated provider says, whole or streamed, in every dialect."""

import json
from dataclasses import dataclass, field
from typing import Any

Data = dict[str, Any]


@dataclass
class Heard:
    """What was said. `signed` are the signatures in their order, `usage` is input and output."""

    text: str = ""
    reasoning: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    finish: str | None = None
    usage: tuple[int, int] | None = None
    signed: list[str] = field(default_factory=list)


def hear_whole(dialect: str, body: Data) -> Heard:
    """What a whole answer says."""
    heard = Heard()
    _WHOLE[dialect.removeprefix("vertex-")](body, heard)
    return heard


def hear_stream(dialect: str, events: list[Data]) -> Heard:
    """What the events of a stream say."""
    heard = Heard()
    for event in events:
        _EVENTS[dialect.removeprefix("vertex-")](event, heard)
    heard.calls = [
        (name, (json.loads(a) if a else {}) if isinstance(a, str) else a) for name, a in heard.calls
    ]
    return heard


def _more(heard: Heard, arguments: str) -> None:
    name, before = heard.calls[-1]
    heard.calls[-1] = (name, before + arguments)


def _chat_whole(body: Data, heard: Heard) -> None:
    choice = body["choices"][0]
    message = choice["message"]
    heard.text = message["content"] or ""
    heard.reasoning = message.get("reasoning_content", "")
    for call in message.get("tool_calls", ()):
        heard.calls.append((call["function"]["name"], json.loads(call["function"]["arguments"])))
    heard.finish = choice["finish_reason"]
    heard.usage = body["usage"]["prompt_tokens"], body["usage"]["completion_tokens"]


def _chat_event(event: Data, heard: Heard) -> None:
    for choice in event["choices"]:
        delta = choice["delta"]
        heard.text += delta.get("content") or ""
        heard.reasoning += delta.get("reasoning_content") or ""
        heard.finish = choice["finish_reason"] or heard.finish
        for call in delta.get("tool_calls", ()):
            if "id" in call:
                heard.calls.append((call["function"]["name"], ""))
            _more(heard, call["function"]["arguments"])
    if usage := event.get("usage"):
        heard.usage = usage["prompt_tokens"], usage["completion_tokens"]


def _anthropic_whole(body: Data, heard: Heard) -> None:
    for block in body["content"]:
        heard.text += block.get("text", "")
        heard.reasoning += block.get("thinking", "")
        heard.signed += [block["signature"]] if "signature" in block else []
        if block["type"] == "tool_use":
            heard.calls.append((block["name"], block["input"]))
    heard.finish = body["stop_reason"]
    heard.usage = body["usage"]["input_tokens"], body["usage"]["output_tokens"]


def _anthropic_event(event: Data, heard: Heard) -> None:
    assert event["type"] == event["@"]
    delta, block = event.get("delta") or {}, event.get("content_block") or {}
    if block.get("type") == "tool_use":
        heard.calls.append((block["name"], ""))
    if "partial_json" in delta:
        _more(heard, delta["partial_json"])
    heard.text += delta.get("text", "")
    heard.reasoning += delta.get("thinking", "")
    heard.signed += [delta["signature"]] if "signature" in delta else []
    heard.finish = delta.get("stop_reason") or heard.finish
    if event["@"] == "message_start":
        heard.usage = event["message"]["usage"]["input_tokens"], 0
    if event["@"] == "message_delta" and heard.usage:
        heard.usage = heard.usage[0], event["usage"]["output_tokens"]


def _gemini(body: Data, heard: Heard) -> None:
    candidate = body["candidates"][0]
    for part in candidate["content"]["parts"]:
        if part.get("thought"):
            heard.reasoning += part["text"]
        else:
            heard.text += part.get("text", "")
        heard.signed += [part["thoughtSignature"]] if "thoughtSignature" in part else []
        if call := part.get("functionCall"):
            heard.calls.append((call["name"], call["args"]))
    heard.finish = candidate.get("finishReason")
    usage = body["usageMetadata"]
    if "promptTokenCount" in usage:
        out = usage.get("candidatesTokenCount", 0) + usage.get("thoughtsTokenCount", 0)
        heard.usage = usage["promptTokenCount"], out


def _cohere_whole(body: Data, heard: Heard) -> None:
    message = body["message"]
    for block in message.get("content", ()):
        heard.text += block.get("text", "")
        heard.reasoning += block.get("thinking", "")
    for call in message.get("tool_calls", ()):
        heard.calls.append((call["function"]["name"], json.loads(call["function"]["arguments"])))
    heard.finish = body["finish_reason"]
    tokens = body["usage"]["tokens"]
    heard.usage = tokens["input_tokens"], tokens["output_tokens"]


def _cohere_event(event: Data, heard: Heard) -> None:
    assert event["type"] == event["@"]
    delta = event.get("delta") or {}
    message = delta.get("message") or {}
    if event["@"] == "content-delta":
        heard.text += message["content"].get("text", "")
        heard.reasoning += message["content"].get("thinking", "")
    elif event["@"] == "tool-call-start":
        heard.calls.append((message["tool_calls"]["function"]["name"], ""))
    elif event["@"] == "tool-call-delta":
        _more(heard, message["tool_calls"]["function"]["arguments"])
    elif event["@"] == "message-end":
        heard.finish = delta["finish_reason"]
        tokens = delta["usage"]["tokens"]
        heard.usage = tokens["input_tokens"], tokens["output_tokens"]


def _bedrock_whole(body: Data, heard: Heard) -> None:
    for block in body["output"]["message"]["content"]:
        heard.text += block.get("text", "")
        if thought := block.get("reasoningContent"):
            heard.reasoning += thought["reasoningText"]["text"]
            heard.signed.append(thought["reasoningText"]["signature"])
        if call := block.get("toolUse"):
            heard.calls.append((call["name"], call["input"]))
    heard.finish = body["stopReason"]
    heard.usage = body["usage"]["inputTokens"], body["usage"]["outputTokens"]


def _bedrock_event(event: Data, heard: Heard) -> None:
    assert event["p"]
    if start := event.get("start"):
        heard.calls.append((start["toolUse"]["name"], ""))
    delta = event.get("delta") or {}
    heard.text += delta.get("text", "")
    thought = delta.get("reasoningContent") or {}
    heard.reasoning += thought.get("text", "")
    heard.signed += [thought["signature"]] if "signature" in thought else []
    if call := delta.get("toolUse"):
        _more(heard, call["input"])
    heard.finish = event.get("stopReason") or heard.finish
    if usage := event.get("usage"):
        heard.usage = usage["inputTokens"], usage["outputTokens"]


def _responses_whole(body: Data, heard: Heard) -> None:
    for item in body["output"]:
        if item["type"] == "reasoning":
            heard.reasoning += "".join(part["text"] for part in item["summary"])
            heard.signed.append(item["encrypted_content"])
        elif item["type"] == "function_call":
            arguments = item["arguments"]
            heard.calls.append((item["name"], json.loads(arguments) if arguments else {}))
        else:
            heard.text += "".join(part["text"] for part in item["content"])
    heard.finish = body["status"]
    heard.usage = body["usage"]["input_tokens"], body["usage"]["output_tokens"]


def _responses_event(event: Data, heard: Heard) -> None:
    assert event["type"] == event["@"]
    match event["@"].removeprefix("response."):
        case "output_text.delta":
            heard.text += event["delta"]
        case "reasoning_summary_text.delta":
            heard.reasoning += event["delta"]
        case "output_item.added" if event["item"]["type"] == "function_call":
            heard.calls.append((event["item"]["name"], ""))
        case "output_item.done" if event["item"]["type"] == "reasoning":
            heard.signed.append(event["item"]["encrypted_content"])
        case "function_call_arguments.delta":
            _more(heard, event["delta"])
        case "completed" | "incomplete":
            final = hear_whole("responses", event["response"])
            assert (final.text, final.reasoning) == (heard.text, heard.reasoning)
            heard.finish, heard.usage = final.finish, final.usage


_WHOLE = {
    "chat": _chat_whole,
    "azure": _chat_whole,
    "anthropic": _anthropic_whole,
    "gemini": _gemini,
    "cohere": _cohere_whole,
    "bedrock": _bedrock_whole,
    "responses": _responses_whole,
}
_EVENTS = {
    "chat": _chat_event,
    "azure": _chat_event,
    "anthropic": _anthropic_event,
    "gemini": _gemini,
    "cohere": _cohere_event,
    "bedrock": _bedrock_event,
    "responses": _responses_event,
}
