"""What is asked, in no dialect: its size, and the functions that a model would call."""

from typing import Any

import pytest

from proxy.upstream.fake.ask import (
    Ask,
    Function,
    Refused,
    child,
    count_of,
    decode_object,
    names,
    rows,
    strings,
)

TOOLS = tuple(Function(name) for name in ("get_weather", "get_time", "add"))


@pytest.mark.parametrize(
    ("text", "more", "wanted"),
    [
        ("hi", {}, []),
        ("call a tool", {"functions": ()}, []),
        ("hi", {"choice": "required"}, ["get_weather"]),
        ("call a tool", {}, ["get_weather"]),
        ("call a tool", {"choice": "none"}, []),
        ("call a tool", {"results": "done", "choice": "required"}, []),
        ("What's the time?", {}, ["get_time"]),
        ("Weather and time, please", {}, ["get_weather", "get_time"]),
        ("use all tools", {}, ["get_weather", "get_time", "add"]),
        ("the weather in both cities", {}, ["get_weather", "get_weather"]),
        ("use all tools", {"functions": TOOLS[:1]}, ["get_weather", "get_weather"]),
        ("use all tools", {"parallel": False}, ["get_weather"]),
        ("hi", {"choice": "add", "named": True}, ["add"]),
        ("hi", {"choice": "sub", "named": True}, []),
    ],
)
def test_wanted_calls(text: str, more: dict[str, Any], wanted: list[str]) -> None:
    asked = Ask(model="m", said=text, **{"functions": TOOLS, **more})
    assert [function.name for function in asked.wanted_calls] == wanted


def test_the_prompt_is_counted_in_words_and_attachments() -> None:
    assert Ask(model="m", texts=("one two", "three"), attachments=("image",)).prompt_tokens == 88
    assert Ask(model="m").prompt_tokens == 0


def test_what_is_no_object_is_refused() -> None:
    assert decode_object(b'{"a":1}', "no") == {"a": 1}
    for body in (b"{", b"[]", b"\xff"):
        with pytest.raises(Refused, match="my words") as refused:
            decode_object(body, "my words")
        assert refused.value.kind == "invalid"


def test_what_is_odd_is_left_out() -> None:
    assert rows([{"a": 1}, 3, None]) == [{"a": 1}]
    assert rows("x") == []
    assert child({"a": {"b": 1}, "c": 3}, "a") == {"b": 1}
    assert child({"c": 3}, "c") == child({}, "c") == {}
    assert [count_of(value) for value in (3, True, "3", None)] == [3, None, None, None]
    assert strings(["a", "", 3]) == strings("a") == ("a",)
    assert strings(None) == ()
    assert names("a b a") == {"a", "b"}
