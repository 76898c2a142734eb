"""Which tools a request asks its provider to run, and what of its operator's it names.

What a caller runs itself (functions, a shell, an editor) costs nobody anything. What a provider
runs costs beside its tokens, in whichever of the formats it was asked for. A tool that is not known
here counts as the provider's: credits pay for nothing that has no price.
"""

import re
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from proxy.dialects.counts import usable
from proxy.dialects.values import mapping, objects, string
from proxy.wire.request import WEB_SEARCH

Json = dict[str, Any]

_HOSTED: Final = tuple(
    (name, re.compile(pattern, re.IGNORECASE))
    for name, pattern in (
        (WEB_SEARCH, "web_search|browser_search|google_?search|x_search|live_search"),
        ("web_fetch", "web_fetch|url_?context"),
        ("code_execution", "code_?(?:execution|interpreter)"),
        ("file_search", "file_?search|collections_search|retrieval"),
        ("image_generation", "image_generation"),
        ("tool_search", "tool_search"),
        ("advisor", "advisor"),
        ("mcp", "mcp"),
    )
)
"""What a tool is, by the beginning of its type: at Anthropic, OpenAI, Google, xAI and Groq."""

_CALLERS: Final = re.compile(
    r"function|custom|local_shell|apply_patch|computer_?use"
    r"|(?:bash|text_editor|memory|computer|computer_toolset|browser_toolset)(?:_\w*)?",
    re.IGNORECASE,
)
"""Types of tools that the caller runs."""

_FIELDS: Final = {
    "web_search_options": WEB_SEARCH,
    "search_parameters": WEB_SEARCH,
    "enable_search": WEB_SEARCH,
    "mcp_servers": "mcp",
}
"""Fields of a request that ask for one without naming it among the tools."""

_NAMING: Final = frozenset((
    "collection_ids", "container_id", "file_id", "file_ids", "fileSearchStoreNames",
    "file_search_store_names", "vector_store_ids",
))  # fmt: skip

HOSTED_FIELDS: Final = frozenset((*_FIELDS, "container", "tools"))
"""All that `hosted_in` looks at."""

_WORD: Final = re.compile(r"\w{1,64}")


class Hosted(NamedTuple):
    """`tools` are the names of those that a provider runs, `searches` how many searches of the web
    it may make, None where the caller does not say. `named` is the field that names files, stores
    or containers: they are in the operator's account, as nobody else has one there.
    """

    tools: frozenset[str] = frozenset()
    searches: int | None = None
    named: str | None = None


NONE: Final = Hosted()


def hosted_in(fields: Json) -> Hosted:
    """What a request asks for, in a caller's words of whatever format."""
    asked = {name for field, name in _FIELDS.items() if fields.get(field) not in (None, False, [])}
    own = [
        (place, name, tool)
        for place, tool in _spread(objects(fields.get("tools")))
        if (name := _name(tool)) is not None
    ]
    container = fields.get("container")
    if not own and not asked and not container:
        return NONE
    named = (_named(*one) for one in own)
    return Hosted(
        frozenset(asked.union(name for _, name, _ in own)),
        None if asked else _searches([tool for _, name, tool in own if name == WEB_SEARCH]),
        "container" if _kept(container) else next(filter(None, named), None),
    )


def _spread(tools: list[Json]) -> Iterator[tuple[str, Json]]:
    """The tools and where they stand, those of namespaces among them."""
    for number, tool in enumerate(tools):
        if tool.get("type") == "namespace":
            for inner, one in enumerate(objects(tool.get("tools"))):
                yield f"tools[{number}].tools[{inner}]", one
        else:
            yield f"tools[{number}]", tool


def _name(tool: Json) -> str | None:
    """What its provider runs; None for what the caller does."""
    type_ = string(tool.get("type"))
    if type_ is None:
        if not tool or not tool.keys().isdisjoint(("function", "name")):
            return None
        type_ = next(iter(tool))  # Google's have no type but their name
    found = next((name for name, pattern in _HOSTED if pattern.match(type_)), None)
    if found is not None:
        return found
    if _CALLERS.fullmatch(type_):
        return None
    if type_ == "shell" and mapping(tool.get("environment")).get("type") in (None, "local"):
        return None
    return type_ if _WORD.fullmatch(type_) else "unknown"


def _searches(tools: list[Json]) -> int | None:
    said = [usable(tool.get("max_uses")) for tool in tools]
    known = [one for one in said if one is not None]
    return sum(known) if known and len(known) == len(said) else None


def _named(place: str, name: str, tool: Json) -> str | None:
    """Where it names something of the operator's."""
    if name == "file_search":
        return place
    if found := _naming(tool):
        return f"{place}.{found}"
    return f"{place}.container" if isinstance(tool.get("container"), str) else None


def _naming(value: object) -> str | None:
    """The first key, at any depth, that names what is kept."""
    if isinstance(value, list):
        return next(filter(None, map(_naming, value)), None)
    if not isinstance(value, dict):
        return None
    own = next((key for key in value if key in _NAMING and value[key]), None)
    return own or next(filter(None, map(_naming, value.values())), None)


def _kept(container: object) -> bool:
    """Whether Anthropic's `container` is one that is there already, or has skills of one's own."""
    if not isinstance(container, dict):
        return bool(container)
    skills = objects(container.get("skills"))
    return bool(container.get("id")) or any(one.get("type") != "anthropic" for one in skills)
