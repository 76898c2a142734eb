"""The Responses API: numbered events, items in their order, the whole answer in the last event."""

from itertools import groupby

from proxy.upstream.fake.manner import Failure
from proxy.upstream.fake.scenario import Answer
from tests.upstream.fake.speaking import MANNERS, Wish, reply, streamed, whole

RESPONSES = MANNERS["responses"]
CALLING = Wish(text="weather and time", tools=("get_weather", "get_time"), model="reason")


def names(wish: Wish) -> list[str]:
    found = [event["@"].removeprefix("response.") for event in streamed("responses", wish)]
    return [name for name, _ in groupby(found)]


def test_the_order_of_events() -> None:
    thought = [
        "output_item.added", "reasoning_summary_part.added", "reasoning_summary_text.delta",
        "reasoning_summary_text.done", "reasoning_summary_part.done", "output_item.done",
    ]  # fmt: skip
    text = [
        "output_item.added", "content_part.added", "output_text.delta", "output_text.done",
        "content_part.done", "output_item.done",
    ]  # fmt: skip
    call = [
        "output_item.added", "function_call_arguments.delta", "function_call_arguments.done",
        "output_item.done",
    ]  # fmt: skip
    start = ["created", "in_progress"]
    assert names(Wish(model="reason")) == [*start, *thought, *text, "completed"]
    assert names(CALLING) == [*start, *thought, *call, *call, "completed"]
    assert names(Wish(limit=16))[-1] == "incomplete"
    assert names(Wish(model="reason", more={"reasoning": {}})) == [
        *start, "output_item.added", "output_item.done", *text, "completed"
    ]  # fmt: skip


def test_events_are_numbered() -> None:
    numbers = [event["sequence_number"] for event in streamed("responses", CALLING)]
    assert numbers == list(range(len(numbers)))


def test_the_last_event_has_what_a_whole_answer_has() -> None:
    for wish in (Wish(), CALLING, Wish(limit=16)):
        last = streamed("responses", wish)[-1]["response"]
        body = whole("responses", wish)
        assert body.pop("billing") == {"payer": "developer"}
        assert last == body


def test_an_error_is_followed_by_the_answer_that_failed() -> None:
    error, failed = RESPONSES.error_events()
    assert (error.name, failed.name) == ("error", "response.failed")
    assert failed.data
    assert failed.data["response"]["error"]["code"] == "server_error"


def test_an_unknown_model_is_a_bad_request() -> None:
    refused = RESPONSES.refusal(Failure("unknown-model", model="m"))
    assert refused.status == 400
    assert refused.body["error"]["param"] == "model"
    assert RESPONSES.refusal(Failure("bad-key")).status == 401


def test_padding_hides_the_length() -> None:
    events = streamed("responses", Wish(), Answer(tokens=4))
    deltas = [e for e in events if e["@"] == "response.output_text.delta"]
    assert {len(e["delta"] + e["obfuscation"]) for e in deltas} == {16}


def test_models() -> None:
    assert RESPONSES.models(["a"], 0)["data"][0]["id"] == "a"
    assert RESPONSES.emptied(RESPONSES.whole(reply("responses", Wish())))["output"] == []
