"""The known fields of a chat request: wishes that nothing would heed, ranges, whose they are."""

from typing import Any

import msgspec
import pytest

from proxy.dialects.fields import (
    CHOICES_MAX,
    HARMLESS,
    OWN_FIELDS,
    Fields,
    check_ranges,
    refuse_unbuilt,
)
from proxy.errors import GatewayError

WISHES: list[tuple[str, dict[str, Any]]] = [
    ("route", {"route": "sort"}),
    ("plugins", {"plugins": [{"id": "web"}]}),
    ("transforms", {"transforms": ["middle-out"]}),
    ("debug", {"debug": {"echo_upstream_body": True}}),
    ("stop_server_tools_when", {"stop_server_tools_when": [{"type": "max_cost"}]}),
    ("preset", {"preset": "mine"}),
    ("preset", {"preset": ""}),
    ("trace", {"trace": {"trace_id": "t"}}),
    ("provider.order", {"provider": {"order": ["openai"]}}),
    ("provider.allow_fallbacks", {"provider": {"allow_fallbacks": False}}),
    ("provider.require_parameters", {"provider": {"require_parameters": True}}),
    ("provider.data_collection", {"provider": {"data_collection": "deny"}}),
    ("provider.zdr", {"provider": {"zdr": True}}),
    ("provider.sort", {"provider": {"zdr": False, "sort": "price"}}),
    ("provider.of_tomorrow", {"provider": {"of_tomorrow": 1}}),
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
    "fields", [{}, {"provider": None}, {"provider": {}}, {"tools": None}, {"tools": [{}]}], ids=str
)
def test_no_wish_passes(fields: dict[str, Any]) -> None:
    refuse_unbuilt(fields)


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


def test_what_has_a_type_is_known_or_ours() -> None:
    """A field that is named nowhere travels on; one that is ours must be read somewhere."""
    read_elsewhere = {
        "route", "plugins", "preset", "transforms", "usage", "trace", "debug",
        "cache_control", "max_tool_calls", "stop_server_tools_when",
    }  # fmt: skip
    assert OWN_FIELDS - set(Fields.__struct_fields__) == read_elsewhere
    assert {name for name in HARMLESS if "." not in name} <= OWN_FIELDS
