"""What an endpoint is sent: the request in its provider's words, signed."""

from collections.abc import Mapping

from proxy.dialects import outbound
from proxy.dialects.asking import Target
from proxy.dialects.tasks import answering
from proxy.pipeline.attempt import Attempt
from proxy.pipeline.exchange import Exchange
from proxy.upstream.signing import Credential
from proxy.upstream.transport import Call


def dispatch(
    exchange: Exchange, attempt: Attempt, credential: Credential, headers: Mapping[str, str]
) -> Call:
    """The call of an attempt, which is told in which words to read the answer. `headers` are those
    of every call.

    Raises GatewayError where the endpoint can not be asked for it.
    """
    ask, endpoint = exchange.ask, attempt.endpoint
    assert ask is not None
    if exchange.provisions is not None:
        ask = exchange.provisions.ask_of(ask, attempt.model, endpoint)
    target = Target(endpoint.provider, endpoint.model, endpoint.max_completion_tokens)
    dialect = outbound(endpoint.provider, endpoint.model, ask)
    attempt.read_as(answering(dialect, ask))
    encoded = dialect.encode_request(ask, target)
    path = encoded.path or dialect.path(target, ask.stream)
    url = endpoint.provider.base_url.rstrip("/") + path
    signed = {
        "Accept": "text/event-stream" if ask.stream else "application/json",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        **headers,
        **encoded.headers,
        **credential.sign(url, encoded.body),
    }
    return Call(url, signed, encoded.body, endpoint.timeouts.connect_s)
