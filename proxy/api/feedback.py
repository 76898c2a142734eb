"""What people think of an answer: `POST /generation/feedback`."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal, TypeAlias, get_args

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from proxy.accounts import refusals
from proxy.api.account import Authenticate, Find
from proxy.api.bodies import body_of
from proxy.api.catalogue import answer
from proxy.errors import GatewayError
from proxy.stores.feedback import Feedback
from proxy.wire.misfits import explained

Category: TypeAlias = Literal[
    "latency", "incoherence", "incorrect_response", "formatting", "billing", "api_error", "other"
]
"""OpenRouter's words for what may be wrong with an answer."""

CATEGORIES: Final[tuple[str, ...]] = get_args(Category)
COMMENT_CHARS_MAX: Final = 1000

_BODY_BYTES_MAX: Final = 16 * 1024  # a comment in which each character is an escape has 12 000

Keep = Callable[[Feedback], Awaitable[None]]


class _Said(msgspec.Struct, frozen=True, kw_only=True):
    generation_id: str
    category: str
    comment: str | None = None


def routes(
    *, authenticate: Authenticate, find: Find, keep: Keep, now: Callable[[], float]
) -> list[BaseRoute]:
    """The route below `/api/v1`. `find` gives a generation that the caller's account made."""

    async def feedback(request: Request) -> Response:
        caller = authenticate(request)
        if caller is not None and not caller.management:
            raise refusals.management_only()
        said = decode(await body_of(request, _BODY_BYTES_MAX))
        if await find(said.generation_id, caller) is None:
            raise GatewayError("not_found", f"Generation {said.generation_id[:100]!a} not found")
        await keep(
            Feedback(
                generation=said.generation_id,
                category=said.category,
                comment=said.comment,
                key_hash=caller.hash if caller else None,
                at=now(),
            )
        )
        return answer({"data": {"success": True}})

    return [Route("/generation/feedback", feedback, methods=["POST"])]


def decode(body: bytes) -> Any:
    """The fields of a request; raises GatewayError, `invalid_request`, and says what is wrong."""
    try:
        said = msgspec.json.decode(body, type=_Said)
    except msgspec.ValidationError as error:
        raise _wrong(explained(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _wrong("The body is not valid JSON") from None
    if not said.generation_id:
        raise _wrong("generation_id: must not be empty")
    if said.category not in CATEGORIES:
        raise _wrong(f"category: expected one of {', '.join(CATEGORIES)}")
    if said.comment is not None and len(said.comment) > COMMENT_CHARS_MAX:
        raise _wrong(f"comment: at most {COMMENT_CHARS_MAX} characters")
    return said


def _wrong(reason: str) -> GatewayError:
    return GatewayError("invalid_request", reason)
