"""Requests to the simulated provider in every dialect, and what its answers say, read by hand."""

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from typing import Any

from proxy.upstream.fake.ask import Ask, Request
from proxy.upstream.fake.faults import flow_of, play
from proxy.upstream.fake.mangle import Head, Scene, Step
from proxy.upstream.fake.manner import Manner
from proxy.upstream.fake.manners.anthropic import Anthropic
from proxy.upstream.fake.manners.anthropic import Vertex as VertexAnthropic
from proxy.upstream.fake.manners.azure import Azure
from proxy.upstream.fake.manners.bedrock import Bedrock
from proxy.upstream.fake.manners.chat import Chat
from proxy.upstream.fake.manners.cohere import Cohere
from proxy.upstream.fake.manners.gemini import Gemini
from proxy.upstream.fake.manners.gemini import Vertex as VertexGemini
from proxy.upstream.fake.manners.responses import Responses
from proxy.upstream.fake.reply import Reply
from proxy.upstream.fake.scenario import Answer, Rule
from proxy.upstream.fake.seals import Seal
from proxy.wire.frames import Splitter

Data = dict[str, Any]
MANNERS: dict[str, Manner] = {
    manner.name: manner
    for manner in (
        Chat(),
        Azure(),
        Anthropic(),
        VertexAnthropic(),
        Gemini(),
        VertexGemini(),
        Cohere(),
        Bedrock(),
        Responses(),
    )
}
QUERIES = {"azure": "api-version=2024-10-21", "gemini": "alt=sse"}
PLACE = "/v1/projects/p/locations/l/publishers"
CITY: Data = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
OPEN_CITY = {key: value for key, value in CITY.items() if key != "additionalProperties"}
SEAL = Seal(1)


@dataclass(frozen=True)
class Wish:
    """What a request asks for, in no dialect. `turns` are native messages behind the first one."""

    text: str = "hi there"
    model: str = "weir/lorem"
    stream: bool = False
    tools: tuple[str, ...] = ()
    must: bool = False
    limit: int | None = None
    stop: tuple[str, ...] = ()
    structured: bool = False
    turns: tuple[Data, ...] = ()
    more: Data = field(default_factory=dict)


def request(dialect: str, wish: Wish) -> Request:
    """The request for `wish`."""
    path, body, headers = _NATIVE[dialect](wish)
    query = QUERIES.get(dialect.removeprefix("vertex-"), "")
    data = json.dumps(body | wish.more).encode()
    return Request("POST", path, headers, data, raw_path="", query=query)


def ask(dialect: str, wish: Wish) -> Ask:
    """What the simulated provider reads in it."""
    return MANNERS[dialect].decode(request(dialect, wish), SEAL)


def reply(dialect: str, wish: Wish, answer: Answer | None = None, *, mute: bool = False) -> Reply:
    """Its answer."""
    asked = ask(dialect, wish)
    return Reply(asked, answer or Answer(), Random(1), 5, seal=SEAL, mute=mute)


def whole(dialect: str, wish: Wish, answer: Answer | None = None) -> Data:
    """Its whole answer."""
    return MANNERS[dialect].whole(reply(dialect, wish, answer))


def steps(dialect: str, wish: Wish, rule: Rule, *, tokens: int = 4) -> list[Step]:
    """The first steps of its response under `rule`."""
    answer = flow_of(rule, Answer(tokens=tokens))
    said = reply(dialect, wish, answer, mute=rule.fault == "no-content")
    scene = Scene(rule, MANNERS[dialect], said, Random(2))
    return list(islice(play(scene, answer, stream=wish.stream, credential="sk-mine"), 3000))


def body_of(made: list[Step]) -> bytes:
    """The bytes among the steps."""
    return b"".join(step for step in made if isinstance(step, bytes))


def head_of(made: list[Step]) -> Head:
    """The head among them."""
    (found,) = (step for step in made if isinstance(step, Head))
    return found


def frames(dialect: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    """The events of a stream, each with its name."""
    if not MANNERS[dialect].binary:
        splitter = Splitter()
        for frame in [*splitter.feed(data), *splitter.end()]:
            yield frame.name, bytes(frame.data)
        return
    while data:
        total, headers = struct.unpack(">II", data[:8])
        assert struct.unpack(">I", data[8:12]) == (zlib.crc32(data[:8]),)
        assert struct.unpack(">I", data[total - 4 : total]) == (zlib.crc32(data[: total - 4]),)
        yield _event_type(data[12 : 12 + headers]), data[12 + headers : total - 4]
        data = data[total:]


def _event_type(block: bytes) -> str:
    found = {}
    while block:
        name, block = block[1 : 1 + block[0]], block[1 + block[0] :]
        (length,) = struct.unpack(">xH", block[:3])
        found[name.decode()] = block[3 : 3 + length].decode()
        block = block[3 + length :]
    return found.get(":event-type") or found.get(":exception-type") or found[":message-type"]


def events(dialect: str, data: bytes) -> list[Data]:
    """The objects of a stream."""
    return [json.loads(e) | {"@": n} for n, e in frames(dialect, data) if e != b"[DONE]"]


def streamed(dialect: str, wish: Wish, answer: Answer | None = None) -> list[Data]:
    """Its answer as a stream's objects."""
    manner = MANNERS[dialect]
    made = manner.events(reply(dialect, wish, answer))
    return events(dialect, b"".join(manner.frame(e.name, manner.payload(e)) for e in made))


# Every dialect's request.


def _tools(wish: Wish) -> list[Data]:
    return [
        {"type": "function", "function": {"name": name, "parameters": CITY}} for name in wish.tools
    ]


def _given(**values: Any) -> Data:
    return {key: value for key, value in values.items() if value not in (None, [], (), {})}


def _chat(wish: Wish) -> tuple[str, Data, dict[str, str]]:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": CITY}}
    body = _given(
        model=wish.model,
        messages=[{"role": "user", "content": wish.text}, *wish.turns],
        tools=_tools(wish),
        tool_choice="required" if wish.must else None,
        max_completion_tokens=wish.limit,
        stop=list(wish.stop),
        response_format=wanted if wish.structured else None,
        stream_options={"include_usage": True},
    )
    return "/v1/chat/completions", body | {"stream": wish.stream}, {}


def _azure(wish: Wish) -> tuple[str, Data, dict[str, str]]:
    _, body, _ = _chat(wish)
    del body["model"]
    return f"/openai/deployments/{wish.model}/chat/completions", body, {"api-key": "k"}


def _anthropic(wish: Wish) -> tuple[str, Data, dict[str, str]]:
    tools = [{"name": name, "input_schema": CITY} for name in wish.tools]
    format_ = {"type": "json_schema", "schema": CITY}
    body = _given(
        model=wish.model,
        max_tokens=4096 if wish.limit is None else wish.limit,
        messages=[{"role": "user", "content": wish.text}, *wish.turns],
        tools=tools,
        tool_choice={"type": "any"} if wish.must else None,
        stop_sequences=list(wish.stop),
        output_config={"format": format_} if wish.structured else None,
    )
    return "/v1/messages", body | {"stream": wish.stream}, {"anthropic-version": "2023-06-01"}


def _vertex_anthropic(wish: Wish) -> tuple[str, Data, dict[str, str]]:
    _, body, _ = _anthropic(wish)
    del body["model"], body["stream"]
    verb = "streamRawPredict" if wish.stream else "rawPredict"
    version = {"anthropic_version": "vertex-2023-10-16"}
    return f"{PLACE}/anthropic/models/{wish.model}:{verb}", body | version, {}


def _gemini(wish: Wish) -> tuple[str, Data, dict[str, str]]:
    declared = [{"name": name, "parameters": OPEN_CITY} for name in wish.tools]
    config = _given(
        maxOutputTokens=wish.limit,
        stopSequences=list(wish.stop),
        responseMimeType="application/json" if wish.structured else None,
        responseSchema=OPEN_CITY if wish.structured else None,
        thinkingConfig={"includeThoughts": True},
    )
    body = _given(
        contents=[{"role": "user", "parts": [{"text": wish.text}]}, *wish.turns],
        tools=[{"functionDeclarations": declared}] if declared else [],
        toolConfig={"functionCallingConfig": {"mode": "ANY"}} if wish.must else None,
        generationConfig=config,
    )
    verb = "streamGenerateContent" if wish.stream else "generateContent"
    return f"/v1beta/models/{wish.model}:{verb}", body, {}


def _vertex_gemini(wish: Wish) -> tuple[str, Data, dict[str, str]]:
    path, body, headers = _gemini(wish)
    return path.replace("/v1beta", f"{PLACE}/google"), body, headers


def _cohere(wish: Wish) -> tuple[str, Data, dict[str, str]]:
    wanted = {"type": "json_object", "json_schema": CITY}
    body = _given(
        model=wish.model,
        messages=[{"role": "user", "content": wish.text}, *wish.turns],
        tools=_tools(wish),
        tool_choice="REQUIRED" if wish.must else None,
        max_tokens=wish.limit,
        stop_sequences=list(wish.stop),
        response_format=wanted if wish.structured else None,
    )
    return "/v2/chat", body | {"stream": wish.stream}, {}


def _bedrock(wish: Wish) -> tuple[str, Data, dict[str, str]]:
    tools = [{"toolSpec": {"name": n, "inputSchema": {"json": CITY}}} for n in wish.tools]
    calling = _given(tools=tools, toolChoice={"any": {"": 0}} if wish.must else None)
    structure = {"jsonSchema": {"schema": json.dumps(CITY)}}
    format_ = {"type": "json_schema", "structure": structure}
    body = _given(
        messages=[{"role": "user", "content": [{"text": wish.text}]}, *wish.turns],
        toolConfig=calling,
        inferenceConfig=_given(maxTokens=wish.limit, stopSequences=list(wish.stop)),
        outputConfig={"textFormat": format_} if wish.structured else None,
    )
    verb = "converse-stream" if wish.stream else "converse"
    return f"/model/{wish.model}/{verb}", body, {}


def _responses(wish: Wish) -> tuple[str, Data, dict[str, str]]:
    tools = [{"type": "function", "name": n, "parameters": CITY} for n in wish.tools]
    format_ = {"type": "json_schema", "name": "x", "schema": CITY}
    body = _given(
        model=wish.model,
        input=[{"role": "user", "content": wish.text}, *wish.turns],
        tools=tools,
        tool_choice="required" if wish.must else None,
        max_output_tokens=wish.limit,
        text={"format": format_} if wish.structured else None,
        reasoning={"summary": "auto"},
        include=["reasoning.encrypted_content"],
    )
    return "/v1/responses", body | {"stream": wish.stream}, {}


_NATIVE = {
    "chat": _chat,
    "azure": _azure,
    "anthropic": _anthropic,
    "vertex-anthropic": _vertex_anthropic,
    "gemini": _gemini,
    "vertex-gemini": _vertex_gemini,
    "cohere": _cohere,
    "bedrock": _bedrock,
    "responses": _responses,
}
