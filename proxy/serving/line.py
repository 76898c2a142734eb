"""What the parts of our own HTTP/1.1 ask of each other.

A `Cycle` speaks to the `Line` its request came on; both are in a `Hall`, which asks the guard that
stands before the application.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

from starlette.types import ASGIApp

from proxy.errors import GatewayError


class Guarding(Protocol):
    """What the guard says that stands before the application (`proxy.serving.guard`)."""

    @property
    def client_stall_s(self) -> float:
        """How long a caller may leave unread what waits for it."""

    @property
    def ending(self) -> bool:
        """Whether answers end their connections."""


class Place(Protocol):
    """The hall, as a request sees it."""

    answer: ASGIApp
    date: bytes
    guard: Guarding

    def done(self, cycle: Any) -> None:
        """A request's task is done."""


class Line(ABC):
    """A connection, as its requests and the hall see it."""

    hall: Place
    blocked: bool  # the caller does not read what was written
    last: bool  # the answer under way is the last
    write: Callable[[bytes], object]

    @abstractmethod
    def relieve(self) -> None:
        """The application took what was there of a body."""

    @abstractmethod
    def stalls(self) -> bool:
        """Whether the caller hardly read anything since that was last asked."""

    @abstractmethod
    def answered(self, *, last: bool) -> None:
        """The answer is complete: the next one's turn, unless it was the last."""

    @abstractmethod
    def fail(self, error: GatewayError, *, bodiless: bool) -> None:
        """Tells of an error in place of an answer of which nothing is out, and ends."""

    @abstractmethod
    def quit(self) -> None:
        """Ends the connection once what was written is out."""

    @abstractmethod
    def close(self) -> None:
        """The same, where the caller's request is all here."""

    @abstractmethod
    def end(self) -> None:
        """Ends the connection as soon as no request is under way."""

    @abstractmethod
    def reset(self) -> None:
        """Ends the connection at once, and drops what the caller did not read."""
