"""The response object has the keys of OpenRouter's recorded ones, and repeats what was asked."""

import json
from typing import Any

import pytest
from openrouter.components import OpenResponsesResult, StreamEvents
from pydantic import TypeAdapter

from proxy.dialects.forms import Bill
from proxy.dialects.responses.answer import begun, ended, status_of, with_bill
from proxy.dialects.responses.asked import decode_request
from proxy.dialects.responses.events import decode_answer, decoder
from proxy.dialects.responses.stream import Encoder
from proxy.providers import Quirks
from proxy.wire.events import Finished, Started, Text, ToolCall, Usage
from proxy.wire.request import Ask
from tests.order import BILL, HEAD, USAGE, Json, events_of, listen
from tests.recordings import Recording, index, load

EVENT: TypeAdapter[Any] = TypeAdapter(StreamEvents)


def asked(**fields: Any) -> Ask:
    return decode_request(json.dumps({"model": "a/b", "input": "hi"} | fields).encode())


def test_what_was_asked_is_repeated() -> None:
    fields = {
        "instructions": "Be brief.", "temperature": 0, "top_p": 0.5, "max_output_tokens": 9,
        "metadata": {"a": "b"}, "tool_choice": "none", "parallel_tool_calls": False, "user": "u",
        "reasoning": {"effort": "low"}, "truncation": "auto", "safety_identifier": "s",
        "prompt_cache_key": "k", "frequency_penalty": 1, "presence_penalty": 1, "top_logprobs": 1,
    }  # fmt: skip
    response = begun(HEAD, asked(**fields, text={"verbosity": "low", "format": None}))
    assert response.items() >= fields.items()
    assert response["text"] == {"format": {"type": "text"}, "verbosity": "low"}


def test_tools_say_whether_they_are_strict() -> None:
    tools = [
        {"type": "function", "name": "f", "parameters": {}},
        {"type": "function", "name": "g", "parameters": {}, "strict": True},
        {"type": "custom", "name": "h"},
    ]
    told = begun(HEAD, asked(tools=tools))["tools"]
    assert [tool.get("strict", "none") for tool in told] == [None, True, "none"]


@pytest.mark.parametrize("reason", ["stop", "length", "content_filter", "error"])
def test_the_end(reason: str) -> None:
    response = ended(begun(HEAD, asked()), reason, [], BILL)
    assert response["status"] == status_of(reason)
    assert response["usage"] == USAGE
    assert response["completed_at"] == (HEAD.created if reason == "stop" else None)


def test_a_providers_own_counts_stay() -> None:
    told = with_bill({"usage": {"input_tokens": 1, "input_tokens_details": {}, "cost": 9}}, BILL)
    assert told["usage"] == USAGE | {"input_tokens": 1, "input_tokens_details": {}}
    assert with_bill({}, Bill(Usage(), None, {"attempt": 1}))["openrouter_metadata"]


# OpenRouter's own answers, told again by us.


def recorded(kind: str) -> list[Recording]:
    rows = [row for row in index() if (row["provider"], row["api"]) == ("openrouter", "responses")]
    return [load(row) for row in rows if row["kind"] == kind]


def again(recording: Recording) -> list[Json]:
    """The same answer by our encoder, to the same request."""
    ask = decode_request(json.dumps(recording.request["body"]).encode())
    encoder = Encoder(HEAD, ask)
    events = list(decoder(Quirks()).feed(recording.body))
    data = b"".join(map(encoder.encode, events)) + encoder.encode_end(BILL)
    listen(data)
    return events_of(data)


def shape(value: Any) -> Any:
    """Keys and types, in their order."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    return [shape(one) for one in value[:1]] if isinstance(value, list) else None


def test_recorded_streams_have_our_shape() -> None:
    """But for one count that OpenAI's newest types demand, and what only the provider knows."""
    newest = [one for one in recorded("sse") if b"prompt_cache_options" in one.body]
    assert len(newest) == 4
    for recording in newest:
        theirs = events_of(recording.body)
        ours = again(recording)
        assert [event["type"] for event in ours] == [event["type"] for event in theirs]
        for own, other in zip(ours, theirs, strict=True):
            if "response" in own:
                usage = own["response"]["usage"] or {}
                usage.get("input_tokens_details", {}).pop("cache_write_tokens", None)
                tier = {"service_tier": "", "reasoning": None}
                asked = [{**one["response"], **tier} for one in (own, other)]
                assert list(asked[0]) == list(asked[1])
                assert shape(asked[0]) == shape(asked[1])
                same = set(asked[0]) - {"id", "created_at", "completed_at", "output", "usage"}
                same -= {"model"}
                assert {key: asked[0][key] for key in same} == {key: asked[1][key] for key in same}
            else:
                assert list(own) == list(other), own["type"]
                assert shape(own) == shape(other)


def test_recorded_events_of_2025_have_our_names() -> None:
    """Reasoning was still told as open to the end then."""
    (recording,) = [one for one in recorded("sse") if b"gpt-oss" in one.body]
    theirs, ours = events_of(recording.body), again(recording)
    assert sorted(event["type"] for event in ours) == sorted(event["type"] for event in theirs)
    keys = {event["type"]: event.keys() for event in theirs}
    assert all(event.keys() ^ keys[event["type"]] <= {"logprobs"} for event in ours)


def test_recorded_whole_answers_have_our_keys() -> None:
    for recording in recorded("json"):
        events = decode_answer(recording.body, Quirks())
        ask = decode_request(json.dumps(recording.request["body"]).encode())
        encoder = Encoder(HEAD, ask)
        for event in events:
            encoder.encode(event)
        ours, theirs = encoder.whole(BILL), json.loads(recording.body)
        assert theirs.keys() - ours.keys() <= {"user"}
        kinds = [[item["type"] for item in one["output"]] for one in (ours, theirs)]
        assert kinds[0] == kinds[1]
        formats = [item.get("format") for item in ours["output"] if item["type"] == "reasoning"]
        assert all(formats)


def test_openrouters_own_types_take_it() -> None:
    """Those of its SDK, which are strict."""
    encoder = Encoder(HEAD, asked(tools=[{"type": "function", "name": "f", "parameters": {}}]))
    events = (Started(), Text(0, "a"), ToolCall(0, 0, "c", "f", "{}"), Finished(0, "stop", None))
    data = b"".join(map(encoder.encode, events)) + encoder.encode_end(BILL)
    for event in events_of(data):
        assert EVENT.validate_python(event) is not None
    OpenResponsesResult.model_validate(listen(data))
