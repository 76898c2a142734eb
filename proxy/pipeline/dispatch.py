"""What an endpoint is sent: the request in its provider's words, signed."""

from collections.abc import Mapping
from typing import Final

from proxy.dialects import Outbound, deaf, outbound
from proxy.dialects.asking import Target
from proxy.dialects.fitting import dropped, fitted
from proxy.dialects.options import spread
from proxy.dialects.tasks import answering
from proxy.pipeline.attempt import Attempt
from proxy.pipeline.exchange import Exchange
from proxy.routing.catalogue import Endpoint, Model
from proxy.upstream.signing import Credential
from proxy.upstream.transport import Call
from proxy.wire.request import TALK, Ask

_WHOLE: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
}
_STREAMED: Final = _WHOLE | {"Accept": "text/event-stream"}


def dispatch(
    exchange: Exchange, attempt: Attempt, credential: Credential, headers: Mapping[str, str]
) -> Call:
    """The call of an attempt, which is told in which words to read the answer. `headers` are those
    of every call.

    Raises GatewayError where the endpoint can not be asked for it.
    """
    endpoint, ahead = attempt.endpoint, exchange.ahead
    ask, target, dialect = prepared(exchange, attempt.model, endpoint)
    attempt.read_as(answering(dialect, ask))
    if ahead is not None and ahead[0] is endpoint:
        encoded, exchange.ahead = ahead[1], None
    else:
        encoded = dialect.encode_request(ask, target)
    if ask.options and (more := ask.options.get(endpoint.provider.slug)):
        encoded = spread(encoded, more)
    path = encoded.path or dialect.path(target, ask.stream)
    url = endpoint.provider.base_url.rstrip("/") + path
    known = None if encoded.headers else credential.known
    signed = known.get(ask.stream) if known is not None else None
    if signed is None:
        usual = _STREAMED if ask.stream else _WHOLE
        own = credential.sign(url, encoded.body)
        signed = {**usual, **headers, **encoded.headers, **own}
        if known is not None:
            known[ask.stream] = signed
    return Call(url, signed, encoded.body, endpoint.timeouts.connect_s)


def prepared(exchange: Exchange, model: Model, endpoint: Endpoint) -> tuple[Ask, Target, Outbound]:
    """The request as that endpoint can be sent it, whom it is for, and in which words.

    Raises GatewayError where it can not be sent it.
    """
    ask = exchange.ask
    assert ask is not None
    if exchange.provisions is not None:
        ask = exchange.provisions.ask_of(ask, model, endpoint)
    if endpoint.supported_parameters is not None and ask.task in TALK:
        whole, ask = ask, fitted(ask, endpoint.supported_parameters)
        if ask is not whole:
            exchange.dropped[endpoint.tag, endpoint.model] = dropped(whole, ask)
    target = Target(
        endpoint.provider, endpoint.model, endpoint.max_completion_tokens, endpoint.tier
    )
    row, wish = outbound(endpoint.provider, endpoint.model, ask), ask.thinking
    if (
        wish is not None
        and (wish.effort or wish.max_tokens)
        and deaf(row, endpoint.provider.quirks)
    ):
        id = endpoint.tag, endpoint.model
        names = exchange.dropped.get(id, ())
        exchange.dropped[id] = tuple(sorted({*names, "reasoning"}))
    return ask, target, row
