"""Every format that callers speak has the whole of what the pipeline asks of one."""

import json
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from proxy.api.inference import PATHS
from proxy.dialects.calling import INBOUND
from proxy.dialects.forms import Bill, Inbound
from proxy.errors import GatewayError
from proxy.wire.events import Ended, Finished, Started, Text, Usage
from proxy.wire.preferences import NONE, decode
from proxy.wire.request import Ask, Head
from tests.plain import ASK


def test_every_path_speaks_one_and_every_one_is_spoken() -> None:
    assert set(PATHS.values()) == set(INBOUND)


@pytest.mark.parametrize("row", INBOUND.values(), ids=INBOUND)
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b"[" * 5000])
def test_what_is_no_request_is_refused_before_anything_else(row: Inbound, body: bytes) -> None:
    with pytest.raises(GatewayError) as raised:
        row.decode_request(body, [(b"content-type", b"application/json")])
    assert (raised.value.kind, raised.value.status) == ("invalid_request", 400)


@pytest.mark.parametrize("row", INBOUND.values(), ids=INBOUND)
@pytest.mark.parametrize("kind", ["unauthenticated", "internal", "provider_timeout"])
def test_every_format_tells_of_an_error_in_json(row: Inbound, kind: str) -> None:
    error = GatewayError(kind, "No luck today.")
    for id_, routing in ((None, None), ("gen-1-x", {"summary": "all of it"})):
        told = orjson.loads(row.encode_error(error, id_, routing))
        assert "No luck today." in orjson.dumps(told).decode()


@pytest.mark.parametrize("row", INBOUND.values(), ids=INBOUND)
def test_what_breaks_off_says_nothing_while_it_waits(row: Inbound) -> None:
    """A comment amidst what is no event stream would be a part of it."""
    assert not row.breaks or row.waiting == b""


def test_what_comes_whole_only_has_no_stream() -> None:
    assert {name for name, row in INBOUND.items() if row.encoder is None} == {
        "embeddings",
        "rerank",
    }
    head = Head(id="gen-1", created=0, model="a/b", provider="p")
    for stream in (True, False):
        asked = replace(ASK, stream=stream)
        assert (INBOUND["chat"].streaming(head, asked) is not None) == stream
        assert INBOUND["rerank"].streaming(head, asked) is None


@pytest.mark.parametrize("name", [name for name, row in INBOUND.items() if not row.breaks])
@pytest.mark.parametrize("kind", ["provider_cut", "provider_context_length", "internal"])
def test_a_stream_that_failed_tells_its_route_where_that_is_asked_for(name: str, kind: str) -> None:
    """But for 500 (contract, 2.5)."""
    head = Head(id="gen-1", created=0, model="a/b", provider="p")
    for routing in (None, {"attempt": 7}):
        encoder = INBOUND[name].streaming(head, replace(ASK, stream=True))
        if encoder is None:
            continue
        said = encoder.encode_failure(GatewayError(kind, "x"), routing)
        told = kind != "internal" and routing is not None
        assert (b'"openrouter_metadata":{"attempt":7}' in said.replace(b" ", b"")) == told
        assert said.count(b"openrouter_metadata") == told


SOUND = {"data": "AAAA", "format": "wav"}
THERE = {"type": "url", "url": "https://x.test/i"}
IMAGE = "data:image/png;base64,iVBORw0KGgo="
TALKS: dict[str, Any] = {
    "chat": {"messages": [{"role": "user", "content": "x"}]},
    "messages": {"messages": [{"role": "user", "content": "x"}], "max_tokens": 5},
    "responses": {"input": "x"},
    "completions": {"prompt": "x"},
}
"""What every format in which models talk needs."""


def asked(name: str, **fields: Any) -> Ask:
    said = {"model": "a/b"} | TALKS[name] | fields
    return INBOUND[name].decode_request(json.dumps(said).encode(), [])


@pytest.mark.parametrize("name", TALKS)
def test_every_format_has_the_wishes_of_a_chat(name: str) -> None:
    provider = {"order": ["OpenAI"], "zdr": True, "sort": {"by": "price", "partition": "none"}}
    ask = asked(name, provider=provider)
    assert ask.preferences == decode(provider)
    assert asked(name).preferences == NONE
    assert asked(name, route="sort").preferences.partition == "none"
    with pytest.raises(GatewayError, match=r"^provider\.experimental: is no preference$"):
        asked(name, provider={"experimental": 1})
    with pytest.raises(GatewayError, match=r"^provider\.order: expected a list, got a string$"):
        asked(name, provider={"order": "openai"})


@pytest.mark.parametrize("name", TALKS)
@pytest.mark.parametrize(
    ("said", "tier"),
    [("priority", "priority"), ("fast", "priority"), ("flex", "flex"), ("ultrafast", "ultrafast"),
     ("default", "default"), ("standard", "default"), ("auto", None), ("scale", None)],
)  # fmt: skip
def test_every_format_asks_for_a_service_tier(name: str, said: str, tier: str | None) -> None:
    assert asked(name, service_tier=said).tier == tier
    assert asked(name).tier is None


@pytest.mark.parametrize("name", ["chat", "messages"])
def test_speed_is_another_word_for_a_service_tier(name: str) -> None:
    assert asked(name, speed="fast").tier == "priority"
    assert asked(name, speed="fast", service_tier="auto").tier == "priority"
    assert asked(name, speed="fast", service_tier="flex").tier == "flex"
    assert asked(name, speed="standard").tier == "default"


INPUTS: list[tuple[str, list[dict[str, Any]], set[str]]] = [
    ("chat", [{"type": "text", "text": "x"}], set()),
    ("chat", [{"type": "image_url", "image_url": {"url": IMAGE}}], {"image"}),
    ("chat", [{"type": "video_url", "video_url": {"url": "https://x.test/v.mp4"}}], {"video"}),
    ("chat", [{"type": "input_video", "video_url": {"url": "https://x.test/v.mp4"}}], {"video"}),
    ("chat", [{"type": "input_audio", "input_audio": SOUND}], {"audio"}),
    ("chat", [{"type": "file", "file": {"filename": "a", "file_data": "https://x.test/a"}}], set()),
    ("messages", [{"type": "text", "text": "x"}], set()),
    ("messages", [{"type": "image", "source": THERE}], {"image"}),
    ("messages", [{"type": "document", "source": THERE}], set()),
    ("responses", [{"type": "input_text", "text": "x"}], set()),
    ("responses", [{"type": "input_image", "image_url": IMAGE}], {"image"}),
    ("responses", [{"type": "input_file", "file_url": "https://x.test/a.pdf"}], set()),
]  # fmt: skip


@pytest.mark.parametrize(("name", "parts", "inputs"), INPUTS, ids=str)
def test_every_format_tells_what_goes_in(
    name: str, parts: list[dict[str, Any]], inputs: set[str]
) -> None:
    field = "input" if name == "responses" else "messages"
    assert asked(name, **{field: [{"role": "user", "content": parts}]}).inputs == inputs


@pytest.mark.parametrize("name", ["chat", "responses"])
def test_every_format_tells_what_is_to_come_out(name: str) -> None:
    assert asked(name, modalities=["text", "image"]).outputs == {"image"}
    assert asked(name, modalities=["text"]).outputs == asked(name).outputs == set()


@pytest.mark.parametrize("name", TALKS)
@pytest.mark.parametrize("tier", ["default", "flex", "priority", None])
def test_every_format_tells_which_service_tier_was_served(name: str, tier: str | None) -> None:
    events: list[Any] = [
        Started(service_tier=tier), Text(0, "x"), Finished(0, "stop", "stop"), Ended(),
    ]  # fmt: skip
    head = Head(id="gen-1", created=1, model="a/b", provider="P")
    said = json.loads(INBOUND[name].encode_answer(events, head, asked(name), Bill(Usage())).body)
    told = said["usage"] if name == "messages" else said
    ours: dict[Any, str] = {("messages", "default"): "standard", ("responses", None): "auto"}
    assert told.get("service_tier") == ours.get((name, tier), tier)
