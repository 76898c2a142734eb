"""Requests to Bedrock's Converse, refused in its own words where it would refuse them."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

import orjson

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

_BLOCKS: Final = names(
    "text image document video audio toolUse toolResult guardContent cachePoint reasoningContent"
    " citationsContent searchResult"
)
_KINDS: Final = {"image": "image", "document": "file", "video": "video", "audio": "recording"}
_CLAUDE: Final = "The model returned the following errors: "
_BUDGET_MIN = 1024

Message = tuple[Any, list[JSONObject]]


def decode_converse(request: Request, seal: Seal) -> Ask:
    """What `request` asks. Raises Refused in Bedrock's words."""
    body = decode_object(request.body, "Unable to parse the request body as JSON.")
    path = re.search(r"/model/(.+)/(converse|converse-stream)$", request.path)
    model = path[1] if path else ""
    config, calling = child(body, "inferenceConfig"), child(body, "toolConfig")
    messages = [(m.get("role"), rows(m.get("content"))) for m in rows(body.get("messages"))]
    system = rows(body.get("system"))
    _check_turns(messages)
    _check_blocks(messages)
    _check_calls(messages, defined=bool(rows(calling.get("tools"))))
    more = child(body, "additionalModelRequestFields")
    thinking = child(more, "thinking") or child(more, "reasoning_config")
    enabled = thinking.get("type") in ("enabled", "adaptive")
    _check_thinking(thinking, config, enabled=enabled)
    _check_thoughts(messages, seal, demanded=enabled)
    choice, named = _choice(child(calling, "toolChoice"))
    texts, marks, attachments = _walked([system, *(blocks for _, blocks in messages)])
    users = [_said(blocks) for role, blocks in messages if role == "user"]
    schema = _schema(body)
    return Ask(
        model=model,
        body=body,
        stream=bool(path and path[2] == "converse-stream"),
        tokens_max=count_of(config.get("maxTokens")),
        texts=tuple(texts),
        said=next((text for text in reversed(users) if text), ""),
        results=_results(messages[-1][1]),
        attachments=tuple(attachments),
        functions=tuple(_functions(calling.get("tools"))),
        choice=choice,
        named=named,
        stop=strings(config.get("stopSequences")),
        structured=schema is not None,
        schema=schema,
        thinks="reason" in model and thinking.get("type") != "disabled",
        marks=tuple(marks),
    )


def _check_thinking(thinking: JSONObject, config: JSONObject, *, enabled: bool) -> None:
    if thinking.get("type") == "enabled":
        budget = count_of(thinking.get("budget_tokens")) or 0
        limit = count_of(config.get("maxTokens"))
        if budget < _BUDGET_MIN:
            raise Refused(
                f"{_CLAUDE}thinking.enabled.budget_tokens: Input should be greater than or equal"
                " to 1024"
            )
        if limit is not None and budget >= limit:
            raise Refused(
                f"{_CLAUDE}`max_tokens` must be greater than `thinking.budget_tokens`. Please"
                " consult our documentation at https://docs.claude.com/en/docs/build-with-claude/"
                "extended-thinking#max-tokens-and-context-window-size"
            )
    if enabled and config.get("temperature") not in (None, 1):
        raise Refused(f"{_CLAUDE}`temperature` may only be set to 1 when thinking is enabled.")


def _check_turns(messages: list[Message]) -> None:
    if not messages or messages[0][0] != "user":
        raise Refused(
            "A conversation must start with a user message. Try again with a conversation that"
            " starts with a user message."
        )
    for at, (role, blocks) in enumerate(messages):
        if role not in ("user", "assistant") or role != ("user", "assistant")[at % 2]:
            raise Refused(
                "A conversation must alternate between user and assistant roles. Make sure the"
                " conversation alternates between user and assistant roles and try again."
            )
        if not blocks:
            raise Refused(
                f"The content field in the Message object at messages.{at} is empty. Add a"
                " ContentBlock object to the content field and try again."
            )


def _check_blocks(messages: list[Message]) -> None:
    for at, (_, blocks) in enumerate(messages):
        for number, block in enumerate(blocks):
            where = f"messages.{at}.content.{number}"
            if len(block) != 1 or not _BLOCKS.issuperset(block):
                raise Refused(f"The content block at {where} must have exactly one known member.")
            if block.get("text") == "" or ("text" in block and not _said(blocks).strip()):
                raise Refused(
                    f"The text field in the ContentBlock object at {where} is blank. Add text to"
                    " the text field, and try again."
                )
            result = child(block, "toolResult")
            if result.get("status") == "error" and not result.get("content"):
                raise Refused(
                    f"The content field at {where}.toolResult cannot be empty when status value"
                    " is error."
                )


def _ids(blocks: list[JSONObject], kind: str) -> list[str]:
    """The ids of calls or results; those of the provider's own tools have a type."""
    found = (child(block, kind) for block in blocks if kind in block)
    return [str(call.get("toolUseId")) for call in found if "type" not in call]


def _check_calls(messages: list[Message], *, defined: bool) -> None:
    owed: list[str] = []
    for at, (role, blocks) in enumerate(messages):
        results = _ids(blocks, "toolResult") if role == "user" else []
        if not defined and (results or _ids(blocks, "toolUse")):
            raise Refused(
                "The toolConfig field must be defined when using toolUse and toolResult content"
                " blocks."
            )
        if len(results) > len(owed):
            raise Refused(
                f"The number of toolResult blocks at messages.{at}.content exceeds the number of"
                " toolUse blocks of previous turn."
            )
        if missing := [call for call in owed if call not in results]:
            raise Refused(
                f"Expected toolResult blocks at messages.{at}.content for the following Ids:"
                f" {', '.join(missing)}"
            )
        owed = _ids(blocks, "toolUse")


def _check_thoughts(messages: list[Message], seal: Seal, *, demanded: bool) -> None:
    for at, (_, blocks) in enumerate(messages):
        for number, block in enumerate(blocks):
            if "reasoningContent" not in block:
                continue
            thought = child(child(block, "reasoningContent"), "reasoningText")
            if not seal.holds(thought.get("signature"), str(thought.get("text"))):
                raise Refused(
                    f"{_CLAUDE}messages.{at}.content.{number}: Invalid `signature` in `thinking`"
                    " block"
                )
    last = len(messages) - 2
    if demanded and last >= 0 and _ids(messages[-1][1], "toolResult"):
        found = next(iter(messages[last][1][0]))
        if found != "reasoningContent":
            raise Refused(
                f"{_CLAUDE}messages.{last}.content.0.type: Expected `thinking` or"
                f" `redacted_thinking`, but found `{'tool_use' if found == 'toolUse' else found}`."
                " When `thinking` is enabled, a final `assistant` message must start with a"
                " thinking block (preceeding the lastmost set of `tool_use` and `tool_result`"
                " blocks)."
            )


def _walked(messages: Iterable[list[JSONObject]]) -> tuple[list[str], list[int], list[str]]:
    """The texts in their order, where the cache marks stand between them, and the attachments."""
    texts: list[str] = []
    marks: list[int] = []
    attachments: list[str] = []
    for block in (block for blocks in messages for block in blocks):
        for part in rows(child(block, "toolResult").get("content")) or [block]:
            texts += [str(part["text"])] if "text" in part else []
            attachments += [_KINDS[kind] for kind in part if kind in _KINDS]
        if "cachePoint" in block:
            marks.append(len(texts))
    return texts, marks, attachments


def _said(blocks: list[JSONObject]) -> str:
    return "".join(str(block["text"]) for block in blocks if "text" in block)


def _results(blocks: list[JSONObject]) -> str | None:
    blocks = [block for block in blocks if "cachePoint" not in block]
    if "toolResult" not in blocks[-1]:
        return None
    results = (child(block, "toolResult") for block in blocks if "toolResult" in block)
    return "; ".join(
        "".join(
            str(part["text"]) if "text" in part else orjson.dumps(part.get("json")).decode()
            for part in rows(result.get("content"))
            if "text" in part or "json" in part
        )
        for result in results
    )


def _functions(tools: Any) -> Iterator[Function]:
    for tool in rows(tools):
        if spec := child(tool, "toolSpec"):
            yield Function(str(spec.get("name")), child(spec, "inputSchema").get("json"))


def _choice(choice: JSONObject) -> tuple[str, bool]:
    if "tool" in choice:
        return str(child(choice, "tool").get("name")), True
    return ("required" if "any" in choice else "auto"), False


def _schema(body: JSONObject) -> Any:
    wanted = child(child(body, "outputConfig"), "textFormat")
    schema = child(child(wanted, "structure"), "jsonSchema").get("schema")
    if not isinstance(schema, str):
        return None
    try:
        return orjson.loads(schema)
    except orjson.JSONDecodeError:
        raise Refused("The schema at outputConfig.textFormat is not valid JSON.") from None
