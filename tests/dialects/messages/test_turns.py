"""A conversation keeps its order, and whatever it was, Anthropic takes it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.messages.blocks import FORMAT
from proxy.dialects.messages.models import Claude
from proxy.dialects.messages.turns import conversation
from proxy.providers import Provider
from proxy.wire.slices import at_once
from tests.accepted.messages import anthropic_accepts

Json = dict[str, Any]
PROVIDER = Provider(slug="anthropic", name="Anthropic", base_url="https://anthropic.invalid")
MARK = {"type": "ephemeral"}


def turns(*messages: Json, **traits: Any) -> list[tuple[str, Any]]:
    """The turns, a single text as it is."""
    _, told = at_once(conversation(list(messages), PROVIDER, Claude(**traits)))
    return [(turn["role"], short(turn["content"])) for turn in told]


def short(content: list[Json]) -> Any:
    said = [block["text"] if block["type"] == "text" else block for block in content]
    return said[0] if len(said) == 1 and isinstance(said[0], str) else said


def say(role: str, content: Any = None, **more: Any) -> Json:
    return {"role": role, "content": content, **more}


def call(id_: str | None, name: str = "f", arguments: str = "{}") -> Json:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


def calls(*made: Json, **more: Any) -> Json:
    return say("assistant", tool_calls=list(made), **more)


def gave(id_: str, content: Any = "4", **more: Any) -> Json:
    return say("tool", content, tool_call_id=id_, **more)


def use(id_: str, given: Json | None = None, name: str = "f") -> Json:
    return {"type": "tool_use", "id": id_, "name": name, "input": given or {}}


def result(id_: str, content: Any = "4") -> Json:
    return {"type": "tool_result", "tool_use_id": id_, "content": content}


def unanswered(id_: str) -> Json:
    return {"type": "tool_result", "tool_use_id": id_, "is_error": True}


HI = say("user", "hi")


def test_the_system_is_what_comes_first() -> None:
    marked = {"type": "text", "text": "b", "cache_control": MARK}
    said = [say("system", "a"), say("developer", [marked]), say("system", " "), HI]
    system, told = at_once(conversation(said, PROVIDER, Claude()))
    assert system == [{"type": "text", "text": "a"}, marked]
    assert told == [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]


def test_with_nothing_but_a_system_the_user_says_it() -> None:
    system, told = at_once(
        conversation([say("system", "a"), say("system", "b")], PROVIDER, Claude())
    )
    assert system == []
    assert [(turn["role"], short(turn["content"])) for turn in told] == [("user", ["a", "b"])]


@pytest.mark.parametrize(
    ("messages", "wanted"),
    [
        ([HI], [("user", "hi")]),
        ([say("user", "")], [("user", ".")]),
        ([HI, say("user", "there")], [("user", ["hi", "there"])]),
        ([say("assistant", "yo")], [("user", "."), ("assistant", "yo")]),
        ([HI, say("assistant", "yo \n")], [("user", "hi"), ("assistant", "yo")]),
        (
            [HI, say("assistant", "yo "), HI],
            [("user", "hi"), ("assistant", "yo "), ("user", "hi")],
        ),
        (
            [HI, say("assistant", "a"), say("assistant", "b")],
            [("user", "hi"), ("assistant", ["a", "b"])],
        ),
        ([say("user", "hi", name="Ann")], [("user", "Ann: hi")]),
        ([say("user", None, name="Ann")], [("user", ".")]),
        ([HI, say("assistant", None, refusal="no")], [("user", "hi"), ("assistant", ["no"][0])]),
        (
            [HI, calls(call("a", arguments='{"x":1}'), call("b")), gave("b"), gave("a", "5")],
            [
                ("user", "hi"),
                ("assistant", [use("a", {"x": 1}), use("b")]),
                ("user", [result("b"), result("a", "5")]),
            ],
        ),
        (
            [HI, calls(call("a")), say("user", "well?"), gave("a")],
            [("user", "hi"), ("assistant", [use("a")]), ("user", [result("a"), "well?"])],
        ),
        (
            [HI, calls(call("a")), say("system", "s"), gave("a")],
            [
                ("user", "hi"),
                ("assistant", [use("a")]),
                ("user", [result("a"), "<system>\ns\n</system>"]),
            ],
        ),
        (
            [HI, calls(call("a")), say("user", "stop")],
            [("user", "hi"), ("assistant", [use("a")]), ("user", [unanswered("a"), "stop"])],
        ),
        (
            [HI, calls(call("a"), call("b")), gave("b")],
            [
                ("user", "hi"),
                ("assistant", [use("a"), use("b")]),
                ("user", [result("b"), unanswered("a")]),
            ],
        ),
        (
            [HI, calls(call("a")), say("assistant", "so")],
            [
                ("user", "hi"),
                ("assistant", [use("a")]),
                ("user", [unanswered("a")]),
                ("assistant", "so"),
            ],
        ),
        ([HI, gave("x")], [("user", ["hi", "4"])]),
        (
            [HI, calls(call("a")), gave("a"), gave("a", "again")],
            [("user", "hi"), ("assistant", [use("a")]), ("user", [result("a"), "again"])],
        ),
        (
            [HI, calls(call("a"), call("a_2"), call("a")), gave("a"), gave("a", "5")],
            [
                ("user", "hi"),
                ("assistant", [use("a"), use("a_2"), use("a_3")]),
                ("user", [result("a"), result("a_3", "5"), unanswered("a_2")]),
            ],
        ),
        (
            [HI, calls(call("f.x:0")), gave("f.x:0"), calls(call("f.x:0")), gave("f.x:0")],
            [
                ("user", "hi"),
                ("assistant", [use("f_x_0")]),
                ("user", [result("f_x_0")]),
                ("assistant", [use("f_x_0_2")]),
                ("user", [result("f_x_0_2")]),
            ],
        ),
        (
            [
                HI,
                say("assistant", function_call={"name": "f", "arguments": "{}"}),
                say("function", "4", name="f"),
            ],
            [("user", "hi"), ("assistant", [use("f")]), ("user", [result("f")])],
        ),
        (
            [HI, calls({"id": "a", "type": "custom", "custom": {"name": "sh", "input": "ls"}})],
            [
                ("user", "hi"),
                ("assistant", [use("a", {"input": "ls"}, "sh")]),
                ("user", [unanswered("a")]),
            ],
        ),
        (
            [HI, calls({**call("a"), "cache_control": MARK}), gave("a")],
            [
                ("user", "hi"),
                ("assistant", [{**use("a"), "cache_control": MARK}]),
                ("user", [result("a")]),
            ],
        ),
        (
            [HI, say("assistant", "a"), say("system", "s"), HI],
            [("user", "hi"), ("assistant", "a"), ("user", ["<system>\ns\n</system>", "hi"])],
        ),
    ],
)
def test_turns_alternate_and_calls_have_results(
    messages: list[Json], wanted: list[tuple[str, Any]]
) -> None:
    assert turns(*messages) == wanted


@pytest.mark.parametrize(
    ("messages", "roles"),
    [
        ([HI, say("system", "s")], ["user", "system"]),
        ([HI, say("system", "s"), say("system", "t")], ["user", "system"]),
        ([HI, say("system", "s"), say("assistant", "a"), HI], ["user", "system", "assistant"]),
        ([HI, say("system", "s"), HI], ["user"]),
        ([HI, say("assistant", "a"), say("system", "s")], ["user", "assistant", "user"]),
        ([HI, calls(call("a")), say("system", "s")], ["user", "assistant", "user"]),
    ],
)
def test_instructions_have_their_own_turn_where_the_model_takes_it(
    messages: list[Json], roles: list[str]
) -> None:
    assert [role for role, _ in turns(*messages, instructable=True)][: len(roles)] == roles


def test_thoughts_go_before_text_and_calls() -> None:
    details = [{"type": "reasoning.text", "text": "t", "signature": "s", "format": FORMAT}]
    message = say("assistant", "so", reasoning_details=details, tool_calls=[call("a")])
    thinking = {"type": "thinking", "thinking": "t", "signature": "s"}
    assert turns(HI, message)[1] == ("assistant", [thinking, "so", use("a")])
    assert turns(HI, message, thinks="never")[1] == ("assistant", ["so", use("a")])


def test_thoughts_without_a_word_after_them_are_left_out() -> None:
    details = [{"type": "reasoning.encrypted", "data": "x", "format": FORMAT}]
    assert turns(HI, say("assistant", None, reasoning_details=details)) == [("user", "hi")]


def test_an_answer_may_end_with_what_a_server_tool_gave() -> None:
    detail = {
        "type": "reasoning.server_tool_call",
        "tool_name": "web_search",
        "arguments": "{}",
        "result": "",
        "tool_call_id": "s",
        "format": FORMAT,
    }
    use = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    told = turns(HI, say("assistant", None, reasoning_details=[detail]))
    assert told == [("user", "hi"), ("assistant", [use])]


MESSAGES = st.one_of(
    st.builds(say, st.sampled_from(["user", "system", "developer"]), st.sampled_from(["", "x"])),
    st.builds(say, st.just("assistant"), st.sampled_from([None, " ", "y "])),
    st.builds(lambda ids: calls(*map(call, ids)), st.lists(st.sampled_from("abc"), max_size=3)),
    st.builds(gave, st.sampled_from("abc")),
)


@given(st.lists(MESSAGES, min_size=1, max_size=8), st.booleans())
def test_any_conversation_is_one_that_anthropic_takes(
    messages: list[Json], instructable: bool
) -> None:
    system, told = at_once(conversation(messages, PROVIDER, Claude(instructable=instructable)))
    assert told[0]["role"] == "user"
    for turn, after in zip(told, [*told[1:], None], strict=True):
        assert turn["content"]
        assert after is None or after["role"] != turn["role"]
        asked = {block["id"] for block in turn["content"] if block["type"] == "tool_use"}
        given_ = [
            b["tool_use_id"] for b in (after or {"content": []})["content"] if "tool_use_id" in b
        ]
        assert turn["role"] != "assistant" or sorted(asked) == sorted(given_)
    body = {"model": "claude", "max_tokens": 1, "messages": told, "system": system}
    anthropic_accepts(body)


def test_a_mark_on_a_message_is_one_on_its_last_block() -> None:
    system, told = at_once(conversation(
        [
            say("system", "s", cache_control=MARK),
            say("user", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
                cache_control=MARK),
            calls(call("c"), content="so", cache_control=MARK),
            gave("c", cache_control=MARK),
            say("system", "t", cache_control=MARK),
            say("assistant", "", cache_control=MARK),
        ],
        PROVIDER,
        Claude(),
    ))  # fmt: skip
    places = [system, *(turn["content"] for turn in told)]
    marks = [["cache_control" in block for block in blocks] for blocks in places]
    assert marks == [[True], [False, True], [False, True], [True, True]]


def test_a_mark_on_a_part_goes_before_that_of_its_message() -> None:
    lasting = MARK | {"ttl": "1h"}
    part = {"type": "text", "text": "a", "cache_control": lasting}
    _, told = at_once(conversation([say("user", [part], cache_control=MARK)], PROVIDER, Claude()))
    assert told[0]["content"] == [part]


@pytest.mark.parametrize(
    ("after", "goes_on"),
    [
        ([], True),
        ([say("system", "t")], True),
        ([gave("c")], True),
        ([HI], False),
        ([say("assistant", "and"), HI], False),
    ],
)
def test_a_tool_of_the_server_that_is_still_at_work(after: list[Json], goes_on: bool) -> None:
    detail = {
        "type": "reasoning.server_tool_call", "tool_name": "web_search", "arguments": "{}",
        "result": "", "tool_call_id": "s2", "format": FORMAT,
    }  # fmt: skip
    done = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []}
    first = detail | {"tool_call_id": "s1", "result": json.dumps(done)}
    paused = calls(call("c"), content="let me see", reasoning_details=[first, detail])
    told = turns(HI, paused, *after)[1][1]
    use_1: Json = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}}
    use_2 = use_1 | {"id": "s2"}
    waiting = [use_2] if goes_on else []
    wanted = [use_1, done, "let me see", *waiting, use("c")]
    assert told[: len(wanted)] == wanted
    assert (use_2 in told) is goes_on
