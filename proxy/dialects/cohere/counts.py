"""What Cohere counts and how sure it was, in OpenRouter's counting and in OpenAI's form.

`tokens` is what the model read and wrote, its template included; `billed_units` leaves that out and
is read where nothing else is there. Recorded traffic with pictures shows that their tokens stand
beside `input_tokens`.
"""

from collections.abc import Iterable
from typing import Any

from proxy.dialects.counts import count, usable
from proxy.dialects.values import objects
from proxy.wire.events import Usage


def decode_usage(said: object) -> Usage | None:
    """Cohere's counts; None where neither the prompt nor the completion was counted. What is
    missing, negative, absurd or no number is 0.
    """
    usage = said if isinstance(said, dict) else {}
    told = usage.get("tokens") or usage.get("billed_units")
    tokens = told if isinstance(told, dict) else {}
    if usable(tokens.get("input_tokens")) is usable(tokens.get("output_tokens")) is None:
        return None
    return Usage(
        prompt_tokens=count(tokens.get("input_tokens")) + count(tokens.get("image_tokens")),
        completion_tokens=count(tokens.get("output_tokens")),
        cached_tokens=count(usage.get("cached_tokens")),
        reasoning_tokens=count(tokens.get("reasoning_tokens")),
    )


def logprobs_of(said: object) -> dict[str, Any] | None:
    """The logprob of one piece, which may be several tokens: theirs together are its own."""
    entries = _entries([said] if isinstance(said, dict) else [])
    return {"content": entries, "refusal": None} if entries else None


def whole_logprobs(said: object, text: str) -> dict[str, Any] | None:
    """Those of a whole answer's text, which come after those of its thinking; None where they do
    not fit it.
    """
    entries = _entries(objects(said))
    left, start = len(text), len(entries)
    while left > 0 and start > 0:
        start -= 1
        left -= len(entries[start]["token"])
    return {"content": entries[start:], "refusal": None} if left == 0 and text else None


def _entries(said: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "token": piece["text"],
            "logprob": sum(piece["logprobs"]),
            "bytes": list(piece["text"].encode()),
            "top_logprobs": [],
        }
        for piece in said
        if isinstance(piece.get("text"), str) and _numbers(piece.get("logprobs"))
    ]


def _numbers(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, int | float) for one in value)
