"""Details of reasoning read back into the parts that they came from."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.gemini.replay import FORMAT, Replay, signed

Json = dict[str, Any]


def replay(*details: object) -> Replay:
    return Replay({"reasoning_details": list(details)})


def own(type_: str, **more: Any) -> Json:
    return {"type": type_, "format": FORMAT, "index": 0} | more


def server(name: str, result: Any = "", **more: Any) -> Json:
    told = {"tool_name": name, "arguments": '{"a":1}', "result": result, "tool_call_id": "q1"}
    return own("reasoning.server_tool_call", **(told | more))


def test_a_message_without_details() -> None:
    for said in (Replay({}), Replay({"reasoning_details": "x"}), replay(3, {"type": "odd"})):
        assert (said.server, said.thoughts, said.calls, said.places) == ([], [], {}, {})


def test_only_signed_thoughts_return() -> None:
    said = replay(
        own("reasoning.text", text="a"),
        own("reasoning.text", text="b", signature="c2ln"),
        own("reasoning.text", signature="bm8="),
        own("reasoning.text", text="c", signature="x") | {"format": "anthropic-claude-v1"},
    )
    assert said.thoughts == [
        {"text": "b", "thought": True, "thoughtSignature": "c2ln"},
        {"text": "", "thought": True, "thoughtSignature": "bm8="},
    ]


def test_signatures_by_id_and_by_place() -> None:
    said = replay(
        own("reasoning.encrypted", data="a", id="call_1"),
        own("reasoning.encrypted", data="b", index=2),
        own("reasoning.encrypted", data="c", index=None),
        own("reasoning.encrypted", data=""),
        own("reasoning.encrypted"),
    )
    assert said.calls == {"call_1": "a"}
    assert said.places == {2: "b", 0: "c"}


CODE: list[tuple[Json, list[Json]]] = [
    (
        server("code_execution", '{"outcome":"OUTCOME_OK"}'),
        [
            {"executableCode": {"id": "q1", "a": 1}},
            {"codeExecutionResult": {"id": "q1", "outcome": "OUTCOME_OK"}},
        ],
    ),
    (server("code_execution", tool_call_id="tool_x"), [{"executableCode": {"a": 1}}]),
    (
        server("GOOGLE_SEARCH_WEB", "{}"),
        [
            {"toolCall": {"id": "q1", "toolType": "GOOGLE_SEARCH_WEB", "args": {"a": 1}}},
            {"toolResponse": {"id": "q1", "toolType": "GOOGLE_SEARCH_WEB"}},
        ],
    ),
    (
        server("URL_CONTEXT", '{"b":2}', arguments="{}"),
        [
            {"toolCall": {"id": "q1", "toolType": "URL_CONTEXT"}},
            {"toolResponse": {"id": "q1", "toolType": "URL_CONTEXT", "response": {"b": 2}}},
        ],
    ),
    (
        server("FILE_SEARCH", "broken", arguments="[]"),
        [{"toolCall": {"id": "q1", "toolType": "FILE_SEARCH"}}],
    ),
]


@pytest.mark.parametrize(("detail", "parts"), CODE)
def test_what_google_ran_itself(detail: Json, parts: list[Json]) -> None:
    assert replay(detail).server == parts


def test_their_signatures() -> None:
    detail = server("FILE_SEARCH", "{}")
    call, result = replay(
        detail,
        own("reasoning.encrypted", data="a", id="q1", index=0),
        own("reasoning.encrypted", data="b", id="q1", index=1),
    ).server
    assert (call["thoughtSignature"], result["thoughtSignature"]) == ("a", "b")
    (only,) = replay(
        server("FILE_SEARCH"), own("reasoning.encrypted", data="b", id="q1", index=1)
    ).server
    assert only["thoughtSignature"] == "b"


ODD: st.SearchStrategy[Any] = (
    st.none() | st.integers(-3, 9) | st.sampled_from(["", "q1", "[]", '{"a":1}', "{"]) | st.just([])
)
DETAIL = st.fixed_dictionaries(
    {"format": st.just(FORMAT)},
    optional={
        "type": st.sampled_from(
            ["reasoning.text", "reasoning.encrypted", "reasoning.server_tool_call"]
        ),
        **dict.fromkeys(
            ("id", "index", "data", "text", "signature", "tool_name", "arguments", "result"), ODD
        ),
        "tool_call_id": ODD,
    },
)


@given(st.lists(DETAIL, max_size=4))
def test_whatever_a_caller_sends_back_can_be_read(details: list[Json]) -> None:
    said = replay(*details)
    parts = [*said.server, *said.thoughts]
    assert all(isinstance(part.get("thoughtSignature", ""), str) for part in parts)
    assert all(isinstance(part["text"], str) for part in said.thoughts)
    assert all(isinstance(sign, str) for sign in (*said.calls.values(), *said.places.values()))
    names = [part["toolCall"].get("toolType") for part in parts if "toolCall" in part]
    assert all(isinstance(name, str) for name in names)


def test_a_part_without_a_signature_stays_as_it_is() -> None:
    assert signed({"text": "a"}, None) == {"text": "a"}
