"""Events are numbered, and one item grows at a time."""

from proxy.dialects.responses.telling import Teller
from tests.order import DONE_MARK, Json, events_of


def told(teller: Teller) -> list[Json]:
    return events_of(teller.sent() + DONE_MARK)


def message(teller: Teller) -> Json:
    return {"id": teller.id("msg"), "type": "message", "content": []}


def test_ids_are_those_of_the_answer_and_the_place() -> None:
    teller = Teller("gen-1700000000-abc")
    assert teller.id("msg") == "msg_tmp_abc0"
    teller.add(message(teller))
    assert teller.id("fc") == "fc_tmp_abc1"


def test_numbers_have_no_gap() -> None:
    teller = Teller("gen-1-a")
    for _ in range(3):
        teller.tell("response.debug", debug={})
    assert [event["sequence_number"] for event in told(teller)] == [0, 1, 2]
    assert teller.sent() == b""


def test_names_where_the_provider_gives_them() -> None:
    teller = Teller("gen-1-a")
    teller.named = True
    teller.tell("response.debug")
    assert teller.sent().startswith(b"event: response.debug\ndata: {")


def test_one_item_grows_until_another_does() -> None:
    teller = Teller("gen-1-a")
    teller.close()
    teller.enter("a", lambda: message(teller))
    teller.enter("a", lambda: message(teller))
    assert teller.growing is teller.record.items[0]
    assert [teller.enter_text("text", 0) for _ in range(2)] == [True, False]
    teller.grow("text", "x")
    assert teller.enter_text("refusal", 1)
    teller.enter("b", lambda: message(teller))
    teller.close("incomplete")
    first, second = teller.record.output("completed")
    assert [part["type"] for part in first["content"]] == ["output_text", "refusal"]
    assert (first["status"], second["status"]) == ("completed", "incomplete")


def test_whole_items_end_what_grows() -> None:
    teller = Teller("gen-1-a")
    teller.enter("a", lambda: message(teller))
    teller.add_whole({"id": "x", "type": "web_search_call"})
    teller.add_picture({"id": "y", "type": "image_generation_call", "result": "AA"})
    assert teller.growing is None
    assert [item["status"] for item in teller.record.output("completed")] == ["completed"] * 3
    assert teller.record.items[2].said["result"] == "AA"
