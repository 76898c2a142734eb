"""Work of a provider's own tools, images and citations, in OpenRouter's form and back."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.responses.items import OPENAI, citation, images_of, server_call, server_item
from proxy.errors import GatewayError

Json = dict[str, Any]

WORK: list[tuple[Json, str, str, str]] = [
    (
        {"type": "web_search_call", "id": "ws", "action": {"type": "search", "query": "q"}},
        "web_search",
        '{"action":{"type":"search","query":"q"}}',
        "{}",
    ),
    (
        {"type": "file_search_call", "id": "fs", "queries": ["q"], "results": [{"score": 1}]},
        "file_search",
        '{"queries":["q"]}',
        '{"results":[{"score":1}]}',
    ),
    (
        {
            "type": "code_interpreter_call",
            "id": "ci",
            "code": "1",
            "container_id": "c",
            "outputs": [{"type": "logs", "logs": "1"}],
        },
        "code_interpreter",
        '{"code":"1","container_id":"c"}',
        '{"outputs":[{"type":"logs","logs":"1"}]}',
    ),
    (
        {"type": "mcp_call", "id": "m", "name": "n", "output": "o", "error": None},
        "mcp",
        '{"name":"n"}',
        '{"output":"o","error":null}',
    ),
    (
        {"type": "shell_call_output", "id": "s", "call_id": "c", "output": []},
        "shell_call_output",
        '{"call_id":"c"}',
        '{"output":[]}',
    ),
]


@pytest.mark.parametrize(("item", "name", "arguments", "result"), WORK)
def test_work_is_told_and_goes_back(item: Json, name: str, arguments: str, result: str) -> None:
    told = server_call({**item, "status": "completed"}, OPENAI, 3)
    assert told == {
        "type": "reasoning.server_tool_call",
        "tool_name": name,
        "arguments": arguments,
        "result": result,
        "tool_call_id": item["id"],
        "format": OPENAI,
        "index": 3,
    }
    assert server_item(told, []) == {**item, "status": "completed"}


@pytest.mark.parametrize("type_", ["mcp_list_tools", "program", "compaction"])
def test_what_has_no_status_gets_none(type_: str) -> None:
    item = {"type": type_, "id": "x", "server_label": "s", "tools": []}
    assert server_item(server_call(item, OPENAI, 0), []) == item


def test_work_without_an_id_gets_none() -> None:
    item = server_item(server_call({"type": "program", "code": "1"}, OPENAI, 0), [])
    assert item == {"type": "program", "code": "1"}


@pytest.mark.parametrize("arguments", ["no JSON", "7", None, {"action": {}}])
def test_arguments_that_are_none_are_left_out(arguments: Any) -> None:
    item = server_item({"tool_name": "web_search", "arguments": arguments}, [])
    extra = arguments if isinstance(arguments, dict) else {}
    assert item == {"type": "web_search_call", "status": "completed", **extra}


def test_work_of_an_unknown_kind_stays_here() -> None:
    assert server_item({"tool_name": "computer", "arguments": "{}"}, []) is None
    assert server_item({}, []) is None
    assert server_item({"tool_name": []}, []) is None


def test_images_are_taken_out_and_put_back_in_order() -> None:
    drawn = {"type": "image_generation_call", "id": "ig", "status": "completed", "result": "AA=="}
    assert images_of(drawn) == (
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
    )
    told = server_call({**drawn, "revised_prompt": "p"}, OPENAI, 0)
    assert "AA==" not in told["result"]
    images = ["AA==", "BB=="]
    assert server_item(told, images) == drawn
    assert images == ["BB=="]


def test_an_image_has_the_format_that_was_asked_for() -> None:
    drawn = {"type": "image_generation_call", "result": "AA==", "output_format": "webp"}
    [image] = images_of(drawn)
    assert image["image_url"]["url"] == "data:image/webp;base64,AA=="


def test_what_code_drew_is_an_image_and_what_it_printed_is_none() -> None:
    logs = {"type": "logs", "logs": "1"}
    outputs = [{"type": "image", "url": "data:x"}, logs, {"type": "image", "url": 7}, 7]
    item = {"type": "code_interpreter_call", "id": "ci", "outputs": outputs}
    assert images_of(item) == ({"type": "image_url", "image_url": {"url": "data:x"}},)
    assert '"data:x"' not in server_call(item, OPENAI, 0)["result"]


@pytest.mark.parametrize("item", [{"type": "image_generation_call", "result": None}, {}])
def test_no_images(item: Json) -> None:
    assert images_of(item) == ()


def cited(type_: str, **fields: Any) -> Json:
    return {"type": type_, type_: fields}


CITATIONS: list[tuple[Json, Json | None]] = [
    (
        {"type": "url_citation", "url": "u", "title": "t", "start_index": 1, "end_index": 4},
        cited("url_citation", url="u", title="t", start_index=11, end_index=14),
    ),
    (
        {"type": "url_citation", "url": "u"},  # xAI
        cited("url_citation", url="u", title="u", start_index=0, end_index=0),
    ),
    ({"type": "url_citation", "url": None}, None),
    (
        {"type": "file_citation", "file_id": "f", "filename": "n", "index": 5},
        cited("file_citation", file_id="f", filename="n", start_index=15, end_index=15),
    ),
    (
        {"type": "container_file_citation", "file_id": "f", "start_index": 1, "end_index": 2},
        cited("file_citation", file_id="f", start_index=11, end_index=12),
    ),
    ({"type": "file_citation"}, None),
]


@pytest.mark.parametrize(("told", "made"), CITATIONS)
def test_citations(told: Json, made: Json | None) -> None:
    assert citation(told, 10) == made


def test_what_is_nested_too_deeply_is_no_answer() -> None:
    deep: Any = 1
    for _ in range(500):
        deep = [deep]
    with pytest.raises(GatewayError, match="nested too deeply"):
        server_call({"type": "program", "code": deep}, OPENAI, 0)


def test_a_found_file_goes_back_without_its_store() -> None:
    found = [{"file_id": "f", "vector_store_id": "v"}, 7]
    item = {"type": "file_search_call", "id": "fs", "results": found}
    told = server_call(item, OPENAI, 0)
    assert "vector_store_id" in told["result"]
    made = server_item(told, [])
    assert made is not None
    assert made["results"] == [{"file_id": "f"}, 7]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(fields=st.dictionaries(st.sampled_from(("action", "code", "results", "x")), JSON))
def test_whatever_work_says_comes_back(fields: Json) -> None:
    item = {"type": "web_search_call", "id": "ws", "status": "completed", **fields}
    assert server_item(server_call(item, OPENAI, 0), []) == item
