"""Every way a request can fail, whose fault it is, and whether another endpoint may be tried.

One exception travels through the house. Its `kind` is a row of `KINDS`; the caller's dialect turns
it into an envelope at the border. An exception of any other class is a bug of ours: it is logged
with its traceback and answered with 500.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, NamedTuple


class Source(Enum):
    """Whose fault an error is; metrics and the provider's health read it."""

    CALLER = "caller"
    GATEWAY = "gateway"
    PROVIDER = "provider"
    CREDENTIAL = "credential"  # the provider refused the gateway's own key


class Retry(Enum):
    """How far a failed attempt may move on, as long as no content went to the caller."""

    NEVER = "never"
    MODEL = "model"  # another endpoint would refuse the same request: only the next of `models[]`
    ENDPOINT = "endpoint"


class Kind(NamedTuple):
    """One row of the error table; `error_type` is the value OpenRouter's clients switch on."""

    status: int
    error_type: str
    source: Source
    retry: Retry = Retry.NEVER


KINDS: Final[Mapping[str, Kind]] = {
    # The caller's request, before any provider was asked.
    "invalid_request": Kind(400, "invalid_request", Source.CALLER),
    "invalid_image": Kind(400, "invalid_image", Source.CALLER),
    "not_supported": Kind(400, "invalid_request", Source.CALLER),
    "model_unknown": Kind(400, "not_found", Source.CALLER),
    "wrong_endpoint": Kind(400, "invalid_request", Source.CALLER),
    "model_ambiguous": Kind(400, "invalid_request", Source.CALLER),
    "credentials_differ": Kind(400, "invalid_request", Source.CALLER),
    "unauthenticated": Kind(401, "authentication", Source.CALLER),
    "credits_short": Kind(402, "payment_required", Source.CALLER),
    "context_length": Kind(400, "context_length_exceeded", Source.CALLER),
    "no_price": Kind(402, "payment_required", Source.CALLER),
    "key_limit": Kind(403, "permission_denied", Source.CALLER),
    "management_only": Kind(403, "permission_denied", Source.CALLER),
    "management_key": Kind(403, "permission_denied", Source.CALLER),
    "no_endpoint": Kind(404, "not_found", Source.CALLER),
    "not_found": Kind(404, "not_found", Source.CALLER),
    "method_not_allowed": Kind(405, "invalid_request", Source.CALLER),
    "body_too_slow": Kind(408, "timeout", Source.CALLER),
    "body_too_large": Kind(413, "payload_too_large", Source.CALLER),
    "encoding_unsupported": Kind(415, "invalid_request", Source.CALLER),
    "rate_limited": Kind(429, "rate_limit_exceeded", Source.CALLER),
    # The gateway itself.
    "internal": Kind(500, "server", Source.GATEWAY),
    "draining": Kind(503, "provider_unavailable", Source.GATEWAY),
    "no_provider": Kind(503, "provider_unavailable", Source.GATEWAY),
    "store_unavailable": Kind(503, "server", Source.GATEWAY),
    # A provider's answer, or the lack of one.
    "provider_rejected": Kind(400, "invalid_request", Source.CALLER, Retry.MODEL),
    "provider_context_length": Kind(400, "context_length_exceeded", Source.CALLER, Retry.MODEL),
    "provider_moderated": Kind(400, "content_policy_violation", Source.CALLER, Retry.MODEL),
    "provider_unfit": Kind(400, "invalid_request", Source.CALLER, Retry.ENDPOINT),
    "provider_lacks_media": Kind(400, "image_download_failed", Source.CALLER, Retry.ENDPOINT),
    "provider_credential": Kind(502, "provider_unavailable", Source.CREDENTIAL, Retry.ENDPOINT),
    "provider_lacks_model": Kind(404, "not_found", Source.PROVIDER, Retry.ENDPOINT),
    "provider_rate_limited": Kind(429, "rate_limit_exceeded", Source.PROVIDER, Retry.ENDPOINT),
    "provider_unavailable": Kind(502, "provider_unavailable", Source.PROVIDER, Retry.ENDPOINT),
    "provider_unreachable": Kind(502, "provider_unavailable", Source.PROVIDER, Retry.ENDPOINT),
    "provider_malformed": Kind(502, "provider_unavailable", Source.PROVIDER, Retry.ENDPOINT),
    "provider_cut": Kind(502, "provider_unavailable", Source.PROVIDER, Retry.ENDPOINT),
    "provider_empty": Kind(502, "provider_unavailable", Source.PROVIDER, Retry.ENDPOINT),
    "provider_overloaded": Kind(503, "provider_overloaded", Source.PROVIDER, Retry.ENDPOINT),
    "provider_timeout": Kind(504, "timeout", Source.PROVIDER, Retry.ENDPOINT),
}


class GatewayError(Exception):
    """An error the caller is told about: a row of `KINDS`, a message, and what clients may read.

    `status` departs from the row's only where a provider's own status says more (413, 422).
    `metadata` goes to the caller as it is: never put a secret, a URL or a prompt there.
    `headers` are response headers, such as `Retry-After`. `availability` says of an error of who
    could answer what programs can act on (contract, 2.4).
    """

    def __init__(
        self,
        kind: str,
        message: str,
        *,
        status: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        availability: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        row = KINDS[kind]
        self.kind = kind
        self.message = message
        self.status = row.status if status is None else status
        self.error_type = row.error_type
        self.source = row.source
        self.retry = row.retry
        self.metadata = dict(metadata or {})
        self.headers = dict(headers or {})
        self.availability = availability


class CallerGone(Exception):
    """The caller hung up or stopped reading: nothing can be said to it any more."""
