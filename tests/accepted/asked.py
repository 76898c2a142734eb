"""Every recorded chat request for OpenRouter, as the gateway reads it."""

import functools
import json

from proxy.dialects.chat.request import decode_request
from proxy.errors import GatewayError
from proxy.wire.request import Ask
from tests.recordings import index, load

ROUTING = ("provider", "transforms", "models", "route")
"""Wishes about who answers, which no body of a provider has."""


@functools.cache
def asked() -> tuple[tuple[str, Ask | None], ...]:
    """The requests by the names of their recordings; None for what is not supported yet."""
    found: list[tuple[str, Ask | None]] = []
    for row in index():
        body = load(row).request.get("body") if row["provider"] == "openrouter" else None
        if row["api"] == "chat" and body:
            told = {name: value for name, value in body.items() if name not in ROUTING}
            found.append((row["name"], _read(json.dumps(told).encode())))
    return tuple(found)


def _read(body: bytes) -> Ask | None:
    try:
        return decode_request(body)
    except GatewayError as refused:
        if "not supported yet" in refused.message:
            return None
        raise
