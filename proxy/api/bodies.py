"""Bodies of requests beside inference, read as those of inference are."""

from starlette.requests import Request

from proxy.errors import CallerGone, GatewayError
from proxy.serving.caller import Caller


async def body_of(request: Request, bytes_max: int) -> bytes:
    """The whole body. Raises GatewayError: `body_too_large`, `body_too_slow`, also for a caller who
    hung up, which hears of nothing, `encoding_unsupported`.
    """
    try:
        return await Caller(request.scope, request.receive, _no_send).read_body(bytes_max)
    except CallerGone:
        raise GatewayError("body_too_slow", "The body did not come.") from None


async def _no_send(_message: object) -> None:
    raise AssertionError("a request that is only read is not answered")
