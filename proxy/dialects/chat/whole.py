"""Whole answers that are no more than one text: nearly all of them, read and written at once.

What else stands in an answer is for `events.Reader` and `pieces.Message`, which agree with this.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal

import msgspec

from proxy.dialects.counts import COUNT_MAX
from proxy.providers import Quirks
from proxy.wire.events import Ended, Event, Finished, Started, Text, Usage, UsageReport

_Object = dict[str, Any]

REASONS = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "function_call": "tool_calls",
    "model_length": "length",  # Mistral, when the context is full
    "max_tokens": "length",
    "eos": "stop",  # Together's older models
    "sensitive": "content_filter",  # Z.AI
    "network_error": "error",  # Z.AI
    "insufficient_system_resource": "error",  # DeepSeek
    "error": "error",
}
"""A provider's finish reason in OpenRouter's words; an unknown one reads as `stop`."""

Count = Annotated[int, msgspec.Meta(ge=0, le=COUNT_MAX)]
Said = Annotated[str, msgspec.Meta(min_length=1)]
Empty = Annotated[list[Any], msgspec.Meta(max_length=0)] | None
Blank = Literal[""] | None
Zero = Literal[0] | None


class _Prompt(msgspec.Struct, gc=False):
    cached_tokens: Count = 0
    cache_write_tokens: Count = 0
    audio_tokens: Count = 0
    video_tokens: Count = 0


class _Completion(msgspec.Struct, gc=False):
    reasoning_tokens: Count = 0
    audio_tokens: Count = 0
    image_tokens: Count = 0


_PROMPT: Final = _Prompt()
_COMPLETION: Final = _Completion()


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: Count
    completion_tokens: Count
    prompt_tokens_details: _Prompt | None = None
    completion_tokens_details: _Completion | None = None
    reasoning_tokens: Zero = None
    prompt_cache_hit_tokens: Zero = None
    cached_tokens: Zero = None
    num_cached_tokens: Zero = None
    server_tool_use_details: None = None
    server_tool_use: None = None
    num_search_queries: Zero = None


class _Message(msgspec.Struct, gc=False):
    content: Said
    reasoning: Blank = None
    reasoning_content: Blank = None
    reasoning_details: Empty = None
    executed_tools: Empty = None
    refusal: Blank = None
    tool_calls: Empty = None
    function_call: None = None
    audio: None = None
    annotations: Empty = None
    images: Empty = None


class _Choice(msgspec.Struct, gc=False):
    message: _Message
    finish_reason: Said
    native_finish_reason: str | None = None
    index: Count = 0
    logprobs: None = None
    error: None = None


class _Answer(msgspec.Struct, gc=False):
    """What a plain answer may have; where anything else has to be read, it does not fit."""

    choices: Annotated[list[_Choice], msgspec.Meta(min_length=1, max_length=1)]
    usage: _Usage | None = None
    id: str | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    error: None = None
    citations: Empty = None
    search_results: Empty = None
    x_groq: None = None


_decode: Final = msgspec.json.Decoder(_Answer).decode
_ENDED: Final = Ended()
_SILENT: Final = (UsageReport, Ended)


def plain_events(body: bytes, quirks: Quirks) -> list[Event] | None:
    """The events of a whole answer; None where it is more than one text that ended well."""
    if quirks.reasoning_apart or quirks.audio_apart:
        return None
    try:
        answer = _decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    choice = answer.choices[0]
    index, native, own = choice.index, choice.finish_reason, choice.native_finish_reason
    reason = REASONS.get(native, "stop")
    if reason == "error":
        return None
    tier = "priority" if answer.service_tier == "fast" else answer.service_tier or None
    started = Started(answer.id or None, answer.system_fingerprint or None, tier)
    finished = Finished(index, reason, native if own is None else own)
    text, said = Text(index, choice.message.content), answer.usage
    if said is None:
        return [started, text, finished, _ENDED]
    prompt = said.prompt_tokens_details or _PROMPT
    completion = said.completion_tokens_details or _COMPLETION
    usage = Usage(
        prompt_tokens=said.prompt_tokens,
        completion_tokens=said.completion_tokens,
        cached_tokens=prompt.cached_tokens,
        cache_write_tokens=prompt.cache_write_tokens,
        prompt_audio_tokens=prompt.audio_tokens,
        prompt_video_tokens=prompt.video_tokens,
        reasoning_tokens=completion.reasoning_tokens,
        completion_audio_tokens=completion.audio_tokens,
        completion_image_tokens=completion.image_tokens,
    )
    return [started, text, finished, UsageReport(usage), _ENDED]


def plain_choice(
    events: Iterable[Event], *, hide_reasoning: bool
) -> tuple[Started, list[_Object]] | None:
    """How an answer began, and its one choice, a text; None where its events are others."""
    if type(events) is not list or len(events) < 3:
        return None
    started, text, finished = events[0], events[1], events[2]
    if type(text) is not Text or type(started) is not Started or type(finished) is not Finished:
        return None
    for event in events[3:]:
        if type(event) not in _SILENT:
            return None
    if text.choice != finished.choice or text.logprobs is not None:
        return None
    message: _Object = {"role": "assistant", "content": text.text, "refusal": None}
    if not hide_reasoning:
        message["reasoning"] = None
    choice = {
        "index": text.choice,
        "logprobs": None,
        "finish_reason": finished.reason,
        "native_finish_reason": finished.native,
        "message": message,
    }
    return started, [choice]
