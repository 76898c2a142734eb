"""The conversation in a request of Cohere's v2 chat."""

import json

from tests.talk import Call, File, Image, Json, Numbers, Result, Talk, canonical


def read(body: Json) -> Talk:
    talk, numbers = Talk(), Numbers()
    for message in body["messages"]:
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
        if message["role"] == "system":
            talk.system += "".join(part["text"] for part in parts)
        elif message["role"] == "tool":
            text = "".join(_text(part) for part in parts)
            talk.turn("user").results.append(Result(numbers.of(message["tool_call_id"]), text))
        else:
            turn = talk.turn(message["role"])
            turn.say(message.get("tool_plan") or "")
            for part in parts:
                turn.say(_piece(part))
            for call in message.get("tool_calls") or []:
                told = call["function"]
                arguments = canonical(json.loads(told["arguments"]))
                turn.calls.append(Call(numbers.of(call["id"]), told["name"], arguments))
    return talk


def _text(part: Json) -> str:
    text = part["text"] if part["type"] == "text" else part["document"]["data"]
    return text if isinstance(text, str) else "".join(map(str, text.values()))


def _piece(part: Json) -> str | Image | File:
    if part["type"] == "text":
        text: str = part["text"]
        return text
    mime, _, data = part["image_url"]["url"].removeprefix("data:").partition(";base64,")
    return Image(mime, data)
