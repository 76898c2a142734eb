"""How a Responses answer ends: why, what it cost, or what went wrong."""

from typing import Any, Final, TypeAlias

from msgspec.structs import replace

from proxy.dialects.chat.compat import decode_usage
from proxy.dialects.chat.errors import failure
from proxy.dialects.counts import count, usable
from proxy.dialects.values import mapping, objects, string
from proxy.providers import Quirks
from proxy.wire.events import Failed, Finished, UsageReport

Json: TypeAlias = dict[str, Any]

_REASONS: Final = {"max_output_tokens": "length", "content_filter": "content_filter"}
_STATUSES: Final = {
    "rate_limit_exceeded": 429,
    "insufficient_quota": 429,
    "context_length_exceeded": 400,
    "invalid_prompt": 400,
}
"""The status that a failure inside an answer would have had before it."""

_COUNTS: Final = (
    ("prompt_tokens", "input_tokens"),
    ("completion_tokens", "output_tokens"),
    ("total_tokens", "total_tokens"),
    ("prompt_tokens_details", "input_tokens_details"),
    ("completion_tokens_details", "output_tokens_details"),
    ("server_tool_use_details", "server_tool_use_details"),
)
_SAME_EVERYWHERE: Final = Quirks()
"""Here even xAI counts reasoning within the completion, as all its recordings show."""


def finished(response: Json, *, called: bool) -> Finished:
    """Why the answer ended; `native` is OpenRouter's choice: the reason, where there is one, else
    the status.
    """
    details = response.get("incomplete_details")
    said = string(details.get("reason")) if isinstance(details, dict) else None
    reason = "length" if response.get("status") == "incomplete" else "stop"
    reason = _REASONS.get(said or "", reason)
    if reason == "stop" and called:
        reason = "tool_calls"
    return Finished(0, reason, said or string(response.get("status")) or "completed")


def failed(response: Json) -> Failed | None:
    """What went wrong, if the answer is an error, or ends with one."""
    told, status = response.get("error"), response.get("status")
    if told or status in ("failed", "cancelled"):
        return failure_of(told or {"message": f"The provider ended the answer: {status}."})
    return None


def failure_of(told: object) -> Failed:
    """An error in whatever form the provider gave it."""
    found = failure({"error": told or {"message": "The provider ended the answer."}})
    assert found is not None
    status = found.status or _STATUSES.get(found.code or "")
    return Failed(status, found.message, found.code, found.raw)


def counted(response: Json, told: int = 0) -> list[UsageReport]:
    """The usage in OpenRouter's counting; none where nothing was counted. Searches of the web are
    told beside it (OpenAI, xAI), or as items, of which a stream has `told` so many already.
    """
    usage = response.get("usage")
    if not isinstance(usage, dict):
        return []
    counts = decode_usage({name: usage.get(own) for name, own in _COUNTS}, _SAME_EVERYWHERE)
    if counts is None:
        return []
    searches = counts.web_searches or _searches(response, told)
    return [UsageReport(replace(counts, web_searches=searches))]


def searched(item: Json) -> bool:
    """Whether an item is a search of the web; pages that are opened cost nothing."""
    action = mapping(item.get("action")).get("type", "search")
    return item.get("type") == "web_search_call" and action == "search"


def _searches(response: Json, told: int) -> int:
    beside = mapping(mapping(response.get("tool_usage")).get("web_search")).get("num_requests")
    if (known := usable(beside)) is not None:
        return known
    tools = mapping(response["usage"]).get("server_side_tool_usage_details")
    if isinstance(tools, dict):
        return count(tools.get("web_search_calls")) + count(tools.get("x_search_calls"))
    return max(told, sum(map(searched, objects(response.get("output")))))
