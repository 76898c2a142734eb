"""Tools and the choice among them, as Anthropic takes them."""

import re
from typing import Any, Final

from proxy.dialects.asking import inexpressible
from proxy.dialects.messages.blocks import Block, marked
from proxy.dialects.messages.models import Claude
from proxy.dialects.messages.schemas import strict_schema
from proxy.providers import Provider

_CHOICES: Final = {"none": "none", "auto": "auto", "required": "any", "any": "any"}
_COMPUTER = re.compile(r"computer_(\d{4})(\d\d)(\d\d)")


def encode_tools(tools: object, claude: Claude, provider: Provider) -> list[Block]:
    """The tools; those that the caller wrote in Anthropic's own form stay as they are.

    Raises GatewayError `provider_unfit` for OpenAI's tools that take free text.
    """
    return [
        _tool(tool, claude, provider)
        for tool in (tools if isinstance(tools, list) else ())
        if isinstance(tool, dict)
    ]


def _tool(tool: Block, claude: Claude, provider: Provider) -> Block:
    function = tool.get("function")
    if isinstance(tool.get("custom"), dict):
        raise inexpressible(provider, "a tool that takes free text")
    if not isinstance(function, dict):
        return dict(tool)
    strict = function.get("strict") is True and claude.structured
    schema = function.get("parameters")
    schema = {"type": "object", **schema} if isinstance(schema, dict) else _no_parameters()
    encoded: Block = {"name": str(function.get("name"))}
    if isinstance(description := function.get("description"), str) and description:
        encoded["description"] = description
    encoded["input_schema"] = strict_schema(schema) if strict else schema
    if strict:
        encoded["strict"] = True
    return marked(marked(encoded, function), tool)


def _no_parameters() -> Block:
    return {"type": "object", "properties": {}}


def encode_choice(choice: object, parallel: object) -> Block | None:
    """`tool_choice`; None where the caller leaves it to the model in every respect."""
    encoded = _choice(choice)
    if parallel is False and (encoded is None or encoded["type"] != "none"):
        encoded = {**(encoded or {"type": "auto"}), "disable_parallel_tool_use": True}
    return encoded


def _choice(choice: object) -> Block | None:
    if isinstance(choice, str):
        return {"type": _CHOICES[choice]} if choice in _CHOICES else None
    if not isinstance(choice, dict):
        return None
    type_, named = choice.get("type"), choice.get("function")
    if type_ == "allowed_tools":
        allowed = choice.get("allowed_tools")
        return _choice(allowed.get("mode") if isinstance(allowed, dict) else None)
    if isinstance(named, dict):
        return {"type": "tool", "name": named.get("name")}
    return choice if type_ in ("auto", "any", "none", "tool") else _choice(type_)


def is_forced(choice: Any) -> bool:
    """Whether an encoded choice makes the model call a tool."""
    return isinstance(choice, dict) and choice.get("type") in ("any", "tool")


def tool_betas(tools: list[Block]) -> list[str]:
    """The marks without which tools of Anthropic's own are refused."""
    found = (_COMPUTER.fullmatch(str(tool.get("type"))) for tool in tools)
    return ["computer-use-" + "-".join(date.groups()) for date in found if date]
