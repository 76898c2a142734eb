"""Where providers of dialect `openai` go their own ways: counts, call numbers, parts, sources.

Each function takes what a provider sent, in whatever of the recorded shapes, and gives it in the
one form of `proxy.wire.events`. Nothing here is an error: what has the wrong type counts as absent.
"""

from typing import Any, Final

import msgspec

from proxy.dialects.counts import count, usable
from proxy.dialects.values import mapping, objects, string
from proxy.providers import Quirks
from proxy.wire.events import Event, Reasoning, Text, ToolCall, Usage

_SEARCHES: Final = "web_search_requests"


class Calls:
    """The tool calls of one choice, numbered by us.

    Mistral leaves `index` out, and some servers send 0 for every call: a piece belongs to the call
    whose index and id it names, and a new id begins a new call; so does a name where both are
    missing.
    """

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {}
        self._ids: dict[object, str | None] = {}
        self._next = 0

    def read(self, choice: int, pieces: list[dict[str, Any]]) -> list[ToolCall]:
        events = []
        for piece in pieces:
            custom = isinstance(piece.get("custom"), dict)
            said = mapping(piece.get("custom" if custom else "function"))
            id_, name = string(piece.get("id")), string(said.get("name"))
            arguments = said.get("input" if custom else "arguments")
            if isinstance(arguments, dict):  # llama.cpp and older Ollama send an object
                arguments = msgspec.json.encode(arguments).decode()
            number, first = self._number(piece.get("index"), id_, name)
            events.append(
                ToolCall(
                    choice=choice,
                    index=number,
                    id=id_ if first else None,
                    name=name if first else None,
                    arguments=arguments if isinstance(arguments, str) else "",
                    custom=custom,
                )
            )
        return events

    def _number(self, index: object, id_: str | None, name: str | None) -> tuple[int, bool]:
        place: object = index if isinstance(index, int) else (id_ or "only")
        known = place in self._numbers and not (place == "only" and name)
        if known and (id_ is None or self._ids[place] in (None, id_)):
            return self._numbers[place], False
        self._numbers[place], self._ids[place] = self._next, id_
        self._next += 1
        return self._numbers[place], True


def decode_usage(usage: dict[str, Any], quirks: Quirks) -> Usage | None:
    """A provider's counts in OpenRouter's counting; what is missing, negative, absurd or no number
    is 0. None where that holds for the prompt and the completion both: then nothing was counted.
    """
    if usable(usage.get("prompt_tokens")) is usable(usage.get("completion_tokens")) is None:
        return None
    prompt = mapping(usage.get("prompt_tokens_details"))
    completion = mapping(usage.get("completion_tokens_details"))
    reasoning = count(completion.get("reasoning_tokens")) or count(usage.get("reasoning_tokens"))
    completion_tokens = count(usage.get("completion_tokens"))
    prompt_tokens = count(usage.get("prompt_tokens"))
    audio = count(prompt.get("audio_tokens"))
    missing = max(0, count(usage.get("total_tokens")) - prompt_tokens - completion_tokens)
    if quirks.reasoning_apart and missing >= reasoning:
        completion_tokens += reasoning
    if quirks.audio_apart:
        prompt_tokens, audio = prompt_tokens + missing, audio or missing
    return Usage(
        prompt_tokens=prompt_tokens,
        completion_tokens=completion_tokens,
        cached_tokens=count(prompt.get("cached_tokens"))
        or count(usage.get("prompt_cache_hit_tokens"))  # DeepSeek
        or count(usage.get("cached_tokens"))  # Moonshot
        or count(usage.get("num_cached_tokens")),  # Mistral's older models
        cache_write_tokens=count(prompt.get("cache_write_tokens")),
        prompt_audio_tokens=audio,
        prompt_video_tokens=count(prompt.get("video_tokens")),
        reasoning_tokens=reasoning,
        completion_audio_tokens=count(completion.get("audio_tokens")),
        completion_image_tokens=count(completion.get("image_tokens")),
        web_searches=count(mapping(usage.get("server_tool_use_details")).get(_SEARCHES))
        or count(mapping(usage.get("server_tool_use")).get(_SEARCHES))
        or count(usage.get("num_search_queries")),  # Perplexity
    )


def content_parts(choice: int, content: list[Any]) -> list[Event]:
    """The events of content that is a list: Mistral's models while they think."""
    events: list[Event] = []
    for part in objects(content):
        if text := string(part.get("text")):
            events.append(Text(choice, text))
        thoughts = (string(thought.get("text")) for thought in objects(part.get("thinking")))
        events.extend(Reasoning(choice, thought) for thought in thoughts if thought)
    return events


def executed(tools: object) -> tuple[dict[str, Any], ...]:
    """The tools that Groq ran by itself, as OpenRouter tells of its own."""
    return tuple(
        {
            "type": "reasoning.server_tool_call",
            "tool_name": string(tool.get("name")) or string(tool.get("type")) or "",
            "arguments": string(tool.get("arguments")) or "",
            "result": string(tool.get("output")) or "",
            "format": "unknown",
        }
        for tool in objects(tools)
    )


def citations(chunk: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """Perplexity's sources, which stand beside the choices, as OpenRouter annotates them."""
    results = chunk.get("search_results") or chunk.get("citations")
    results = results if isinstance(results, list) else []
    sources = [result if isinstance(result, dict) else {"url": result} for result in results]
    return tuple(
        {
            "type": "url_citation",
            "url_citation": {
                "url": source["url"],
                "title": source.get("title") or source["url"],
                "start_index": 0,
                "end_index": 0,
            },
        }
        for source in sources
        if isinstance(source.get("url"), str)
    )
