"""What requests that are answered whole have in common."""

import json
from typing import Any

import pytest

from proxy.dialects.asked import (
    Common,
    accept,
    decode,
    size_bytes,
    unknown_bytes,
)
from proxy.errors import GatewayError

CHATS = "only /chat/completions has it"
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
        ({"model": "m", "provider": {"only": 1}}, "provider.only: expected a list, got a number"),
        ({"model": "m", "provider": {"near": "me"}}, "provider.near: is no preference"),
        ({"model": "m", "plugins": [{"id": "web"}]}, "plugins: not supported yet"),
        ({"model": "m", "messages": [{"content": "long"}]}, f"messages: {CHATS}"),
        ({"model": "m", "messages": True}, f"messages: {CHATS}"),
        ({"model": "m", "tools": ["x"]}, f"tools: {CHATS}"),
        ({"model": "m", "functions": {}}, f"functions: {CHATS}"),
    ],
    ids=str,
)
def test_what_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(GatewayError) as caught:
        assert read(**fields)[1].names
    assert caught.value.message == message


@pytest.mark.parametrize("tier", ["priority", 5, {"a": 1}])
def test_a_dearer_tier_is_not_asked_for(tier: object) -> None:
    assert read(model="m", service_tier=tier)[0] == {}
    assert read(model="m", serviceTier=tier)[0] == {}
    assert read(model="m", service_tier="flex", n=1)[0] == {"service_tier": "flex", "n": 1}


def test_a_task_may_keep_more_to_itself_and_streams() -> None:
    fields = {"model": "m", "n": 1, "stream": True, "service_tier": "flex", "tools": ["x"]}
    travelling, known = accept(fields, TELLING, Common, ("model", "stream", "service_tier"))
    assert travelling == {"n": 1, "tools": ["x"]}
    assert known.stream
    with pytest.raises(GatewayError, match="X-Provider-API-Keys"):
        accept(fields, [(b"x-provider-api-keys", b"k")], Common)


def test_options_are_objects_by_provider() -> None:
    refused: tuple[Any, ...] = ([], "x", {"acme": 1}, {"acme": None})
    for wrong in refused:
        with pytest.raises(GatewayError, match=r"^provider\.options\S*: expected an object"):
            accept({"provider": {"options": wrong}}, (), Common)


def test_what_nobody_knows_may_be_read_all_the_same() -> None:
    """A provider may have another name for what is to be read, and counts it."""
    travelling, known = read(model="m", user="u" * 99, texts=["a" * 1000], n=5, flag=True, none="")
    assert 1000 < unknown_bytes(travelling, known) < 1010
    assert unknown_bytes({"user": "u"}, known) == 0


def test_text_has_no_more_tokens_than_bytes() -> None:
    assert (size_bytes("añ"), size_bytes("\ud800")) == (3, 1)
