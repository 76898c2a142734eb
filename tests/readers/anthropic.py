"""The conversation in a request of Anthropic's Messages."""

from tests.talk import Call, File, Image, Json, Numbers, Result, Talk, canonical


def read(body: Json) -> Talk:
    talk, numbers = Talk(), Numbers()
    system = body.get("system") or []
    blocks: list[Json] = [{"text": system}] if isinstance(system, str) else system
    talk.system = "".join(block["text"] for block in blocks)
    roles = [message["role"] for message in body["messages"]]
    assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"] * (len(roles) % 2)
    for message in body["messages"]:
        turn, content = talk.turn(message["role"]), message["content"]
        plain: list[Json] = [{"type": "text", "text": content}]
        for block in plain if isinstance(content, str) else content:
            match block["type"]:
                case "text":
                    assert block["text"].strip()
                    turn.say(block["text"])
                case "image" | "document":
                    source = block["source"]
                    kind = Image if block["type"] == "image" else File
                    turn.say(kind(source["media_type"], source["data"]))
                case "tool_use":
                    number = numbers.of(block["id"])
                    turn.calls.append(Call(number, block["name"], canonical(block["input"])))
                case "tool_result":
                    assert not turn.said, "results come first"
                    text = _text(block["content"])
                    turn.results.append(Result(numbers.of(block["tool_use_id"]), text))
                case other:
                    raise AssertionError(other)
    return talk


def _text(content: str | list[Json]) -> str:
    return content if isinstance(content, str) else "".join(part["text"] for part in content)
