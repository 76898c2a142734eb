"""Speech and transcriptions, as OpenAI and those like it write them."""

import math
from base64 import b64encode
from collections.abc import Iterator
from typing import Final

from proxy.upstream.fake.ask import Ask, JSONObject, Request, strings
from proxy.upstream.fake.asks.openai import decode_speech, decode_transcription
from proxy.upstream.fake.manner import JSON, SSE, Event
from proxy.upstream.fake.manners.azure import Azure
from proxy.upstream.fake.manners.chat import Chat
from proxy.upstream.fake.media import WORD_S, seconds_of, sounds
from proxy.upstream.fake.reply import Reply
from proxy.upstream.fake.seals import Seal

_TYPES: Final = {"mp3": b"audio/mpeg"}
_TEXT: Final = b"text/plain; charset=utf-8"
_TOKENS_PER_S: Final = 10  # what OpenAI counts for a recording
_SPOKEN_TOKENS = 5  # and, about, for each word that is said


class Speech(Chat):
    """OpenAI's own: the bytes of a sound, a piece for each word; or events with them in it."""

    name = "speech"
    one_form = True
    binary = True
    keep_alive = b""
    contents = ("audio",)

    def decode(self, request: Request, seal: Seal) -> Ask:
        """See `Manner.decode`."""
        return decode_speech(request)

    def content_type(self, ask: Ask, *, stream: bool) -> bytes:
        """See `Manner.content_type`."""
        wanted = ask.body["response_format"]
        if ask.body.get("stream_format") == "sse":
            return SSE
        return _TYPES.get(wanted) or b"audio/" + str(wanted).encode()

    def events(self, reply: Reply) -> Iterator[Event]:
        """See `Manner.events`."""
        words = 0 if reply.mute else reply.ask.prompt_tokens
        told = reply.ask.body.get("stream_format") == "sse"
        for piece in sounds(words, reply.ask.body["response_format"]):
            data: JSONObject = {"type": "speech.audio.delta"}
            if told:
                data["audio"] = b64encode(piece).decode()
            yield Event("token", data if told else {"piece": piece})
        if told:
            said = words * _SPOKEN_TOKENS
            usage = {"input_tokens": words, "output_tokens": said, "total_tokens": words + said}
            yield Event("done", {"type": "speech.audio.done", "usage": usage})

    def unfinished(self, data: JSONObject) -> JSONObject | None:
        """See `Manner.unfinished`."""
        return None if data.get("type") == "speech.audio.done" else data

    def error_events(self) -> tuple[Event, ...]:
        """See `Manner.error_events`."""
        return super().error_events()[:1]

    def nulled(self, data: JSONObject) -> JSONObject:
        """See `Manner.nulled`."""
        return data | {"piece": b""} if "piece" in data else super().nulled(data)

    def growing(self, event: Event, reply: Reply) -> Event:
        """See `Manner.growing`."""
        return event

    def recounted(self, event: Event) -> Event:
        """See `Manner.recounted`."""
        return event

    def payload(self, event: Event) -> bytes:
        """See `Manner.payload`: bytes as they are."""
        data = event.data or {}
        if "piece" in data:
            return bytes(data["piece"])
        return super().frame("", super().payload(event)) if "type" in data else self.encode(data)

    def frame(self, name: str, data: bytes) -> bytes:
        """See `Manner.frame`: there is none around bytes."""
        return data

    def endless(self) -> bytes:
        """See `Manner.endless`."""
        return b""


class AzureSpeech(Speech, Azure):
    """The same on Azure."""

    name = "azure-speech"


class Transcriptions(Chat):
    """OpenAI's own: Whisper tells seconds and times, the newer ones tell tokens and stream."""

    name = "transcription"
    contents = ("text", "delta")

    def decode(self, request: Request, seal: Seal) -> Ask:
        """See `Manner.decode`."""
        return decode_transcription(request)

    def content_type(self, ask: Ask, *, stream: bool) -> bytes:
        """See `Manner.content_type`."""
        if stream:
            return SSE
        return JSON if "json" in ask.body["response_format"] else _TEXT

    def events(self, reply: Reply) -> Iterator[Event]:
        """See `Manner.events`."""
        said = ""
        for token in reply.spoken[0]:
            said += token.text
            yield Event("token", {"type": "transcript.text.delta", "delta": token.text})
        done: JSONObject = {"type": "transcript.text.done", "text": said}
        yield Event("done", done | {"usage": _usage(reply)})

    def whole(self, reply: Reply) -> JSONObject:
        """See `Manner.whole`."""
        words = [token.text for token in reply.spoken[0]]
        text = "".join(words)
        match reply.ask.body["response_format"]:
            case "verbose_json":
                return _verbose(reply, words) | {"usage": _usage(reply)}
            case "srt":
                text = f"1\n{_clock(0, ',')} --> {_clock(_seconds(reply), ',')}\n{text}\n\n"
            case "vtt":
                text = f"WEBVTT\n\n{_clock(0, '.')} --> {_clock(_seconds(reply), '.')}\n{text}\n\n"
            case "text":
                text += "\n"
        return {"text": text, "usage": _usage(reply)}

    def written(self, body: JSONObject, content_type: bytes) -> bytes:
        """See `Manner.written`: a text as it is."""
        plain = content_type == _TEXT and "text" in body
        return str(body["text"] or "").encode() if plain else super().written(body, content_type)

    def unfinished(self, data: JSONObject) -> JSONObject | None:
        """See `Manner.unfinished`."""
        return None if data.get("type") == "transcript.text.done" else data

    def emptied(self, body: JSONObject) -> JSONObject:
        """See `Manner.emptied`."""
        return body | {"text": ""}

    def recounted(self, event: Event) -> Event:
        """See `Manner.recounted`."""
        return event

    def growing(self, event: Event, reply: Reply) -> Event:
        """See `Manner.growing`."""
        return event

    def error_events(self) -> tuple[Event, ...]:
        """See `Manner.error_events`."""
        return super().error_events()[:1]


class AzureTranscriptions(Transcriptions, Azure):
    """The same on Azure."""

    name = "azure-transcription"


def _seconds(reply: Reply) -> float:
    return seconds_of(reply.ask.body["recording"])


def _usage(reply: Reply) -> JSONObject:
    if not reply.ask.body["newer"]:
        return {"type": "duration", "seconds": math.ceil(_seconds(reply))}
    heard, said = math.ceil(_seconds(reply) * _TOKENS_PER_S), reply.count.completion
    told = reply.count.prompt
    return {
        "type": "tokens",
        "total_tokens": told + heard + said,
        "input_tokens": told + heard,
        "input_token_details": {"text_tokens": told, "audio_tokens": heard},
        "output_tokens": said,
    }


def _verbose(reply: Reply, words: list[str]) -> JSONObject:
    wanted = strings(reply.ask.body.get("timestamp_granularities")) or ("segment",)
    text, seconds = "".join(words), _seconds(reply)
    answer: JSONObject = {"task": "transcribe", "language": "english", "duration": seconds}
    answer["text"] = text
    if "word" in wanted:
        answer["words"] = [
            {
                "word": word.strip(),
                "start": round(at * WORD_S, 2),
                "end": round((at + 1) * WORD_S, 2),
            }
            for at, word in enumerate(words)
        ]
    if "segment" in wanted:
        segment: JSONObject = {"id": 0, "seek": 0, "start": 0.0, "end": seconds, "text": text}
        segment |= {"tokens": list(range(len(words))), "temperature": 0.0, "avg_logprob": -0.2}
        answer["segments"] = [segment | {"compression_ratio": 1.2, "no_speech_prob": 0.01}]
    return answer


def _clock(seconds: float, mark: str) -> str:
    whole, rest = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{mark}{rest:03}"
