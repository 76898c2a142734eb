"""What a recording of Anthropic's Messages says, read by nothing of `proxy`."""

import json
from typing import Any

from tests.recordings import Recording
from tests.truths.chat import Json, Truth, Voice, events, searched

FORMAT = "anthropic-claude-v1"
FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "refusal": "content_filter",
}
SERVER_TOOLS = ("server_tool_use", "mcp_tool_use")


def said(recording: Recording) -> Truth:
    """What the provider said."""
    if recording.row["kind"] == "sse":
        message, truth = _assembled(recording)
    else:
        message, truth = json.loads(recording.body), Truth()
    voice = truth.voice(0)
    at = 0
    for block in message["content"]:
        _add(voice, block, at)
        at += block["type"] in ("thinking", "redacted_thinking") or block["type"][-6:] == "result"
    voice.refusal = (message.get("stop_details") or {}).get("explanation") or ""
    voice.native = message["stop_reason"]
    voice.finish = FINISH[message["stop_reason"]]
    ran = message["usage"].get("server_tool_use") or {}
    truth.usage = counted(message["usage"]) | searched(ran.get("web_search_requests"))
    return truth


def _assembled(recording: Recording) -> tuple[Json, Truth]:
    """The message that a stream tells piece by piece; every piece of a thought is a detail."""
    message: Json = {}
    for data in events(recording.body):
        event = json.loads(data)
        match event["type"]:
            case "message_start":
                message = event["message"]
            case "content_block_start":
                message["content"].append({**event["content_block"], "pieces": []})
            case "content_block_delta":
                _grow(message["content"][event["index"]], event["delta"])
            case "message_delta":
                message |= event["delta"]
                told = event["usage"].items()
                message["usage"] |= {key: value for key, value in told if value is not None}
            case other:
                assert other in ("ping", "content_block_stop", "message_stop")
    return message, Truth()


def _grow(block: Json, delta: Json) -> None:
    match delta["type"]:
        case "text_delta":
            block["text"] += delta["text"]
        case "input_json_delta":
            block["given"] = block.get("given", "") + delta["partial_json"]
        case "thinking_delta":
            block["thinking"] += delta["thinking"]
        case "signature_delta":
            block["signature"] = delta["signature"]
        case "citations_delta":
            block["citations"] = [*(block.get("citations") or []), delta["citation"]]
        case other:
            raise AssertionError(other)


def _add(voice: Voice, block: Json, at: int) -> None:
    """One block: `at` is the number of its reasoning detail, if it has one."""
    kind = block["type"]
    if kind == "text":
        begin = len(voice.text)
        voice.text += block["text"]
        cited = block.get("citations") or []
        voice.annotations += [_citation(one, begin, len(voice.text)) for one in cited]
    elif kind == "thinking":
        told = {"text": block["thinking"], "signature": block["signature"]}
        voice.reasoning += block["thinking"]
        voice.details.append(_detail("text", {k: v for k, v in told.items() if v}, at))
    elif kind == "redacted_thinking":
        voice.details.append(_detail("encrypted", {"data": block["data"]}, at))
    elif kind == "tool_use":
        voice.calls.append([block["id"], "function", block["name"], _given(block)])
    elif kind in SERVER_TOOLS:
        extra: Json = {key: block[key] for key in ("caller", "server_name") if key in block}
        told = {"tool_name": block["name"], "arguments": _given(block), "tool_call_id": block["id"]}
        voice.details.append({**_detail("server_tool_call", told, -1), **extra})
    else:
        assert kind.endswith("_tool_result"), kind
        result = {key: value for key, value in block.items() if key != "pieces"}
        waiting = [d for d in voice.details if d["index"] == -1]
        named = [d for d in waiting if d["tool_call_id"] == block["tool_use_id"]]
        use = (named or waiting)[0]  # one recorder gave the ids new names
        voice.details.remove(use)
        voice.details.append(use | {"result": _compact(result), "index": at})


def _detail(kind: str, told: Json, at: int) -> Json:
    return {"type": f"reasoning.{kind}", **told, "format": FORMAT, "index": at}


def _given(block: Json) -> str:
    given: str = block.get("given") or _compact(block["input"])
    return given


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _citation(one: Json, begin: int, end: int) -> Json:
    span = {"start_index": begin, "end_index": end}
    if one["type"] != "web_search_result_location":
        return {"type": "file_citation", "file_citation": {**one, **span}}
    cited = {"url": one["url"], "title": one["title"], **span, "content": one["cited_text"]}
    return {"type": "url_citation", "url_citation": cited}


def counted(usage: Json) -> Json:
    """Usage in OpenRouter's counting: the input leaves out what the cache had or was given."""
    cached = usage.get("cache_read_input_tokens") or 0
    written = usage.get("cache_creation_input_tokens") or 0
    sent = usage["input_tokens"] + cached + written
    thought = (usage.get("output_tokens_details") or {}).get("thinking_tokens") or 0
    return {
        "prompt_tokens": sent,
        "completion_tokens": usage["output_tokens"],
        "total_tokens": sent + usage["output_tokens"],
        "prompt_tokens_details": {
            "cached_tokens": cached,
            "cache_write_tokens": written,
            "audio_tokens": 0,
            "video_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": thought,
            "image_tokens": 0,
            "audio_tokens": 0,
        },
    }
