"""Blocks of an answer, streamed and whole: thoughts, citations, pictures, server tools."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.bedrock.blocks import Block, Writing, sealed, unsealed
from proxy.errors import GatewayError
from proxy.wire.events import Attachments, Event, Reasoning, Text

Json = dict[str, Any]

CLAUDE = "anthropic-claude-v1"
OWN = "EtkBCkgIEBABGAIq"  # as Anthropic shows it
SEALED = base64.b64encode(OWN.encode()).decode()  # as Bedrock does
OPAQUE = base64.b64encode(b"\x00\xff").decode()


def streamed(*blocks: list[tuple[str, Any]]) -> list[Event]:
    """The events of blocks out of pieces; a kind with `+` before it is a start."""
    writing, events = Writing(), list[Event]()
    for pieces in blocks:
        block = Block(writing)
        for kind, told in pieces:
            if kind.startswith("+"):
                block.begin(kind[1:], told, events)
            else:
                block.add(kind, told, events)
        block.close(events)
    writing.finish(events)
    return events


def whole(*contents: Json) -> list[Event]:
    writing, events = Writing(), list[Event]()
    for content in contents:
        writing.whole(content, events)
    writing.finish(events)
    return events


def thought(text: str = "", index: int = 0, **more: Any) -> Reasoning:
    said = {"text": text} if text else {}
    return Reasoning(0, text, ({"type": "reasoning.text", **said, **more, "index": index},))


def redacted(data: str, format_: str, index: int = 0) -> Reasoning:
    detail = {"type": "reasoning.encrypted", "data": data, "format": format_, "index": index}
    return Reasoning(0, "", (detail,))


def test_streamed_thoughts() -> None:
    said = [
        ("reasoningContent", {"text": "a"}), ("reasoningContent", {"text": ""}),
        ("reasoningContent", {"text": "b"}), ("reasoningContent", {"signature": "s"}),
        ("reasoningContent", "nonsense"),
    ]  # fmt: skip
    again = [("reasoningContent", {"text": "c"})]
    assert streamed(said, [("text", "t")], again) == [
        thought("a"),
        thought("b"),
        thought(signature="s", format=CLAUDE),
        Text(0, "t"),
        thought("c", 1),
    ]


def test_whole_thoughts() -> None:
    signed = {"reasoningText": {"text": "a", "signature": "s"}}
    plain = {"reasoningText": {"text": "b"}}
    shy = {"reasoningText": {"text": "", "signature": "s"}}
    nothing: Json = {"reasoningText": {}}
    told = [{"reasoningContent": one} for one in (signed, plain, shy, nothing)]
    detail = {"type": "reasoning.text", "text": "", "signature": "s", "format": CLAUDE, "index": 2}
    assert whole(*told) == [
        thought("a", signature="s", format=CLAUDE),
        thought("b", 1, format="unknown"),
        Reasoning(0, "", (detail,)),
    ]


def test_redacted_thoughts_are_called_as_anthropic_does() -> None:
    told = [{"redactedContent": data} for data in (SEALED, OPAQUE, "***")]
    wanted = [redacted(OWN, CLAUDE), redacted(OPAQUE, "unknown", 1), redacted("***", "unknown", 2)]
    assert whole(*({"reasoningContent": one} for one in told)) == wanted
    assert streamed(*([("reasoningContent", one)] for one in told)) == wanted


@given(st.text(st.sampled_from("aB9+/"), min_size=1))
def test_seals_are_undone(data: str) -> None:
    assert unsealed(sealed(data)) == data


WEB = {"location": {"web": {"url": "https://a.b/c", "domain": "a.b"}}}
FACT = {
    "title": "Facts",
    "source": "https://a.b/facts",
    "sourceContent": [{"text": "x"}, {"text": "y"}],
    "location": {"searchResultLocation": {"start": 0}},
}
PAPER = {"title": "paper", "location": {"documentChar": {"documentIndex": 0}}}


def notes(*items: Json) -> Attachments:
    return Attachments(0, "annotations", items)


def url_citation(start: int, end: int, **said: Any) -> Json:
    place = {"start_index": start, "end_index": end}
    cited = {"url": said["url"], "title": said["title"], **place}
    return {"type": "url_citation", "url_citation": cited | said}


def test_citations() -> None:
    web = url_citation(2, 7, url="https://a.b/c", title="a.b")
    fact = url_citation(2, 7, url="https://a.b/facts", title="Facts", content="xy")
    paper = {"type": "file_citation", "file_citation": PAPER | {"start_index": 7, "end_index": 8}}
    bare = {"type": "file_citation", "file_citation": {"start_index": 8, "end_index": 8}}
    wanted = [
        Text(0, "A:"),
        Text(0, "cited"),
        notes(web, fact),
        Text(0, "!"),
        notes(paper),
        notes(bare),
    ]
    assert streamed(
        [("text", "A:")],
        [("citation", WEB), ("text", "cited"), ("citation", FACT)],
        [("text", "!"), ("citation", PAPER)],
        [("citation", "nothing")],
    ) == wanted  # fmt: skip
    assert whole(
        {"text": "A:"},
        {"citationsContent": {"citations": [WEB, FACT], "content": [{"text": "cited"}]}},
        {"citationsContent": {"citations": [PAPER], "content": [{"text": "!"}]}},
        {"citationsContent": {"citations": [{}]}},
        {"citationsContent": None},
    ) == wanted  # fmt: skip


def test_an_address_is_its_own_title() -> None:
    (event,) = whole({"citationsContent": {"citations": [{"source": "http://a.b"}]}})
    assert event == notes(url_citation(0, 0, url="http://a.b", title="http://a.b"))


def picture(data: str, format_: str = "png") -> Attachments:
    url = f"data:image/{format_};base64,{data}"
    return Attachments(0, "images", ({"type": "image_url", "image_url": {"url": url}},))


def test_pictures() -> None:
    def piece(data: str) -> tuple[str, Json]:
        return "image", {"source": {"bytes": data}}

    start = ("+image", {"format": "webp"})
    assert whole({"image": {"format": "webp", "source": {"bytes": "QUI="}}}) == [
        picture("QUI=", "webp")
    ]
    assert streamed([start, piece("QUI="), piece("Qw==")]) == [picture("QUJD", "webp")]
    assert streamed([("+image", {}), piece("QUI=")]) == [picture("QUI=")]
    assert streamed([start], [piece("QUI=")], [start, ("image", None)]) == []
    with pytest.raises(GatewayError) as error:
        streamed([start, piece("QUI="), piece("Q")])
    assert error.value.kind == "provider_malformed"


USE = {"toolUseId": "t1", "name": "nova_grounding", "type": "server_tool_use"}
RESULT = {"toolUseId": "t1", "type": "nova_grounding_result", "status": "success"}


def server_tool(result: str | None) -> Reasoning:
    return Reasoning(
        0,
        "",
        (
            {
                "type": "reasoning.server_tool_call",
                "tool_name": "nova_grounding",
                "arguments": '{"query":"x"}',
                "result": result,
                "format": "unknown",
                "tool_call_id": "t1",
                "index": 0,
            },
        ),
    )


def test_server_tools() -> None:
    use = [("+toolUse", USE), ("toolUse", {"input": '{"query":'}), ("toolUse", {"input": '"x"}'})]
    pieces: list[list[Json]] = [[{"text": "a"}], [{"text": "b"}, {"json": {"c": 1}}, {"text": "d"}]]
    result: list[tuple[str, Any]] = [("+toolResult", RESULT)]
    result += [("toolResult", piece) for piece in pieces]
    told = (
        '{"toolUseId":"t1","type":"nova_grounding_result","status":"success",'
        '"content":[{"text":"ab"},{"json":{"c":1}},{"text":"d"}]}'
    )
    assert streamed(use, result) == [server_tool(told)]
    assert streamed(use) == [server_tool(None)]
    assert streamed(result) == []
    assert streamed([("toolResult", [{"text": "of nothing"}])]) == []
    content = [*pieces[0], *pieces[1]]
    assert whole(
        {"toolUse": USE | {"input": {"query": "x"}}}, {"toolResult": RESULT | {"content": content}}
    ) == [server_tool(told)]  # fmt: skip


def test_what_is_too_deep_is_no_answer() -> None:
    deep: Json = {}
    for _ in range(400):
        deep = {"a": deep}
    with pytest.raises(GatewayError) as error:
        whole({"toolUse": {"toolUseId": "t", "name": "n", "input": deep}})
    assert error.value.kind == "provider_malformed"
