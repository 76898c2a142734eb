"""What a recording of Bedrock's Converse says, read by nothing of `proxy`.

Binary streams are read from the decoded messages that lie beside them.
"""

import base64
import json
from collections.abc import Iterator
from typing import Any

from tests.recordings import Recording, root
from tests.truths.chat import Json, Truth, Voice

FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "guardrail_intervened": "content_filter",
}
CLAUDE = "anthropic-claude-v1"


def said(recording: Recording) -> Truth:
    """What the provider said."""
    truth = Truth()
    voice = truth.voice(0)
    if recording.row["kind"] == "json":
        answer = json.loads(recording.body)
        blocks = answer["output"]["message"]["content"]
        voice.native, usage = answer["stopReason"], answer["usage"]
    else:
        blocks, voice.native, usage = _gathered(_messages(recording))
    uses: dict[str, Json] = {}
    thoughts = 0
    for block in blocks:
        thoughts += _hear(voice, block, uses, thoughts)
    voice.finish = FINISH[voice.native]
    if voice.finish in ("stop", "tool_calls"):
        voice.finish = "tool_calls" if voice.calls else "stop"
    truth.usage = counted(usage)
    return truth


def counted(usage: Json) -> Json:
    """Bedrock's usage in OpenRouter's counting, from what its documentation says of it."""
    read = usage.get("cacheReadInputTokens", usage.get("cacheReadInputTokenCount", 0))
    written = usage.get("cacheWriteInputTokens", usage.get("cacheWriteInputTokenCount", 0))
    sent, answered = usage["inputTokens"] + read + written, usage["outputTokens"]
    assert usage["totalTokens"] == sent + answered
    return {
        "prompt_tokens": sent,
        "completion_tokens": answered,
        "total_tokens": sent + answered,
        "prompt_tokens_details": {
            "cached_tokens": read,
            "cache_write_tokens": written,
            "audio_tokens": 0,
            "video_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "image_tokens": 0,
            "audio_tokens": 0,
        },
    }


def _messages(recording: Recording) -> Iterator[tuple[str, Json]]:
    """The messages of a stream, by their names."""
    if recording.row["kind"] == "eventstream":
        decoded = root() / recording.row["dir"] / "response.events.jsonl"
        for line in decoded.read_text().splitlines():
            event = json.loads(line)
            yield event["headers"][":event-type"], event["payload"]
    else:
        lines = recording.body.decode().splitlines()
        for line in lines:
            if line.startswith("data: "):
                yield from json.loads(line[6:]).items()


def _gathered(messages: Iterator[tuple[str, Json]]) -> tuple[list[Json], str, Json]:
    """The blocks of a stream as a whole answer would have them, the stop reason and the usage."""
    blocks: dict[int, Json] = {}
    native, usage = "", {}
    for name, told in messages:
        if name == "messageStop":
            native = told["stopReason"]
        elif name == "metadata":
            usage = told["usage"]
        elif name in ("contentBlockStart", "contentBlockDelta"):
            block = blocks.setdefault(told["contentBlockIndex"], {})
            for kind, piece in (told.get("start") or told["delta"]).items():
                _gather(block, kind, piece)
    return [_whole(blocks[index]) for index in sorted(blocks)], native, usage


def _gather(block: Json, kind: str, piece: Any) -> None:
    if kind == "text":
        block["text"] = block.get("text", "") + piece
    elif kind == "citation":
        block.setdefault("citations", []).append(piece)
    elif kind == "toolUse" and "input" in piece:
        block["toolUse"]["input"] = block["toolUse"].get("input", "") + piece["input"]
    elif kind == "toolResult" and isinstance(piece, list):
        block["toolResult"].setdefault("content", []).extend(piece)
    elif kind == "reasoningContent":
        thought = block.setdefault(kind, {"streamed": True})
        for key, value in piece.items():
            thought[key] = thought.get(key, "") + value
    else:
        block[kind] = dict(piece)


def _whole(block: Json) -> Json:
    if "citations" in block:
        texts = [{"text": block.get("text", "")}]
        return {"citationsContent": {"content": texts, "citations": block["citations"]}}
    return block


def _hear(voice: Voice, block: Json, uses: dict[str, Json], number: int) -> int:
    """Reads a block; gives how many details of reasoning it began."""
    ((kind, told),) = block.items()
    match kind:
        case "text":
            voice.text += told
        case "citationsContent":
            start = len(voice.text)
            voice.text += "".join(piece["text"] for piece in told["content"])
            place = {"start_index": start, "end_index": len(voice.text)}
            voice.annotations += [_cited(citation, place) for citation in told["citations"]]
        case "reasoningContent":
            voice.details += list(_thought(told, number))
            text = told.get("text") or told.get("reasoningText", {}).get("text", "")
            voice.reasoning += text
            return 1
        case "toolUse" if told.get("type") == "server_tool_use":
            uses[told["toolUseId"]] = told | {"number": number}
            return 1
        case "toolUse":
            name, given = told["name"], told.get("input", "{}")
            arguments = given if isinstance(given, str) else _json(given)
            voice.calls.append([told["toolUseId"], "function", name, arguments])
        case "toolResult":
            use = uses.pop(told["toolUseId"])
            voice.details.append(_server_tool(use, told))
        case _:
            raise AssertionError(kind)
    return 0


def _thought(told: Json, number: int) -> Iterator[Json]:
    if data := told.get("redactedContent"):
        data = base64.b64decode(data).decode("ascii")
        yield {"type": "reasoning.encrypted", "data": data, "format": CLAUDE, "index": number}
        return
    plain = told if told.get("streamed") else told["reasoningText"]
    detail = {"type": "reasoning.text", "text": plain["text"], "index": number}
    if "signature" in plain:
        detail |= {"signature": plain["signature"], "format": CLAUDE}
    elif not told.get("streamed"):
        detail["format"] = "unknown"
    yield detail


def _server_tool(use: Json, result: Json) -> Json:
    given = use["input"]
    texts = [piece["text"] for piece in result["content"] if "text" in piece]
    content = [{"text": "".join(texts)}] if texts else result["content"]
    return {
        "type": "reasoning.server_tool_call",
        "tool_name": use["name"],
        "arguments": given if isinstance(given, str) else _json(given),
        "result": _json(
            {key: result[key] for key in result if key != "content"} | {"content": content}
        ),
        "format": "unknown",
        "tool_call_id": use["toolUseId"],
        "index": use["number"],
    }


def _json(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _cited(citation: Json, place: Json) -> Json:
    web = citation["location"].get("web") or {}
    url = web.get("url") or citation.get("source")
    if url is None:
        return {"type": "file_citation", "file_citation": citation | place}
    cited = {"url": url, "title": citation.get("title") or web["domain"], **place}
    if "sourceContent" in citation:
        cited["content"] = "".join(piece["text"] for piece in citation["sourceContent"])
    return {"type": "url_citation", "url_citation": cited}
