"""The fake's events and answers have the keys, and the key order, of recorded traffic."""

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from random import Random
from typing import Any

import pytest

from proxy.upstream.fake import shapes
from proxy.upstream.fake.asks.chat import decode_chat
from proxy.upstream.fake.manner import Failure
from proxy.upstream.fake.reply import Reply
from proxy.upstream.fake.scenario import Answer
from tests import recordings
from tests.upstream.fake.speaking import MANNERS, Wish, events, streamed, whole

Signature = Any
CHAT = MANNERS["chat"]
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
    return Reply(decode_chat(json.dumps(asked).encode()), Answer(tokens=5), Random(1), 0)


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
    events = [event.data for event in CHAT.events(reply(model, text, **body)) if event.data]
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
    assert signature(CHAT.whole(reply(model, text, **body)), *but) in seen


@pytest.mark.wire
def test_logprobs_of_whole_answers_have_the_recorded_keys() -> None:
    """These were recorded with sorted keys, so that only the sets can be compared."""

    def keys(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: keys(item) for key, item in value.items()}
        return [keys(item) for item in value[:1]] if isinstance(value, list) else None

    mine = CHAT.whole(reply("weir/lorem", "hi", logprobs=True))["choices"][0]["logprobs"]
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
    manner = shapes.Style("id", 0, "m", thinks=False, padding="0123456789abcdef")
    lengths = [len(text + manner.text(0, text)["obfuscation"]) for text in ("", "a", "hello")]
    assert lengths == [16, 16, 16]
    assert "obfuscation" not in manner._replace(padding="").text(0, "a")


def test_encoding_is_compact() -> None:
    assert CHAT.encode({"a": [1, "é"]}) == '{"a":[1,"é"]}'.encode()
    assert MANNERS["gemini"].encode({"a": [1, "é"]}) == '{"a": [1,"é"]}'.encode()
    assert MANNERS["bedrock"].encode({"b": 1, "a": 2}) == b'{"a":2,"b":1}'


# The other dialects.

FREE = ("input", "args", "tools", "schema")  # what callers and models fill in
APIS = {
    "azure": ("azure", "chat"),
    "anthropic": ("anthropic", "messages"),
    "vertex-anthropic": ("google-vertex", "messages"),
    "gemini": ("google", "generateContent"),
    "vertex-gemini": ("google-vertex", "generateContent"),
    "cohere": ("cohere", "cohere-v2"),
    "bedrock": ("bedrock", "converse"),
    "responses": ("openai", "responses"),
}
PLAIN = Wish(text="hi")
THINKING = Wish(text="hi", model="weir/reason")
CALLING = Wish(text="weather", tools=("get_weather",))
PARALLEL = Wish(text="weather and time", tools=("get_weather", "get_time"))
CACHED = tuple(f"cache{way}InputToken{end}" for way in ("Read", "Write") for end in ("Count", "s"))
THINKING_CALL = Wish(text="weather", tools=("get_weather",), model="weir/reason")


def theirs(dialect: str, *kinds: str) -> Iterator[recordings.Recording]:
    for row in recordings.index():
        found = (row["provider"], row["api"], row["fidelity"], row["status"])
        if found == (*APIS[dialect], "raw", 200) and row["kind"] in kinds:
            yield recordings.load(row)


def shape(value: Any, *but: str) -> Signature:
    """The signature of a value, what is free in it taken as a leaf."""

    def closed(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: None if k in FREE else closed(v) for k, v in value.items()}
        return [closed(item) for item in value] if isinstance(value, list) else value

    return signature(closed(value), *but)


@pytest.mark.wire
@pytest.mark.parametrize(
    ("dialect", "wish", "but"),
    [
        ("anthropic", PLAIN, ()),
        ("anthropic", THINKING, ()),
        ("anthropic", PARALLEL, ()),
        ("vertex-anthropic", PLAIN, ()),
        ("vertex-anthropic", CALLING, ()),
        # A model that thinks not was recorded with a signature all the same.
        ("gemini", PLAIN, ("thoughtSignature",)),
        ("gemini", THINKING, ()),
        ("gemini", THINKING_CALL, ()),
        ("vertex-gemini", replace(THINKING_CALL, more={"generationConfig": {}}), ()),
        ("cohere", PLAIN, ()),
        ("cohere", THINKING, ()),
        ("cohere", PARALLEL, ()),
        ("cohere", THINKING_CALL, ()),
        ("bedrock", PLAIN, ()),
        ("bedrock", CALLING, ()),
        ("responses", PLAIN, ()),
        ("responses", THINKING, ("phase",)),
        ("responses", replace(THINKING_CALL, more={"reasoning": {}}), ()),
        ("azure", PLAIN, ()),
    ],
)
def test_every_event_of_a_stream_was_recorded(
    dialect: str, wish: Wish, but: tuple[str, ...]
) -> None:
    kind = "eventstream" if MANNERS[dialect].binary else "sse"
    seen = {
        shape(event, *but) for one in theirs(dialect, kind) for event in events(dialect, one.body)
    }
    mine = streamed(dialect, wish, Answer(tokens=3))
    assert [event for event in mine if shape(event, *but) not in seen] == []


@pytest.mark.wire
@pytest.mark.parametrize(
    ("dialect", "wish", "but"),
    [
        ("anthropic", PLAIN, ()),
        ("anthropic", THINKING, ()),
        ("anthropic", PARALLEL, ()),
        ("vertex-anthropic", PLAIN, ()),
        ("vertex-anthropic", CALLING, ()),
        ("gemini", PLAIN, ()),
        ("gemini", THINKING, ()),
        ("gemini", CALLING, ("id",)),
        ("gemini", THINKING_CALL, ()),
        ("vertex-gemini", THINKING, ()),
        ("vertex-gemini", THINKING_CALL, ("id",)),
        ("cohere", PLAIN, ()),
        ("cohere", THINKING, ()),
        ("cohere", PARALLEL, ()),
        ("cohere", THINKING_CALL, ("cached_tokens",)),
        ("bedrock", PLAIN, ()),
        ("bedrock", PARALLEL, ()),
        ("bedrock", THINKING, CACHED),
        ("responses", PLAIN, ("phase",)),
        ("responses", replace(THINKING_CALL, more={"reasoning": {}}), ()),
        ("azure", PLAIN, ()),
    ],
)
def test_whole_answers_were_recorded(dialect: str, wish: Wish, but: tuple[str, ...]) -> None:
    seen = {shape(json.loads(one.body), *but) for one in theirs(dialect, "json")}
    assert shape(json.loads(MANNERS[dialect].encode(whole(dialect, wish))), *but) in seen


@pytest.mark.wire
@pytest.mark.parametrize("dialect", ["anthropic", "cohere", "bedrock", "responses", "gemini"])
def test_errors_were_recorded(dialect: str) -> None:
    seen = {
        (row["status"], shape(json.loads(recordings.load(row).body)))
        for row in recordings.index()
        if row["provider"] == APIS[dialect][0] and row["status"] >= 400 and row["fidelity"] == "raw"
    }
    recorded_kinds = {
        "anthropic": ("bad-key", "unknown-model", "invalid"),
        "cohere": ("bad-key", "unknown-model", "invalid"),
        "bedrock": ("bad-key", "unknown-model", "invalid"),
        "responses": ("bad-key", "unknown-model"),
        "gemini": ("bad-key", "invalid"),
    }
    for kind in recorded_kinds[dialect]:
        refused = MANNERS[dialect].refusal(Failure(kind, model="m"))
        assert (refused.status, shape(refused.body)) in seen


@pytest.mark.wire
@pytest.mark.parametrize(
    ("dialect", "rows", "row"), [("anthropic", "data", "type"), ("cohere", "models", "name")]
)
def test_lists_of_models_were_recorded(dialect: str, rows: str, row: str) -> None:
    mine = MANNERS[dialect].models(["a"], 0)
    found = False
    for one in recordings.index():
        if one["provider"] == APIS[dialect][0] and one["api"] == "models" and one["status"] == 200:
            body = json.loads(recordings.load(one).body)
            if rows in body:
                found = True
                assert list(body) == list(mine)
                recorded_rows = [list(each) for each in body[rows]]
                assert list(mine[rows][0]) in recorded_rows
    assert found
