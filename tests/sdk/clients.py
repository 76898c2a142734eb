"""What every client of these tests can do, in one form, whatever its SDK calls it."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

JSONObject = dict[str, Any]


class Outcome(NamedTuple):
    """An answer as the SDK understood it. `calls` are (id, name, decoded arguments); `message` is
    the SDK's own dump of the assistant's message, made to be sent back.
    """

    id: str
    model: str
    provider: str | None
    text: str
    reasoning: str
    calls: list[tuple[str, str, JSONObject]]
    finish_reason: str
    usage: JSONObject
    message: JSONObject


class Failure(NamedTuple):
    """An error as the SDK raised it: its class, and the text that came before it."""

    name: str
    status: int | None
    code: str | None
    message: str
    said: str


class Client(Protocol):
    """One official SDK, talking to one gateway with one key.

    `errors` names its class of exception for each status, `broken_stream` what it makes of an error
    inside a stream, `provider_named` whether it shows OpenRouter's `provider`.
    """

    errors: Mapping[int, str]
    broken_stream: str
    provider_named: bool

    def __init__(self, base_url: str, key: str) -> None: ...

    async def models(self) -> list[str]:
        """The ids of all models."""

    async def chat(self, request: JSONObject, *, stream: bool) -> Outcome:
        """Ask, and take the whole answer."""

    async def fail(self, request: JSONObject, *, stream: bool) -> Failure:
        """Ask, and fail; an answer without error is an AssertionError."""

    async def hang_up(self, request: JSONObject) -> str:
        """Ask for a stream and leave it at its first text, which is returned."""
