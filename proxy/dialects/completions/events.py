"""Text completions, the answer of a provider: bytes in, canonical events out.

They are chat completions but for where the text is; `logprobs` stay in their own form.
"""

from typing import Any

from proxy.dialects.chat.events import Reader, whole
from proxy.dialects.reading import Decoder, parse
from proxy.dialects.values import objects
from proxy.providers import Quirks
from proxy.wire.events import Event


def decoder(quirks: Quirks) -> Decoder:
    """A stream of one provider."""
    reader = Reader(quirks)
    return Decoder(lambda _, chunk, events: reader.read(_turned(chunk, "delta"), events))


def decode_answer(body: bytes, quirks: Quirks) -> list[Event]:
    """The events of a whole answer.

    Raises GatewayError `provider_malformed` for what is no answer.
    """
    return whole(_turned(parse(body), "message"), quirks)


def _turned(chunk: dict[str, Any], name: str) -> dict[str, Any]:
    """A chunk or an answer with what each choice says where a chat has it."""
    choices = [
        choice | {name: choice | {"content": choice["text"]}} if "text" in choice else choice
        for choice in objects(chunk.get("choices"))
    ]
    return chunk | {"choices": choices}
