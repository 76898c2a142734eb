"""Conversations as Converse takes them."""

import base64
import json
from typing import Any

import pytest

from proxy.dialects.bedrock.families import family_of
from proxy.dialects.bedrock.turns import conversation
from proxy.errors import GatewayError
from proxy.providers import Provider
from proxy.wire.slices import at_once
from tests.accepted.bedrock import bedrock_accepts

Json = dict[str, Any]

PROVIDER = Provider(slug="amazon-bedrock", name="Amazon Bedrock", base_url="http://127.0.0.1:1")
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
OLD = "anthropic.claude-3-haiku-20240307-v1:0"
NOVA = "us.amazon.nova-2-lite-v1:0"
LLAMA = "us.meta.llama4-scout-17b-instruct-v1:0"
MARK = {"cache_control": {"type": "ephemeral"}}
HOUR = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
POINT = {"cachePoint": {"type": "default"}}
PDF = {
    "type": "file",
    "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,QQ=="},
}
PNG = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}}
MP4 = {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,QQ=="}}
DOCUMENT = {"document": {"format": "pdf", "name": "a", "source": {"bytes": "QQ=="}}}
IMAGE = {"image": {"format": "png", "source": {"bytes": "QQ=="}}}
VIDEO = {"video": {"format": "mp4", "source": {"bytes": "QQ=="}}}


def user(*content: Any, **more: Any) -> Json:
    plain = len(content) == 1 and not isinstance(content[0], dict)
    return {"role": "user", "content": content[0] if plain else list(content), **more}


def text(said: str, **more: Any) -> Json:
    return {"type": "text", "text": said, **more}


def call(id_: str, arguments: str = "{}", name: str = "look") -> Json:
    function = {"name": name, "arguments": arguments}
    return {"id": id_, "type": "function", "function": function}


def calling(*calls: Json, **more: Any) -> Json:
    return {"role": "assistant", "content": None, "tool_calls": list(calls), **more}


def result(id_: str, content: Any, **more: Any) -> Json:
    return {"role": "tool", "tool_call_id": id_, "content": content, **more}


def use(id_: str, given: Json | None = None, name: str = "look") -> Json:
    return {"toolUse": {"toolUseId": id_, "name": name, "input": given or {}}}


def given(id_: str, *content: Json) -> Json:
    return {"toolResult": {"toolUseId": id_, "content": list(content)}}


def talk(*messages: Json, model: str = CLAUDE) -> tuple[list[Json], list[list[Json]]]:
    """The blocks of `system` and those of each turn, if Bedrock accepts them."""
    system, turns = at_once(conversation({"messages": list(messages)}, PROVIDER, family_of(model)))
    body: Json = {"messages": turns}
    if system:
        body["system"] = system
    if any("toolUse" in block for turn in turns for block in turn["content"]):
        schema = {"json": {"type": "object"}}
        body["toolConfig"] = {"tools": [{"toolSpec": {"name": "look", "inputSchema": schema}}]}
    bedrock_accepts(json.loads(json.dumps(body)))
    return system, [turn["content"] for turn in turns]


HI = user("hi")
LEGACY = {
    "role": "assistant", "content": "", "function_call": {"name": "look", "arguments": "{"}
}  # fmt: skip
TABLE: list[tuple[str, list[Json], list[list[Json]]]] = [
    ("neighbours are one turn", [HI, user("there")], [[{"text": "hi"}, {"text": "there"}]]),
    ("names", [user("hi", name="Ann")], [[{"text": "Ann: hi"}]]),
    ("a name of nothing", [user(PNG, name="Ann")], [[IMAGE]]),
    ("blank text alone", [HI, {"role": "assistant", "content": " "}, user("")], [[{"text": "hi"}]]),
    (
        "blank text amid",
        [user(text("a"), text("\n"), text("b"))],
        [[{"text": "a\n"}, {"text": "b"}]],
    ),
    ("nothing to say", [user(" ")], [[{"text": "."}]]),
    ("a part that says nothing", [user({"type": "text"}, text("a"))], [[{"text": "a"}]]),
    ("attachments", [user(text("see"), PNG, PDF)], [[{"text": "see"}, IMAGE, DOCUMENT]]),
    ("a document alone", [user([PDF])], [[DOCUMENT, {"text": "."}]]),
    (
        "the assistant first",
        [{"role": "assistant", "content": "hello"}, HI],
        [[{"text": "."}], [{"text": "hello"}], [{"text": "hi"}]],
    ),
    (
        "a beginning to go on with",
        [HI, {"role": "assistant", "content": [text("Once \n", **MARK)]}],
        [[{"text": "hi"}], [{"text": "Once"}, POINT]],
    ),
    (
        "a refusal",
        [HI, {"role": "assistant", "content": None, "refusal": "no"}, HI],
        [[{"text": "hi"}], [{"text": "no"}], [{"text": "hi"}]],
    ),
    (
        "a refusal as a part",
        [HI, {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}, HI],
        [[{"text": "hi"}], [{"text": "no"}], [{"text": "hi"}]],
    ),
    (
        "parallel calls, results in another order",
        [HI, calling(call("a", '{"x":1}'), call("b")), result("b", "B"), result("a", "A"), HI],
        [
            [{"text": "hi"}],
            [use("a", {"x": 1}), use("b")],
            [given("b", {"text": "B"}), given("a", {"text": "A"}), {"text": "hi"}],
        ],
    ),
    (
        "a result after what the user said",
        [HI, calling(call("a")), user("well?"), result("a", "A")],
        [[{"text": "hi"}], [use("a")], [given("a", {"text": "A"}), {"text": "well?"}]],
    ),
    (
        "a call without a result",
        [HI, calling(call("a"), call("b")), result("a", ""), user("well?")],
        [
            [{"text": "hi"}],
            [use("a"), use("b")],
            [given("a", {"text": "(no output)"}), given("b", {"text": "(no output)"}),
             {"text": "well?"}],
        ],
    ),
    (
        "a call at the end",
        [HI, calling(call("a"))],
        [[{"text": "hi"}], [use("a")], [given("a", {"text": "(no output)"})]],
    ),
    ("a result without a call", [HI, result("x", "X")], [[{"text": "hi"}, {"text": "X"}]]),
    (
        "a second result",
        [HI, calling(call("a")), result("a", "A"), result("a", "B")],
        [[{"text": "hi"}], [use("a")], [given("a", {"text": "A"}), {"text": "B"}]],
    ),
    (
        "ids that come again, and strange ones",
        [HI, calling(call("c")), result("c", "1"), calling(call("c"), call("d d")),
         result("c", "2"), result("d d", "3"), HI],
        [
            [{"text": "hi"}], [use("c")], [given("c", {"text": "1"})], [use("c_2"), use("d_d")],
            [given("c_2", {"text": "2"}), given("d_d", {"text": "3"}), {"text": "hi"}],
        ],
    ),
    (
        "an id twice in one turn",
        [HI, calling(call("c"), call("c")), result("c", "1"), result("c", "2")],
        [
            [{"text": "hi"}], [use("c"), use("c_2")],
            [given("c", {"text": "1"}), given("c_2", {"text": "2"})],
        ],
    ),
    (
        "a long id and a strange name",
        [HI, calling(call("x" * 70, name="a.b")), result("x" * 70, "1", name="a.b")],
        [[{"text": "hi"}], [use("x" * 64, name="a_b")], [given("x" * 64, {"text": "1"})]],
    ),
    (
        "the older way to call",
        [HI, LEGACY, {"role": "function", "name": "look", "content": "A"}],
        [[{"text": "hi"}], [use("look")], [given("look", {"text": "A"})]],
    ),
    (
        "a tool that takes free text",
        [HI, calling({"id": "a", "type": "custom", "custom": {"name": "look", "input": "in"}}),
         result("a", "A")],
        [[{"text": "hi"}], [use("a", {"input": "in"})], [given("a", {"text": "A"})]],
    ),
    (
        "pictures, documents and films that a tool gave",
        [HI, calling(call("a")), result("a", [text("see"), PNG, PDF, MP4]), HI],
        [
            [{"text": "hi"}], [use("a")],
            [given("a", {"text": "see"}, IMAGE, DOCUMENT), VIDEO, {"text": "hi"}],
        ],
    ),
    (
        "a film alone that a tool gave",
        [HI, calling(call("a")), result("a", [MP4])],
        [[{"text": "hi"}], [use("a")], [given("a", {"text": "(no output)"}), VIDEO]],
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("messages", "turns"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE]
)
def test_turns(messages: list[Json], turns: list[list[Json]]) -> None:
    assert talk(*messages) == ([], turns)


def test_instructions_are_apart() -> None:
    system = {"role": "system", "content": [text("be"), text("brief", **MARK)]}
    later = {"role": "developer", "content": "and kind", "name": "boss"}
    assert talk(system, HI, later) == (
        [{"text": "be"}, {"text": "brief"}, POINT, {"text": "boss: and kind"}],
        [[{"text": "hi"}]],
    )
    assert talk(system) == ([], [[{"text": "be"}, {"text": "brief"}, POINT]])


LASTING = {"cachePoint": {"type": "default", "ttl": "1h"}}
MARKED: list[tuple[str, Json, list[Json]]] = [
    (CLAUDE, user(text("a", **MARK), text("b")), [{"text": "a"}, POINT, {"text": "b"}]),
    (CLAUDE, user(text("a", **HOUR)), [{"text": "a"}, LASTING]),
    (CLAUDE, user(text("a", prompt_cache_breakpoint={})), [{"text": "a"}, POINT]),
    (CLAUDE, user("a") | MARK, [{"text": "a"}, POINT]),
    (CLAUDE, user(text("a", **MARK), text("", **MARK)), [{"text": "a"}, POINT]),
    (CLAUDE, user(text(" ", **MARK), text("b")), [{"text": "b"}]),
    (CLAUDE, user(text("a"), PNG | MARK), [{"text": "a"}, IMAGE, POINT]),
    (CLAUDE, user(text("a"), PDF | MARK), [{"text": "a"}, DOCUMENT, {"text": "\n"}, POINT]),
    (CLAUDE, user(PDF | MARK, PNG), [DOCUMENT, {"text": "\n"}, POINT, IMAGE, {"text": "."}]),
    (NOVA, user(text("a", **HOUR)), [{"text": "a"}, POINT]),
    (NOVA, user(text("a"), MP4 | MARK), [{"text": "a"}, VIDEO, {"text": "\n"}, POINT]),
    (OLD, user(text("a", **MARK)), [{"text": "a"}]),
    (LLAMA, user(text("a", **MARK)), [{"text": "a"}]),
]


@pytest.mark.parametrize(("model", "message", "blocks"), MARKED)
def test_caching_marks(model: str, message: Json, blocks: list[Json]) -> None:
    assert talk(message, model=model) == ([], [blocks])


def test_marks_of_calls_and_results() -> None:
    messages = [
        HI,
        calling(call("a") | MARK),
        result("a", [text("A", **MARK), text("B", **MARK)]),
        user("so?"),
    ]
    assert talk(*messages)[1][1:] == [
        [use("a"), POINT],
        [given("a", {"text": "A"}, {"text": "B"}), POINT, {"text": "so?"}],
    ]


OWN = "EtkBCkgIEBABGAIq"
SEALED = base64.b64encode(OWN.encode()).decode()
FORMAT = "anthropic-claude-v1"
SIGNED = {"type": "reasoning.text", "text": "hm", "signature": "s", "format": FORMAT, "index": 0}
REDACTED = {"type": "reasoning.encrypted", "data": OWN, "format": FORMAT, "index": 1}
FOREIGN = {"type": "reasoning.encrypted", "data": "x", "format": "openai-responses-v1", "index": 2}
UNSIGNED = {"type": "reasoning.text", "text": "hm", "format": "unknown", "index": 3}
SERVER = {
    "type": "reasoning.server_tool_call",
    "tool_name": "nova_grounding",
    "arguments": '{"query":"x"}',
    "result": '{"toolUseId":"t1","type":"nova_grounding_result","content":[]}',
    "format": "unknown",
    "tool_call_id": "t1",
    "index": 0,
}
SEARCHED = SERVER | {"result": '{"tool_use_id":"t1","content":[]}', "format": FORMAT}
THOUGHTS = [
    {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
    {"reasoningContent": {"redactedContent": SEALED}},
]
SERVED = [
    {"toolUse": {"toolUseId": "t1", "name": "nova_grounding", "input": {"query": "x"},
                 "type": "server_tool_use"}},
    {"toolResult": {"toolUseId": "t1", "type": "nova_grounding_result", "content": []}},
]  # fmt: skip


@pytest.mark.parametrize(
    ("model", "details", "blocks"),
    [
        (CLAUDE, [SIGNED, REDACTED, FOREIGN, UNSIGNED, SERVER, SEARCHED], THOUGHTS),
        (CLAUDE, None, []),
        (OLD, [SIGNED, REDACTED], []),
        (NOVA, [SIGNED, REDACTED, UNSIGNED], []),
        (NOVA, [SERVER], SERVED),
        (NOVA, [SERVER | {"result": None}, SERVER | {"arguments": "{"}], []),
        (NOVA, [SERVER | {"tool_call_id": "t2"}, SERVER | {"result": '{"ids":"\ud800"}'}], []),
    ],
)
def test_thoughts_go_back_where_they_came_from(
    model: str, details: Any, blocks: list[Json]
) -> None:
    answer = {"role": "assistant", "content": "so", "reasoning_details": details}
    assert talk(HI, answer, HI, model=model)[1][1] == [*blocks, {"text": "so"}]


def test_an_answer_of_thoughts_alone() -> None:
    answer = {"role": "assistant", "content": "", "reasoning_details": [SIGNED]}
    assert talk(HI, answer)[1] == [[{"text": "hi"}]]


def test_an_attachment_that_it_has_no_words_for() -> None:
    with pytest.raises(GatewayError) as error:
        talk(user(text("see"), {"type": "file", "file": {"file_id": "file-1"}}))
    assert error.value.kind == "provider_unfit"


def test_a_mark_on_an_answer_stands_behind_its_calls() -> None:
    marked = calling(call("a"), cache_control={"type": "ephemeral"})
    point = {"cachePoint": {"type": "default"}}
    assert talk(HI, marked, result("a", "1"))[1][1] == [use("a"), point]
    assert talk(HI, marked | {"content": "so"}, result("a", "1"))[1][1] == [
        {"text": "so"},
        use("a"),
        point,
    ]


def test_an_answer_may_end_with_what_a_server_tool_gave() -> None:
    answer = {"role": "assistant", "content": "", "reasoning_details": [SERVER]}
    assert "toolResult" in talk(HI, answer, model=NOVA)[1][1][-1]
