"""The conversation in a request of Gemini's generateContent; results belong to calls by order."""

from tests.talk import Call, File, Image, Json, Result, Talk, canonical


def read(body: Json) -> Talk:
    talk, number, answered = Talk(), 0, 0
    system = body.get("systemInstruction") or {"parts": []}
    talk.system = "".join(part["text"] for part in system["parts"])
    roles = [content["role"] for content in body["contents"]]
    assert set(roles) <= {"user", "model"}
    assert roles[0] == "user"
    for content in body["contents"]:
        turn = talk.turn("assistant" if content["role"] == "model" else "user")
        for part in content["parts"]:
            if "text" in part:
                turn.say(part["text"])
            elif "inlineData" in part:
                mime, data = part["inlineData"]["mimeType"], part["inlineData"]["data"]
                turn.say(Image(mime, data) if mime.startswith("image/") else File(mime, data))
            elif "functionCall" in part:
                told = part["functionCall"]
                arguments = canonical(told.get("args") or {})
                turn.calls.append(Call(number, told["name"], arguments))
                number += 1
            else:
                told = part["functionResponse"]
                calls = [call for one in talk.turns for call in one.calls]
                assert calls[answered].name == told["name"]
                turn.results.append(Result(answered, _text(told["response"])))
                answered += 1
    return talk


def _text(response: Json) -> str:
    (value,) = response.values()
    return value if isinstance(value, str) else canonical(value)
