"""Requests as Bedrock takes them: a table, every recorded one, and what gets lost."""

import json
from collections import Counter
from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.dialects.asking import Target
from proxy.dialects.bedrock.events import decode_answer, decoder
from proxy.dialects.bedrock.request import EXPRESSES, STREAM_HEADERS, encode_request, path
from proxy.dialects.chat.request import decode_request
from proxy.dialects.chat.stream import encode_answer
from proxy.errors import GatewayError
from proxy.providers import Provider, Quirks
from proxy.wire.listing import PARAMETERS
from proxy.wire.request import Head
from tests.accepted.asked import asked
from tests.accepted.bedrock import bedrock_accepts
from tests.plain import ASK, BILL
from tests.recordings import Recording, Row, index, load, root

Json = dict[str, Any]

PROVIDER = Provider(slug="amazon-bedrock", name="Amazon Bedrock", base_url="http://127.0.0.1:1")
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
OLD = "us.anthropic.claude-3-7-sonnet-20250219-v1:0"
NEW = "us.anthropic.claude-opus-4-7"
NOVA = "us.amazon.nova-2-lite-v1:0"
OSS = "openai.gpt-oss-120b-1:0"
LLAMA = "us.meta.llama4-scout-17b-instruct-v1:0"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5E"
HI = {"role": "user", "content": "hi"}
SAID = [{"role": "user", "content": [{"text": "hi"}]}]
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
CLOSED = SCHEMA | {"additionalProperties": False}


def ask(body: Json, model: str = CLAUDE, *, betas: str = "") -> Json:
    """The body for a chat request, if Bedrock accepts it."""
    headers = [(b"x-anthropic-beta", betas.encode())] if betas else []
    asked = decode_request(json.dumps({"model": "any", **body}).encode(), headers)
    encoded = encode_request(asked, Target(PROVIDER, model))
    assert encoded.headers == (STREAM_HEADERS if asked.stream else {})
    sent: Json = json.loads(encoded.body)
    bedrock_accepts(sent, stream=asked.stream)
    return sent


def chat(*messages: Json, **more: Any) -> Json:
    return {"messages": list(messages or [HI]), **more}


def tool(name: str, **more: Any) -> Json:
    return {"type": "function", "function": {"name": name, "parameters": SCHEMA, **more}}


def spec(name: str) -> Json:
    return {"toolSpec": {"name": name, "inputSchema": {"json": SCHEMA}}}


def schema_format(name: str = "answer", **more: Any) -> Json:
    return {"type": "json_schema", "json_schema": {"name": name, "schema": SCHEMA, **more}}


def output(schema: Json, **more: Any) -> Json:
    told = {"schema": json.dumps(schema, separators=(",", ":")), "name": "answer", **more}
    return {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": told}}}


GUARDRAIL = {"guardrailIdentifier": "abc123", "guardrailVersion": "1", "trace": "enabled"}
ONE_CALL = {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}
NAMED = {"type": "function", "function": {"name": "b"}}
TOOLS = {"tools": [tool("a"), tool("b")]}
SPECS = [spec("a"), spec("b")]

TABLE: list[tuple[str, Json, Json]] = [
    (LLAMA, {}, {}),
    (
        LLAMA,
        {"max_tokens": 9, "temperature": 1.5, "top_p": 0.5, "top_k": 3, "stop": "\n"},
        {"inferenceConfig": {
            "maxTokens": 9, "temperature": 1, "topP": 0.5, "stopSequences": ["\n"]
        }},
    ),
    (CLAUDE, {"stop": ["\n", "END", ""]}, {"inferenceConfig": {"stopSequences": ["END"]}}),
    (CLAUDE, {"stop": " "}, {}),
    (CLAUDE, {"max_completion_tokens": 7}, {"inferenceConfig": {"maxTokens": 7}}),
    (CLAUDE, {"top_k": 3}, {"additionalModelRequestFields": {"top_k": 3}}),
    (NEW, {"temperature": 0.5, "top_p": 0.5, "top_k": 3}, {}),
    (CLAUDE, TOOLS, {"toolConfig": {"tools": SPECS}}),
    (
        CLAUDE,
        TOOLS | {"tool_choice": "required", "parallel_tool_calls": False},
        {"toolConfig": {"tools": SPECS, "toolChoice": {"any": {}}}},
    ),
    (
        CLAUDE,
        TOOLS | {"tool_choice": NAMED},
        {"toolConfig": {"tools": SPECS, "toolChoice": {"tool": {"name": "b"}}}},
    ),
    (CLAUDE, TOOLS | {"tool_choice": "none"}, {}),
    (
        CLAUDE,
        TOOLS | {"parallel_tool_calls": False},
        {"toolConfig": {"tools": SPECS}, "additionalModelRequestFields": ONE_CALL},
    ),
    (OLD, TOOLS | {"parallel_tool_calls": False}, {"toolConfig": {"tools": SPECS}}),
    (CLAUDE, {"parallel_tool_calls": False}, {}),
    (CLAUDE, {"response_format": schema_format()}, {"outputConfig": output(CLOSED)}),
    (
        NOVA,
        {"response_format": schema_format(description="Of it.")},
        {"outputConfig": output(SCHEMA, description="Of it.")},
    ),
    (OLD, {"response_format": schema_format()}, {}),
    (CLAUDE, {"response_format": {"type": "json_schema", "json_schema": None}}, {}),
    (
        CLAUDE,
        {"reasoning": {"max_tokens": 2000}},
        {
            "inferenceConfig": {"maxTokens": 64_000},
            "additionalModelRequestFields": {
                "thinking": {"type": "enabled", "budget_tokens": 2000}
            },
        },
    ),
    (
        NEW,
        {"reasoning": {"effort": "low"}, "response_format": schema_format()},
        {
            "additionalModelRequestFields": {
                "thinking": {"type": "adaptive", "display": "summarized"}
            },
            "outputConfig": output(CLOSED) | {"effort": "low"},
        },
    ),
    (
        NOVA,
        {"reasoning": {"effort": "high"}, "temperature": 0.5},
        {
            "additionalModelRequestFields": {
                "reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}
            }
        },
    ),
    (
        OSS,
        {"reasoning_effort": "low"},
        {"additionalModelRequestFields": {"reasoning_effort": "low"}},
    ),
    (LLAMA, {"guardrailConfig": GUARDRAIL}, {"guardrailConfig": GUARDRAIL}),
    (
        LLAMA,
        {"guardrail_config": GUARDRAIL | {"streamProcessingMode": "async", "novelty": 1}},
        {"guardrailConfig": GUARDRAIL},
    ),
    (
        LLAMA,
        {"guardrail_config": GUARDRAIL | {"streamProcessingMode": "async"}, "stream": True},
        {"guardrailConfig": GUARDRAIL | {"streamProcessingMode": "async"}},
    ),
    (
        LLAMA,
        {"performance_config": {"latency": "optimized"}, "service_tier": "flex"},
        {"performanceConfig": {"latency": "optimized"}, "serviceTier": {"type": "flex"}},
    ),
    (LLAMA, {"service_tier": "auto"}, {}),
    (
        LLAMA,
        {"metadata": {"team": "a b", "ünknown": "x", "o": "ö", "n": None, "": "x", "l": "x" * 257}},
        {"requestMetadata": {"team": "a b"}},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("model", "said", "wanted"), TABLE, ids=str)
def test_requests(model: str, said: Json, wanted: Json) -> None:
    assert ask(chat(**said), model) == {"messages": SAID, **wanted}


def test_betas_are_claudes() -> None:
    wanted = {"anthropic_beta": ["context-1m-2025-08-07", "x-1"]}
    sent = ask(chat(), betas="context-1m-2025-08-07, x-1")
    assert sent["additionalModelRequestFields"] == wanted
    assert ask(chat(), LLAMA, betas="x-1") == {"messages": SAID}


def test_labels_are_no_more_than_allowed() -> None:
    sent = ask(chat(metadata={f"k{n}": "v" for n in range(16)}))
    assert list(sent["requestMetadata"]) == [f"k{n}" for n in range(16)]


@pytest.mark.parametrize(("parts", "messages"), [(20_000, 1), (1, 20_000), (100, 200)])
def test_any_number_of_caching_marks_costs_one_look(parts: int, messages: int) -> None:
    """Each that was taken away by itself made this a minute, in which nobody else was served."""
    mark = {"cache_control": {"type": "ephemeral"}}
    content = [{"type": "text", "text": "x", **mark}] * parts
    sent = ask(chat(*[{"role": "user", "content": content}] * messages))
    blocks = [block for turn in sent["messages"] for block in turn["content"]]
    assert blocks[:-8] == [{"text": "x"}] * (parts * messages - 4)
    assert blocks[-8:] == [{"text": "x"}, {"cachePoint": {"type": "default"}}] * 4


def test_only_the_last_caching_marks_stay() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    parts = [{"type": "text", "text": str(n), **mark} for n in range(3)]
    messages = [{"role": "system", "content": parts[:1]}, {"role": "user", "content": parts}]
    sent = ask(chat(*messages, tools=[tool("a") | mark]))
    point = {"cachePoint": {"type": "default"}}
    assert sent["toolConfig"]["tools"] == [spec("a")]
    assert sent["system"] == [{"text": "0"}, point]
    assert sent["messages"][0]["content"].count(point) == 3


def test_a_mark_of_the_whole_request_stands_at_its_end() -> None:
    marked = chat(cache_control={"type": "ephemeral", "ttl": "1h"})
    content = [*SAID[0]["content"], {"cachePoint": {"type": "default", "ttl": "1h"}}]
    assert ask(marked) == {"messages": [{"role": "user", "content": content}]}
    assert ask(marked, LLAMA) == {"messages": SAID}


def test_a_body_that_is_no_json() -> None:
    asked = decode_request(json.dumps({"model": "any", **chat()}).encode())
    asked.body["messages"] = [{"role": "user", "content": "\ud800"}]
    with pytest.raises(GatewayError) as error:
        encode_request(asked, Target(PROVIDER, CLAUDE))
    assert error.value.kind == "invalid_request"


def test_a_schema_with_a_number_of_any_size() -> None:
    schema = {"type": "object", "const": 2**70}
    wish = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    assert ask(chat(response_format=wish), LLAMA)["outputConfig"] == output(schema)


@pytest.mark.parametrize(
    ("model", "stream", "wanted"),
    [
        (CLAUDE, False, "/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse"),
        (LLAMA, True, "/model/us.meta.llama4-scout-17b-instruct-v1%3A0/converse-stream"),
        (
            "arn:aws:bedrock:us-east-1:000000000000:inference-profile/us.x-1",
            False,
            "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A000000000000%3Ainference-profile%2Fus.x-1/converse",
        ),
    ],
)  # fmt: skip
def test_paths(model: str, stream: bool, wanted: str) -> None:
    assert path(Target(PROVIDER, model), stream) == wanted


def test_what_is_expressed_are_parameters_of_a_chat() -> None:
    others = {"metadata", "service_tier", "cache_control"}
    assert EXPRESSES - others <= set(PARAMETERS)


# What gets lost on the way. Each of these holds.

MANY = {
    "frequency_penalty": 1, "presence_penalty": 1, "repetition_penalty": 1, "seed": 1, "n": 2,
    "logprobs": True, "top_logprobs": 2, "logit_bias": {"1": 1}, "min_p": 0.1, "top_a": 0.1,
    "user": "u", "prediction": {"type": "content", "content": "x"}, "modalities": ["text"],
}  # fmt: skip
ANSWER = {"role": "assistant", "content": "so"}
CALLED = {
    "role": "assistant",
    "content": None,
    "tool_calls": [
        {"id": "a", "type": "function", "function": {"name": "a", "arguments": "not JSON"}}
    ],
}
FILE = {
    "type": "file",
    "file": {"filename": "Q4 (a_b).pdf", "file_data": "data:application/pdf;base64,QQ=="},
}
THOUGHT = {"type": "reasoning.text", "text": "hm", "signature": "s", "index": 0}
NATIVE = THOUGHT | {"format": "anthropic-claude-v1"}
CITED = {"type": "url_citation", "url_citation": {"url": "https://a.b", "title": "a"}}
PNG_URL = f"data:image/png;base64,{PNG}"
PICTURE = {"type": "image_url", "image_url": {"url": PNG_URL}}


def last(sent: Json) -> Any:
    return sent["messages"][-1]["content"]


def second(sent: Json) -> Any:
    return sent["messages"][1]["content"]


LOSSES: list[tuple[str, Callable[[], Any], Any]] = [
    ("parameters without a counterpart", lambda: ask(chat(**MANY)), {"messages": SAID}),
    ("a temperature above 1", lambda: ask(chat(temperature=2))["inferenceConfig"],
     {"temperature": 1}),
    ("any JSON at all", lambda: ask(chat(response_format={"type": "json_object"})),
     {"messages": SAID}),
    ("the detail of a picture",
     lambda: last(ask(chat({"role": "user", "content": [
         {"type": "image_url", "image_url": {"url": PNG_URL, "detail": "high"}}]}))),
     [{"image": {"format": "png", "source": {"bytes": PNG}}}]),
    ("characters of a document's name",
     lambda: last(ask(chat({"role": "user", "content": [FILE]})))[0]["document"]["name"],
     "Q4 (a-b)"),
    ("where instructions stood",
     lambda: ask(chat(HI, {"role": "system", "content": "now"}))["system"], [{"text": "now"}]),
    ("arguments that are no JSON",
     lambda: second(ask(chat(HI, CALLED)))[0]["toolUse"]["input"], {}),
    ("no call at all, where calls were made",
     lambda: ask(chat(HI, CALLED, tools=[tool("a")], tool_choice="none"))["toolConfig"],
     {"tools": [spec("a")]}),
    ("a choice of some tools",
     lambda: ask(chat(**TOOLS, tool_choice={"type": "allowed_tools", "allowed_tools": {
         "mode": "required", "tools": [NAMED]}}))["toolConfig"]["toolChoice"], {"any": {}}),
    ("parallel calls switched off beside a choice",
     lambda: "additionalModelRequestFields" in
     ask(chat(**TOOLS, tool_choice=NAMED, parallel_tool_calls=False)), False),
    ("thinking of one who has to call",
     lambda: "additionalModelRequestFields" in
     ask(chat(**TOOLS, tool_choice="required", reasoning={"effort": "high"})), False),
    ("reasoning without its details",
     lambda: second(ask(chat(HI, ANSWER | {"reasoning": "hm"}, HI))), [{"text": "so"}]),
    ("reasoning of other models",
     lambda: second(ask(chat(HI, ANSWER | {"reasoning_details": [NATIVE]}, HI), OSS)),
     [{"text": "so"}]),
    ("reasoning that other providers made",
     lambda: second(ask(chat(HI, ANSWER | {"reasoning_details": [
         THOUGHT | {"format": "google-gemini-v1"}]}, HI))), [{"text": "so"}]),
    ("an answer's citations and pictures",
     lambda: second(ask(chat(HI, ANSWER | {"annotations": [CITED], "images": [PICTURE]}, HI))),
     [{"text": "so"}]),
    ("an hour of caching on models that do not keep it so long",
     lambda: last(ask(chat({"role": "user", "content": [
         {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]}),
         OLD))[1],
     {"cachePoint": {"type": "default"}}),
    ("caching on models without it",
     lambda: last(ask(chat({"role": "user", "content": [
         {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]}), LLAMA)),
     [{"text": "a"}]),
    ("whose model hides behind a profile of one's own",
     lambda: ask(chat(top_k=3), "arn:aws:bedrock:us-east-1:000000000000:"
                 "application-inference-profile/abc"), {"messages": SAID}),
    ("the highest effort of Nova, where the answer has a limit",
     lambda: ask(chat(max_tokens=9, reasoning={"effort": "high"}), NOVA)[
         "additionalModelRequestFields"]["reasoningConfig"]["maxReasoningEffort"], "medium"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("lose", "left"), [one[1:] for one in LOSSES], ids=[one[0] for one in LOSSES]
)
def test_losses(lose: Callable[[], Any], left: Any) -> None:
    assert lose() == left


# Recorded traffic.


def inlined(value: Any) -> Any:
    """Attachments by address as the pipeline hands them on: as data."""
    if isinstance(value, dict):
        return {
            key: f"data:image/png;base64,{PNG}"
            if key == "url" and isinstance(one, str) and one.startswith("http")
            else inlined(one)
            for key, one in value.items()
        }
    return [inlined(one) for one in value] if isinstance(value, list) else value


@pytest.mark.wire
@pytest.mark.parametrize("model", [CLAUDE, OLD, NEW, NOVA, OSS, LLAMA])
def test_every_recorded_request_is_accepted(model: str) -> None:
    counts: Counter[str] = Counter()
    for name, recorded in asked():
        if recorded is None:
            counts["not_supported"] += 1
            continue
        try:
            whole = replace(recorded, body=inlined(recorded.body))
            sent = json.loads(encode_request(whole, Target(PROVIDER, model)).body)
            bedrock_accepts(sent, stream=recorded.stream)
        except GatewayError as error:
            counts[error.kind] += 1
        except Exception as error:
            error.add_note(name)
            raise
        else:
            counts["accepted"] += 1
    assert counts.total() == 387
    assert counts["not_supported"] == 6, "OpenRouter's own tools"
    assert counts["provider_unfit"] <= 5, "audio and video"
    assert counts.keys() <= {"accepted", "not_supported", "provider_unfit"}


HEAD = Head(id="gen-1-test", created=1, model="test/model", provider="Test")


def own_blocks(recording: Recording) -> list[Json]:
    """The blocks that were recorded, as a whole answer has them; citations as the text they are of,
    and without what only an answer says.
    """
    if recording.row["kind"] == "json":
        content = json.loads(recording.body)["output"]["message"]["content"]
        return list(chain.from_iterable(plain(block) for block in content))
    decoded = root() / recording.row["dir"] / "response.events.jsonl"
    if recording.row["kind"] == "eventstream":
        events = [json.loads(line) for line in decoded.read_text().splitlines()]
        said = [(event["headers"][":event-type"], event["payload"]) for event in events]
    else:
        lines = recording.body.decode().splitlines()
        objects = (json.loads(line[6:]) for line in lines if line.startswith("data: "))
        said = [one for event in objects for one in event.items()]
    blocks: dict[int, Json] = {}
    for name, told in said:
        block = blocks.setdefault(told.get("contentBlockIndex", -1), {})
        if name == "contentBlockStart":
            for kind, start in told["start"].items():
                rest: Json = {"content": []} if kind == "toolResult" else {"input": ""}
                block[kind] = {**start, **rest}
        elif name == "contentBlockDelta":
            for kind, piece in told["delta"].items():
                grow(block, kind, piece)
    for block in blocks.values():
        if "toolUse" in block:
            block["toolUse"]["input"] = json.loads(block["toolUse"]["input"] or "{}")
    del blocks[-1]
    return list(chain.from_iterable(plain(blocks[place]) for place in sorted(blocks)))


def grow(block: Json, kind: str, piece: Any) -> None:
    if kind == "text":
        block["text"] = block.get("text", "") + piece
    elif kind == "toolUse":
        block["toolUse"]["input"] += piece["input"]
    elif kind == "toolResult":
        block["toolResult"]["content"] += piece
    elif "redactedContent" in piece:
        block["reasoningContent"] = piece
    elif kind == "reasoningContent":
        text = block.setdefault(kind, {"reasoningText": {"text": ""}})["reasoningText"]
        for key, value in piece.items():
            text[key] = text.get(key, "") + value


def plain(block: Json) -> list[Json]:
    told: Any
    kind, told = next(iter(block.items()), ("text", ""))
    if kind == "citationsContent":
        return [{"text": piece["text"]} for piece in told["content"]]
    if kind == "toolUse" and told.get("type") == "tool_use":
        told = {key: value for key, value in told.items() if key != "type"}
    return [{kind: told}]


def folded(blocks: list[Json]) -> list[Json]:
    """The blocks in the order that a message keeps: thoughts and server tools, text, calls."""
    places = {"reasoningContent": 0, "toolResult": 0, "text": 1, "toolUse": 2}

    def place(block: Json) -> int:
        ((kind, told),) = block.items()
        return 0 if kind == "toolUse" and "type" in told else places[kind]

    out: list[Json] = []
    for block in sorted(blocks, key=place):
        if "text" in block and out and "text" in out[-1]:
            out[-1] = {"text": out[-1]["text"] + block["text"]}
        elif block != {"text": ""}:
            out.append(block)
    return out


def replayable(row: Row) -> bool:
    return (row["provider"], row["api"], row["status"]) == ("bedrock", "converse", 200)


@pytest.mark.wire
def test_recorded_answers_go_back_as_they_came() -> None:
    """Signatures, redacted thoughts, calls and server tools; the thoughts of those who do not sign
    them are left out, and text that a filter left blank.
    """
    counts: Counter[str] = Counter()
    for row in filter(replayable, index()):
        recording = load(row)
        if row["kind"] == "json":
            events = decode_answer(recording.body, Quirks())
        else:
            stream = decoder(Quirks())
            events = [*stream.feed(recording.body), *stream.end()]
        answer = encode_answer(events, HEAD, ASK, BILL).body
        message = json.loads(answer)["choices"][0]["message"]
        model = row["model"] if "." in row["model"] else CLAUDE  # fixtures name none
        sent = ask(chat(HI, message, HI, tools=[tool("a")]), model)
        wanted = [
            block
            for block in folded(own_blocks(recording))
            if "signature" in block.get("reasoningContent", {}).get("reasoningText", block)
            or "reasoningText" not in block.get("reasoningContent", {})
        ]
        got = sent["messages"][1]["content"] if len(sent["messages"]) > 2 else []
        assert got == wanted, row["dir"]
        counts.update({kind for block in got for kind in block})
        counts["answers"] += 1
    assert counts["answers"] == 69
    assert counts["reasoningContent"] >= 5
    assert counts["toolUse"] >= 15
    assert counts["toolResult"] >= 4
