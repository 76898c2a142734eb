"""What a recording says, read in every shape that providers sent, and by nothing of `proxy`.

`tests/heard.py` reads what clients get; when all is well the two agree.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.recordings import Recording, Row, index

Json = dict[str, Any]

CHATS = {
    "chat": (
        "openai", "mistral", "xai", "deepseek", "groq", "cerebras", "together", "perplexity",
        "huggingface", "zai", "nvidia", "azure", "openrouter", "google", "bedrock-mantle",
    ),
    "messages": ("anthropic", "google-vertex"),
    "generateContent": ("google", "google-vertex"),
    "cohere-v2": ("cohere",),
    "converse": ("bedrock",),
    "responses": ("openai", "xai", "azure", "deepseek", "openrouter", "bedrock-mantle"),
}  # fmt: skip
"""The chat-like APIs of the recordings, and everyone who was recorded speaking them."""

OTHERS = {
    "audio", "count_tokens", "embeddings", "models", "rerank", "responses-compact",
    "invoke",  # Bedrock's older API, whose bodies are each model's own
}  # fmt: skip
"""The other APIs of the recordings; `tests/dialects/embeddings` reads the vectors and rankings."""

PAIRS = tuple((api, provider) for api, providers in CHATS.items() for provider in providers)
PROVIDERS = CHATS["chat"]

FINISH = {
    "function_call": "tool_calls",
    "max_tokens": "length",
    "model_length": "length",
    "eos": "stop",
    None: "stop",
}
GROWING = ("data", "transcript")


@dataclass
class Voice:
    """One choice. `calls` are `(id, type, name, arguments)`."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    calls: list[list[str]] = field(default_factory=list)
    audio: Json = field(default_factory=dict)
    annotations: list[Json] = field(default_factory=list)
    images: list[Json] = field(default_factory=list)
    details: list[Json] = field(default_factory=list)
    logprobs: list[Json] = field(default_factory=list)
    finish: str | None = None
    native: str | None = None


@dataclass
class Truth:
    """A whole exchange; `error` is what went wrong after a status of success."""

    voices: dict[int, Voice] = field(default_factory=dict)
    usage: Json | None = None
    error: Json | None = None

    def voice(self, index: int) -> Voice:
        return self.voices.setdefault(index, Voice())


def chats(provider: str, api: str = "chat") -> list[Row]:
    """The rows of one provider's recordings of one API."""
    return [row for row in index() if row["api"] == api and row["provider"] == provider]


def check_count(replayed: Mapping[tuple[str, str], Counter[str]]) -> str:
    """Fails where a recording of the index was not replayed; gives a table of those that were."""
    assert {row["api"] for row in index()} == CHATS.keys() | OTHERS
    wanted = Counter((row["api"], row["provider"]) for row in index() if row["api"] in CHATS)
    assert wanted.keys() == set(PAIRS) == replayed.keys()
    heads = f"{'API':15} {'provider':15}"
    lines = [f"{heads} {'streams':>8} {'answers':>8} {'errors':>8} {'all':>8}"]
    for pair in PAIRS:
        counts = replayed[pair]
        assert counts.total() == wanted[pair] > 0, pair
        columns = (counts["stream"], counts["answer"], counts["error"], counts.total())
        numbers = " ".join(f"{count:8}" for count in columns)
        lines.append(f"{pair[0]:15} {pair[1]:15} {numbers}")
    total = sum(counts.total() for counts in replayed.values())
    assert total == wanted.total()
    return "\n".join([*lines, f"{'all':31} {total:35}"])


def kind(recording: Recording) -> str:
    """What a recording shows: a `stream`, an `answer` or an `error`."""
    if recording.status != 200:
        return "error"
    return "stream" if recording.row["kind"] in ("sse", "eventstream") else "answer"


def events(body: bytes) -> list[bytes]:
    """The data of every event, by the plainest reading there is."""
    lines = body.decode().replace("\r\n", "\n").split("\n")
    return [line[5:].strip().encode() for line in lines if line.startswith("data:")]


def said(recording: Recording) -> Truth:
    """What the provider said."""
    truth = Truth()
    streamed = recording.row["kind"] == "sse"
    sources: list[Json] = []
    for data in events(recording.body) if streamed else [recording.body]:
        if data == b"[DONE]":
            break
        chunk = json.loads(data)
        usage = chunk.get("usage") or (chunk.get("x_groq") or {}).get("usage")
        truth.usage = usage or truth.usage
        choices = chunk.get("choices") or []
        nested = [choice["error"] for choice in choices if "error" in choice]
        truth.error = chunk.get("error") or next(iter(nested), None)
        if truth.error:
            break
        cited = [{"url": url, "title": url} for url in chunk.get("citations") or []]
        sources = chunk.get("search_results") or cited or sources
        for choice in choices:
            voice = truth.voice(choice["index"])
            _add(voice, choice.get("delta" if streamed else "message") or {})
            voice.logprobs += logprobs_of(choice)
            ended = choice.get("finish_reason") or (choice.get("finish_details") or {}).get("type")
            if ended and voice.native is None:
                voice.native = choice.get("native_finish_reason", ended)
                voice.finish = FINISH.get(ended, ended)
            if voice.finish == "stop" and voice.calls:
                voice.finish = "tool_calls"
    if sources:
        truth.voice(0).annotations += [_citation(source) for source in sources]
    if truth.usage:
        told = truth.usage.get("server_tool_use_details") or {}
        searches = searched(told.get("web_search_requests"))
        truth.usage = counted(recording.row["provider"], truth.usage) | searches
    return truth


def _add(voice: Voice, message: Json) -> None:
    content = message.get("content")
    parts: list[Json]
    parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
    thought = message.get("reasoning") or message.get("reasoning_content") or ""
    for part in parts:
        if part["type"] == "thinking":
            thought += "".join(entry["text"] for entry in part["thinking"])
        else:
            voice.text += part["text"]
    voice.reasoning += thought
    plain = [{"type": "reasoning.text", "text": thought, "format": "unknown", "index": 0}]
    voice.details += message.get("reasoning_details") or (plain if thought else [])
    voice.details += [_ran(tool) for tool in message.get("executed_tools") or []]
    voice.refusal += message.get("refusal") or ""
    voice.annotations += message.get("annotations") or []
    voice.images += message.get("images") or []
    for name, value in (message.get("audio") or {}).items():
        grows = name in GROWING and name in voice.audio
        voice.audio[name] = voice.audio[name] + value if grows else value
    for piece in message.get("tool_calls") or []:
        _add_call(voice, piece)
    if legacy := message.get("function_call"):
        voice.calls.append(["call_0_0", "function", legacy["name"], legacy["arguments"]])


def _ran(tool: Json) -> Json:
    """A tool that Groq ran itself."""
    told = {"tool_name": tool.get("name") or tool["type"], "arguments": tool["arguments"]}
    result = {"result": tool.get("output") or "", "format": "unknown"}
    return {"type": "reasoning.server_tool_call", **told, **result}


def _add_call(voice: Voice, piece: Json) -> None:
    type_, key = ("custom", "input") if "custom" in piece else ("function", "arguments")
    told, id_ = piece[type_], piece.get("id")
    if id_ == "":  # Google's compatible endpoint gives none
        id_ = f"call_0_{len(voice.calls)}"
    if id_ and id_ != "null" and id_ not in [call[0] for call in voice.calls]:
        voice.calls.append([id_, type_, told["name"], ""])
    voice.calls[-1][3] += told.get(key) or ""


def logprobs_of(choice: Json) -> list[Json]:
    told = choice.get("logprobs")
    found: list[Json] = (told.get("content") or []) if isinstance(told, dict) else []
    return found


def _citation(source: Json) -> Json:
    cited = {"url": source["url"], "title": source["title"], "start_index": 0, "end_index": 0}
    return {"type": "url_citation", "url_citation": cited}


def searched(times: int | None) -> Json:
    """What OpenRouter's usage has more of an answer for which the web was searched."""
    return {"server_tool_use_details": {"web_search_requests": times}} if times else {}


def counted(provider: str, usage: Json) -> Json:
    """A provider's usage in OpenRouter's counting, from what its own documentation says of it."""
    prompt = usage.get("prompt_tokens_details") or {}
    completion = usage.get("completion_tokens_details") or {}
    sent, answered, total = (
        usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]
    )  # fmt: skip
    audio = prompt.get("audio_tokens") or 0
    if provider == "xai":  # reasoning is beside the completion
        answered = total - sent
    if provider == "mistral":  # audio is beside the prompt
        audio = total - answered - sent
        sent = total - answered
    cached = prompt.get("cached_tokens")
    if cached is None and provider == "deepseek":
        cached = usage.get("prompt_cache_hit_tokens")
    if cached is None and provider == "mistral":
        cached = usage.get("num_cached_tokens")
    return {
        "prompt_tokens": sent,
        "completion_tokens": answered,
        "total_tokens": sent + answered,
        "prompt_tokens_details": {
            "cached_tokens": cached or 0,
            "cache_write_tokens": prompt.get("cache_write_tokens") or 0,
            "audio_tokens": audio,
            "video_tokens": prompt.get("video_tokens") or 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": completion.get("reasoning_tokens")
            or usage.get("reasoning_tokens")
            or 0,
            "image_tokens": completion.get("image_tokens") or 0,
            "audio_tokens": completion.get("audio_tokens") or 0,
        },
    }
