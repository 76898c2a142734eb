"""What a client hears: Weir's bytes, read as one does that was written against OpenRouter.

Any shape but OpenRouter's is refused. It shares nothing with `proxy`.
"""

import json
import re

from tests.recordings import Recording
from tests.truths.chat import GROWING, Json, Truth, Voice, logprobs_of

STATUS = {400: 400, 401: 502, 403: 502, 404: 404, 422: 422, 429: 429, 500: 502}
"""The status a caller gets for a provider's: our key's trouble is not the caller's."""

CHUNK = {"id", "object", "created", "model", "provider", "choices"}
USAGE = {
    "prompt_tokens", "completion_tokens", "total_tokens", "cost", "is_byok",
    "prompt_tokens_details", "cost_details", "completion_tokens_details",
}  # fmt: skip
COST_DETAILS = {
    "upstream_inference_cost",
    "upstream_inference_prompt_cost",
    "upstream_inference_completions_cost",
}


def heard_stream(body: bytes) -> Truth:
    """What a client hears in a stream, which must have OpenRouter's shape."""
    pieces = body.split(b"\n\n")
    assert pieces.pop() == b"", "it ends at a blank line"
    data = [piece for piece in pieces if not piece.startswith(b":")]
    assert all(piece.startswith(b"data: ") and b"\n" not in piece for piece in data)
    assert data.pop() == b"data: [DONE]"
    chunks = [json.loads(piece[6:]) for piece in data]
    truth = Truth()
    for number, chunk in enumerate(chunks):
        last = number == len(chunks) - 1
        assert chunk.keys() - {"system_fingerprint", "service_tier", "usage", "error"} == CHUNK
        assert chunk["object"] == "chat.completion.chunk"
        assert chunk.get("system_fingerprint", "") is not None, "official clients refuse null"
        assert all(chunk[key] == chunks[0][key] for key in ("id", "created", "model", "provider"))
        if error := chunk.get("error"):
            assert last
            assert chunk["choices"][0]["finish_reason"] == "error"
            truth.error = error
            return truth
        assert last == ("usage" in chunk)
        for choice in chunk["choices"]:
            _hear(truth.voice(choice["index"]), choice, again=last)
    truth.usage = _usage(chunks[-1]["usage"])
    ended = [choice["index"] for choice in chunks[-1]["choices"]]
    assert sorted(ended) == sorted(truth.voices), "the end repeats the finish of each choice"
    return truth


def _hear(voice: Voice, choice: Json, *, again: bool) -> None:
    delta = choice["delta"]
    assert {"index", "delta", "finish_reason", "native_finish_reason"} <= choice.keys()
    assert delta["role"] == "assistant"
    assert delta["content"] is None or isinstance(delta["content"], str)
    finish = choice["finish_reason"]
    if again:
        assert delta == {"content": "", "role": "assistant"}
        assert (finish, choice["native_finish_reason"]) == (voice.finish, voice.native)
        return
    assert voice.finish is None, "nothing follows a finish but the end"
    voice.finish, voice.native = finish, choice["native_finish_reason"]
    if "reasoning" in delta:
        assert delta["reasoning_details"]
    _add_heard(voice, delta)
    voice.logprobs += logprobs_of(choice)


def heard_answer(body: bytes) -> Truth:
    """What a client hears in a whole answer, which must have OpenRouter's shape."""
    answer = json.loads(body)
    assert answer.keys() - {"service_tier"} == CHUNK | {"system_fingerprint", "usage"}
    assert answer["object"] == "chat.completion"
    truth = Truth(usage=_usage(answer["usage"]))
    for choice in answer["choices"]:
        assert choice.keys() == {
            "index", "logprobs", "finish_reason", "native_finish_reason", "message",
        }  # fmt: skip
        message = choice["message"]
        assert {"role", "content", "refusal"} <= message.keys()
        details = message.get("reasoning_details") or ()
        hidden = details and all(one["type"] == "reasoning.encrypted" for one in details)
        assert "reasoning" in message or hidden
        voice = truth.voice(choice["index"])
        voice.finish, voice.native = choice["finish_reason"], choice["native_finish_reason"]
        _add_heard(voice, message)
        voice.logprobs = logprobs_of(choice)
    return truth


def _add_heard(voice: Voice, message: Json) -> None:
    voice.text += message["content"] or ""
    voice.reasoning += message.get("reasoning") or ""
    voice.details += message.get("reasoning_details") or []
    voice.refusal += message.get("refusal") or ""
    voice.annotations += message.get("annotations") or []
    voice.images += message.get("images") or []
    for name, value in message.get("audio", {}).items():
        grows = name in GROWING and name in voice.audio
        voice.audio[name] = voice.audio[name] + value if grows else value
    for piece in message.get("tool_calls") or []:
        assert piece["index"] <= len(voice.calls), "calls are numbered from 0"
        if piece["index"] == len(voice.calls):
            voice.calls.append([piece["id"], piece["type"], piece[piece["type"]]["name"], ""])
        call = voice.calls[piece["index"]]
        call[3] += piece[call[1]]["input" if call[1] == "custom" else "arguments"]


def _usage(usage: Json) -> Json:
    """The counts of a usage object, whose shape is checked."""
    assert usage.keys() - {"server_tool_use_details"} == USAGE
    searched = usage.get("server_tool_use_details", {"web_search_requests": 1})
    assert searched.keys() == {"web_search_requests"}
    assert searched["web_search_requests"] > 0
    assert usage["cost_details"].keys() == COST_DETAILS
    assert usage["is_byok"] is False
    assert usage["cost"] >= 0
    return {key: usage[key] for key in usage.keys() - {"cost", "is_byok", "cost_details"}}


def check_error(body: bytes, status: int, recording: Recording, provider: str) -> None:
    """The error object of the contract, for what the provider refused."""
    error = json.loads(body)["error"]
    bad_key = recording.status == 400 and b"api key" in recording.body.lower()
    lacking = recording.status == 400 and any(
        words in recording.body for words in (b"model identifier is invalid", b"model_not_found")
    )
    wanted = 502 if bad_key else 404 if lacking else STATUS[recording.status]
    assert status == error["code"] == wanted
    assert isinstance(error["message"], str)
    metadata = error["metadata"]
    assert metadata["provider_name"] == provider
    assert metadata["error_type"]
    hidden = bad_key or recording.status in (401, 403)
    assert ("raw" in metadata) != hidden
    assert not re.search(rb"(?i)\b(sk|gsk|csk|org|proj|user|bearer)[-_ ][a-z0-9]{6,}", body)
    assert hidden or _complaint(recording.body)[:40] in error["message"]


def _complaint(body: bytes) -> str:
    """The provider's own words, in each of the forms that errors were recorded in."""
    told = json.loads(body)
    told = told.get("error") or told.get("detail") or told
    told = told[0] if isinstance(told, list) else told
    told = told if isinstance(told, str) else told.get("message") or told["msg"]
    told = told if isinstance(told, str) else told["detail"][0]["msg"]
    assert isinstance(told, str)
    return told.partition("projects/")[0]  # whose it is, is nobody's business


def merged(details: list[Json]) -> list[Json]:
    """Reasoning details as clients keep them: pieces of one text are joined."""
    kept: list[Json] = []
    for detail in details:
        key = {"reasoning.text": "text", "reasoning.summary": "summary"}.get(detail["type"])
        same = kept and all(kept[-1].get(k) == detail.get(k) for k in ("type", "index"))
        if key and same and "index" in detail:
            last = kept[-1]
            text = (last.get(key) or "") + (detail.get(key) or "")
            told = {name: value for name, value in detail.items() if value is not None}
            kept[-1] = last | told | {key: text}
        else:
            kept.append(detail)
    return kept


def check_same(heard: Truth, said: Truth) -> None:
    """All that was said was heard, and nothing else."""
    assert heard.voices.keys() == said.voices.keys()
    for number, told in said.voices.items():
        got = heard.voices[number]
        for name in told.__dataclass_fields__.keys() - {"details"}:
            assert getattr(got, name) == getattr(told, name), f"{name} of choice {number}"
        assert merged(got.details) == merged(told.details)
    if said.usage is not None:
        assert heard.usage == said.usage
