"""The known fields of a chat request: wishes that nothing would heed, ranges, whose they are."""

from typing import Any

import msgspec
import pytest

from proxy.dialects.chat.fields import (
    CHOICES_MAX,
    HARMLESS,
    OWN_FIELDS,
    Fields,
    check_ranges,
    decode_fields,
    refuse_unbuilt,
    refuse_unbuilt_headers,
    used_parameters,
    wants_routing,
)
from proxy.dialects.chat.request import decode_request
from proxy.errors import GatewayError

WISHES: list[tuple[str, dict[str, Any]]] = [
    ("plugins", {"plugins": [{"id": "web"}]}),
    ("plugins", {"plugins": [{"id": "web", "enabled": False}, {"id": "fusion"}]}),
    ("plugins", {"plugins": ["web"]}),
    ("plugins", {"plugins": {"id": "web", "enabled": False}}),
    ("transforms", {"transforms": ["middle-out"]}),
    ("deferred_tools", {"deferred_tools": [{"type": "function"}]}),
    ("preset", {"preset": "mine"}),
    ("preset", {"preset": ""}),
    ("tools[1].type", {"tools": [{"type": "function"}, {"type": "openrouter:web_search"}]}),
]


@pytest.mark.parametrize(("path", "fields"), WISHES, ids=str)
def test_an_unbuilt_wish_is_refused_by_name(path: str, fields: dict[str, Any]) -> None:
    with pytest.raises(GatewayError) as raised:
        refuse_unbuilt(fields)
    assert raised.value.kind == "not_supported"
    assert raised.value.status == 400
    assert raised.value.message == f"{path}: not supported yet"


@pytest.mark.parametrize("name", HARMLESS)
def test_what_asks_for_nothing_passes(name: str) -> None:
    outer, _, inner = name.partition(".")
    for value in (None, *HARMLESS[name]):
        refuse_unbuilt({outer: {inner: value} if inner else value})


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"provider": None}, {"provider": {}}, {"tools": None}, {"tools": [{}]},
        {"plugins": [{"id": "web", "enabled": False}]},
    ],
    ids=str,
)  # fmt: skip
def test_no_wish_passes(fields: dict[str, Any]) -> None:
    refuse_unbuilt(fields)


HEADERS: list[tuple[bytes, bytes, str | None]] = [
    (b"x-provider-api-keys", b'{"openai":"sk"}', "X-Provider-API-Keys"),
    (b"X-Provider-API-Keys", b"", "X-Provider-API-Keys"),
    (b"x-openrouter-cache", b" True ", "X-OpenRouter-Cache"),
    (b"x-openrouter-cache", b"false", None),
    (b"x-openrouter-cache-ttl", b"300", None),
    (b"x-openrouter-metadata", b"enabled", None),
    (b"authorization", b"", None),
]


@pytest.mark.parametrize(("name", "value", "refused"), HEADERS, ids=str)
def test_an_unbuilt_wish_in_a_header(name: bytes, value: bytes, refused: str | None) -> None:
    headers = [(b"accept", b"*/*"), (name, value)]
    if refused is None:
        refuse_unbuilt_headers(headers)
        return
    with pytest.raises(GatewayError) as raised:
        refuse_unbuilt_headers(headers)
    assert (raised.value.kind, raised.value.status) == ("not_supported", 400)
    assert raised.value.message == f"{refused}: not supported yet"


TELLING: list[tuple[bytes, bytes, bool]] = [
    (b"x-openrouter-metadata", b"enabled", True),
    (b"X-OpenRouter-Metadata", b" Enabled ", True),
    (b"x-openrouter-experimental-metadata", b"ENABLED", True),
    (b"x-openrouter-metadata", b"disabled", False),
    (b"x-openrouter-metadata", b"", False),
    (b"x-openrouter-metadata", b"true", False),
    (b"x-openrouter-cache", b"enabled", False),
]


@pytest.mark.parametrize(("name", "value", "wanted"), TELLING, ids=str)
def test_who_wants_to_be_told_of_the_routing(name: bytes, value: bytes, wanted: bool) -> None:
    headers = [(b"accept", b"*/*"), (name, value)]
    assert wants_routing(headers) is wanted
    body = b'{"model":"a/b","messages":[{"role":"user","content":"x"}]}'
    lowered = [(name.lower(), value) for name, value in headers]
    assert decode_request(body, lowered).told is wanted


def test_metadata_has_limits() -> None:
    full: dict[str, str | None] = {f"{number}".ljust(64): "v" * 512 for number in range(15)}
    check_ranges(Fields(metadata=full | {"x": None}))
    wrong: list[tuple[dict[str, str | None], str]] = [
        ({str(number): "" for number in range(17)}, "metadata: at most 16 pairs"),
        ({"k" * 65: ""}, "metadata: keys of at most 64 characters"),
        ({"k": "v" * 513}, "metadata: values of at most 512 characters"),
    ]
    for metadata, message in wrong:
        with pytest.raises(GatewayError) as raised:
            check_ranges(Fields(metadata=metadata))
        assert raised.value.message == message


RANGES: list[tuple[str, tuple[float, ...], tuple[float, ...]]] = [
    ("n", (1, CHOICES_MAX), (0, -1, CHOICES_MAX + 1, 10**30)),
    ("max_tokens", (1, 2**31), (0, -5, 2**31 + 1)),
    ("max_completion_tokens", (1, 2**31), (0, -5, 2**31 + 1)),
    ("top_logprobs", (0, 20), (-1, 21)),
    ("temperature", (0, 0.7, 2), (-0.1, 2.1)),
    ("top_p", (0, 1), (-0.1, 1.1)),
]


@pytest.mark.parametrize(("name", "good", "bad"), RANGES)
def test_ranges(name: str, good: tuple[float, ...], bad: tuple[float, ...]) -> None:
    for value in good:
        check_ranges(msgspec.convert({name: value}, Fields))
    for value in bad:
        with pytest.raises(GatewayError, match=f"^{name}: must be between") as raised:
            check_ranges(msgspec.convert({name: value}, Fields))
        assert raised.value.kind == "invalid_request"


def test_stop_sequences() -> None:
    check_ranges(Fields(stop="a"))
    check_ranges(Fields(stop=["a", "b", "c", "d"]))
    with pytest.raises(GatewayError, match=r"^stop: at most 4"):
        check_ranges(Fields(stop=["a"] * 5))


def test_session_ids() -> None:
    check_ranges(Fields(session_id="é" * 256))
    with pytest.raises(GatewayError, match=r"^session_id: at most 256"):
        check_ranges(Fields(session_id="x" * 257))


READ: dict[str, Any] = {
    "model": "c/d",
    "models": ["c/d"],
    "include_reasoning": False,
    "reasoning": {"effort": "low"},
    "session_id": "s",
    "stream": True,
    "prompt": "hello",
    "debug": {"echo_upstream_body": True},
    "provider": {"zdr": True},
    "route": "sort",
    "speed": "fast",
}
"""Fields of ours, with a value that makes a difference."""

GIVEN_ANYWAY = {"usage", "stream_options"}  # they ask for what every answer has
IDLE = {"trace", "max_tool_calls", "stop_server_tools_when"}
"""They bound tools that the gateway runs, of which there are none, or belong to a trace."""


@pytest.mark.parametrize("name", sorted(OWN_FIELDS))
def test_a_field_of_ours_is_read_or_refused(name: str) -> None:
    """One that is named nowhere travels on; one that is ours must never be met with silence."""
    if name in READ:
        plain: dict[str, Any] = {"models": ["a/b"], "messages": [{"role": "user"}]}
        if name == "prompt":
            plain["messages"] = None
            plain["prompt"] = "x"
        changed = plain | {name: READ[name]}
        asked = [decode_request(msgspec.json.encode(body)) for body in (plain, changed)]
        assert asked[0] != asked[1]
        return
    assert name in GIVEN_ANYWAY | IDLE or name in {wish.partition(".")[0] for wish in HARMLESS}


def test_what_is_refused_is_ours() -> None:
    assert {name.partition(".")[0] for name in HARMLESS} <= OWN_FIELDS


REQUIRED: list[tuple[dict[str, Any], set[str]]] = [
    ({}, set()),
    ({"tools": [], "unknown": 1}, set()),
    ({"tools": [{"type": "function"}], "stop": []}, {"tools"}),
    ({"temperature": None, "provider": {"require_parameters": True}}, set()),
    (
        {
            "max_completion_tokens": 5, "reasoning": {}, "include_reasoning": True, "unknown": 1,
            "tools": [{"type": "function"}], "response_format": {"type": "json_object"},
            "provider": {"require_parameters": True},
        },
        {"max_tokens", "reasoning", "tools", "response_format"},
    ),
    (
        {
            "response_format": {"type": "json_schema"}, "reasoning_effort": "low",
            "provider": {"require_parameters": True},
        },
        {"response_format", "structured_outputs", "reasoning"},
    ),
    ({"response_format": {"type": "text"}, "seed": 1}, {"seed"}),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "names"), REQUIRED, ids=range(len(REQUIRED)))
def test_what_an_endpoint_must_support(fields: dict[str, Any], names: set[str]) -> None:
    assert used_parameters(fields, decode_fields(fields)) == names
