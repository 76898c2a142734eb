"""A caller in Anthropic's words before a provider of them: money that ends, hang-ups, errors.

What the provider says goes through as it came; what the gateway must say for it comes in order.
"""

from collections.abc import Callable

import orjson
import pytest
from msgspec.structs import replace

from proxy.dialects import INBOUND
from proxy.errors import GatewayError
from proxy.routing.catalogue import Endpoint
from tests.anthropics import Json, frames, put_together
from tests.stage import (
    END,
    HEAD,
    JSON_HEAD,
    KEY,
    SECRET,
    Client,
    Headed,
    Providers,
    Script,
    Stage,
    endpoint,
    model,
    play,
)

MUCH = 10**12
START: Json = {
    "type": "message_start",
    "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "claude",
        "usage": {"input_tokens": 10, "output_tokens": 1},
    },
}  # fmt: skip
BLOCK: Json = {"type": "content_block_start", "content_block": {"type": "text", "text": ""}}
LAST: Json = {
    "type": "message_delta",
    "delta": {"stop_reason": "end_turn", "stop_sequence": None},
    "usage": {"input_tokens": 10, "output_tokens": 5},
}


def said(*events: Json) -> bytes:
    told = (event | ({"index": 0} if "content_block" in event["type"] else {}) for event in events)
    return b"".join(
        b"event: " + one["type"].encode() + b"\ndata: " + orjson.dumps(one) + b"\n\n"
        for one in told
    )


def text(piece: str) -> bytes:
    delta = {"type": "text_delta", "text": piece}
    return said({"type": "content_block_delta", "delta": delta})


OPEN = said(START, BLOCK, {"type": "ping"})
CLOSE = said({"type": "content_block_stop"}, LAST, {"type": "message_stop"})
HEALTHY: Script = [(0.1, HEAD), (0.2, OPEN), (0.3, text("hello")), (0.4, CLOSE), (0.5, END)]


def claude(slug: str = "p0", dialect: str = "anthropic") -> Endpoint:
    plain = endpoint(slug)
    return replace(plain, provider=replace(plain.provider, dialect=dialect))


def tell(
    *scripts: Script,
    endpoints: tuple[Endpoint, ...] = (),
    credit_nano: int = MUCH,
    act: Callable[[Client], None] = lambda client: None,
    **fields: object,
) -> tuple[Client, Stage]:
    """One request, from beginning to end."""

    async def story() -> tuple[Client, Stage]:
        one = model("test/one", *(endpoints or (claude(),)))
        stage = await Stage(Providers(*scripts), one, credit_nano=credit_nano, key=KEY).open()
        messages = [{"role": "user", "content": "hello"}]
        body = {"model": "test/one", "messages": messages, "stream": True} | fields
        client = Client(orjson.dumps(body), {"x-api-key": SECRET})
        act(client)
        await stage.flow.serve(client.caller, INBOUND["messages"])
        await stage.close()
        return client, stage

    return play(story())


def balanced(stage: Stage, charged_nano: int) -> None:
    balance = stage.vault.balance("default")
    assert balance.charged_nano == charged_nano
    assert stage.treasury.held_nano == 0
    assert not stage.vault.overdrawn


def test_a_healthy_answer() -> None:
    client, stage = tell(HEALTHY)
    whole = put_together(client.body, strict=True)
    assert [block["text"] for block in whole["content"]] == ["hello"]
    events = frames(client.body)
    assert events[1:-2] == frames(OPEN + text("hello") + CLOSE)[1:-2]
    assert orjson.loads(events[-2][1])["usage"]["cost"] == 0.02
    balanced(stage, 20_000_000)


def test_an_answer_ends_where_the_money_does() -> None:
    pieces: Script = [(0.3 + n / 100, text("x" * 300)) for n in range(100)]
    script: Script = [(0.1, HEAD), (0.2, OPEN), *pieces, (5.0, CLOSE), (5.1, END)]
    credit = 2_000_000_000
    client, stage = tell(script, credit_nano=credit)
    whole = put_together(client.body, strict=True)
    assert whole["stop_reason"] == "max_tokens"
    (block,) = whole["content"]
    assert 0 < len(block["text"]) < 30_000
    assert [name for name, _ in frames(client.body)][-3:] == [
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    row = stage.row
    assert (row.status, row.finish_reason) == (200, "length")
    assert row.cost_nano is not None
    assert 0 < row.cost_nano <= credit
    balanced(stage, row.cost_nano)


def test_a_call_ends_where_the_money_does() -> None:
    """What came of its arguments is no whole object, and the reason says why."""
    use = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
    begin = said(START, {"type": "content_block_start", "content_block": use})
    piece = {"type": "input_json_delta", "partial_json": '{"a": "' + "x" * 300}
    more = said({"type": "content_block_delta", "delta": piece})
    pieces: Script = [(0.3 + n / 100, more) for n in range(100)]
    script: Script = [(0.1, HEAD), (0.2, begin), *pieces, (5.0, CLOSE), (5.1, END)]
    client, stage = tell(script, credit_nano=2_000_000_000)
    *_, delta, stop = (orjson.loads(data) for _, data in frames(client.body))
    assert [name for name, _ in frames(client.body)][-3] == "content_block_stop"
    assert (delta["delta"]["stop_reason"], stop) == ("max_tokens", {"type": "message_stop"})
    assert stage.row.cost_nano
    assert delta["usage"]["cost"] == stage.row.cost_nano / 1e9
    balanced(stage, stage.row.cost_nano)


def test_a_provider_that_ends_without_a_reason() -> None:
    """Its end mark is taken for one, and it is told in order."""
    last = LAST | {"delta": {"stop_reason": None, "stop_sequence": None}}
    close = said({"type": "content_block_stop"}, last, {"type": "message_stop"})
    client, stage = tell([(0.1, HEAD), (0.2, OPEN + text("hello") + close), (0.3, END)])
    assert put_together(client.body, strict=True)["stop_reason"] == "end_turn"
    assert orjson.loads(frames(client.body)[-2][1])["usage"]["cost"] == 0.02
    balanced(stage, 20_000_000)


@pytest.mark.parametrize(
    ("kind", "type_"),
    [("provider_cut", "api_error"), ("provider_timeout", "timeout_error")],
)
def test_a_provider_that_dies_is_told_of_and_costs_nothing(kind: str, type_: str) -> None:
    client, stage = tell([(0.1, HEAD), (0.2, OPEN + text("hel")), (0.3, GatewayError(kind, "no"))])
    name, data = frames(client.body)[-1]
    assert (name, orjson.loads(data)["error"]["type"]) == ("error", type_)
    assert client.status == 200
    balanced(stage, 0)


def test_an_error_within_the_stream_is_one_of_the_gateways() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    client, stage = tell([(0.1, HEAD), (0.2, OPEN + text("hel") + said(error)), (0.3, END)])
    name, data = frames(client.body)[-1]
    told = orjson.loads(data)
    assert (name, told["error"]["type"]) == ("error", "overloaded_error")
    assert told["request_id"] == client.headers["x-generation-id"]
    balanced(stage, 0)


def test_who_hangs_up_pays_for_what_came() -> None:
    script: Script = [(0.1, HEAD), (0.2, OPEN + text("hello " * 4)), (60.0, CLOSE), (60.1, END)]
    _, stage = tell(script, act=lambda client: client.later(1.0, client.hang_up))
    row = stage.row
    assert row.cancelled
    assert row.cost_nano
    balanced(stage, row.cost_nano)


def test_the_next_provider_may_speak_other_words() -> None:
    """What is sent, and how its answer is read, is each endpoint's own."""
    refused: Script = [(0.1, Headed(529, {"Content-Type": "application/json"})), (0.2, END)]
    chat = (
        b'data: {"id":"up","choices":[{"index":0,"delta":{"content":"hello"},'
        b'"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":5}}\n\n'
        b"data: [DONE]\n\n"
    )
    spoken: Script = [(0.1, HEAD), (0.2, chat), (0.3, END)]
    client, stage = tell(refused, spoken, endpoints=(claude("p0"), claude("p1", "openai")))
    first, second = (orjson.loads(played.call.body or b"") for played in stage.providers.calls)
    assert (first["max_tokens"], "max_tokens" in second) == (8192, False)
    whole = put_together(client.body, strict=True)
    assert [block["text"] for block in whole["content"]] == ["hello"]
    assert whole["id"] == client.headers["x-generation-id"]
    balanced(stage, 20_000_000)


def test_a_whole_answer_is_the_providers_own() -> None:
    own = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude",
        "content": [{"type": "text", "text": "hello"}], "stop_reason": "end_turn", "own": {"a": 1},
        "usage": {"input_tokens": 10, "output_tokens": 5},
    }  # fmt: skip
    script: Script = [(0.1, JSON_HEAD), (0.2, orjson.dumps(own)), (0.3, END)]
    client, stage = tell(script, stream=False)
    told = orjson.loads(client.body)
    assert (
        told.items()
        >= (own | {"model": "test/one", "provider": "P0", "usage": told["usage"]}).items()
    )
    assert told["usage"]["cost"] == 0.02
    balanced(stage, 20_000_000)


def test_without_the_credit_nobody_is_asked() -> None:
    client, stage = tell(credit_nano=1, max_tokens=100)
    told = orjson.loads(client.body)
    assert (client.status, told["error"]["type"]) == (402, "billing_error")
    assert stage.providers.calls == []
