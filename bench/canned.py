"""What the upstream says: bytes as OpenAI and Anthropic write them, made before anybody asks.

Every event's text is ` NUMBER@NANOSECONDS`: its place in the answer and the moment it was written,
on the monotonic clock that all processes of a machine share.
"""

import re
from typing import Final, NamedTuple

MODEL: Final = "bench/canned"
OTHER: Final = "bench/claude"  # the same, from a provider that speaks as Anthropic does
TEXT: Final = "Water meets the weir and waits a little, then it finds the lowest place. " * 8
PROMPT_TOKENS: Final = 300

_WISH: Final = re.compile(rb"\[bench (\d{1,9}) (\d{1,9}(?:\.\d{1,9})?)\]")
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n"
_CHUNK: Final = (
    b'{"id":"chatcmpl-BenchBenchBenchBenchBenchBench","object":"chat.completion.chunk",'
    b'"created":1750000000,"model":"bench/canned","service_tier":"default",'
    b'"system_fingerprint":"fp_0123456789","choices":%b,"usage":%b}'
)
_EVENT: Final = b"data: " + _CHUNK + b"\n\n"
_CHOICE: Final = b'[{"index":0,"delta":%b,"logprobs":null,"finish_reason":%b}]'
_USAGE: Final = (
    b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d,'
    b'"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},'
    b'"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0}}'
)
_WHOLE: Final = (
    b'{"id":"chatcmpl-BenchBenchBenchBenchBenchBench","object":"chat.completion",'
    b'"created":1750000000,"model":"bench/canned","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"%b","refusal":null,"annotations":[]},'
    b'"logprobs":null,"finish_reason":"stop"}],"usage":%b,"service_tier":"default",'
    b'"system_fingerprint":"fp_0123456789"}'
)
_MESSAGE: Final = (
    b'{"id":"msg_BenchBenchBenchBenchBench","type":"message","role":"assistant",'
    b'"model":"bench/claude","content":%b,"stop_reason":%b,"stop_sequence":null,'
    b'"usage":{"input_tokens":300,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,'
    b'"output_tokens":1,"service_tier":"standard"}}'
)


def _named(name: bytes, more: bytes) -> bytes:
    """One event of Anthropic's."""
    return b'event: %b\ndata: {"type":"%b"%b}\n\n' % (name, name, more)


def _usage(events: int) -> bytes:
    return _USAGE % (PROMPT_TOKENS, events, PROMPT_TOKENS + events)


class Format(NamedTuple):
    """How a provider tells an answer: whole, and streamed in `opening`, a `piece` for each event
    with its number and moment, and a closing.
    """

    whole: bytes
    opening: bytes
    piece: bytes
    openai: bool

    def closing(self, events: int) -> bytes:
        """The end of a stream of so many events, with their usage."""
        if self.openai:
            finish = _EVENT % (_CHOICE % (b"{}", b'"stop"'), b"null")
            return finish + _EVENT % (b"[]", _usage(events)) + b"data: [DONE]\n\n"
        delta = b',"delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{%b}'
        return (
            _named(b"content_block_stop", b',"index":0')
            + _named(b"message_delta", delta % (b'"output_tokens":%d' % events))
            + _named(b"message_stop", b"")
        )


def _fixed(content: bytes) -> bytes:
    head = _HEAD % b"application/json" + b"Content-Length: %d\r\n\r\n" % len(content)
    return head + content


OPENAI: Final = Format(
    whole=_fixed(_WHOLE % (TEXT.encode(), _usage(1))),
    opening=_EVENT
    % (_CHOICE % (b'{"role":"assistant","content":"","refusal":null}', b"null"), b"null"),
    piece=_EVENT % (_CHOICE % (b'{"content":" %d@%d"}', b"null"), b"null"),
    openai=True,
)
ANTHROPIC: Final = Format(
    whole=_fixed(_MESSAGE % (b'[{"type":"text","text":"%b"}]' % TEXT.encode(), b'"end_turn"')),
    opening=_named(b"message_start", b',"message":' + _MESSAGE % (b"[]", b"null"))
    + _named(b"content_block_start", b',"index":0,"content_block":{"type":"text","text":""}')
    + _named(b"ping", b""),
    piece=_named(
        b"content_block_delta", b',"index":0,"delta":{"type":"text_delta","text":" %d@%d"}'
    ),
    openai=False,
)
LIST: Final = _fixed(
    b'{"object":"list","data":[{"id":"bench/canned","object":"model","created":1750000000,'
    b'"owned_by":"bench"}]}'
)
STREAM_HEAD: Final = _HEAD % b"text/event-stream; charset=utf-8" + (
    b"Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
)


def chunk(content: bytes) -> bytes:
    """A chunk of HTTP/1.1."""
    return b"%x\r\n%b\r\n" % (len(content), content)


def wish(events: int, events_per_s: float) -> bytes:
    """The words of a prompt that ask for so many events at that rate; 0 is all at once."""
    return b"[bench %d %.3f]" % (events, events_per_s)


def wished(body: bytes) -> tuple[int, float]:
    """What a request asks for in its prompt: events, and how many a second."""
    found = _WISH.search(body)
    return (int(found[1]), float(found[2])) if found else (1, 0.0)
