"""A list of models: the next is asked where one fails, and whoever answered is told and paid.

And what costs nothing at all: an answer without content, and one that ended in an error.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from proxy.errors import GatewayError
from tests.stage import (
    DONE,
    END,
    HEAD,
    JSON,
    JSON_HEAD,
    KEY,
    USAGE,
    Client,
    Headed,
    Script,
    Stage,
    asked,
    chunk,
    endpoint,
    model,
    tell,
    whole,
)

MUCH = 10**12
NAMES = ["test/one", "test/two", "test/three"]
CHEAP_NANO = 10 * 1_000_000 + 5 * 2_000_000
DEAR_NANO = CHEAP_NANO * 10
GOOD = chunk("hello", finish="stop") + chunk(choices=[], usage=USAGE) + DONE


def refusing(status: int, message: str = "no", **more: Any) -> Script:
    body = orjson.dumps({"error": {"message": message, **more}})
    return [(0.1, Headed(status, JSON)), (0.1, body), (0.1, END)]


def answering(*, stream: bool) -> Script:
    if stream:
        return [(0.1, HEAD), (0.2, GOOD), (0.3, END)]
    return [(0.1, JSON_HEAD), (0.2, whole()), (0.3, END)]


def dear(slug: str) -> Any:
    """An endpoint ten times as dear as the others."""
    plain = endpoint(slug)
    assert plain.pricing is not None
    prices = replace(plain.pricing, prompt=Decimal("0.01"), completion=Decimal("0.02"))
    return replace(plain, pricing=prices)


MODELS = [
    model("test/one", endpoint("p0")),
    model("test/two", dear("p1")),
    model("test/three", endpoint("p2")),
]


def ask(
    *scripts: Script, stream: bool = True, models: Sequence[str] = NAMES[:2], **more: Any
) -> tuple[Client, Stage]:
    body = asked(models[0], stream=stream, models=list(models), **more)
    return tell(*scripts, models=MODELS, body=body, credit_nano=MUCH, key=KEY)


def providers(stage: Stage) -> list[str]:
    return [attempt.provider for attempt in stage.row.attempts]


FAULTS: dict[str, Script] = {
    "context length": refusing(
        400, "This model's maximum context length is 9 tokens", code="context_length_exceeded"
    ),
    "moderation flag": refusing(400, "Output blocked by content policy"),
    "moderation by status": refusing(403, "Your input was flagged", code="content_policy"),
    "rate limit": refusing(429, "Too many requests"),
    "downtime": refusing(503, "down"),
    "a refused request": refusing(400, "unsupported value"),
    "no such model": refusing(404, "no such model"),
    "nobody there": [(0.1, GatewayError("provider_unreachable", "no"))],
    "cut before the first token": [(0.1, HEAD), (0.2, END)],
    "an error before the first token": [
        (0.1, HEAD), (0.2, b'data: {"error":{"message":"overloaded","code":503}}\n\n'), (0.3, END),
    ],
}  # fmt: skip


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("fault", FAULTS)
def test_any_error_triggers_the_next_model_of_the_list(fault: str, stream: bool) -> None:
    client, stage = ask(FAULTS[fault], answering(stream=stream), stream=stream)
    assert client.status == 200
    assert providers(stage) == ["p0", "p1"]
    assert (stage.row.status, stage.row.error) == (200, None)


def test_models_are_asked_in_the_order_of_the_list() -> None:
    models = ["test/three", "test/one", "test/two"]
    client, stage = ask(refusing(503), refusing(429), answering(stream=True), models=models)
    assert client.status == 200
    assert providers(stage) == ["p2", "p0", "p1"]


def test_model_comes_before_models() -> None:
    body = asked("test/three", models=["test/one"])
    scripts = refusing(503), answering(stream=True)
    _, stage = tell(*scripts, models=MODELS, body=body, credit_nano=MUCH, key=KEY)
    assert providers(stage) == ["p2", "p0"]


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_the_model_that_answered_is_reported_and_billed(stream: bool) -> None:
    client, stage = ask(refusing(429), answering(stream=stream), stream=stream)
    told = client.events if stream else [orjson.loads(client.body)]
    assert {one["model"] for one in told} == {"test/two"}
    assert told[-1]["usage"]["cost"] == DEAR_NANO / 1e9
    row = stage.row
    assert (row.model, row.provider, row.cost_nano) == ("test/two", "p1", DEAR_NANO)
    _, first = ask(answering(stream=stream), stream=stream)
    assert (first.row.model, first.row.cost_nano) == ("test/one", CHEAP_NANO)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
def test_if_the_last_model_fails_its_error_is_returned(stream: bool) -> None:
    client, stage = ask(refusing(503, "first"), refusing(429, "second"), stream=stream)
    assert client.status == client.error["code"] == 429
    assert "second" in str(client.error)
    assert "first" not in str(client.error["message"])
    assert (providers(stage), stage.row.cost_nano) == (["p0", "p1"], 0)


def test_after_the_first_token_no_other_model_is_asked() -> None:
    broken: Script = [(0.1, HEAD), (0.2, chunk("hel")), (0.3, GatewayError("provider_cut", "no"))]
    client, stage = ask(broken, answering(stream=True))
    assert client.text == "hel"
    assert client.error["code"] == 502
    assert providers(stage) == ["p0"]


# Zero completion insurance.


def blank(finish: str | None, usage: dict[str, int], *, stream: bool) -> Script:
    """An answer in which nothing is said, that cost its provider something."""
    if stream:
        said = chunk("", finish=finish) + chunk(choices=[], usage=usage) + DONE
        return [(0.1, HEAD), (0.2, said), (0.3, END)]
    message = {"role": "assistant", "content": ""}
    answer: dict[str, Any] = {
        "choices": [{"index": 0, "message": message, "finish_reason": finish}]
    }
    return [(0.1, JSON_HEAD), (0.2, whole(**answer, usage=usage)), (0.3, END)]


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("finish", [None, "", "stop"])
@pytest.mark.parametrize("tokens", [0, 5])
def test_an_answer_of_zero_completion_tokens_costs_nothing(
    finish: str | None, tokens: int, stream: bool
) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": tokens}
    _, stage = ask(blank(finish, usage, stream=stream), models=NAMES[:1], stream=stream)
    assert stage.row.cost_nano == 0
    assert stage.vault.balance("default").charged_nano == 0


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("content", ["", "hel"])
def test_an_answer_that_finishes_with_an_error_costs_nothing(content: str, stream: bool) -> None:
    said = chunk(content, finish="error") + chunk(choices=[], usage=USAGE) + DONE
    message = {"role": "assistant", "content": content}
    answer: dict[str, Any] = {
        "choices": [{"index": 0, "message": message, "finish_reason": "error"}]
    }
    script: Script = [(0.1, HEAD), (0.2, said), (0.3, END)]
    if not stream:
        script = [(0.1, JSON_HEAD), (0.2, whole(**answer)), (0.3, END)]
    _, stage = ask(script, models=NAMES[:1], stream=stream)
    assert stage.row.cost_nano == 0
    assert stage.vault.balance("default").charged_nano == 0
