"""Counts are what an answer to the same request would say it read."""

from tests.upstream.fake.tasking import CONVERSE, HI, REQUESTS, invoked, post, whole


def test_counts() -> None:
    assert whole(REQUESTS["anthropic-count"]) == {"input_tokens": 2}
    assert whole(REQUESTS["vertex-anthropic-count"]) == {"input_tokens": 2}
    assert whole(REQUESTS["bedrock-count"]) == {"inputTokens": 2}


def test_they_are_those_of_the_answer() -> None:
    body = {"model": "m", "messages": [HI], "system": "be very brief"}
    said = whole(post("/v1/messages", body | {"max_tokens": 9}, anthropic_version="x"))
    counted = whole(post("/v1/messages/count_tokens", body, anthropic_version="x"))
    assert counted["input_tokens"] == said["usage"]["input_tokens"] == 5
    converse = whole(post("/model/m/converse", CONVERSE))
    inside = {"anthropic_version": "x", "messages": [HI]}
    counted = whole(post("/model/m/count-tokens", invoked(inside)))
    assert counted["inputTokens"] == converse["usage"]["inputTokens"] == 2
