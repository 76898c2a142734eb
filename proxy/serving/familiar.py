"""Heads of requests that come again on their connection, and need not be parsed again.

Who keeps a connection says the same with each request, but for the length of its body. Bytes that
are the same mean the same: what the parser made of them, and what was found fault with, holds.
"""

import re
from typing import Any, Final

from starlette.types import Scope

_DIGITS_MAX: Final = 9  # of a length; what is longer comes in many pieces
_END: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length:[ \t]*([0-9]+)\r\n")
_SPECIAL: Final = frozenset({b"expect", b"upgrade", b"content-encoding"})  # they ask for more


class Familiar:
    """One head. `kept` is what the application keeps of it."""

    __slots__ = ("_after", "_before", "_headers", "_place", "_scope", "kept")

    def __init__(self, before: bytes, after: bytes, scope: Scope, kept: dict[str, Any]) -> None:
        self._before = before  # the digits of its length
        self._after = after
        self._headers: list[tuple[bytes, bytes]] = scope["headers"]
        self._place = [name for name, _ in self._headers].index(b"content-length")
        self._scope = {name: said for name, said in scope.items() if name != "extensions"}
        self.kept = kept

    def request(self, data: bytes) -> tuple[Scope, bytes] | None:
        """The scope and the body, if `data` is one request that has this head, and nothing else;
        the scope is one's own, and has no extensions yet.
        """
        begin = len(self._before)
        end = data.find(b"\r", begin, begin + _DIGITS_MAX + 1)
        if end < 0 or not (data.startswith(self._before) and data.startswith(self._after, end)):
            return None
        digits, body_at = data[begin:end], end + len(self._after)
        if not digits.isdigit() or int(digits) != len(data) - body_at:
            return None
        scope, headers = self._scope.copy(), self._headers.copy()
        headers[self._place] = (b"content-length", digits)
        scope["headers"] = headers
        return scope, data[body_at:]


def familiar(data: bytes, scope: Scope, kept: dict[str, Any]) -> Familiar | None:
    """The head of a request that begins with the first byte of `data`; None where `data` is not
    that request alone, or its head has more to say than can be repeated without reading it.
    """
    end = data.find(_END)
    found = _LENGTH.search(data, 0, end + 2)
    if found is None or len(data) - end - len(_END) != int(found[1]):
        return None
    if not _SPECIAL.isdisjoint(name for name, _ in scope["headers"]):
        return None
    begin, stop = found.span(1)
    return Familiar(data[:begin], data[stop : end + len(_END)], scope, kept)
