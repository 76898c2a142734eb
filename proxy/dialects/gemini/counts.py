"""What Gemini counts and how likely it found its tokens, in OpenRouter's form."""

from typing import Any, Final

from proxy.dialects.counts import count, usable
from proxy.dialects.values import objects
from proxy.wire.events import Usage

Json = dict[str, Any]

_COUNTED: Final = ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount")


def decode_usage(usage: Json) -> Usage | None:
    """The counts of `usageMetadata`; None where nothing was counted (Vertex, while it streams).

    Tokens of the prompts that Google's own tools were given are counted apart, and so are thoughts.
    """
    if all(usable(usage.get(name)) is None for name in _COUNTED):
        return None
    thoughts = count(usage.get("thoughtsTokenCount"))
    prompt = _modalities(usage, "promptTokensDetails", "toolUsePromptTokensDetails")
    completion = _modalities(usage, "candidatesTokensDetails")
    return Usage(
        prompt_tokens=count(usage.get("promptTokenCount"))
        + count(usage.get("toolUsePromptTokenCount")),
        completion_tokens=count(usage.get("candidatesTokenCount")) + thoughts,
        cached_tokens=count(usage.get("cachedContentTokenCount")),
        prompt_audio_tokens=prompt.get("AUDIO", 0),
        prompt_video_tokens=prompt.get("VIDEO", 0),
        reasoning_tokens=thoughts,
        completion_audio_tokens=completion.get("AUDIO", 0),
        completion_image_tokens=completion.get("IMAGE", 0),
    )


def decode_logprobs(result: Json) -> Json | None:
    """`logprobsResult` as OpenAI's object; None where it has no tokens."""
    places = objects(result.get("topCandidates"))
    tokens: list[Json] = []
    for number, chosen in enumerate(objects(result.get("chosenCandidates"))):
        others = objects(places[number].get("candidates")) if number < len(places) else []
        tokens.append(_token(chosen) | {"top_logprobs": [_token(one) for one in others]})
    return {"content": tokens, "refusal": None} if tokens else None


def _token(said: Json) -> Json:
    token, logprob = said.get("token"), said.get("logProbability")
    token = token if isinstance(token, str) else ""
    known = isinstance(logprob, int | float) and not isinstance(logprob, bool)
    return {
        "token": token,
        "logprob": logprob if known else -9999.0,  # OpenAI's own value for one beyond its list
        "bytes": list(token.encode("utf-8", "replace")),
    }


def _modalities(usage: Json, *names: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for entry in (entry for name in names for entry in objects(usage.get(name))):
        if isinstance(modality := entry.get("modality"), str):
            counts[modality] = counts.get(modality, 0) + count(entry.get("tokenCount"))
    return counts
