"""Which dialect a request goes out in, and that every one of the table can be configured."""

from typing import Any

import pytest

from proxy.dialects import OUTBOUND, expressible, outbound
from proxy.dialects.asking import Target
from proxy.providers import DIALECTS, Provider, Quirks, known
from proxy.wire.listing import PARAMETERS
from proxy.wire.request import Ask

OPTIONS = {"project": "p", "location": "eu", "api_version": "2024-12-01-preview", "region": "r"}


def provider(dialect: str, **more: Any) -> Provider:
    return Provider(
        slug="acme", name="Acme", base_url="http://a.test", dialect=dialect, options=OPTIONS, **more
    )


def ask(**body: Any) -> Ask:
    return Ask(models=("a/b",), body={"messages": []} | body, choices=body.get("n", 1))


def test_what_can_be_configured_can_be_spoken() -> None:
    assert OUTBOUND.keys() == DIALECTS.keys()
    assert {row.dialect for row in known().values()} <= OUTBOUND.keys()


PATHS = [
    ("openai", "gpt-9", "/chat/completions", "/chat/completions"),
    ("responses", "gpt-9", "/responses", "/responses"),
    ("anthropic", "claude-9", "/v1/messages", "/v1/messages"),
    ("gemini", "g-9", "/v1beta/models/g-9:generateContent",
     "/v1beta/models/g-9:streamGenerateContent?alt=sse"),
    ("vertex", "g-9", "/v1/projects/p/locations/eu/publishers/google/models/g-9:generateContent",
     "/v1/projects/p/locations/eu/publishers/google/models/g-9:streamGenerateContent?alt=sse"),
    ("vertex", "claude-9", "/v1/projects/p/locations/eu/publishers/anthropic/models/"
     "claude-9:rawPredict", "/v1/projects/p/locations/eu/publishers/anthropic/models/"
     "claude-9:streamRawPredict"),
    ("cohere", "command-9", "/v2/chat", "/v2/chat"),
    ("bedrock", "us.x.y-v1:0", "/model/us.x.y-v1%3A0/converse",
     "/model/us.x.y-v1%3A0/converse-stream"),
    ("azure", "my gpt", *["/openai/deployments/my%20gpt/chat/completions"
                          "?api-version=2024-12-01-preview"] * 2),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "model", "whole", "streamed"), PATHS)
def test_where_a_request_goes(dialect: str, model: str, whole: str, streamed: str) -> None:
    acme = provider(dialect)
    words, target = outbound(acme, model, ask()), Target(acme, model)
    assert (words.path(target, False), words.path(target, True)) == (whole, streamed)


@pytest.mark.parametrize("dialect", OUTBOUND)
def test_parameters_have_openrouters_names(dialect: str) -> None:
    expresses = OUTBOUND[dialect].expresses
    assert expresses is None or len(expresses.intersection(PARAMETERS)) > 8


@pytest.mark.parametrize(
    ("model", "body", "path"),
    [
        ("o3-mini", {}, "/responses"),
        ("gpt-5.2", {"tools": []}, "/responses"),
        ("gpt-5.2", {"stop": ["x"], "presence_penalty": 1}, "/responses"),
        ("gpt-5.2", {"seed": 1}, "/chat/completions"),
        ("gpt-5.2", {"n": 2}, "/chat/completions"),
        ("gpt-4o", {}, "/chat/completions"),
        ("a-gpt-5", {}, "/chat/completions"),
    ],
)
def test_reasoning_models_are_asked_over_responses(
    model: str, body: dict[str, Any], path: str
) -> None:
    openai = known()["openai"]
    words = outbound(openai, model, ask(**body))
    assert words.path(Target(openai, model), True) == path
    assert outbound(openai, "o3").path(Target(openai, "o3"), True) == "/responses"


def test_what_a_provider_refuses_it_can_not_be_told_of() -> None:
    assert expressible(provider("openai"), "m") is None
    assert expressible(provider("openai", quirks=Quirks(omits=("user",))), "m") is None

    few = provider("openai", quirks=Quirks(omits=("stop", "user"), json_schema=False))
    assert expressible(few, "m") == frozenset(PARAMETERS) - {"stop", "structured_outputs"}

    cohere = provider("cohere", quirks=Quirks(omits=("seed",)))
    everything = OUTBOUND["cohere"].expresses
    assert everything is not None
    assert expressible(cohere, "m") == everything - {"seed"}


def test_what_a_reasoning_model_is_told_over_chat_it_can_be_told_of() -> None:
    openai = known()["openai"]
    told = expressible(openai, "o3")
    assert told is not None
    assert {"seed", "prediction", "tools", "reasoning"} < told
    assert told.isdisjoint({"stop", "top_k", "logit_bias"})
    plain = expressible(openai, "gpt-4o")
    assert plain is not None
    assert "stop" in plain
    assert "top_k" not in plain
