"""The conversation in a request of OpenAI's chat completions."""

import json

from tests.talk import Call, File, Image, Json, Numbers, Result, Talk, canonical


def read(body: Json) -> Talk:
    talk, numbers = Talk(), Numbers()
    for message in body["messages"]:
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
        if message["role"] in ("system", "developer"):
            talk.system += "".join(part["text"] for part in parts)
        elif message["role"] == "tool":
            text = "".join(part["text"] for part in parts)
            result = Result(numbers.of(message["tool_call_id"]), text)
            talk.turn("user").results.append(result)
        else:
            turn = talk.turn(message["role"])
            for part in parts:
                turn.say(_piece(part))
            for call in message.get("tool_calls") or []:
                told = call["function"]
                arguments = canonical(json.loads(told["arguments"]))
                turn.calls.append(Call(numbers.of(call["id"]), told["name"], arguments))
    return talk


def _piece(part: Json) -> str | Image | File:
    if part["type"] == "text":
        text: str = part["text"]
        return text
    file = part["type"] == "file"
    url = part["file"]["file_data"] if file else part["image_url"]["url"]
    mime, _, data = url.removeprefix("data:").partition(";base64,")
    return File(mime, data) if file else Image(mime, data)
