"""How many tokens the prompt of a conversation is likely to have, where no provider counts them."""

from typing import Any

from proxy.dialects.asking import encode_json
from proxy.wire.request import Ask
from proxy.wire.tokens import TOKENS_PER_MESSAGE, likely_tokens


def prompt_tokens(ask: Ask, more_bytes: int = 0) -> int:
    """Those of its messages and attachments, and of so many bytes of text beside them."""
    messages = ask.body["messages"]
    size = sum(_text_bytes(message.get("content")) for message in messages) + more_bytes
    media = ask.media_prompt + ask.audio_prompt
    return likely_tokens(size, media) + TOKENS_PER_MESSAGE * len(messages)


def count_tokens(ask: Ask) -> int:
    """The same with its tools and their calls, for a caller who wants to know what fits.

    Raises GatewayError `invalid_request` for what JSON can not say.
    """
    said = [ask.body.get("tools"), *(one.get("tool_calls") for one in ask.body["messages"])]
    return prompt_tokens(ask, sum(len(encode_json(one)) for one in said if one))


def _text_bytes(content: Any) -> int:
    if isinstance(content, str):
        return len(content.encode())
    if isinstance(content, list):
        return sum(len(str(part.get("text") or "").encode()) for part in content)
    return 0
