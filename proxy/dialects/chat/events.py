"""Chat completions, the answer of a provider: bytes in, canonical events out.

Providers that call themselves compatible differ in all that OpenAI left optional. Recorded traffic
of thirteen of them shaped this reader; where they contradict each other, a flag of the provider's
row decides. It is tolerant of what is missing and strict about what is broken: an event that is no
JSON is an error, never skipped.
"""

from typing import Any, Final

from proxy.dialects.chat.compat import Calls, citations, content_parts, decode_usage, executed
from proxy.dialects.chat.errors import failure
from proxy.dialects.chat.whole import REASONS, plain_events
from proxy.dialects.reading import Decoder, parse
from proxy.dialects.values import objects, string
from proxy.errors import GatewayError
from proxy.providers import Quirks
from proxy.wire.events import (
    Attachments,
    Audio,
    Ended,
    Event,
    Failed,
    Finished,
    Reasoning,
    Refusal,
    Started,
    Text,
    UsageReport,
)

_PLAIN: Final = frozenset(("role", "content"))
_NOTHING: Final[dict[str, Any]] = {}


def decoder(quirks: Quirks) -> Decoder:
    """A stream of one provider."""
    reader = Reader(quirks)
    return Decoder(lambda _, chunk, events: reader.read(chunk, events))


def decode_answer(body: bytes, quirks: Quirks) -> list[Event]:
    """The events of a whole answer; a whole JSON object is its own end mark.

    Raises GatewayError `provider_malformed` for what is no answer.
    """
    return plain_events(body, quirks) or whole(parse(body), quirks)


def whole(answer: dict[str, Any], quirks: Quirks) -> list[Event]:
    """The same of an answer that was parsed."""
    events: list[Event] = []
    Reader(quirks, whole=True).read(answer, events)
    if not any(isinstance(event, Finished | Failed) for event in events):
        raise GatewayError("provider_malformed", "The answer has no choices.")
    events.append(Ended())
    return events


class Reader:
    """Turns objects into events and remembers what later ones need: calls, finishes, citations."""

    def __init__(self, quirks: Quirks, *, whole: bool = False) -> None:
        self._quirks = quirks
        self._whole = whole
        self._started: Started | None = None
        self._finished: set[int] = set()
        self._calls: dict[int, Calls] = {}
        self._cited: tuple[dict[str, Any], ...] = ()

    def read(self, chunk: dict[str, Any], events: list[Event]) -> None:
        """Appends the events of one object: a chunk of a stream, or a whole answer."""
        if failed := failure(chunk):
            self._usage(chunk, events)
            events.append(failed)
            return
        self._start(chunk, events)
        if "citations" in chunk or "search_results" in chunk:
            self._cited = citations(chunk) or self._cited
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                self._choice(choice, events)
        self._usage(chunk, events)

    def _start(self, chunk: dict[str, Any], events: list[Event]) -> None:
        before, tier = self._started, string(chunk.get("service_tier"))
        # Groq tells the tier only at the end, some change the fingerprint with every event.
        if tier == "fast":
            tier = "priority"  # OpenAI's newer name for it
        if before is None:
            before = Started()
        elif tier is None or tier == before.service_tier:
            return
        self._started = Started(
            upstream_id=string(chunk.get("id")) or before.upstream_id,
            system_fingerprint=string(chunk.get("system_fingerprint")) or before.system_fingerprint,
            service_tier=tier or before.service_tier,
        )
        events.append(self._started)

    def _choice(self, choice: dict[str, Any], events: list[Event]) -> None:
        index = choice.get("index")
        index = index if isinstance(index, int) else 0
        said = choice.get("message" if self._whole else "delta")
        said = said if isinstance(said, dict) else _NOTHING
        logprobs = choice.get("logprobs")
        self._said(index, said, logprobs if isinstance(logprobs, dict) else None, events)
        native = string(choice.get("finish_reason"))
        if native is None and isinstance(details := choice.get("finish_details"), dict):
            native = string(details.get("type"))  # OpenAI's models of 2023 that see
        if (native is not None or self._whole) and index not in self._finished:
            self._finish(index, native, choice.get("native_finish_reason"), events)

    def _finish(self, index: int, native: str | None, own: object, events: list[Event]) -> None:
        self._finished.add(index)
        if self._cited and index == 0:
            events.append(Attachments(index, "annotations", self._cited))
        reason = REASONS.get(native or "stop", "stop")
        if reason == "error":
            message = f"The provider ended the answer with {native!r}."
            events.append(Failed(None, message, native, ""))
            return
        if reason == "stop" and index in self._calls:
            reason = "tool_calls"  # as OpenRouter does where a call is present
        events.append(Finished(index, reason, own if isinstance(own, str) else native))

    def _said(
        self,
        index: int,
        said: dict[str, Any],
        logprobs: dict[str, Any] | None,
        events: list[Event],
    ) -> None:
        """The events of one message, or of one piece of it: most have nothing but text."""
        content, refusal = said.get("content"), None
        for name, value in said.items():
            if value and name not in _PLAIN:
                self._thoughts(index, said, events)
                refusal = string(said.get("refusal"))
                break
        else:
            said = _NOTHING
        if isinstance(content, list):
            events.extend(content_parts(index, content))
        elif string(content) or (logprobs and not refusal):
            events.append(Text(index, string(content) or "", logprobs))
        if refusal:
            events.append(Refusal(index, refusal, logprobs))
        if said:
            self._beside(index, said, events)

    def _thoughts(self, index: int, said: dict[str, Any], events: list[Event]) -> None:
        # Some say the same reasoning under both names (NVIDIA NIM), so only one is read.
        text = string(said.get("reasoning")) or string(said.get("reasoning_content")) or ""
        details = tuple(objects(said.get("reasoning_details")))
        if text or details:
            events.append(Reasoning(index, text, details))
        if tools := executed(said.get("executed_tools")):
            events.append(Reasoning(index, "", tools))

    def _beside(self, index: int, said: dict[str, Any], events: list[Event]) -> None:
        """What there is beside text: calls, sound, citations, images."""
        calls = objects(said.get("tool_calls"))
        if isinstance(legacy := said.get("function_call"), dict):
            calls = [{"index": 0, "function": legacy}]
        if calls:
            events.extend(self._calls.setdefault(index, Calls()).read(index, calls))
        if isinstance(audio := said.get("audio"), dict) and audio:
            events.append(Audio(index, audio))
        beside = ((name, objects(said.get(name))) for name in ("annotations", "images"))
        events.extend(Attachments(index, name, tuple(items)) for name, items in beside if items)

    def _usage(self, chunk: dict[str, Any], events: list[Event]) -> None:
        usage = chunk.get("usage")
        if not isinstance(usage, dict):
            groq = chunk.get("x_groq")
            usage = groq.get("usage") if isinstance(groq, dict) else None
        if isinstance(usage, dict) and (counts := decode_usage(usage, self._quirks)) is not None:
            events.append(UsageReport(counts))
