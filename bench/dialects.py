"""`python -m bench.dialects`: what it costs to carry one event from a provider to a caller.

CPU time of one thread, without a socket: a stream of 200 pieces of text as each provider writes it
(shapes from recorded traffic) is decoded in pieces of one event and encoded for a caller of chats;
one request with tools, an image and history is put into the provider's words. Then the other side
alone: events of one kind encoded for each caller, and what is carried verbatim, decoding included.
"""

import base64
import gc
import json
import statistics
import time
from collections.abc import Callable
from struct import pack
from typing import Any
from zlib import crc32

import click

from proxy.dialects import INBOUND, OUTBOUND, outbound
from proxy.dialects.asking import Target
from proxy.dialects.chat.stream import Encoder
from proxy.providers import Provider, Quirks
from proxy.wire.events import Event, Reasoning, Text, ToolCall
from proxy.wire.request import Head

EVENTS = 200
WORDS = (" water", " meets", " the", " weir", " and", " waits", " a", " little")
HEAD = Head(id="gen-1-bench", created=1_750_000_000, model="acme/large", provider="Acme")
PROVIDER = Provider(
    slug="acme",
    name="Acme",
    base_url="http://127.0.0.1:1",
    options={"project": "p", "location": "global", "api_version": "v", "region": "r"},
)

JSONObject = dict[str, Any]


def sse(name: str, value: JSONObject, end: bytes = b"\n") -> bytes:
    """One event; without a name where the provider gives none."""
    opening = f"event: {name}".encode() + end if name else b""
    data = json.dumps(value, separators=(",", ":")).encode()
    return opening + b"data: " + data + end + end


def of_openai(word: str) -> bytes:
    delta = {"index": 0, "delta": {"content": word}, "logprobs": None, "finish_reason": None}
    return sse("", {
        "id": "chatcmpl-DzlF7qLHZWhyRVsT8ioVxBbw4mDKf", "object": "chat.completion.chunk",
        "created": 1784119553, "model": "gpt-4.1-mini-2025-04-14", "service_tier": "default",
        "system_fingerprint": "fp_e2ba9e5c5c", "choices": [delta], "usage": None,
    })  # fmt: skip


def of_anthropic(word: str) -> bytes:
    delta = {"type": "text_delta", "text": word}
    return sse("content_block_delta", {"type": "content_block_delta", "index": 0, "delta": delta})


def of_gemini(word: str) -> bytes:
    candidate = {"content": {"parts": [{"text": word}], "role": "model"}, "index": 0}
    counts = {"promptTokenCount": 9, "candidatesTokenCount": 5, "totalTokenCount": 14,
              "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 9}]}  # fmt: skip
    return sse("", {
        "candidates": [candidate], "usageMetadata": counts, "modelVersion": "gemini-2.5-flash",
        "responseId": "hQv8aMnaMISa28oP0-yXyQE",
    }, b"\r\n")  # fmt: skip


def of_cohere(word: str) -> bytes:
    delta = {"message": {"content": {"text": word}}}
    return sse("content-delta", {"type": "content-delta", "index": 0, "delta": delta})


def of_responses(word: str) -> bytes:
    return sse("response.output_text.delta", {
        "type": "response.output_text.delta", "sequence_number": 7, "content_index": 0,
        "item_id": "msg_0123456789abcdef0123456789abcdef", "output_index": 0, "delta": word,
        "logprobs": [], "obfuscation": "aB3dE5",
    })  # fmt: skip


def of_bedrock(word: str) -> bytes:
    value = {"contentBlockIndex": 0, "delta": {"text": word}, "p": "abcdefghijklmnopqrstu"}
    return frame("contentBlockDelta", json.dumps(value, separators=(",", ":")).encode())


def frame(event: str, payload: bytes) -> bytes:
    """A message of AWS's event stream."""
    named = {":event-type": event, ":content-type": "application/json", ":message-type": "event"}
    headers = b"".join(
        pack("!B", len(name)) + name.encode() + pack("!BH", 7, len(value)) + value.encode()
        for name, value in named.items()
    )
    prelude = pack("!II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + pack("!I", crc32(prelude)) + headers + payload
    return message + pack("!I", crc32(message))


SAYS: dict[str, Callable[[str], bytes]] = {
    "openai": of_openai,
    "anthropic": of_anthropic,
    "gemini": of_gemini,
    "cohere": of_cohere,
    "bedrock": of_bedrock,
    "responses": of_responses,
}
"""One piece of text as each dialect writes it; the others are one of these by another path."""


def a_request() -> bytes:
    """A turn in the middle of a conversation: a tool, its result, an image, a limit."""
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    called = {"name": "get_weather", "arguments": '{"city":"Oslo"}'}
    image = "data:image/png;base64," + base64.b64encode(bytes(3000)).decode()
    return json.dumps({
        "model": "acme/large", "stream": True, "max_tokens": 4000, "temperature": 0.5,
        "tools": [{"type": "function", "function": {"name": "get_weather", "parameters": schema}}],
        "messages": [
            {"role": "system", "content": "You are a helpful assistant. " * 20},
            {"role": "user", "content": [{"type": "text", "text": "What is this, and where?"},
                                         {"type": "image_url", "image_url": {"url": image}}]},
            {"role": "assistant", "content": "Let me see.",
             "tool_calls": [{"id": "call_1", "type": "function", "function": called}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "4 degrees"},
            {"role": "user", "content": "And tomorrow?"},
        ],
    }).encode()  # fmt: skip


def micros(work: Callable[[], object], rounds: int) -> float:
    """The median CPU time of `work`, in microseconds."""
    taken = []
    for _ in range(rounds):
        began = time.thread_time()
        work()
        taken.append((time.thread_time() - began) * 1e6)
    return statistics.median(taken)


def per_event(dialect: str, rounds: int) -> float:
    """What one piece of text costs on its way, in microseconds."""
    ask = INBOUND["chat"].decode_request(a_request(), ())
    pieces = [SAYS[dialect](WORDS[number % len(WORDS)]) for number in range(EVENTS)]

    def carry() -> None:
        decoder = OUTBOUND[dialect].decoder(Quirks())
        encoder, sent = Encoder(HEAD, ask), 0
        for piece in pieces:
            for event in decoder.feed(piece):
                sent += encoder.encode(event).startswith(b"data: ")
        if sent != EVENTS:
            raise click.ClickException(f"{dialect}: {sent} of {EVENTS} pieces arrived")

    return micros(carry, rounds) / EVENTS


def a_conversation() -> dict[str, bytes]:
    """A request in each format of callers."""
    turns = [{"role": "user", "content": "What is this, and where?"}]
    chat = {"model": "acme/large", "stream": True}
    return {
        "chat": json.dumps(chat | {"messages": turns}).encode(),
        "messages": json.dumps(chat | {"messages": turns, "max_tokens": 4000}).encode(),
        "responses": json.dumps(chat | {"input": turns}).encode(),
    }


TOLD: dict[str, Callable[[str, int], Event]] = {
    "text": lambda word, number: Text(0, word),
    "reasoning": lambda word, number: Reasoning(0, word, (
        {"type": "reasoning.text", "text": word, "format": "anthropic-claude-v1", "index": 0},
    )),
    "call": lambda word, number: ToolCall(
        0, 0, None if number else "call_1", None if number else "get_weather", word
    ),
}  # fmt: skip
"""Events that come often, in a row of which `number` is the place."""


def per_told(caller: str, kind: str, rounds: int) -> float:
    """What one event costs to be told, in microseconds."""
    ask = INBOUND[caller].decode_request(a_conversation()[caller], ())
    events = [TOLD[kind](WORDS[number % len(WORDS)], number) for number in range(EVENTS)]
    encoding = INBOUND[caller].encoder
    assert encoding is not None

    def tell() -> None:
        encoder = encoding(HEAD, ask)
        if not all(encoder.encode(event) for event in events):
            raise click.ClickException(f"{caller}: an event was not told")

    return micros(tell, rounds) / EVENTS


_MESSAGE: JSONObject = {"id": "msg_1", "type": "message", "status": "in_progress", "content": []}
OPENED: dict[str, tuple[str, bytes]] = {
    "messages": ("anthropic", b"".join((
        sse("message_start", {"type": "message_start", "message": {"id": "msg_1", "usage": {}}}),
        sse("content_block_start", {
            "type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}
        }),
    ))),
    "responses": ("responses", b"".join((
        sse("response.created", {"type": "response.created", "response": {"id": "resp_1"}}),
        sse("response.output_item.added", {
            "type": "response.output_item.added", "output_index": 0, "item": _MESSAGE
        }),
        sse("response.content_part.added", {
            "type": "response.content_part.added", "output_index": 0, "content_index": 0,
            "part": {"type": "output_text", "text": ""},
        }),
    ))),
}  # fmt: skip
"""Who speaks a caller's own words, and how a stream of them begins."""


def per_carried(caller: str, rounds: int) -> float:
    """What one event costs that is carried as it came, in microseconds; decoding included."""
    dialect, opening = OPENED[caller]
    same = OUTBOUND[dialect].same
    assert same is not None
    decode, encoding = same.decoder, INBOUND[caller].encoder
    assert encoding is not None
    ask = INBOUND[caller].decode_request(a_conversation()[caller], ())
    pieces = [SAYS[dialect](WORDS[number % len(WORDS)]) for number in range(EVENTS)]

    def carry() -> None:
        decoder, encoder = decode(Quirks()), encoding(HEAD, ask)
        for event in decoder.feed(opening):
            encoder.encode(event)
        sent = 0
        for piece in pieces:
            for event in decoder.feed(piece):
                sent += encoder.encode(event) == piece
        if sent != EVENTS:
            raise click.ClickException(f"{caller}: {sent} of {EVENTS} pieces as they came")

    return micros(carry, rounds) / EVENTS


def per_request(dialect: str, rounds: int) -> float:
    """What it costs to put a request into the provider's words, in microseconds."""
    target = Target(PROVIDER, "large-1", 8000)
    ask = INBOUND["chat"].decode_request(a_request(), ())
    return micros(lambda: OUTBOUND[dialect].encode_request(ask, target), rounds)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option("--rounds", type=click.IntRange(1, 100_000), default=200, help="Of 200 events.")
def main(rounds: int) -> None:
    """Print what each dialect costs per event and per request."""
    gc.disable()
    for dialect in SAYS:
        event, request = per_event(dialect, rounds), per_request(dialect, rounds)
        click.echo(f"{dialect:10} {event:6.2f} µs per event, {request:7.1f} µs per request")
    click.echo(f"\n{'µs to tell':10} {''.join(f'{kind:>11}' for kind in (*TOLD, 'verbatim'))}")
    for caller in a_conversation():
        cells = [f"{per_told(caller, kind, rounds):11.2f}" for kind in TOLD]
        cells.append(f"{per_carried(caller, rounds):11.2f}" if caller in OPENED else f"{'-':>11}")
        click.echo(f"{caller:10} {''.join(cells)}")
    ask = INBOUND["chat"].decode_request(a_request(), ())
    choose = micros(lambda: outbound(PROVIDER, "large-1", ask), rounds)
    click.echo(f"choosing the dialect: {choose:.2f} µs")


if __name__ == "__main__":
    main()
