"""What a request asks of the simulated provider: its prompt, its attachments, the tools to call."""

import re
from itertools import chain, takewhile
from typing import Final, NamedTuple

import orjson

from proxy.upstream.fake.shapes import JSONObject

_ATTACHMENTS: Final = {
    "image_url": "image",
    "input_audio": "recording",
    "file": "file",
    "video_url": "video",
}
_ATTACHMENT_TOKENS: Final = 85  # what OpenAI counts for a small image
_SEVERAL: Final = {"all", "both", "each", "every", "parallel", "several", "twice", "two"}
_CALLING: Final = {"call", "calls", "function", "functions", "tool", "tools"}


class Ask(NamedTuple):
    """What a request asks for, as far as this provider cares."""

    body: JSONObject
    model: str
    messages: list[JSONObject]

    @property
    def stream(self) -> bool:
        """Whether events are wanted."""
        return self.body.get("stream") is True

    @property
    def choices(self) -> int:
        """How many answers are wanted."""
        n = self.body.get("n")
        return n if isinstance(n, int) else 1

    @property
    def tokens_max(self) -> int | None:
        """How long each answer may be."""
        limit = self.body.get("max_completion_tokens") or self.body.get("max_tokens")
        return limit if isinstance(limit, int) else None

    def option(self, name: str) -> JSONObject:
        """An object of the request; empty where it is absent or no object."""
        value = self.body.get(name)
        return value if isinstance(value, dict) else {}


def decode_ask(body: bytes) -> Ask:
    """The request in `body`. Raises ValueError with a message in OpenAI's words."""
    try:
        decoded = orjson.loads(body)
    except orjson.JSONDecodeError:
        decoded = None
    if not isinstance(decoded, dict):
        raise ValueError("We could not parse the JSON body of your request.")
    model, messages = decoded.get("model"), decoded.get("messages")
    if not isinstance(model, str):
        raise ValueError("you must provide a model parameter")
    if not isinstance(messages, list) or not messages:
        raise ValueError("Missing required parameter: 'messages'.")
    if not all(isinstance(message, dict) for message in messages):
        raise ValueError("Invalid type for 'messages[0]': expected an object.")
    return Ask(decoded, model, messages)


def prompt_tokens(ask: Ask) -> int:
    """One token for each word of the messages, and a fixed number for each attachment."""
    texts = sum(len(_text(message).split()) for message in ask.messages)
    return texts + _ATTACHMENT_TOKENS * len(attachments(ask))


def wanted_calls(ask: Ask) -> list[JSONObject]:
    """The functions that a model would call now; the same one twice is two calls of it."""
    tools = ask.body.get("tools")
    rows = [tool.get("function") for tool in tools or () if isinstance(tool, dict)]
    functions = [row for row in rows if isinstance(row, dict) and isinstance(row.get("name"), str)]
    choice = ask.body.get("tool_choice")
    if not functions or choice == "none" or tool_results(ask) is not None:
        return []
    if isinstance(choice, dict) and isinstance(named := choice.get("function"), dict):
        return [row for row in functions if row["name"] == named.get("name")]
    said = set(re.findall(r"[a-z0-9]+", last_said(ask).lower()))
    meant = [row for row in functions if said & _name_words(row["name"])]
    if choice != "required" and not meant and not said & _CALLING:
        return []
    calls = meant or functions[:1]
    if said & _SEVERAL:
        calls = meant or functions
        calls = calls if len(calls) > 1 else calls * 2
    return calls[:1] if ask.body.get("parallel_tool_calls") is False else calls


def _name_words(name: str) -> set[str]:
    """The telling words of a function's name: `get_weather` is meant by "weather"."""
    return {word for word in re.findall(r"[a-z0-9]+", name.lower()) if len(word) > 3}


def attachments(ask: Ask) -> list[str]:
    """What the messages carry beside text, by name."""
    contents = [message.get("content") for message in ask.messages]
    parts = chain.from_iterable(content for content in contents if isinstance(content, list))
    kinds = (str(part.get("type")) for part in parts if isinstance(part, dict))
    return [_ATTACHMENTS[kind] for kind in kinds if kind in _ATTACHMENTS]


def tool_results(ask: Ask) -> str | None:
    """What the tools said, where the conversation ends with it."""
    results = list(takewhile(lambda message: message.get("role") == "tool", reversed(ask.messages)))
    return "; ".join(_text(message) for message in reversed(results)) if results else None


def last_said(ask: Ask) -> str:
    """The text of the user's last message; empty where there is none."""
    return next((_text(m) for m in reversed(ask.messages) if m.get("role") == "user"), "")


def _text(message: JSONObject) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return "".join(text for text in texts if isinstance(text, str))
