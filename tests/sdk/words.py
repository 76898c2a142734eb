"""The scenarios' requests in the words of Anthropic's Messages, and its answers in the scenarios'.

A scenario asks as a chat does; what an SDK sends and understands is in its own words.
"""

import json
from typing import Any, Final

from tests.sdk.clients import JSONObject, Outcome

MAX_TOKENS: Final = 4000
THINKING: Final = {"type": "enabled", "budget_tokens": 2000}
FINISH: Final = {"end_turn": "stop", "max_tokens": "length", "tool_use": "tool_calls"}
CODES: Final = {
    "invalid_request_error": "400",
    "not_found_error": "400",
    "authentication_error": "401",
    "rate_limit_error": "429",
    "api_error": "502",
}
"""The status by the type of an error."""

_CACHED: Final = ("cache_read_input_tokens", "cache_creation_input_tokens")
_FOREIGN: Final = "openrouter.reasoning:"  # what begins a thought that is not Claude's


def message_request(request: JSONObject) -> JSONObject:
    """A scenario's request as a request of Messages."""
    asked: JSONObject = {
        "model": request["model"],
        "max_tokens": request.get("max_tokens", MAX_TOKENS),
        "messages": [],
    }
    for message in request["messages"]:
        role, content = _turn(message)
        if role == "user" and asked["messages"] and asked["messages"][-1]["role"] == "user":
            asked["messages"][-1]["content"] += content  # results of one turn
        else:
            asked["messages"].append({"role": role, "content": content})
    if "tools" in request:
        functions = [tool["function"] for tool in request["tools"]]
        asked["tools"] = [
            {"name": one["name"], "input_schema": one["parameters"]} for one in functions
        ]
    if "tool_choice" in request:
        parallel = request.get("parallel_tool_calls", True)
        asked["tool_choice"] = {
            "type": request["tool_choice"],
            "disable_parallel_tool_use": not parallel,
        }
    if "reasoning_effort" in request:
        asked["thinking"] = dict(THINKING)
    if "response_format" in request:
        schema = request["response_format"]["json_schema"]["schema"]
        asked["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    return asked


def _turn(message: JSONObject) -> tuple[str, Any]:
    content = message["content"]
    if message["role"] == "tool":
        result = {"tool_use_id": message["tool_call_id"], "content": content}
        return "user", [{"type": "tool_result", **result}]
    if isinstance(content, str) or message["role"] == "assistant":
        return message["role"], content
    return "user", [part if part["type"] == "text" else _image(part) for part in content]


def _image(part: JSONObject) -> JSONObject:
    url = part["image_url"]["url"]
    head, comma, data = url.partition(";base64,")
    source = {"type": "url", "url": url}
    if comma:
        media_type = head.removeprefix("data:")
        source = {"type": "base64", "media_type": media_type, "data": data}
    return {"type": "image", "source": source}


def message_outcome(id_: str, message: JSONObject, usage: JSONObject) -> Outcome:
    """What an SDK understood of an answer: the id of its head, the message, and its last usage."""
    blocks = message["content"]
    thoughts = [block for block in blocks if block["type"].endswith("thinking")]
    sealed = [block.get("signature") or block.get("data") or "" for block in thoughts]
    cached = sum(usage.get(name) or 0 for name in _CACHED)
    prompt, completion = usage["input_tokens"] + cached, usage["output_tokens"]
    counts = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    told = {name: usage[name] for name in ("cost", "is_byok", "cost_details")}
    return Outcome(
        id=id_,
        model=message["model"],
        provider=message["provider"],
        text="".join(block["text"] for block in blocks if block["type"] == "text"),
        reasoning="".join(block.get("thinking", "") for block in thoughts),
        calls=[
            (block["id"], block["name"], block["input"])
            for block in blocks
            if block["type"] == "tool_use"
        ],
        finish_reason=FINISH[message["stop_reason"]],
        usage=counts | told,
        message={
            "role": "assistant",
            "content": json.loads(json.dumps(blocks)),
            "reasoning_details": [
                {"data": one} for one in sealed if one and not one.startswith(_FOREIGN)
            ],
        },
    )
