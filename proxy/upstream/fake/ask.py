"""What a request asks of the simulated provider, whatever dialect it came in.

`asks` has a module for each dialect that reads its requests into this; `reply` answers it.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import orjson

JSONObject = dict[str, Any]

ATTACHMENT_TOKENS: Final = 85  # what OpenAI counts for a small image
_SEVERAL: Final = {"all", "both", "each", "every", "parallel", "several", "twice", "two"}
_CALLING: Final = {"call", "calls", "function", "functions", "tool", "tools"}


class Request(NamedTuple):
    """A request as it arrived: `path` is decoded, `headers` have lower-case names."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    raw_path: str = ""
    query: str = ""


class Refused(ValueError):
    """A request that the real provider would refuse; `kind` is a word of `manner.Kind`."""

    def __init__(self, message: str, *, kind: str = "invalid", code: str | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code


class Function(NamedTuple):
    """A function that may be called, and with what, where that is known."""

    name: str
    schema: Any = None
    arguments: JSONObject | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a request asks for, as far as this provider cares.

    `texts` are all texts of the prompt in order, and `marks` tell after how many of them the caller
    asked for the prompt to be cached. `choice` is auto, none, required or the name of a function;
    `results` is what the tools said, where the conversation ends with that. `task` is one of
    `scenario.TASKS`.
    """

    model: str
    task: str = "chat"
    body: JSONObject = field(default_factory=dict)
    stream: bool = False
    choices: int = 1
    tokens_max: int | None = None
    texts: tuple[str, ...] = ()
    said: str = ""
    results: str | None = None
    attachments: tuple[str, ...] = ()
    functions: tuple[Function, ...] = ()
    choice: str = "auto"
    named: bool = False
    parallel: bool = True
    stop: tuple[str, ...] = ()
    structured: bool = False
    schema: Any = None
    thinks: bool = False
    marks: tuple[int, ...] = ()

    @property
    def prompt_tokens(self) -> int:
        """One token for each word of the prompt, and a fixed number for each attachment."""
        words = sum(len(text.split()) for text in self.texts)
        return words + ATTACHMENT_TOKENS * len(self.attachments)

    @property
    def wanted_calls(self) -> list[Function]:
        """The functions that a model would call now; the same one twice is two calls of it."""
        functions = list(self.functions)
        if not functions or self.choice == "none" or self.results is not None:
            return []
        if self.named:
            return [function for function in functions if function.name == self.choice]
        said = set(re.findall(r"[a-z0-9]+", self.said.lower()))
        meant = [function for function in functions if said & _name_words(function.name)]
        if self.choice != "required" and not meant and not said & _CALLING:
            return []
        calls = meant or functions[:1]
        if said & _SEVERAL:
            calls = meant or functions
            calls = calls if len(calls) > 1 else calls * 2
        return calls if self.parallel else calls[:1]


def _name_words(name: str) -> set[str]:
    """The telling words of a function's name: `get_weather` is meant by "weather"."""
    return {word for word in re.findall(r"[a-z0-9]+", name.lower()) if len(word) > 3}


def decode_object(body: bytes, message: str) -> JSONObject:
    """The object in `body`. Raises Refused with `message`, the provider's own words."""
    try:
        decoded = orjson.loads(body)
    except orjson.JSONDecodeError:
        decoded = None
    if not isinstance(decoded, dict):
        raise Refused(message)
    return decoded


def rows(value: Any) -> list[JSONObject]:
    """The objects in a list; nothing where there is no list."""
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def child(value: JSONObject, name: str) -> JSONObject:
    """An object inside an object; empty where it is absent or no object."""
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def count_of(value: Any) -> int | None:
    """A whole number, or None."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def strings(value: Any) -> tuple[str, ...]:
    """The texts that are not empty, of a list or of one."""
    found = value if isinstance(value, list) else [value]
    return tuple(text for text in found if isinstance(text, str) and text)


def names(text: str) -> frozenset[str]:
    """The words of `text`, as a set of known keys."""
    return frozenset(text.split())


def camel(value: Any, free: frozenset[str]) -> Any:
    """`value` with its keys in camel case, as Google takes them in either; what is in `free` keys
    belongs to the caller.
    """
    if isinstance(value, list):
        return [camel(item, free) for item in value]
    if not isinstance(value, dict):
        return value
    named = (
        (re.sub(r"(?<=[a-z])_([a-z])", lambda m: m[1].upper(), k), v) for k, v in value.items()
    )
    return {key: item if key in free else camel(item, free) for key, item in named}
