"""A request without the parameters that an endpoint is known not to support.

Contract, 2.1: "Unsupported params are dropped unless `provider.require_parameters`", by which such
an endpoint is not asked at all; and 4.7: where no endpoint supports one, it is ignored.
"""

from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from msgspec.structs import replace

from proxy.wire.listing import PARAMETERS
from proxy.wire.request import Ask, Words

_REASONING: Final = frozenset(("reasoning", "reasoning_effort", "include_reasoning"))
_KEPT: Final = frozenset(("max_tokens", "max_completion_tokens", "parallel_tool_calls"))
"""What is never left out by itself: what an answer may cost depends on its limit; and of calls at
once no feature list speaks, so they go with the tools."""

_DROPPED: Final = frozenset(PARAMETERS) - _KEPT
_WITH: Final[Mapping[str, tuple[str, ...]]] = {
    "tools": ("tool_choice", "parallel_tool_calls"),
    "logprobs": ("top_logprobs",),
}
"""What says nothing without another."""

_EITHER: Final[Mapping[str, Collection[str]]] = {
    **dict.fromkeys(_REASONING, _REASONING),
    "response_format": ("response_format", "structured_outputs"),
}
"""Parameters that are supported where one of these is."""

_NATIVE: Final[Mapping[Words, Mapping[str, str]]] = {
    "completions": {name: name for name in PARAMETERS},
    "messages": {
        "temperature": "temperature", "top_p": "top_p", "top_k": "top_k",
        "stop": "stop_sequences", "tools": "tools", "tool_choice": "tool_choice",
        "parallel_tool_calls": "tool_choice",
    },
    "responses": {
        "temperature": "temperature", "top_p": "top_p", "tools": "tools",
        "tool_choice": "tool_choice", "parallel_tool_calls": "parallel_tool_calls",
    },
}  # fmt: skip
"""What formats call them. What has no name of its own there is left out by saying it all as a chat,
from which the provider's words are made anew."""


def fitted(ask: Ask, supported: tuple[str, ...]) -> Ask:
    """`ask` as an endpoint that supports no other parameters can be sent it."""
    unsupported = _unsupported(supported)
    deaf = ask.thinking is not None and "reasoning" in unsupported
    if unsupported.isdisjoint(ask.body) and not deaf:
        return ask
    lacking = set(unsupported.intersection(ask.body))
    more = {other for name in lacking for other in _WITH.get(name, ())}
    lacking |= more.intersection(ask.body)
    return replace(
        ask,
        body=_without(ask.body, lacking),
        thinking=None if deaf else ask.thinking,
        native=_native(ask, lacking | {"reasoning"} if deaf else lacking),
    )


def dropped(ask: Ask, sent: Ask) -> tuple[str, ...]:
    """The names of what is not in `sent`, which was fitted from `ask`."""
    names = set(ask.body).difference(sent.body)
    if ask.thinking is not None and sent.thinking is None:
        names.add("reasoning")
    return tuple(sorted(names))


@lru_cache(maxsize=1024)
def _unsupported(supported: tuple[str, ...]) -> frozenset[str]:
    wanted = ((name, _EITHER.get(name, (name,))) for name in _DROPPED)
    return frozenset(name for name, either in wanted if not set(either).intersection(supported))


def _native(ask: Ask, lacking: set[str]) -> dict[str, Any] | None:
    names = _NATIVE.get(ask.words)
    if ask.native is None or names is None or not lacking <= names.keys():
        return None
    return _without(ask.native, [names[name] for name in lacking])


def _without(fields: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    left_out = frozenset(names)
    return {name: value for name, value in fields.items() if name not in left_out}
