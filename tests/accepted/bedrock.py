"""Whether Bedrock would accept a body, by botocore's model of Converse and AWS's written rules.

Shares nothing with `proxy`.
"""

import base64
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.session
from botocore.model import Shape
from botocore.validate import ParamValidator

Json = dict[str, Any]


def bedrock_accepts(body: Json, *, stream: bool = False) -> None:
    """Fails, saying why, for a body that Converse (or ConverseStream) would refuse."""
    shape = _input("ConverseStream" if stream else "Converse")
    params = {"modelId": "any.model"} | _decoded(body, shape, "body")
    report = ParamValidator().validate(params, shape)
    assert not report.has_errors(), report.generate_report()
    _check_turns(body["messages"])
    _check_texts(body)
    _check_tools(body)
    points = [block for block in _all_blocks(body) if "cachePoint" in block]
    assert len(points) <= 4, "too many cache points"
    thinking = body.get("additionalModelRequestFields", {}).get("thinking", {})
    if thinking.get("type") == "enabled":
        assert 1024 <= thinking["budget_tokens"] < body["inferenceConfig"]["maxTokens"]


@cache
def _input(operation: str) -> Shape:
    model = botocore.session.get_session().get_service_model("bedrock-runtime")
    shape = model.operation_model(operation).input_shape
    assert shape is not None
    return shape


def _decoded(value: Any, shape: Any, where: str) -> Any:
    """`value` with its base64 as bytes, which botocore wants; what its validator leaves out (enums,
    patterns, the most of everything) is checked on the way.
    """
    if shape.metadata.get("document"):
        return value
    match shape.type_name:
        case "structure":
            assert isinstance(value, dict), where
            return {
                key: _decoded(one, shape.members[key], f"{where}.{key}")
                if key in shape.members
                else one
                for key, one in value.items()
            }
        case "list":
            assert isinstance(value, list), where
            _check_size(len(value), shape.metadata, where)
            return [_decoded(one, shape.member, f"{where}[{n}]") for n, one in enumerate(value)]
        case "map":
            assert isinstance(value, dict), where
            _check_size(len(value), shape.metadata, where)
            return {
                _decoded(key, shape.key, where): _decoded(one, shape.value, f"{where}.{key}")
                for key, one in value.items()
            }
        case "blob":
            data = base64.b64decode(value, validate=True)
            _check_size(len(data), shape.metadata, where)
            return data
        case "string":
            assert isinstance(value, str), where
            _check_size(len(value), shape.metadata, where)
            assert not shape.enum or value in shape.enum, f"{where}: {value}"
            pattern = shape.metadata.get("pattern")
            assert pattern is None or re.fullmatch(pattern, value), f"{where}: {value}"
        case "integer" | "float" | "long" | "double":
            _check_size(value, shape.metadata, where)
    return value


def _check_size(size: float, metadata: Json, where: str) -> None:
    assert metadata.get("min", size) <= size <= metadata.get("max", size), f"{where}: {size}"


def _all_blocks(body: Json) -> Iterator[Json]:
    yield from body.get("toolConfig", {}).get("tools", ())
    yield from body.get("system", ())
    for message in body["messages"]:
        yield from message["content"]


def _check_turns(messages: list[Json]) -> None:
    """User and assistant take turns, the user first; each call has its result in the next turn,
    before all else; only users attach things; documents have names of their own and a text.
    """
    roles = [message["role"] for message in messages]
    assert roles == [("user", "assistant")[n % 2] for n in range(len(roles))], roles
    waiting: list[str] = []
    ids: Counter[str] = Counter()
    names: Counter[str] = Counter()
    for message in messages:
        blocks = message["content"]
        assert blocks, "an empty message"
        own = [one["toolUse"]["toolUseId"] for one in blocks if "toolUse" in one]
        server = [one["toolUse"]["toolUseId"] for one in blocks if "type" in one.get("toolUse", {})]
        ids.update(own)
        results = [one["toolResult"]["toolUseId"] for one in blocks if "toolResult" in one]
        if message["role"] == "user":
            assert not own, "a call of the user"
            assert sorted(results) == sorted(waiting), "calls without results, or the other way"
            kinds = [next(iter(one)) for one in blocks if "cachePoint" not in one]
            assert all(kind == "toolResult" for kind in kinds[: len(results)]), kinds
            documents = [one["document"] for one in blocks if "document" in one]
            names.update(one["name"] for one in documents)
            assert not documents or any(one.get("text", "").strip() for one in blocks)
        else:
            assert results == server, "results of the model's own tools alone"
            kinds = [next(iter(one)) for one in blocks]
            assert not {"image", "document", "video", "audio"} & set(kinds), kinds
            waiting = [id_ for id_ in own if id_ not in server]
    assert not waiting or messages[-1]["role"] == "user"
    assert max(ids.values(), default=1) == 1, "an id twice"
    assert max(names.values(), default=1) == 1, "a document's name twice"
    for name in names:
        assert re.fullmatch(r"(?!.*\s\s)[A-Za-z0-9\s()\[\]-]{1,200}", name), name


def _check_texts(body: Json) -> None:
    """No text is blank, but for the one that parts a cache point from an attachment."""
    for blocks in (body.get("system", []), *(one["content"] for one in body["messages"])):
        assert "cachePoint" not in next(iter(blocks), {}), "a cache point with nothing before it"
        for block, following in zip(blocks, [*blocks[1:], {}], strict=False):
            assert not ("cachePoint" in block and "cachePoint" in following)
            if "text" in block:
                parting = block["text"] == "\n" and "cachePoint" in following
                assert block["text"].strip() or parting, "a blank text"
            for part in block.get("toolResult", {}).get("content", ()):
                assert part.get("text", "said").strip(), "a blank result"
    last = body["messages"][-1]
    if last["role"] == "assistant" and "text" in last["content"][-1]:
        assert last["content"][-1]["text"] == last["content"][-1]["text"].rstrip()


def _check_tools(body: Json) -> None:
    tools = body.get("toolConfig", {}).get("tools", [])
    used = any(one.keys() & {"toolUse", "toolResult"} for one in _all_blocks(body))
    assert tools or not used, "calls without tools"
    names = [one["toolSpec"]["name"] for one in tools if "toolSpec" in one]
    assert len(set(names)) == len(names), "a tool twice"
    wanted = body.get("toolConfig", {}).get("toolChoice", {}).get("tool", {}).get("name")
    assert wanted is None or wanted in names, "a choice that is no tool"
    for tool in tools:
        if "toolSpec" in tool:
            assert tool["toolSpec"]["inputSchema"]["json"]["type"] == "object"
