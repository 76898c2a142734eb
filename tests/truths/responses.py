"""What a recording of the Responses API says, by nothing of `proxy`.

A stream is read from the items that it tells whole at their end, never from the pieces before: what
the pieces add up to must be the same.
"""

import json

from tests.recordings import Recording
from tests.truths.chat import Json, Truth, Voice, events, searched

XAI = "xai-responses-v1"
FORMATS = {"xai": XAI}
"""The name of reasoning in OpenRouter's form; OpenAI's at all others."""

FINISH = {"max_output_tokens": "length", "content_filter": "content_filter"}
RESULTS = ("outputs", "output", "results", "result", "tools", "error")
CALLS = ("function_call", "custom_tool_call")


def said(recording: Recording) -> Truth:
    """What the provider said."""
    truth = Truth()
    if recording.row["kind"] != "sse":
        response = json.loads(recording.body)
        items = response.get("output") or []
    else:
        chunks = [json.loads(data) for data in events(recording.body) if data != b"[DONE]"]
        told = [chunk for chunk in chunks if chunk["type"] == "response.output_item.done"]
        told.sort(key=lambda chunk: chunk["output_index"])
        response = _last(chunks)
        items = [chunk["item"] for chunk in told] or response.get("output") or []
    truth.error = response.get("error")
    if truth.error:
        return truth
    voice = truth.voice(0)
    format_ = FORMATS.get(recording.row["provider"], "openai-responses-v1")
    for item in items:
        _add(voice, item, format_)
    voice.native = (response.get("incomplete_details") or {}).get("reason") or response["status"]
    voice.finish = FINISH.get(voice.native, "tool_calls" if voice.calls else "stop")
    truth.usage = counted(response["usage"]) | searched(_searches(response, items))
    return truth


def _searches(response: Json, items: list[Json]) -> int:
    """How often the web was searched: as the provider says, else as its items do."""
    if "tool_usage" in response and "web_search" in response["tool_usage"]:
        told: int = response["tool_usage"]["web_search"]["num_requests"]
        return told
    if tools := response["usage"].get("server_side_tool_usage_details"):  # xAI
        made: int = tools["web_search_calls"] + tools["x_search_calls"]
        return made
    found = [item.get("action") or {} for item in items if item["type"] == "web_search_call"]
    return sum(action.get("type", "search") == "search" for action in found)


def counted(usage: Json) -> Json:
    """The usage in OpenRouter's counting: at every provider reasoning is part of the output here,
    as the totals show, and what was cached or written to the cache is part of the input.
    """
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    sent, answered = usage["input_tokens_details"], usage["output_tokens_details"]
    assert answered["reasoning_tokens"] <= usage["output_tokens"]
    return {
        "prompt_tokens": usage["input_tokens"],
        "completion_tokens": usage["output_tokens"],
        "total_tokens": usage["total_tokens"],
        "prompt_tokens_details": {
            "cached_tokens": sent["cached_tokens"],
            "cache_write_tokens": sent.get("cache_write_tokens", 0),
            "audio_tokens": 0,
            "video_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": answered["reasoning_tokens"],
            "image_tokens": 0,
            "audio_tokens": 0,
        },
    }


def _last(chunks: list[Json]) -> Json:
    for chunk in reversed(chunks):
        if chunk["type"] in ("response.completed", "response.incomplete", "response.failed"):
            response: Json = chunk["response"]
            return response
    return {"error": next(chunk for chunk in chunks if chunk["type"] == "error")}


def _add(voice: Voice, item: Json, format_: str) -> None:
    if item["type"] == "message":
        for part in item["content"]:
            _add_part(voice, part)
    elif item["type"] == "reasoning":
        _add_reasoning(voice, item, format_)
    elif item["type"] in CALLS:
        custom = item["type"] != "function_call"
        type_, told = ("custom", item["input"]) if custom else ("function", item["arguments"])
        voice.calls.append([item["call_id"], type_, item["name"], told])
    else:
        _add_work(voice, item, format_)


def _add_part(voice: Voice, part: Json) -> None:
    if part["type"] == "refusal":
        voice.refusal += part["refusal"]
        return
    before = len(voice.text)
    voice.text += part["text"]
    voice.logprobs += part.get("logprobs") or []
    voice.annotations += [_citation(one, before) for one in part["annotations"]]


def _citation(told: Json, before: int) -> Json:
    if told["type"] == "url_citation":
        start, end = told.get("start_index"), told.get("end_index")
        span = [0, 0] if start is None or end is None else [start + before, end + before]
        cited = {"url": told["url"], "title": told.get("title", told["url"])}
    else:
        first: int = told["start_index"] if "start_index" in told else told["index"]
        span = [first + before, told.get("end_index", first) + before]
        cited = {key: value for key, value in told.items() if key not in ("type", "index")}
    type_ = "url_citation" if told["type"] == "url_citation" else "file_citation"
    return {"type": type_, type_: cited | {"start_index": span[0], "end_index": span[1]}}


def _add_reasoning(voice: Voice, item: Json, format_: str) -> None:
    for part in item.get("content") or []:
        voice.reasoning += part["text"]
        detail = {"type": "reasoning.text", "text": part["text"], "format": format_}
        voice.details.append(detail | {"id": item["id"], "index": len(voice.details)})
    for part in item["summary"]:
        voice.reasoning += part["text"]
        detail = {"type": "reasoning.summary", "summary": part["text"], "format": format_}
        voice.details.append(detail | {"index": len(voice.details)})
    if data := item.get("encrypted_content"):
        detail = {"type": "reasoning.encrypted", "data": data}
        detail["format"] = item.get("format") or format_
        voice.details.append(detail | {"id": item["id"], "index": len(voice.details)})


def _add_work(voice: Voice, item: Json, format_: str) -> None:
    """What a tool of the provider's own did; its images are beside it."""
    arguments = {key: value for key, value in item.items() if key not in ("id", "type", "status")}
    result = {key: arguments.pop(key) for key in RESULTS if key in arguments}
    images = []
    if item["type"] == "image_generation_call":
        kind = item.get("output_format", "png")
        images = [f"data:image/{kind};base64,{result.pop('result')}"]
    if outputs := result.get("outputs"):
        images = [output["url"] for output in outputs if output["type"] == "image"]
        result["outputs"] = [output for output in outputs if output["type"] != "image"]
    voice.images += [{"type": "image_url", "image_url": {"url": url}} for url in images]
    name = item["type"]
    detail = {
        "type": "reasoning.server_tool_call",
        "tool_name": name[: -len("_call")] if name.endswith("_call") else name,
        "arguments": _compact(arguments),
        "result": _compact(result),
        "tool_call_id": item["id"],
        "format": format_,
        "index": len(voice.details),
    }
    voice.details.append(detail)


def _compact(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
