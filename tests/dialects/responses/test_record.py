"""The record knows what is open, whoever told it, and how that is ended."""

from typing import Any

import pytest

from proxy.dialects.responses.record import STRANDS, Record
from tests.order import CALLS, PARTS, Json


def added(item: Json, place: int = 0) -> Json:
    return {"type": "response.output_item.added", "output_index": place, "item": item}


MESSAGE = {"id": "msg_1", "type": "message", "status": "in_progress", "content": []}
PART = {"type": "output_text", "text": "", "annotations": []}


def of_part(type_: str, **more: Any) -> Json:
    where = {"output_index": 0, "item_id": "msg_1", "content_index": 0}
    return {"type": f"response.{type_}", **where, **more}


OPENED = of_part("content_part.added", part=PART)
GROWN = of_part("output_text.delta", delta="Hi", logprobs=[{"token": "Hi"}])
CITED = of_part("output_text.annotation.added", annotation={"type": "url_citation"})
ENDED = of_part("output_text.done", text="Hi")
CLOSED = of_part("content_part.done", part=PART | {"text": "Hi"})
DONE = {"type": "response.output_item.done", "output_index": 0, "item": MESSAGE | {"x": 1}}
ORDER = [added(MESSAGE), OPENED, GROWN, CITED, ENDED, CLOSED, DONE]
REST = ["output_text.done", "content_part.done", "output_item.done"]


def test_the_table_is_that_of_the_reference() -> None:
    strands = {strand.type: strand for strand in STRANDS.values()}
    for type_, (field, name) in (PARTS | CALLS).items():
        assert (strands[type_].field, strands[type_].ends) == (field, f"{name}.done")
        assert strands[type_].grows == f"{name}.delta"
    assert len(strands) == len(PARTS | CALLS)


@pytest.mark.parametrize(
    ("heard", "left"), [(1, REST[2:]), (2, REST), (3, REST), (5, REST[1:]), (6, REST[2:]), (7, [])]
)
def test_what_is_open_is_ended(heard: int, left: list[str]) -> None:
    record = Record()
    for event in ORDER[:heard]:
        record.hear(event)
    events = list(record.end_item(0, "incomplete"))
    assert [event["type"].removeprefix("response.") for event in events] == left
    for event in events:
        record.hear(event)
    assert list(record.end_item(0, "incomplete")) == []


def test_a_whole_item() -> None:
    record = Record()
    for event in ORDER[:4]:
        record.hear(event)
    part = {"text": "Hi", "annotations": [{"type": "url_citation"}], "logprobs": [{"token": "Hi"}]}
    assert record.output("incomplete") == [
        MESSAGE | {"status": "incomplete", "content": [PART | part]}
    ]
    record.hear(DONE)
    assert record.output("incomplete") == [DONE["item"]], "as it was told"


def test_a_call() -> None:
    record = Record()
    call = {"id": "fc_1", "type": "function_call", "name": "f", "arguments": ""}
    empty = []
    grown = {"type": STRANDS["arguments"].grows, "output_index": 3, "delta": "{}"}
    for event in (added(call, 3), grown):
        record.hear(event)
        empty.append(record.items[3].empty)
    assert empty == [True, False]
    done, _ = record.end_item(3, "completed")
    assert done == {
        "type": "response.function_call_arguments.done",
        "output_index": 3,
        "item_id": "fc_1",
        "name": "f",
        "arguments": "{}",
    }


@pytest.mark.parametrize(
    "odd",
    [
        {"type": "keepalive"},
        {"type": "response.output_text.delta", "output_index": "0", "delta": "x"},
        {"type": "response.output_text.delta", "output_index": 5, "delta": "x"},
        {"type": "response.output_text.delta", "output_index": 0, "delta": "x"},
        of_part("output_text.delta", delta=5),
        of_part("refusal.delta", delta="x"),
        of_part("content_part.added", part={"type": "new"}),
        of_part("content_part.added", part=None),
        of_part("output_text.delta", delta="", logprobs="x"),
    ],
)
def test_what_fits_nothing_is_passed_over(odd: Json) -> None:
    record, plain = Record(), Record()
    for event in ORDER[:3]:
        record.hear(event)
        plain.hear(event)
    record.hear(odd)
    assert record.output("completed") == plain.output("completed")


def test_an_item_without_a_name() -> None:
    record = Record()
    record.hear(added({}))
    record.hear({"type": "response.output_item.added", "output_index": 1, "item": None})
    assert [event["type"] for event in record.end_item(1, "incomplete")] == [
        "response.output_item.done"
    ]
    assert record.items[0].id == ""
