"""What a recording of Cohere's v2 chat says, read by nothing of `proxy`."""

import json

from tests.recordings import Recording
from tests.truths.chat import Json, Truth, Voice, events

FINISH = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
}


def said(recording: Recording) -> Truth:
    """What Cohere said; the plan for its calls counts as reasoning."""
    truth = Truth()
    voice = truth.voice(0)
    if recording.row["kind"] == "sse":
        end = _streamed(voice, recording.body)
    else:
        end = json.loads(recording.body)
        _whole(voice, end["message"])
    if end["finish_reason"] == "ERROR":
        truth.error = {"message": end["error"]}
        return truth
    voice.native = end["finish_reason"]
    voice.finish = FINISH[voice.native]
    truth.usage = _counted(end["usage"])
    return truth


def _streamed(voice: Voice, body: bytes) -> Json:
    end: Json = {}
    for data in events(body):
        if data == b"[DONE]":
            break
        event = json.loads(data)
        kind, told = event["type"], (event.get("delta") or {}).get("message") or {}
        if kind in ("content-start", "content-delta"):
            _add_block(voice, told["content"])
            if "text" in told["content"]:
                voice.logprobs += _logprobs(event.get("logprobs"))
        elif kind == "tool-plan-delta":
            _add_thought(voice, told["tool_plan"], "cohere-plan")
        elif kind == "tool-call-start":
            voice.calls.append(_call(told["tool_calls"]))
        elif kind == "tool-call-delta":
            voice.calls[event["index"]][3] += told["tool_calls"]["function"]["arguments"]
        elif kind == "citation-start":
            voice.annotations.append(_citation(told["citations"]))
        elif kind == "message-end":
            end = event["delta"]
        else:
            assert kind in ("message-start", "content-end", "tool-call-end", "citation-end")
    return end


def _whole(voice: Voice, message: Json) -> None:
    for block in message.get("content", []):
        _add_block(voice, block)
    if plan := message.get("tool_plan"):
        _add_thought(voice, plan, "cohere-plan")
    voice.calls += [_call(call) for call in message.get("tool_calls", [])]
    voice.annotations += [_citation(one) for one in message.get("citations", [])]


def _add_block(voice: Voice, block: Json) -> None:
    voice.text += block.get("text", "")
    if thought := block.get("thinking"):
        _add_thought(voice, thought, "cohere-thinking")


def _add_thought(voice: Voice, text: str, own: str) -> None:
    voice.reasoning += text
    if not voice.details or voice.details[-1]["id"] != own:
        number = len(voice.details)
        detail = {"type": "reasoning.text", "text": "", "format": "unknown"}
        voice.details.append({**detail, "id": own, "index": number})
    voice.details[-1]["text"] += text


def _call(call: Json) -> list[str]:
    function = call["function"]
    return [call["id"], call["type"], function["name"], function["arguments"]]


def _citation(told: Json) -> Json:
    assert not any("url" in json.dumps(source) for source in told["sources"])
    places = {"start_index": told["start"], "end_index": told["end"]}
    return {"type": "file_citation", "file_citation": {**told, **places}}


def _logprobs(told: Json | None) -> list[Json]:
    if told is None:
        return []
    text: str = told["text"]
    (value,) = told["logprobs"]
    return [{"token": text, "logprob": value, "bytes": [*text.encode()], "top_logprobs": []}]


def _counted(usage: Json) -> Json:
    """Its counts in OpenRouter's counting; a picture's tokens are beside those of the text: a
    recorded prompt of eight words and a picture has 34 and 259.
    """
    tokens = usage["tokens"]
    sent = tokens["input_tokens"] + tokens.get("image_tokens", 0)
    answered = tokens["output_tokens"]
    return {
        "prompt_tokens": sent,
        "completion_tokens": answered,
        "total_tokens": sent + answered,
        "prompt_tokens_details": {
            "cached_tokens": usage.get("cached_tokens", 0),
            "cache_write_tokens": 0,
            "audio_tokens": 0,
            "video_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": tokens.get("reasoning_tokens", 0),
            "image_tokens": 0,
            "audio_tokens": 0,
        },
    }
