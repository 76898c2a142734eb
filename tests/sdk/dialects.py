"""The dialects that providers of these tests speak: how the gateway is told, and what it asked.

A request in any of them is read into one form, `Asked`, by the providers' own references and not by
the gateway's code, so that a scenario can say what has to arrive without knowing in which words.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

JSONObject = dict[str, Any]


class Asked(NamedTuple):
    """What a provider was asked. `turns` are roles, `tool` once for each result; `calls` are the
    assistant's (id or None, name), `results` the words of tools, `images` URLs, of data or others,
    `thoughts` how many of its own a provider was shown again.
    """

    model: str
    stream: bool
    max_tokens: int | None
    turns: list[str]
    calls: list[tuple[str | None, str]]
    results: list[str]
    images: list[str]
    schema: JSONObject | None
    thoughts: int


class Dialect(NamedTuple):
    """`root` is what a base URL ends with, `options` what a provider's row has beside it; `read`
    takes a request's path (as it was sent) and its decoded body. Its models have the names of real
    families, where those tell what may be asked of them.
    """

    read: Callable[[str, JSONObject], Asked]
    root: str = ""
    options: Mapping[str, str] = {}
    names: str = "weir/{}"

    def model(self, name: str) -> str:
        """The provider's name for the model that answers so."""
        return self.names.format(name)

    def row(self, name: str) -> str:
        """What a provider's row of the configuration says of it."""
        options = ", ".join(f'{key} = "{value}"' for key, value in self.options.items())
        said = f"options = {{ {options} }}\n" if options else ""
        return f'dialect = "{name}"\nauth = "bearer"\n{said}'


def _between(path: str, before: str, after: str) -> str:
    """The model in a path."""
    return unquote(path.split(before, 1)[1].split(after, 1)[0])


def _parts(messages: Iterable[JSONObject], key: str) -> list[tuple[str, JSONObject]]:
    """(role, part) of all messages; a text for itself is a part."""
    return [
        (message["role"], part)
        for message in messages
        for part in (
            [{"text": message[key]}]
            if isinstance(message.get(key), str)
            else message.get(key) or []
        )
    ]


def _turns(pieces: Iterable[tuple[str, bool]]) -> list[str]:
    """The turns that (role, is a tool's result) make: results are turns, others join their like."""
    turns: list[str] = []
    for role, result in pieces:
        turn = "tool" if result else {"model": "assistant"}.get(role, role)
        if result or turns[-1:] != [turn]:
            turns.append(turn)
    return turns


def read_chat(path: str, body: JSONObject) -> Asked:
    """OpenAI's chat completions, and Cohere's chat, whose messages have the same form."""
    messages = body["messages"]
    parts = _parts(messages, "content")
    format_ = body.get("response_format", {}).get("json_schema")
    return Asked(
        model=body["model"],
        stream=body.get("stream", False),
        max_tokens=body.get("max_tokens"),
        turns=_turns((one["role"], one["role"] == "tool") for one in messages),
        calls=[
            (call["id"], call["function"]["name"])
            for one in messages
            for call in one.get("tool_calls") or ()
        ],
        results=[part["text"] for role, part in parts if role == "tool" and "text" in part],
        images=[part["image_url"]["url"] for _, part in parts if "image_url" in part],
        schema=format_.get("schema", format_) if format_ else None,
        thoughts=sum(part.get("type") == "thinking" for _, part in parts),
    )


def read_azure(path: str, body: JSONObject) -> Asked:
    """The same, of a deployment."""
    return read_chat(path, body)._replace(model=_between(path, "/deployments/", "/chat"))


def read_responses(path: str, body: JSONObject) -> Asked:
    """OpenAI's Responses."""
    items = [item for item in body["input"] if item.get("type") != "reasoning"]
    calls = [item for item in items if item.get("type") == "function_call"]
    results = [item for item in items if item.get("type") == "function_call_output"]
    parts = _parts([item for item in items if "role" in item], "content")
    return Asked(
        model=body["model"],
        stream=body.get("stream", False),
        max_tokens=body.get("max_output_tokens"),
        turns=_turns((item.get("role", "assistant"), item in results) for item in items),
        calls=[(call["call_id"], call["name"]) for call in calls],
        results=[result["output"] for result in results],
        images=[part["image_url"] for _, part in parts if "image_url" in part],
        schema=body.get("text", {}).get("format", {}).get("schema"),
        thoughts=len(body["input"]) - len(items),
    )


def read_anthropic(path: str, body: JSONObject) -> Asked:
    """Anthropic's Messages."""
    parts = _parts(body["messages"], "content")
    results = [part for _, part in parts if part.get("type") == "tool_result"]
    sources = [part["source"] for _, part in parts if part.get("type") == "image"]
    return Asked(
        model=body["model"],
        stream=body.get("stream", False),
        max_tokens=body["max_tokens"],
        turns=_turns((role, part in results) for role, part in parts),
        calls=[(part["id"], part["name"]) for _, part in parts if part.get("type") == "tool_use"],
        results=[
            part["text"]
            for _, part in _parts([{"role": "", **result} for result in results], "content")
            if "text" in part
        ],
        images=[
            one["url"] if one["type"] == "url" else _data(one["media_type"], one["data"])
            for one in sources
        ],
        schema=body.get("output_config", {}).get("format", {}).get("schema"),
        thoughts=sum(part["type"].endswith("thinking") for _, part in parts if "type" in part),
    )


def read_gemini(path: str, body: JSONObject) -> Asked:
    """Gemini's generateContent, at AI Studio and at Vertex."""
    parts = _parts(body["contents"], "parts")
    config = body.get("generationConfig", {})
    calls = [part["functionCall"] for _, part in parts if "functionCall" in part]
    inline = [part["inlineData"] for _, part in parts if "inlineData" in part]
    return Asked(
        model=_between(path, "/models/", ":"),
        stream=":streamGenerateContent" in path,
        max_tokens=config.get("maxOutputTokens"),
        turns=_turns((role, "functionResponse" in part) for role, part in parts),
        calls=[(call.get("id"), call["name"]) for call in calls],
        results=[
            "".join(part["functionResponse"]["response"].values())
            for _, part in parts
            if "functionResponse" in part
        ],
        images=[_data(one["mimeType"], one["data"]) for one in inline],
        schema=config.get("responseJsonSchema"),
        thoughts=sum("thoughtSignature" in part for _, part in parts),
    )


def read_bedrock(path: str, body: JSONObject) -> Asked:
    """Bedrock's Converse."""
    parts = _parts(body["messages"], "content")
    calls = [part["toolUse"] for _, part in parts if "toolUse" in part]
    results = [part["toolResult"] for _, part in parts if "toolResult" in part]
    images = [part["image"] for _, part in parts if "image" in part]
    format_ = body.get("outputConfig", {}).get("textFormat")
    return Asked(
        model=_between(path, "/model/", "/converse"),
        stream=path.endswith("/converse-stream"),
        max_tokens=body.get("inferenceConfig", {}).get("maxTokens"),
        turns=_turns((role, "toolResult" in part) for role, part in parts),
        calls=[(call["toolUseId"], call["name"]) for call in calls],
        results=[part["text"] for one in results for part in one["content"] if "text" in part],
        images=[_data(f"image/{one['format']}", one["source"]["bytes"]) for one in images],
        schema=json.loads(format_["structure"]["jsonSchema"]["schema"]) if format_ else None,
        thoughts=sum("reasoningContent" in part for _, part in parts),
    )


def _data(mime: str, data: str) -> str:
    return f"data:{mime};base64,{data}"


DIALECTS: Final[Mapping[str, Dialect]] = {
    "openai": Dialect(read_chat, "/v1"),
    "responses": Dialect(read_responses, "/v1", names="weir/gpt-5-{}"),
    "anthropic": Dialect(read_anthropic, names="weir/claude-sonnet-4-5-{}"),
    "gemini": Dialect(read_gemini, names="weir/gemini-3-flash-{}"),
    "vertex": Dialect(
        read_gemini,
        options={"project": "weir-1", "location": "europe-north1"},
        names="weir/gemini-2.5-flash-{}",
    ),
    "bedrock": Dialect(
        read_bedrock,
        options={"region": "eu-north-1"},
        names="weir/anthropic.claude-sonnet-4-5-{}",
    ),
    "azure": Dialect(read_azure, options={"api_version": "2025-04-01-preview"}),
    "cohere": Dialect(read_chat, names="weir/command-a-{}"),
}
