"""OpenAI's chat events and answers, with the keys and the key order of recorded traffic.

Two manners were recorded and are kept apart: OpenAI's (April 2024 to 2026) and DeepSeek's, which is
the one with `reasoning_content`. `manners.chat` puts tokens into them.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from proxy.upstream.fake.ask import JSONObject
from proxy.upstream.fake.reply import Count

_SOUND_TOKENS = 6  # for each word that is spoken
_PICTURE_TOKENS = 1290  # of Gemini 2.5 Flash Image, as OpenRouter counts it
_FINGERPRINT = "fp_5e1f0a3b7c"
_OBFUSCATION_LENGTH = 15  # OpenAI pads each event's text to about this many characters


class Style(NamedTuple):
    """What is the same in all events of one answer.

    `padding` is the text that `obfuscation` is cut from, empty where the caller switched it off.
    What `speaks` counts each word's sound, what `draws` one picture.
    """

    id: str
    created: int
    model: str
    thinks: bool
    include_usage: bool = False
    padding: str = ""
    logprobs: bool = False
    speaks: bool = False
    draws: bool = False
    tier: str = "default"

    def usage(self, count: Count) -> JSONObject:
        """The usage object."""
        sound = _SOUND_TOKENS * count.completion if self.speaks else 0
        picture = _PICTURE_TOKENS if self.draws else 0
        completion = count.completion + sound + picture
        totals: JSONObject = {
            "prompt_tokens": count.prompt,
            "completion_tokens": completion,
            "total_tokens": count.prompt + completion,
        }
        if self.thinks:
            return totals | {
                "prompt_tokens_details": {"cached_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": count.reasoning},
                "prompt_cache_hit_tokens": 0,
                "prompt_cache_miss_tokens": count.prompt,
            }
        return totals | {
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": count.reasoning,
                "audio_tokens": sound,
                **({"image_tokens": picture} if picture else {}),
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    def chunk(
        self,
        choices: Sequence[JSONObject],
        *,
        usage: JSONObject | None = None,
        text: str = "",
        usage_first: bool = False,
    ) -> JSONObject:
        """One event of a stream. `text` is what the padding hides the length of."""
        event: JSONObject = {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
        }
        if not self.thinks:
            event["service_tier"] = self.tier
        event["system_fingerprint"] = _FINGERPRINT
        if usage_first and self.include_usage:
            event["usage"] = usage
        event["choices"] = list(choices)
        if self.include_usage or usage is not None:
            event.setdefault("usage", usage)
        if self.padding:
            event["obfuscation"] = self.padding[len(text) % _OBFUSCATION_LENGTH :]
        return event

    def opening(self, choice: int, *, calls: int, first_call: JSONObject | None) -> JSONObject:
        """The first event of a choice: its role, and a lone call where OpenAI sends one."""
        delta: JSONObject = {"role": "assistant", "content": None if calls else ""}
        if self.thinks:
            delta |= {"content": None, "reasoning_content": ""}
        elif first_call is not None:
            delta |= {"tool_calls": [first_call], "refusal": None}
        elif not calls:
            delta["refusal"] = None
        return self.chunk([_streamed(choice, delta)], usage_first=calls > 1)

    def text(self, choice: int, text: str) -> JSONObject:
        """One token of the answer."""
        delta: JSONObject = {"content": text}
        if self.thinks:
            delta["reasoning_content"] = None
        return self.chunk([_streamed(choice, delta, self._certain("content", [text]))], text=text)

    def beside(self, choice: int, name: str, value: object) -> JSONObject:
        """What comes beside the text of the answer, or instead of it."""
        return self.chunk([_streamed(choice, {name: value})])

    def reasoning(self, choice: int, text: str) -> JSONObject:
        """One token of the reasoning."""
        delta = {"content": None, "reasoning_content": text}
        logprobs = self._certain("reasoning_content", [text])
        return self.chunk([_streamed(choice, delta, logprobs)], text=text)

    def call(self, choice: int, call: JSONObject, *, several: bool) -> JSONObject:
        """A piece of a tool call: `call` has an id and a name only where it begins."""
        streamed = _streamed(choice, {"tool_calls": [call]})
        text = call["function"]["arguments"]
        return self.chunk([streamed], text=text, usage_first=several)

    def finish(self, choice: int, reason: str, usage: JSONObject | None) -> JSONObject:
        """The last event of a choice; DeepSeek's has the usage in it."""
        delta: JSONObject = {"content": "", "reasoning_content": None} if self.thinks else {}
        return self.chunk([_streamed(choice, delta, finish_reason=reason)], usage=usage)

    def whole(self, choices: Sequence[JSONObject], count: Count) -> JSONObject:
        """A whole answer; `choices` come from `message`."""
        answer: JSONObject = {
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": list(choices),
            "usage": self.usage(count),
        }
        if not self.thinks:
            answer["service_tier"] = self.tier
        answer["system_fingerprint"] = _FINGERPRINT
        return answer

    def message(
        self,
        choice: int,
        *,
        text: Sequence[str],
        reasoning: str,
        calls: Sequence[JSONObject],
        finish_reason: str,
    ) -> JSONObject:
        """One choice of a whole answer. `text` comes as its tokens."""
        message: JSONObject = {"role": "assistant", "content": "".join(text)}
        if self.thinks:
            message["reasoning_content"] = reasoning
        elif calls:
            message["content"] = None
        if calls:
            rows = ({"index": index} | call for index, call in enumerate(calls))
            message["tool_calls"] = list(rows if self.thinks else calls)
        if not self.thinks:
            message |= {"refusal": None, "annotations": []}
        return {
            "index": choice,
            "message": message,
            "logprobs": self._certain("content", text),
            "finish_reason": finish_reason,
        }

    def _certain(self, name: str, tokens: Sequence[str]) -> JSONObject | None:
        """Log probabilities, where asked: each token had 7 chances in 8 and no rival is named."""
        if not self.logprobs or not tokens:
            return None
        rows = []
        for token in tokens:
            row = {"token": token, "logprob": math.log(7 / 8), "bytes": list(token.encode())}
            rows.append(row | {"top_logprobs": [row]})
        return {name: rows} if self.thinks else {name: rows, "refusal": None}


def _streamed(
    choice: int,
    delta: JSONObject,
    logprobs: JSONObject | None = None,
    finish_reason: str | None = None,
) -> JSONObject:
    return {
        "index": choice,
        "delta": delta,
        "logprobs": logprobs,
        "finish_reason": finish_reason,
    }


def call_start(index: int, call_id: str, name: str) -> JSONObject:
    """The piece of a tool call that opens it."""
    function = {"name": name, "arguments": ""}
    return {"index": index, "id": call_id, "type": "function", "function": function}


def call_piece(index: int, arguments: str) -> JSONObject:
    """A piece of a tool call that continues it."""
    return {"index": index, "function": {"arguments": arguments}}


def call_whole(call_id: str, name: str, arguments: str) -> JSONObject:
    """A tool call of a whole answer."""
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def error(message: str, code: str | None, kind: str = "invalid_request_error") -> JSONObject:
    """OpenAI's error body."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def model_list(models: Sequence[str], created: int) -> JSONObject:
    """OpenAI's list of models, with the context length that several providers add."""
    rows = [
        {
            "id": model,
            "object": "model",
            "created": created,
            "owned_by": "weir",
            "context_length": 131_072,
        }
        for model in models
    ]
    return {"object": "list", "data": rows}
