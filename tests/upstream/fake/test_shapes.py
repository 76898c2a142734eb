"""The fake's events and answers have the keys, and the key order, of recorded traffic."""

import json
from collections.abc import Iterator
from itertools import groupby
from random import Random
from typing import Any

import pytest

from proxy.upstream.fake import shapes
from proxy.upstream.fake.ask import decode_ask
from proxy.upstream.fake.reply import Reply
from proxy.upstream.fake.scenario import Answer
from tests import recordings

Signature = Any
TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"required": ["city"]}}}
    for name in ("get_weather", "get_time")
]
NEWER = ("logprobs", "cache_write_tokens")
USAGE = {"stream_options": {"include_usage": True}}


def signature(value: Any, *but: str) -> Signature:
    """Keys in their order, through all levels; of a list, the different shapes of its items."""
    if isinstance(value, dict):
        return tuple((key, signature(item, *but)) for key, item in value.items() if key not in but)
    if isinstance(value, list):
        return tuple(sorted({repr(signature(item, *but)) for item in value}))
    return "leaf"


def reply(model: str, text: str, **body: Any) -> Reply:
    asked = {"model": model, "messages": [{"role": "user", "content": text}]} | body
    return Reply(decode_ask(json.dumps(asked).encode()), Answer(tokens=5), Random(1), 0)


def recorded(provider: str, kind: str, *fidelity: str) -> Iterator[recordings.Recording]:
    for row in recordings.index():
        if (row["provider"], row["api"], row["kind"]) == (provider, "chat", kind) and (
            row["fidelity"] in (fidelity or ("raw",)) and row["status"] == 200
        ):
            yield recordings.load(row)


def recorded_streams(provider: str) -> list[list[Any]]:
    return [
        [
            json.loads(line[6:])
            for line in recording.body.splitlines()
            if line.startswith(b"data: {")
        ]
        for recording in recorded(provider, "sse")
    ]


def collapsed(stream: list[Any], *but: str) -> tuple[Signature, ...]:
    """The shapes of a stream, runs of the same one counted once."""
    return tuple(shape for shape, _ in groupby(signature(data, *but) for data in stream))


@pytest.mark.wire
@pytest.mark.parametrize(
    ("provider", "model", "text", "body", "but"),
    [
        ("openai", "weir/lorem", "hi", USAGE, ()),
        ("openai", "weir/lorem", "hi", {}, ()),
        # A lone call was recorded before `obfuscation` came, and again after `logprobs` went.
        ("openai", "weir/lorem", "weather", USAGE | {"tools": TOOLS}, ("obfuscation",)),
        ("openai", "weir/lorem", "weather", USAGE | {"tools": TOOLS}, NEWER),
        ("openai", "weir/lorem", "weather and time", USAGE | {"tools": TOOLS}, ()),
        ("deepseek", "weir/reason", "hi", {}, ()),
        ("deepseek", "weir/reason", "hi", {"max_tokens": 3}, ()),
        ("deepseek", "weir/reason", "hi", {"logprobs": True}, ()),
    ],
)
def test_streams_have_recorded_shapes_in_recorded_order(
    provider: str, model: str, text: str, body: dict[str, Any], but: tuple[str, ...]
) -> None:
    events = [event.data for event in reply(model, text, **body).events() if event.data]
    orders = {collapsed(stream, *but) for stream in recorded_streams(provider)}
    shapes_seen = {shape for order in orders for shape in order}
    assert [event for event in events if signature(event, *but) not in shapes_seen] == []
    assert collapsed(events, *but) in orders


@pytest.mark.wire
@pytest.mark.parametrize(
    ("provider", "model", "text", "body", "but"),
    [
        # The texts that were recorded with their key order are of models without `logprobs`.
        ("openai", "weir/lorem", "hi", {}, ("logprobs",)),
        ("openai", "weir/lorem", "weather", {"tools": TOOLS}, ()),
        ("openai", "weir/lorem", "weather and time", {"tools": TOOLS}, ()),
        ("deepseek", "weir/reason", "hi", {}, ()),
        ("deepseek", "weir/reason", "weather", {"tools": TOOLS}, ()),
    ],
)
def test_whole_answers_have_recorded_shapes(
    provider: str, model: str, text: str, body: dict[str, Any], but: tuple[str, ...]
) -> None:
    seen = {signature(json.loads(one.body), *but) for one in recorded(provider, "json")}
    assert signature(reply(model, text, **body).whole(), *but) in seen


@pytest.mark.wire
def test_logprobs_of_whole_answers_have_the_recorded_keys() -> None:
    """These were recorded with sorted keys, so that only the sets can be compared."""

    def keys(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: keys(item) for key, item in value.items()}
        return [keys(item) for item in value[:1]] if isinstance(value, list) else None

    mine = reply("weir/lorem", "hi", logprobs=True).whole()["choices"][0]["logprobs"]
    theirs = [
        json.loads(recording.body)["choices"][0].get("logprobs")
        for recording in recorded("openai", "json", "normalised")
    ]
    assert keys(mine) in [keys(logprobs) for logprobs in theirs if logprobs]


@pytest.mark.wire
def test_errors_and_the_list_of_models_have_recorded_shapes() -> None:
    rows = [row for row in recordings.index() if row["provider"] == "openai"]
    errors = {
        signature(json.loads(recordings.load(row).body))
        for row in rows
        if row["status"] >= 400 and row["fidelity"] == "raw"
    }
    assert errors == {signature(shapes.error("no", None))}
    listed = [row for row in rows if row["api"] == "models" and row["status"] == 200]
    mine = shapes.model_list(["a"], 0)
    for row in listed:
        theirs = json.loads(recordings.load(row).body)
        assert list(theirs) == list(mine)
        assert list(theirs["data"][0])[:4] == list(mine["data"][0])[:4]
    assert listed


def test_obfuscation_hides_the_length() -> None:
    manner = shapes.Manner("id", 0, "m", thinks=False, padding="0123456789abcdef")
    lengths = [len(text + manner.text(0, text)["obfuscation"]) for text in ("", "a", "hello")]
    assert lengths == [16, 16, 16]
    assert "obfuscation" not in manner._replace(padding="").text(0, "a")


def test_encoding_is_compact() -> None:
    assert shapes.encode({"a": [1, "é"]}) == '{"a":[1,"é"]}'.encode()
