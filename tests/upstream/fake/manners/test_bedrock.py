"""Bedrock: binary frames with padding, keys in order, signatures instead of keys."""

from typing import Any

import pytest
from botocore.eventstream import ChecksumMismatch, EventStreamBuffer

from proxy.upstream.fake.ask import Request
from proxy.upstream.fake.manner import Failure
from proxy.upstream.fake.reply import Reply
from proxy.upstream.fake.scenario import Answer
from tests.upstream.fake.speaking import MANNERS, Wish, ask, reply, streamed, whole

BEDROCK = MANNERS["bedrock"]


def read(frame: bytes) -> Any:
    buffer: Any = EventStreamBuffer()
    buffer.add_data(frame)
    return next(buffer)


def test_the_order_of_events() -> None:
    events = streamed("bedrock", Wish(text="weather", tools=("get_weather",)))
    names = list(dict.fromkeys(event["@"] for event in events))
    assert names == [
        "messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop",
        "messageStop", "metadata",
    ]  # fmt: skip
    text = [event["@"] for event in streamed("bedrock", Wish(), Answer(tokens=1))]
    assert "contentBlockStart" not in text


def test_every_event_is_padded_and_in_order() -> None:
    for event in streamed("bedrock", Wish(model="reason")):
        keys = [key for key in event if key != "@"]
        assert keys == sorted(keys)
        assert (
            event["p"]
            == "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234567"[: len(event["p"])]
        )
    body = whole("bedrock", Wish())
    assert BEDROCK.encode(body) == BEDROCK.encode(dict(reversed(body.items())))


def test_errors_in_a_stream() -> None:
    (known,) = BEDROCK.error_events()
    message = read(BEDROCK.frame(known.name, BEDROCK.payload(known)))
    assert message.headers[":message-type"] == "exception"
    assert message.headers[":exception-type"] == "modelStreamErrorException"
    (unknown,) = BEDROCK.error_named()
    message = read(BEDROCK.frame(unknown.name, BEDROCK.payload(unknown)))
    assert message.headers[":message-type"] == "error"
    assert message.headers[":error-code"] == "InternalFailure"
    with pytest.raises(ChecksumMismatch):
        read(BEDROCK.broken("messageStop", b"{}"))


def test_the_kind_of_an_error_is_a_header() -> None:
    refused = BEDROCK.refusal(Failure("status", status=502))
    ((name, value),) = refused.headers
    assert (name, value.partition(b":")[0]) == (b"x-amzn-errortype", b"InternalServerException")
    assert list(refused.body) == ["message"]


def test_the_cache_is_counted_only_where_it_is_used() -> None:
    assert "cacheReadInputTokens" not in whole("bedrock", Wish())["usage"]
    marked = Wish(text="a b c d", more={"system": [{"text": "e f"}, {"cachePoint": {}}]})
    made = Reply(ask("bedrock", marked), Answer(tokens=1), reply("bedrock", Wish()).rng, 0,
                 cached=(0, 2))  # fmt: skip
    usage = BEDROCK.whole(made)["usage"]
    assert (usage["inputTokens"], usage["cacheWriteInputTokens"]) == (4, 2)
    assert (usage["cacheReadInputTokenCount"], usage["totalTokens"]) == (0, 7)
    assert list(usage) == sorted(usage)


def test_a_signature_is_a_credential() -> None:
    sent = {"authorization": "AWS4-HMAC-SHA256 nonsense"}
    request = Request("POST", "/model/m/converse", sent, b"")
    assert BEDROCK.credential(request, None) == (sent["authorization"], False)
    assert BEDROCK.credential(request, "ACCESS:SECRET")[1] is False


def test_models() -> None:
    (row,) = BEDROCK.models(["a"], 0)["modelSummaries"]
    assert row["modelId"] == "a"
    assert row["responseStreamingSupported"] is True
