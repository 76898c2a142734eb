"""What callers of chat completions may have beside the text, from one end to the other."""

import base64
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from proxy.errors import GatewayError
from proxy.providers import Provider, Quirks, known
from tests.stage import (
    DONE,
    GOOD,
    HEAD,
    JSON,
    JSON_HEAD,
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

Json = dict[str, Any]
LIMITED = Headed(429, JSON)
FULL = b'{"error":{"message":"slow down"}}'
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
CITED = {"type": "url_citation", "url_citation": {"url": "https://a.test", "title": "A"}}
SOUND = base64.b64encode(bytes(9000)).decode()
TWO = [model("test/one", endpoint(), endpoint("p1"))]


def with_header(name: str, value: str) -> Callable[[Client, Stage], None]:
    """Makes the caller of `tell` one with that header."""

    def act(client: Client, stage: Stage) -> None:
        client.caller.scope["headers"].append((name.encode(), value.encode()))

    return act


TOLD = with_header("x-openrouter-metadata", "Enabled")


def bytes_sent(stage: Stage) -> bytes:
    """The body that the first provider was sent."""
    return stage.providers.calls[0].call.body or b""


def play_whole(body: bytes, answer: bytes, *, models: Any = ()) -> tuple[Client, Stage]:
    return tell([(0.1, JSON_HEAD), (0.2, answer), (0.3, None)], body=body, models=models)


# openrouter_metadata.


@pytest.mark.parametrize("stream", [False, True])
def test_the_route_of_an_answer(stream: bool) -> None:
    good: Script = [(0.1, HEAD), (0.2, GOOD), (0.3, None)]
    plain: Script = [(0.1, JSON_HEAD), (0.2, whole()), (0.3, None)]
    client, _ = tell(
        [(0.1, LIMITED), (0.2, FULL), (0.3, None)],
        good if stream else plain,
        models=TWO,
        body=asked(stream=stream),
        act=TOLD,
    )
    events = client.events if stream else [orjson.loads(client.body)]
    assert ["openrouter_metadata" in event for event in events] == [
        number == len(events) for number in range(1, len(events) + 1)
    ]
    said = events[-1]["openrouter_metadata"]
    assert (said["requested"], said["strategy"], said["attempt"]) == ("test/one", "direct", 2)
    assert said["summary"] == "available=2, selected=P1"
    assert [one["status"] for one in said["attempts"]] == [429, 200]
    assert client.headers["x-provider-name"] == "P1"


def test_the_route_of_an_error() -> None:
    client, _ = tell([(0.1, LIMITED), (0.2, FULL), (0.3, None)], act=TOLD)
    told = orjson.loads(client.body)
    assert client.status == told["error"]["code"] == 429
    assert told["openrouter_metadata"]["summary"] == "available=1, selected=none"
    assert "x-provider-name" not in client.headers


def test_the_route_of_a_stream_that_broke_off() -> None:
    cut: Script = [(0.1, HEAD), (0.2, chunk("hel")), (0.3, GatewayError("provider_cut", "no"))]
    client, _ = tell(cut, act=TOLD)
    last = client.events[-1]
    assert last["error"]["code"] == 502
    assert last["openrouter_metadata"]["summary"] == "available=1, selected=none"
    assert [one["status"] for one in last["openrouter_metadata"]["attempts"]] == [200]
    client, _ = tell(cut)
    assert "openrouter_metadata" not in client.events[-1]


def test_a_request_that_reached_nobody() -> None:
    client, _ = tell(body=asked("test/nothing"), act=TOLD)
    told = orjson.loads(client.body)["openrouter_metadata"]
    assert (client.status, told["attempt"], told["endpoints"]["total"]) == (400, 0, 0)


def test_who_did_not_ask_is_not_told() -> None:
    client, _ = tell([(0.1, HEAD), (0.2, GOOD), (0.3, None)])
    assert b"openrouter_metadata" not in client.body


# Who serves it.


def test_the_head_of_a_stream_names_its_provider_where_that_is_known() -> None:
    client, _ = tell([(0.1, HEAD), (0.2, GOOD), (0.3, None)])
    assert client.headers["x-provider-name"] == "P0"
    slow, _ = tell([(0.1, HEAD), (5.0, GOOD), (5.1, None)])
    assert "x-provider-name" not in slow.headers  # it went out with the first comment
    client, _ = play_whole(asked(stream=False), whole())
    assert client.headers["x-provider-name"] == "P0"


def test_a_name_that_no_header_can_have() -> None:
    row = endpoint()
    named = replace(row, provider=replace(row.provider, name="Möwe"))
    client, _ = play_whole(asked(stream=False), whole(), models=[model("test/one", named)])
    assert client.headers["x-provider-name"] == "M?we"
    assert orjson.loads(client.body)["provider"] == "Möwe"


# debug.echo_upstream_body.


def test_what_every_provider_was_sent() -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{SOUND}"}}
    messages = [{"role": "user", "content": [image]}]
    wish = {"echo_upstream_body": True}
    client, _ = tell(
        [(0.1, LIMITED), (0.2, FULL), (0.3, None)],
        [(0.1, HEAD), (0.2, GOOD), (0.3, None)],
        models=TWO,
        body=asked(messages=messages, debug=wish, temperature=0.5),
    )
    first, second, *others = client.events
    assert first["choices"] == second["choices"] == []
    sent = [one["debug"]["echo_upstream_body"] for one in (first, second)]
    assert [one["model"] for one in sent] == ["p0-model", "p1-model"]
    assert all((one["temperature"], one["stream"]) == (0.5, True) for one in sent)
    url = sent[0]["messages"][0]["content"][0]["image_url"]["url"]
    assert url.startswith("data:image/png;base64,AAAA")
    assert len(url) < 100
    assert not any("debug" in event for event in others)
    assert {event["provider"] for event in client.events} == {"P1"}
    assert client.text == "hello world"


@pytest.mark.parametrize("wish", [{"echo_upstream_body": False}, {}, None])
def test_nothing_is_echoed_unasked(wish: Json | None) -> None:
    client, stage = tell([(0.1, HEAD), (0.2, GOOD), (0.3, None)], body=asked(debug=wish))
    assert b"debug" not in client.body
    assert b"debug" not in bytes_sent(stage)


def test_only_streams_are_echoed() -> None:
    body = asked(stream=False, debug={"echo_upstream_body": True})
    client, _ = play_whole(body, whole())
    assert (client.status, b"debug" in client.body) == (200, False)


# Pictures, sound, citations, and more than one answer.


def message(**more: Any) -> bytes:
    said = {"role": "assistant", "content": "see", **more}
    choice = {"index": 0, "message": said, "finish_reason": "stop"}
    return whole(choices=[choice])


@pytest.mark.parametrize(
    "beside",
    [
        {"images": [PICTURE]},
        {"annotations": [CITED]},
        {"audio": {"id": "a", "data": SOUND, "transcript": "oh", "expires_at": 9}},
    ],
    ids=lambda one: next(iter(one)),
)
def test_what_comes_beside_the_text(beside: Json) -> None:
    body = asked(stream=False, modalities=["text", "image"])
    client, stage = play_whole(body, message(**beside))
    assert orjson.loads(client.body)["choices"][0]["message"].items() >= beside.items()
    assert orjson.loads(bytes_sent(stage))["modalities"] == ["text", "image"]
    delta = orjson.loads(chunk("see")[6:])["choices"][0]["delta"] | beside
    piece = chunk(choices=[{"index": 0, "delta": delta}])
    end = chunk(finish="stop") + chunk(choices=[], usage=USAGE) + DONE
    streamed, _ = tell([(0.1, HEAD), (0.2, piece + end), (0.3, None)])
    deltas = [event["choices"][0]["delta"] for event in streamed.events]
    (name,) = beside
    assert [one[name] for one in deltas if name in one] == [beside[name]]
    assert streamed.text == "see"


@pytest.mark.parametrize("stream", [False, True])
def test_several_answers(stream: bool) -> None:
    texts = ["a", "b", "c"]
    if stream:
        pieces = b"".join(
            chunk(choices=[{"index": index, "delta": {"content": text}, "finish_reason": "stop"}])
            for index, text in enumerate(texts)
        )
        answer = pieces + chunk(choices=[], usage=USAGE) + DONE
    else:
        answer = whole(
            choices=[
                {"index": index, "message": {"content": text}, "finish_reason": "stop"}
                for index, text in enumerate(texts)
            ]
        )
    head = HEAD if stream else JSON_HEAD
    client, stage = tell(
        [(0.1, head), (0.2, answer), (0.3, None)], body=asked(stream=stream, n=3, max_tokens=2),
        credit_nano=10**12,
    )  # fmt: skip
    assert orjson.loads(bytes_sent(stage))["n"] == 3
    if stream:
        assert client.text == "abc"
        assert len(client.events[-1]["choices"]) == 3
    else:
        told = orjson.loads(client.body)["choices"]
        assert [one["message"]["content"] for one in told] == texts
    assert stage.row.held_nano >= 3 * 2 * 2_000_000  # for each of them as much as it may say
    assert stage.row.cost_nano == 20_000_000


CLAUDE = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","usage":'
    b'{"input_tokens":10,"output_tokens":1}}}\n\n'
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
    b'"content_block":{"type":"text","text":""}}\n\n'
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    b'"delta":{"type":"text_delta","text":"one"}}\n\n'
    b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
    b'"usage":{"output_tokens":5}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
)


def test_who_knows_no_second_answer_gives_one_without_delay() -> None:
    row = endpoint()
    claude = replace(row, provider=replace(row.provider, dialect="anthropic"))
    client, stage = tell(
        [(0.1, HEAD), (0.2, CLAUDE), (0.3, None)],
        models=[model("test/one", claude)],
        body=asked(n=3),
    )
    assert b'"n"' not in bytes_sent(stage)
    assert client.text == "one"
    assert (client.ended_at or 9) < 0.4
    assert stage.row.cost_nano == 20_000_000


# What is the gateway's own stays here.


def sent(provider: Provider, **more: Any) -> Json:
    row = replace(endpoint(), provider=replace(provider, base_url="http://p0.test/v1"))
    _, stage = play_whole(asked(stream=False, **more), whole(), models=[model("test/one", row)])
    body: Json = orjson.loads(bytes_sent(stage))
    return body


PLAIN = Provider(slug="p0", name="P0", base_url="", quirks=Quirks())
OURS: Json = {
    "trace": {"trace_id": "t"}, "usage": {"include": True}, "max_tool_calls": 3, "speed": "fast",
    "stop_server_tools_when": [{"type": "step_count_is", "step_count": 2}],
    "session_id": "s", "route": "fallback", "stream_options": {"include_usage": True},
}  # fmt: skip
OPENROUTERS: Json = {
    "metadata": {"a": "b"}, "image_config": {"aspect_ratio": "1:1"},
    "prompt_cache_options": {"mode": "explicit"}, "cache_control": {"type": "ephemeral"},
}  # fmt: skip


def test_what_no_provider_is_sent() -> None:
    for provider in (PLAIN, replace(known()["openrouter"], slug="p0")):
        body = sent(provider, **OURS)
        assert OURS.keys() & body.keys() == set()


def test_what_only_openrouter_is_sent() -> None:
    assert OPENROUTERS.keys() & sent(PLAIN, **OPENROUTERS).keys() == set()
    resold = sent(replace(known()["openrouter"], slug="p0"), **OPENROUTERS, verbosity="max")
    assert resold.items() >= (OPENROUTERS | {"verbosity": "max"}).items()
    assert sent(PLAIN, verbosity="max")["verbosity"] == "high"
    assert sent(PLAIN, metadata={"a": "b"}, store=True)["metadata"] == {"a": "b"}


def test_what_everyone_is_sent() -> None:
    wishes: Json = {
        "prediction": {"type": "content", "content": "x"}, "web_search_options": {},
        "modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"},
        "prompt_cache_key": "k", "user": "u",
    }  # fmt: skip
    assert sent(PLAIN, **wishes).items() >= wishes.items()


def test_an_earlier_answer_goes_back_without_its_additions() -> None:
    earlier: Json = {
        "role": "assistant", "content": "hi", "model": "a/b", "annotations": [CITED],
        "images": [PICTURE], "reasoning": "hm", "refusal": None,
    }  # fmt: skip
    part = {"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}
    messages = [earlier, {"role": "user", "content": [part]}]
    body = sent(PLAIN, messages=messages)
    assert body["messages"] == [
        {"role": "assistant", "content": "hi"},
        {"role": "user", "content": [{"type": "text", "text": "x"}]},
    ]
