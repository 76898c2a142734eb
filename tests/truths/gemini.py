"""What a recording of Gemini's `generateContent` says, read by nothing of `proxy`.

Gemini's older models, and Vertex, give calls no id. Weir makes one up: `tool_<name>_<digest>`, the
name in at most 14 characters of `A-Za-z0-9_-`, the digest the first 20 hexadecimal digits of the
SHA-256 of `<responseId>:<index of the candidate>:<number of the call in it>`.
"""

import hashlib
import json
import re
from typing import Any

from tests.recordings import Recording
from tests.truths.chat import Json, Truth, Voice, events, searched

FORMAT = "google-gemini-v1"
REASONS = {"STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "content_filter"}
BROKEN = ("UNEXPECTED_TOOL_CALL",)


def said(recording: Recording) -> Truth:
    """What Gemini said."""
    streamed = recording.row["kind"] == "sse"
    chunks = [json.loads(one) for one in (events(recording.body) if streamed else [recording.body])]
    truth = Truth()
    readers: dict[int, _Candidate] = {}
    for chunk in chunks:
        if error := chunk.get("error"):
            truth.error = error
            break
        for candidate in chunk.get("candidates", []):
            index = candidate.get("index", 0)
            if index not in readers:
                readers[index] = _Candidate(
                    truth.voice(index), chunks[0].get("responseId", ""), index
                )
            readers[index].read(candidate)
            if candidate.get("finishReason") in BROKEN:
                truth.error = {"message": candidate["finishMessage"]}
        truth.usage = chunk.get("usageMetadata") or truth.usage
    for reader in readers.values():
        reader.end()
    truth.usage = counted(truth.usage or {})
    queries = [
        set(filter(None, one.grounding.get("webSearchQueries", ()))) for one in readers.values()
    ]
    newer = any(
        not re.match(r"gemini-[12]\b", one.get("modelVersion", "gemini-1")) for one in chunks
    )
    if truth.usage is not None:  # what is sold was an answer that searched, and now is a search
        truth.usage |= searched(sum(len(one) if newer else min(1, len(one)) for one in queries))
    return truth


def made_up_id(answer_id: str, index: int, number: int, name: str) -> str:
    """The id of the call of that number, by the rule above."""
    digest = hashlib.sha256(f"{answer_id}:{index}:{number}".encode()).hexdigest()
    return "tool_" + re.sub(r"[^A-Za-z0-9_-]", "_", name)[:14] + "_" + digest[:20]


def counted(usage: Json) -> Json | None:
    """Google's usage in OpenRouter's counting; None where it counted nothing."""
    if not any(name.endswith("TokenCount") for name in usage):
        return None
    thoughts = usage.get("thoughtsTokenCount", 0)
    sent = usage.get("promptTokenCount", 0) + usage.get("toolUsePromptTokenCount", 0)
    answered = usage.get("candidatesTokenCount", 0) + thoughts
    asked = usage.get("promptTokensDetails", []) + usage.get("toolUsePromptTokensDetails", [])
    given = usage.get("candidatesTokensDetails", [])
    return {
        "prompt_tokens": sent,
        "completion_tokens": answered,
        "total_tokens": sent + answered,
        "prompt_tokens_details": {
            "cached_tokens": usage.get("cachedContentTokenCount", 0),
            "cache_write_tokens": 0,
            "audio_tokens": _of(asked, "AUDIO"),
            "video_tokens": _of(asked, "VIDEO"),
        },
        "completion_tokens_details": {
            "reasoning_tokens": thoughts,
            "image_tokens": _of(given, "IMAGE"),
            "audio_tokens": _of(given, "AUDIO"),
        },
    }


def _of(details: list[Json], modality: str) -> int:
    return sum(one.get("tokenCount", 0) for one in details if one["modality"] == modality)


class _Candidate:
    """One candidate, read part by part."""

    def __init__(self, voice: Voice, answer_id: str, index: int) -> None:
        self.voice = voice
        self.answer_id = answer_id
        self.index = index
        self.grounding: Json = {}
        self.citations: list[Json] = []
        self.server: dict[str, Json] = {}
        self.arguments: Json | None = None

    def read(self, candidate: Json) -> None:
        for part in candidate.get("content", {}).get("parts", []):
            for name in part.keys() - {"thought", "thoughtSignature"}:
                getattr(self, f"read_{name}")(part[name], part)
        self.grounding.update(candidate.get("groundingMetadata", {}))
        self.citations += candidate.get("citationMetadata", {}).get("citations", [])
        if native := candidate.get("finishReason"):
            self.voice.native = native
            self.voice.finish = REASONS.get(native, "error")
            if native == "STOP" and self.voice.calls:
                self.voice.finish = "tool_calls"

    def end(self) -> None:
        chunks = self.grounding.get("groundingChunks", [])
        supports = self.grounding.get("groundingSupports", [])
        for support in supports:
            place = self.place(support["segment"])
            for number in support["groundingChunkIndices"]:
                self.cite(chunks[number], *place)
        if not supports:
            for chunk in chunks:
                self.cite(chunk, 0, 0)
        for citation in self.citations:
            if "uri" in citation:
                place = self.place(citation)
                self.cite({"web": citation}, *place)

    def sign(self, part: Json, index: int, id_: str | None = None) -> None:
        if signature := part.get("thoughtSignature"):
            detail = {"type": "reasoning.encrypted", "data": signature, "format": FORMAT}
            detail |= {"id": id_} if id_ else {}
            self.voice.details.append(detail | {"index": index})

    def read_text(self, text: str, part: Json) -> None:
        if part.get("thought"):
            self.voice.reasoning += text
            detail = {"type": "reasoning.text", "text": text, "format": FORMAT, "index": 0}
            self.voice.details.append(detail)
            return
        self.voice.text += text
        self.sign(part, 0 if text else 1)

    def read_inlineData(self, data: Json, part: Json) -> None:
        if data["mimeType"].startswith("audio"):
            self.voice.audio["data"] = self.voice.audio.get("data", "") + data["data"]
            return
        self.sign(part, 2 + len(self.voice.images))
        url = f"data:{data['mimeType']};base64,{data['data']}"
        self.voice.images.append({"type": "image_url", "image_url": {"url": url}})

    def read_functionCall(self, call: Json, part: Json) -> None:
        if "name" in call:
            number = len(self.voice.calls)
            id_ = call.get("id") or made_up_id(self.answer_id, self.index, number, call["name"])
            self.sign(part, 0, id_)
            self.voice.calls.append([id_, "function", call["name"], ""])
            self.arguments = dict(call.get("args", {}))
        assert self.arguments is not None
        for piece in call.get("partialArgs", []):  # all recorded ones are texts at the top
            key = piece["jsonPath"].removeprefix("$.")
            self.arguments[key] = self.arguments.get(key, "") + piece["stringValue"]
        if not call.get("willContinue"):
            written = json.dumps(self.arguments, separators=(",", ":"), ensure_ascii=False)
            self.voice.calls[-1][3] = written

    def read_executableCode(self, code: Json, part: Json) -> None:
        self.start("code_execution", code.get("id"), {**code, "id": None}, part)

    def read_toolCall(self, call: Json, part: Json) -> None:
        self.start(call["toolType"], call["id"], call.get("args", {}), part)

    def read_codeExecutionResult(self, result: Json, part: Json) -> None:
        self.stop(result.get("id"), {**result, "id": None}, part)

    def read_toolResponse(self, answer: Json, part: Json) -> None:
        self.stop(answer["id"], answer.get("response", {}), part)

    def start(self, name: str, id_: str | None, arguments: Json, part: Json) -> None:
        known = id_ or made_up_id(self.answer_id, self.index, -1 - len(self.server), name)
        self.server[known] = {"name": name, "arguments": arguments, "part": part}

    def stop(self, id_: str | None, result: Json, part: Json) -> None:
        id_ = id_ or next(iter(self.server))
        told = self.server.pop(id_)
        detail = {
            "type": "reasoning.server_tool_call",
            "tool_name": told["name"],
            "arguments": _written(told["arguments"]),
            "result": _written(result),
            "tool_call_id": id_,
            "format": FORMAT,
            "index": 0,
        }
        self.voice.details.append(detail)
        self.sign(told["part"], 0, id_)
        self.sign(part, 1, id_)

    def place(self, segment: Json) -> tuple[int, int]:
        """Where the cited words are, in characters; Google's bytes are wrong at times."""
        text, data = self.voice.text, self.voice.text.encode()
        start, end = segment.get("startIndex", 0), segment.get("endIndex", 0)
        cited = segment.get("text")
        if cited is not None and data[start:end] != cited.encode():
            return text.index(cited), text.index(cited) + len(cited)
        return len(data[:start].decode()), len(data[:end].decode())

    def cite(self, chunk: Json, start: int, end: int) -> None:
        ((kind, source),) = chunk.items()
        place = {"start_index": start, "end_index": end}
        one: dict[str, Any]
        if "uri" in source:
            cited = {"url": source["uri"], "title": source.get("title") or source["uri"]} | place
            one = {"type": "url_citation", "url_citation": cited}
        else:
            assert kind == "retrievedContext"
            one = {"type": "file_citation", "file_citation": source | place}
        if one not in self.voice.annotations:
            self.voice.annotations.append(one)


def _written(value: Json) -> str:
    kept = {key: one for key, one in value.items() if one is not None}
    return json.dumps(kept, separators=(",", ":"), ensure_ascii=False)
