"""The response object: what it repeats of its request, what it ends with, and the answer as one.

Keys, their order and the values of what was not asked for are those of OpenRouter's recorded
traffic of August 2026.
"""

from typing import Any, Final, TypeAlias

from proxy.dialects.forms import Bill
from proxy.dialects.values import mapping, objects
from proxy.money import Cost, to_usd
from proxy.wire.events import Usage
from proxy.wire.request import Ask, Head

Json: TypeAlias = dict[str, Any]

_ASKED: Final[Json] = {
    "max_output_tokens": None, "temperature": 1, "top_p": 1, "presence_penalty": 0,
    "frequency_penalty": 0, "top_logprobs": 0, "max_tool_calls": None, "metadata": {},
}  # fmt: skip
_TALKED: Final[Json] = {
    "reasoning": None, "safety_identifier": None, "prompt_cache_key": None,
    "prompt_cache_options": None,
}  # fmt: skip
_ENDINGS: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why an answer is incomplete, by its finish reason."""


def status_of(reason: str) -> str:
    """The status that an answer with that finish reason has."""
    if reason == "error":
        return "failed"
    return "incomplete" if reason in _ENDINGS else "completed"


def begun(head: Head, ask: Ask, tier: str | None = None) -> Json:
    """The response object before anything was said."""
    asked = ask.native or {}

    def echo(defaults: Json) -> Json:
        said = ((name, asked.get(name)) for name in defaults)
        return {name: defaults[name] if value is None else value for name, value in said}

    return {
        "id": head.id,
        "object": "response",
        "created_at": head.created,
        "model": head.model,
        "status": "in_progress",
        "completed_at": None,
        "output": [],
        "error": None,
        "incomplete_details": None,
        "tools": [_tool(tool) for tool in objects(asked.get("tools"))],
        **echo({"tool_choice": "auto", "parallel_tool_calls": True} | _ASKED),
        "background": False,
        "previous_response_id": None,
        "service_tier": tier or "auto",
        **echo({"truncation": "disabled"}),
        "store": False,
        **echo({"instructions": None}),
        "text": {"format": {"type": "text"}} | _set(mapping(asked.get("text"))),
        **echo(_TALKED),
        **({"user": asked["user"]} if asked.get("user") is not None else {}),
        "usage": None,
    }


def ended(response: Json, reason: str, output: list[Json], bill: Bill) -> Json:
    """The response object at its end. The second in which it ended is not known here, so it is
    told to be the one in which it began.
    """
    status = status_of(reason)
    cut = {"reason": _ENDINGS[reason]} if reason in _ENDINGS else None
    done = {"status": status, "completed_at": response.get("created_at"), "output": output}
    if status != "completed":
        done["completed_at"] = None
    if status == "failed":
        done["error"] = {"code": "server_error", "message": "The provider ended the answer."}
    return with_bill(response | done | {"incomplete_details": cut, "usage": None}, bill)


def with_bill(response: Json, bill: Bill) -> Json:
    """The response with what it used and cost; a provider's own counts stay as they are."""
    usage = encode_usage(bill.usage, bill.cost) | mapping(response.get("usage"))
    billed = response | {"usage": usage | _costs(bill.cost)}
    if bill.routing is not None:
        billed["openrouter_metadata"] = bill.routing
    return billed


def encode_usage(usage: Usage, cost: Cost | None) -> Json:
    """OpenRouter's `usage` of a response; without a price the cost is 0 and the provider's charge
    unknown.
    """
    told: Json = {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,  # OpenAI's types demand it
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        **_costs(cost),
    }
    if usage.web_searches:
        told["server_tool_use_details"] = {"web_search_requests": usage.web_searches}
    return told


def _costs(cost: Cost | None) -> Json:
    return {
        "cost": to_usd(cost.charge_nano) if cost else 0,
        "is_byok": False,
        "cost_details": {
            "upstream_inference_cost": to_usd(cost.total_nano) if cost else None,
            "upstream_inference_input_cost": to_usd(cost.prompt_nano) if cost else 0,
            "upstream_inference_output_cost": to_usd(cost.completion_nano) if cost else 0,
        },
    }


def _tool(tool: Json) -> Json:
    """A function says whether it is strict, as OpenAI's types demand."""
    if tool.get("type") != "function":
        return tool
    return {"strict": None} | tool if "strict" not in tool else tool


def _set(fields: Json) -> Json:
    return {name: value for name, value in fields.items() if value is not None}
