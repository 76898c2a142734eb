"""Where nobody can answer, callers of every format are told what they can do (contract, 2.4)."""

from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from proxy.dialects import INBOUND
from proxy.routing.availability import DOCS
from tests.stage import (
    HEAD,
    JSON_HEAD,
    Client,
    Headed,
    Providers,
    Script,
    Stage,
    asked,
    chunk,
    endpoint,
    model,
    play,
    tell,
)

Json = dict[str, Any]
FAILING: Script = [(0.1, Headed(500, {})), (0.2, b"oh"), (0.3, None)]
LIMITED: Script = [(0.1, Headed(429, {"Retry-After": "7"})), (0.2, b"{}"), (0.3, None)]
LACKING: Script = [(0.1, Headed(404, {})), (0.2, b"{}"), (0.3, None)]
SAID = [{"role": "user", "content": "hello"}]


def refused(*scripts: Script, body: bytes = b"", **more: Any) -> Json:
    """The error object that a caller of chats is told."""
    client, _ = tell(*scripts, body=body or asked(stream=False), **more)
    told: Json = orjson.loads(client.body)["error"]
    assert client.status == told["code"]
    return told


@pytest.mark.parametrize(
    ("script", "status", "code", "retryable", "retry_after"),
    [
        (FAILING, 502, "temporarily_unavailable", True, None),
        (LIMITED, 429, "capacity_exhausted", True, 7),
        (LACKING, 404, "model_unavailable_upstream", False, None),
    ],
)
def test_a_provider_that_fails_is_told_with_what_to_do(
    script: Script, status: int, code: str, retryable: bool, retry_after: int | None
) -> None:
    told = refused(script)
    assert told["code"] == status
    said = told["availability"]
    assert (said["code"], said["retryable"]) == (code, retryable)
    assert said.get("retry_after") == retry_after
    assert said["affected_providers"] == ["p0"]
    assert (said["requested_models"], said["docs_url"]) == (["test/one"], DOCS)


def test_who_was_asked_before_the_last_is_affected_too() -> None:
    two = [model("test/one", endpoint(), endpoint("p1"))]
    told = refused(FAILING, FAILING, models=two)
    assert told["availability"]["affected_providers"] == ["p0", "p1"]


def test_what_is_the_callers_own_fault_has_no_availability() -> None:
    assert "availability" not in refused(body=b"{}")
    rejected: Script = [(0.1, Headed(400, {})), (0.2, b"{}"), (0.3, None)]
    assert "availability" not in refused(rejected)


def test_a_wish_that_leaves_nobody_is_told_before_anybody_is_asked() -> None:
    told = refused(body=asked(stream=False, provider={"only": ["azure"]}))
    assert (told["code"], told["metadata"]) == (404, {"error_type": "not_found"})
    assert told["message"] == (
        "No allowed providers are available for the selected model. Providers serving test/one: "
        "p0, but your request's provider.only preference permits only: azure."
    )
    assert told["availability"] == {
        "code": "constraint_filtered",
        "retryable": False,
        "requested_models": ["test/one"],
        "docs_url": DOCS,
        "affected_providers": ["p0"],
        "excluded_by": ["allowed_providers"],
        "constraint": {"field": "provider.only", "detail": "p0 is not among provider.only"},
    }


def test_a_prompt_that_no_endpoint_holds_is_refused_before_anybody_is_asked() -> None:
    small = model("test/one", replace(endpoint(), context_length=8))
    long = [{"role": "user", "content": "word " * 200}]
    told = refused(body=asked(stream=False, messages=long), models=[small])
    assert (told["code"], told["metadata"]["error_type"]) == (400, "context_length_exceeded")
    assert told["message"].startswith("This endpoint's maximum context length is 8 tokens. ")
    assert told["availability"]["excluded_by"] == ["context_length"]


def test_an_answer_that_breaks_off_says_so_in_its_last_event() -> None:
    body = asked(stream=True)
    cut: Script = [(0.1, HEAD), (0.2, chunk("hello ")), (0.3, None)]
    client, _ = tell(cut, body=body)
    (told,) = [event["error"] for event in client.events if "error" in event]
    assert told["availability"]["code"] == "temporarily_unavailable"
    assert told["availability"]["affected_providers"] == ["p0"]


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("chat", {"messages": SAID}),
        ("messages", {"messages": SAID, "max_tokens": 9}),
        ("responses", {"input": "hello"}),
        ("completions", {"prompt": "hello"}),
        ("embeddings", {"input": "hello"}),
    ],
)
def test_an_unknown_model_is_told_in_every_format(name: str, body: Json) -> None:
    async def story() -> Client:
        stage = Stage(Providers(), model("test/one", endpoint()))
        client = Client(orjson.dumps({"model": "no/such"} | body))
        await stage.flow.serve(client.caller, INBOUND[name])
        return client

    client = play(story())
    assert client.status == 400
    assert orjson.loads(client.body)["error"]["availability"] == {
        "code": "model_not_found",
        "retryable": False,
        "requested_models": ["no/such"],
        "docs_url": DOCS,
    }


def test_metadata_says_that_no_provider_was_reached() -> None:
    def act(client: Client, stage: Stage) -> None:
        client.caller.scope["headers"].append((b"x-openrouter-metadata", b"enabled"))

    two = [model("test/one", endpoint(), endpoint("p1"))]
    body = asked(stream=False, provider={"only": ["azure"]})
    client, _ = tell(models=two, body=body, act=act)
    told = orjson.loads(client.body)["openrouter_metadata"]
    assert (told["requested"], told["strategy"]) == ("test/one", "direct")
    assert (told["attempt"], told["attempts"]) == (0, [])
    assert told["endpoints"] == {"total": 2, "available": []}
    assert told["summary"] == "available=0, selected=none"


def test_an_answer_names_its_provider_in_its_head() -> None:
    good: Script = [
        (0.1, JSON_HEAD),
        (0.2, b'{"choices":[{"message":{"content":"x"}}]}'),
        (0.3, None),
    ]
    client, _ = tell(good, body=asked(stream=False))
    assert client.headers["x-provider-name"] == "P0"
