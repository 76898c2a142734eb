"""Whether Anthropic's own SDK takes a request body for one: its types, and no field beside them."""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from anthropic.types.beta.message_create_params import MessageCreateParams as BetaParams
from anthropic.types.message_create_params import MessageCreateParams
from pydantic import BaseModel, TypeAdapter

BETA = ("context_management", "mcp_servers")
SAMPLING = {"temperature": (0, 1), "top_p": (0, 1), "top_k": (1, 2**31)}
"""What Anthropic's version of 2026 has no more, and that of 2023 has."""


def anthropic_accepts(body: dict[str, Any]) -> None:
    """Fails where `body` is not what the SDK would send."""
    for field, (low, high) in SAMPLING.items():
        assert low <= body.get(field, high) <= high
    rest = {key: value for key, value in body.items() if key not in SAMPLING}
    computing = any(
        str(tool.get("type")).startswith("computer_2") for tool in body.get("tools", ())
    )
    connected = any(block["type"] == "mcp_tool_use" for block in blocks(body))
    bound = "block_binding" in body.get("thinking", {})
    beta = bound or computing or connected or any(field in body for field in BETA)
    told = adapter(beta).validate_python(rest)
    assert plain(told) == rest, "a field that the SDK does not know"


def blocks(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for turn in body["messages"]:
        yield from turn["content"] if isinstance(turn["content"], list) else ()


@cache
def adapter(beta: bool) -> TypeAdapter[Any]:
    return TypeAdapter(BetaParams if beta else MessageCreateParams)


def plain(told: Any) -> Any:
    """What was validated; lists are validated while they are read. Blocks of an answer, which may
    be sent back as they are, are models.
    """
    if isinstance(told, BaseModel):
        assert not told.model_extra, f"{type(told).__name__} has no {told.model_extra}"
        return {name: plain(getattr(told, name)) for name in told.model_fields_set}
    if isinstance(told, dict):
        return {key: plain(value) for key, value in told.items()}
    if isinstance(told, Iterable) and not isinstance(told, str | bytes):
        return [plain(value) for value in told]
    return told
