"""Requests to Anthropic's Messages API, refused in its own words where it would refuse them."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from proxy.upstream.fake.ask import (
    Ask,
    Function,
    JSONObject,
    Refused,
    Request,
    child,
    count_of,
    decode_object,
    names,
    rows,
    strings,
)
from proxy.upstream.fake.seals import Seal

_KEYS: Final = names(
    "model messages max_tokens system metadata stop_sequences stream temperature top_p top_k tools"
    " tool_choice thinking service_tier container context_management mcp_servers output_config"
    " output_format anthropic_version anthropic_beta inference_geo cache_control speed"
)
_MARKS_MAX = 4
_BUDGET_MIN = 1024
_ID: Final = re.compile(r"[a-zA-Z0-9_-]+")
_DOCS = "Please consult our documentation at https://docs.claude.com/en/docs/build-with-claude/"
_WANTS_THINKING = (
    "messages.{at}.content.0.type: Expected `thinking` or `redacted_thinking`, but found"
    " `{found}`. When `thinking` is enabled, a final `assistant` message must start with a thinking"
    " block (preceeding the lastmost set of `tool_use` and `tool_result` blocks)."
)


def decode_messages(request: Request, seal: Seal) -> Ask:
    """What `request` asks. Raises Refused in Anthropic's words.

    On Vertex the model and the stream are told by the path.
    """
    body = decode_object(request.body, "The request body is not valid JSON")
    vertex = re.search(r"/models/(.+):(rawPredict|streamRawPredict)$", request.path)
    if vertex:
        _expect(child({"_": body}, "_").get("anthropic_version"), "anthropic_version")
        body = body | {"model": vertex[1].partition("@")[0]}
    elif "anthropic-version" not in request.headers:
        raise Refused("anthropic-version: header is required")
    for key in body:
        if key not in _KEYS:
            raise Refused(f"{key}: Extra inputs are not permitted")
    for key in ("model", "messages", "max_tokens"):
        _expect(body.get(key), key)
    messages = [(m.get("role"), _blocks(m.get("content"))) for m in rows(body["messages"])]
    if not messages:
        raise Refused("messages: at least one message is required")
    system = _blocks(body.get("system"))
    enabled = child(body, "thinking").get("type") in ("enabled", "adaptive")
    thinks = _thinks(body, enabled=enabled)
    _check_texts("system", [system])
    _check_messages(messages)
    _check_calls(messages)
    _check_thoughts(messages, seal, demanded=enabled)
    functions = tuple(_functions(body.get("tools")))
    choice, named = _choice(child(body, "tool_choice"))
    if enabled and (named or choice == "required"):
        raise Refused("Thinking may not be enabled when tool_choice forces tool use.")
    texts, marks, attachments = _walked([system, *(blocks for _, blocks in messages)])
    if len(marks) > _MARKS_MAX:
        raise Refused(
            f"A maximum of 4 blocks with cache_control may be provided. Found {len(marks)}."
        )
    users = [blocks for role, blocks in messages if role == "user"]
    spoken = [text for text in (_said(blocks) for blocks in users) if text]
    schema = _schema(body)
    return Ask(
        model=str(body["model"]),
        body=body,
        stream=vertex[2] == "streamRawPredict" if vertex else body.get("stream") is True,
        tokens_max=count_of(body["max_tokens"]),
        texts=tuple(texts),
        said=spoken[-1] if spoken else "",
        results=_results(messages[-1][1]),
        attachments=tuple(attachments),
        functions=functions,
        choice=choice,
        named=named,
        parallel=child(body, "tool_choice").get("disable_parallel_tool_use") is not True,
        stop=strings(body.get("stop_sequences")),
        structured=schema is not None,
        schema=schema,
        thinks=thinks,
        marks=tuple(marks),
    )


def _expect(value: Any, key: str) -> None:
    if value is None:
        raise Refused(f"{key}: Field required")


def _blocks(content: Any) -> list[JSONObject]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else rows(content)


def _thinks(body: JSONObject, *, enabled: bool) -> bool:
    """Whether it will think: a model that reasons does unless that is switched off."""
    thinking = child(body, "thinking")
    if thinking.get("type") == "enabled":
        budget = count_of(thinking.get("budget_tokens"))
        _expect(budget, "thinking.enabled.budget_tokens")
        if (budget or 0) < _BUDGET_MIN:
            raise Refused(
                "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024"
            )
        if (budget or 0) >= (count_of(body.get("max_tokens")) or 0):
            raise Refused(
                "`max_tokens` must be greater than `thinking.budget_tokens`. "
                f"{_DOCS}extended-thinking#max-tokens-and-context-window-size"
            )
    temperature = body.get("temperature")
    if enabled and temperature not in (None, 1):
        raise Refused(
            "`temperature` may only be set to 1 when thinking is enabled. "
            f"{_DOCS}extended-thinking#important-considerations-when-using-extended-thinking"
        )
    if enabled and body.get("top_k") is not None:
        raise Refused("`top_k` must be unset when thinking is enabled.")
    if temperature is not None and not 0 <= temperature <= 1:
        raise Refused("temperature: range: 0..1")
    return "reason" in str(body["model"]) and thinking.get("type") != "disabled"


def _check_texts(where: str, messages: Iterable[list[JSONObject]]) -> None:
    for blocks in messages:
        for block in blocks:
            if block.get("type") == "text" and not str(block.get("text", "")):
                raise Refused(f"{where}: text content blocks must be non-empty")
            if block.get("type") == "text" and not str(block.get("text", "")).strip():
                raise Refused(f"{where}: text content blocks must contain non-whitespace text")


def _check_messages(messages: list[tuple[Any, list[JSONObject]]]) -> None:
    for at, (role, blocks) in enumerate(messages):
        if role == "system":
            raise Refused(
                'messages: Unexpected role "system". The Messages API accepts a top-level `system`'
                ' parameter, not "system" as an input message role.'
            )
        if role not in ("user", "assistant"):
            raise Refused(f"messages.{at}.role: Input should be 'user' or 'assistant'")
        if not blocks and (role == "user" or at < len(messages) - 1):
            raise Refused(
                f"messages.{at}: all messages must have non-empty content except for the optional"
                " final assistant message"
            )
    if messages[0][0] != "user":
        raise Refused('messages: first message must use the "user" role')
    _check_texts("messages", (blocks for _, blocks in messages))
    role, blocks = messages[-1]
    if role == "assistant" and _said(blocks) != _said(blocks).rstrip():
        raise Refused("messages: final assistant content cannot end with trailing whitespace")


def _ids(blocks: list[JSONObject], kind: str, key: str) -> list[str]:
    return [str(block.get(key)) for block in blocks if block.get("type") == kind]


def _check_calls(messages: list[tuple[Any, list[JSONObject]]]) -> None:
    """Every call has its result in the next message, and no result stands without its call."""
    owed: list[str] = []
    for at, (_, blocks) in enumerate(messages):
        results = _ids(blocks, "tool_result", "tool_use_id")
        for number, block in enumerate(blocks):
            found = str(block.get("tool_use_id"))
            if block.get("type") == "tool_result" and found not in owed:
                raise Refused(
                    f"messages.{at}.content.{number}: unexpected `tool_use_id` found in"
                    f" `tool_result` blocks: {found}. Each `tool_result` block must have a"
                    " corresponding `tool_use` block in the previous message."
                )
        if missing := [call for call in owed if call not in results]:
            raise Refused(
                f"messages.{at - 1}: `tool_use` ids were found without `tool_result` blocks"
                f" immediately after: {', '.join(missing)}. Each `tool_use` block must have a"
                " corresponding `tool_result` block in the next message."
            )
        owed = _ids(blocks, "tool_use", "id")
        for call in owed:
            if not _ID.fullmatch(call):
                raise Refused(
                    f"messages.{at}.content.0.tool_use.id: String should match pattern"
                    " '^[a-zA-Z0-9_-]+$'"
                )


def _check_thoughts(
    messages: list[tuple[Any, list[JSONObject]]], seal: Seal, *, demanded: bool
) -> None:
    for at, (_, blocks) in enumerate(messages):
        for number, block in enumerate(blocks):
            where = f"messages.{at}.content.{number}: Invalid"
            if block.get("type") == "redacted_thinking":
                raise Refused(f"{where} `data` in `redacted_thinking` block")
            if block.get("type") == "thinking" and not seal.holds(
                block.get("signature"), str(block.get("thinking"))
            ):
                raise Refused(f"{where} `signature` in `thinking` block")
    last = len(messages) - 2  # the turn that the results at the end belong to
    if demanded and last >= 0 and _ids(messages[-1][1], "tool_result", "tool_use_id"):
        found = messages[last][1][0].get("type")
        if found != "thinking":
            raise Refused(_WANTS_THINKING.format(at=last, found=found))


def _walked(messages: list[list[JSONObject]]) -> tuple[list[str], list[int], list[str]]:
    """The texts in their order, where the cache marks stand between them, and the attachments."""
    texts: list[str] = []
    marks: list[int] = []
    attachments: list[str] = []
    for block in (block for blocks in messages for block in blocks):
        inner = _blocks(block.get("content")) if block.get("type") == "tool_result" else [block]
        texts += [str(part["text"]) for part in inner if part.get("type") == "text"]
        kinds = {"image": "image", "document": "file"}
        attachments += [kinds[p["type"]] for p in inner if p.get("type") in kinds]
        if block.get("cache_control"):
            marks.append(len(texts))
    return texts, marks, attachments


def _said(blocks: list[JSONObject]) -> str:
    return "".join(str(block.get("text")) for block in blocks if block.get("type") == "text")


def _results(blocks: list[JSONObject]) -> str | None:
    if not blocks or blocks[-1].get("type") != "tool_result":
        return None
    results = (block for block in blocks if block.get("type") == "tool_result")
    return "; ".join(_said(_blocks(block.get("content"))) for block in results)


def _functions(tools: Any) -> Iterator[Function]:
    for at, tool in enumerate(rows(tools)):
        if tool.get("type", "custom") != "custom":
            continue
        schema = tool.get("input_schema")
        _expect(schema, f"tools.{at}.custom.input_schema")
        if not isinstance(schema, dict) or schema.get("type") != "object":
            raise Refused(f"tools.{at}.custom.input_schema.type: Input should be 'object'")
        if not _ID.fullmatch(name := str(tool.get("name"))):
            raise Refused(
                f"tools.{at}.custom.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'"
            )
        yield Function(name, schema)


def _choice(choice: JSONObject) -> tuple[str, bool]:
    match choice.get("type"):
        case "tool":
            return str(choice.get("name")), True
        case "any":
            return "required", False
        case kind:
            return ("none" if kind == "none" else "auto"), False


def _schema(body: JSONObject) -> Any:
    wanted = child(child(body, "output_config"), "format") or child(body, "output_format")
    schema = wanted.get("schema") if wanted.get("type") == "json_schema" else None
    if schema is not None:
        _check_closed(schema)
    return schema


def _check_closed(schema: Any) -> None:
    """Objects have to say that they take nothing else."""
    if isinstance(schema, list):
        for item in schema:
            _check_closed(item)
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        raise Refused(
            "output_config.format.schema: For 'object' type, 'additionalProperties' must be"
            " explicitly set to false"
        )
    for value in schema.values():
        _check_closed(value)
