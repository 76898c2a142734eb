"""Gemini: whole calls, usage in every event, thoughts where they are wanted, errors in details."""

from typing import Any

import pytest

from proxy.upstream.fake.ask import Refused
from proxy.upstream.fake.manner import Failure
from proxy.upstream.fake.scenario import Answer
from tests.upstream.fake.speaking import MANNERS, SEAL, Wish, reply, request, streamed, whole

GEMINI, VERTEX = MANNERS["gemini"], MANNERS["vertex-gemini"]
PARALLEL = Wish(text="weather and time", tools=("get_weather", "get_time"), model="reason")


def parts(event: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = event["candidates"][0]["content"]["parts"]
    return found


def test_a_call_is_an_event_of_its_own() -> None:
    *_, first, second, last = streamed("gemini", PARALLEL)
    assert [list(parts(event)[0]) for event in (first, second, last)] == [
        ["functionCall", "thoughtSignature"], ["functionCall"], ["text"]
    ]  # fmt: skip
    assert parts(first)[0]["functionCall"]["id"]
    assert last["candidates"][0]["finishReason"] == "STOP"


def test_on_vertex_all_calls_are_in_the_last() -> None:
    last = streamed("vertex-gemini", PARALLEL)[-1]
    assert [list(part) for part in parts(last)] == [
        ["functionCall", "thoughtSignature"], ["functionCall"]
    ]  # fmt: skip
    assert list(parts(last)[0]["functionCall"]) == ["name", "args"]


def test_a_stream_is_one_of_events_only_with_alt_sse() -> None:
    asked = request("gemini", Wish(stream=True))
    assert GEMINI.decode(asked, SEAL).stream
    with pytest.raises(Refused, match="only with alt=sse"):
        GEMINI.decode(asked._replace(query=""), SEAL)
    whole_one = request("gemini", Wish())._replace(query="")
    assert not GEMINI.decode(whole_one, SEAL).stream


def test_usage_grows_with_every_event() -> None:
    usages = [event["usageMetadata"] for event in streamed("gemini", Wish(), Answer(tokens=3))]
    assert [usage["candidatesTokenCount"] for usage in usages] == [1, 2, 3, 3]
    vertex = [event["usageMetadata"] for event in streamed("vertex-gemini", Wish())]
    assert {len(usage) for usage in vertex[:-1]} == {1}
    assert vertex[-1]["candidatesTokenCount"] == 32


def test_thoughts_are_told_where_wanted_and_signed_anyway() -> None:
    hidden = Wish(model="reason", more={"generationConfig": {}})
    for form in ([whole("gemini", hidden)], streamed("gemini", hidden)):
        assert not any(part.get("thought") for event in form for part in parts(event))
        signatures = [p["thoughtSignature"] for e in form for p in parts(e) if len(p) > 1]
        said = "".join(part["text"] for event in form for part in parts(event))
        assert SEAL.holds(signatures[0], "text", said)
    assert whole("gemini", hidden)["usageMetadata"]["thoughtsTokenCount"] == 13


def test_errors() -> None:
    bad = GEMINI.refusal(Failure("bad-key"))
    assert (bad.status, bad.body["error"]["details"][0]["reason"]) == (400, "API_KEY_INVALID")
    assert VERTEX.refusal(Failure("bad-key")).body["error"]["status"] == "UNAUTHENTICATED"
    missing = GEMINI.refusal(Failure("unknown-model", model="m")).body["error"]
    assert missing["message"].startswith("models/m is not found")
    assert "details" not in missing
    assert GEMINI.refusal(Failure("status", status=418)).body["error"]["status"] == "UNKNOWN"


def test_the_same_usage_again_has_no_candidates() -> None:
    event = next(iter(GEMINI.events(reply("gemini", Wish()))))
    assert list(GEMINI.recounted(event).data or ()) == [
        "usageMetadata", "modelVersion", "responseId"
    ]  # fmt: skip


def test_models() -> None:
    assert GEMINI.models(["a/b"], 0)["models"][0]["name"] == "models/a/b"
    assert VERTEX.models(["a"], 0)["publisherModels"][0]["name"] == "publishers/google/models/a"


def test_lines_end_with_cr_lf() -> None:
    assert GEMINI.frame("", b"{}") == b"data: {}\r\n\r\n"
