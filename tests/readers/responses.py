"""The conversation in a request of OpenAI's Responses."""

import json

from tests.talk import Call, File, Image, Json, Numbers, Result, Talk, canonical


def read(body: Json) -> Talk:
    talk, numbers = Talk(system=body.get("instructions") or ""), Numbers()
    for item in body["input"]:
        match item.get("type", "message"):
            case "message":
                content = item["content"]
                parts = [{"type": "input_text", "text": content}]
                for part in parts if isinstance(content, str) else content:
                    if item["role"] in ("system", "developer"):
                        talk.system += part["text"]
                    else:
                        talk.turn(item["role"]).say(_piece(part))
            case "function_call":
                number = numbers.of(item["call_id"])
                arguments = canonical(json.loads(item["arguments"]))
                talk.turn("assistant").calls.append(Call(number, item["name"], arguments))
            case "function_call_output":
                output = item["output"]
                text = output if isinstance(output, str) else "".join(p["text"] for p in output)
                talk.turn("user").results.append(Result(numbers.of(item["call_id"]), text))
            case other:
                raise AssertionError(other)
    return talk


def _piece(part: Json) -> str | Image | File:
    if part["type"] in ("input_text", "output_text"):
        text: str = part["text"]
        return text
    file = part["type"] == "input_file"
    mime, _, data = part["file_data" if file else "image_url"][5:].partition(";base64,")
    return File(mime, data) if file else Image(mime, data)
