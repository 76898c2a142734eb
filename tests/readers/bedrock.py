"""The conversation in a request of Bedrock's Converse."""

from tests.talk import Call, File, Image, Json, Numbers, Result, Talk, canonical


def read(body: Json) -> Talk:
    talk, numbers = Talk(), Numbers()
    talk.system = "".join(block.get("text", "") for block in body.get("system") or [])
    roles = [message["role"] for message in body["messages"]]
    assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"] * (len(roles) % 2)
    for message in body["messages"]:
        turn = talk.turn(message["role"])
        for block in message["content"]:
            ((kind, told),) = block.items()
            match kind:
                case "text":
                    assert told.strip()
                    turn.say(told)
                case "image":
                    turn.say(Image(f"image/{told['format']}", told["source"]["bytes"]))
                case "document":
                    turn.say(File(f"application/{told['format']}", told["source"]["bytes"]))
                case "toolUse":
                    number = numbers.of(told["toolUseId"])
                    turn.calls.append(Call(number, told["name"], canonical(told["input"])))
                case "toolResult":
                    assert not turn.said, "results come first"
                    text = "".join(part["text"] for part in told["content"])
                    turn.results.append(Result(numbers.of(told["toolUseId"]), text))
                case other:
                    assert other == "cachePoint", other
        texts = [piece for piece in turn.said if isinstance(piece, str)]
        if texts == ["."] and any(
            isinstance(piece, File) for piece in turn.said
        ):  # documents do not stand without a text
            turn.said.remove(".")
    return talk
