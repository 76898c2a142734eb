"""What requests that are answered whole have in common."""

import json
from typing import Any

import pytest

from proxy.dialects.asked import Common, decode, likely_tokens, size_bytes
from proxy.errors import GatewayError

TELLING = [(b"x-openrouter-metadata", b"enabled")]


def read(**fields: Any) -> tuple[dict[str, Any], Common]:
    return decode(json.dumps(fields).encode(), TELLING, Common)


def test_what_is_the_gateways_does_not_travel() -> None:
    travelling, known = read(
        model="a",
        models=["b", "a"],
        user="u",
        provider={},
        session_id="s",
        trace={},
        odd=1,
        no=None,
    )
    assert travelling == {"user": "u", "odd": 1}
    assert known.names == ("a", "b")
    assert (known.session_id, known.stream) == ("s", None)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "No models provided"),
        ({"models": []}, "No models provided"),
        ({"model": 1}, "model: expected a string, got a number"),
        ({"model": "m", "stream": True}, "stream: the answer to this comes whole"),
        ({"model": "m", "session_id": "s" * 257}, "session_id: at most 256 characters"),
        ({"model": "m", "provider": {"zdr": True}}, "provider.zdr: not supported yet"),
    ],
    ids=str,
)
def test_what_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(GatewayError) as caught:
        assert read(**fields)[1].names
    assert caught.value.message == message


def test_text_has_no_more_tokens_than_bytes() -> None:
    assert (size_bytes("añ"), size_bytes("\ud800")) == (3, 1)
    assert (likely_tokens(5), likely_tokens(0), likely_tokens(8, 2)) == (2, 0, 2002)
