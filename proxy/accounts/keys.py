"""The keys callers authenticate with: their form, their fingerprint, and the one way to find one.

A key is `sk-or-v1-` and 64 hexadecimal digits. Only its SHA-256 is kept; with 256 bits of chance
in it no salt or slow hash is needed, and a look-up by hash gives timing nothing to measure.
"""

import re
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Any

import msgspec

from proxy.errors import GatewayError

PREFIX = "sk-or-v1-"
_CARRIERS = (b"authorization", b"x-api-key")
_CARRIER_LENGTHS = tuple(map(len, _CARRIERS))
_FORM = re.compile(r"sk-or-v1-[0-9a-f]{64}").fullmatch


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A key as the store keeps it. `label` is its masked form; times are seconds since 1970.

    `limit_nano` is what it may spend in each period of `limit_reset`, or ever. None for a limit is
    the configuration's general one. A management key asks about accounts and never for an answer.
    """

    hash: str
    name: str
    label: str
    account: str = "default"
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    disabled: bool = False
    limit_nano: int | None = None
    limit_reset: str | None = None  # daily, weekly or monthly, at 00:00 UTC; None: never
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_requests: int | None = None
    management: bool = False


def mint(name: str, *, token_hex: Callable[[int], str], now: float, **more: Any) -> tuple[str, Key]:
    """A new secret and the record to keep of it; `token_hex` is that of `secrets`, `more` are
    further fields of the Key.
    """
    secret = PREFIX + token_hex(32)
    key = Key(hash=fingerprint(secret), name=name, label=mask(secret), created_at=now, **more)
    return secret, key


def fingerprint(secret: str) -> str:
    """The public id of a key: SHA-256 of the whole of it, in hexadecimal."""
    return sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def mask(secret: str) -> str:
    """The form that may be shown: prefix, three digits, three digits."""
    return f"{PREFIX}{secret[len(PREFIX) :][:3]}...{secret[-3:]}"


def credential(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The one secret a request carries, wherever it stands; None where it carries none.

    Carriers are `Authorization: Bearer` and Anthropic's `x-api-key`. All of them pass through
    here, so that no carrier can escape a check. Two that differ are refused: which one another
    program in front of us looked at can not be known.
    """
    found: str | None = None
    for name, value in headers:
        if len(name) not in _CARRIER_LENGTHS or (carrier := name.lower()) not in _CARRIERS:
            continue
        text = value.decode("latin-1")
        if carrier == b"authorization":
            scheme, _, text = text.strip().partition(" ")
            if scheme != "Bearer" and scheme.lower() != "bearer":
                continue
        secret = text.strip()
        if found and secret and secret != found:
            raise GatewayError(
                "credentials_differ", "The request carries two credentials that differ; send one."
            )
        found = found or secret or None
    return found


def claimed(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The fingerprint of the key that a request carries, or of none where it can not be one.

    Raises GatewayError `unauthenticated` where it carries nothing, or `credentials_differ`.
    """
    secret = credential(headers)
    if secret is None:
        raise GatewayError("unauthenticated", "Missing Authentication header")
    return fingerprint(secret) if well_formed(secret) else ""


def well_formed(secret: str) -> bool:
    """Whether `secret` can be a key of ours at all."""
    return _FORM(secret) is not None


def check(key: Key | None, *, now: float) -> Key:
    """The key, if it may be used at `now`.

    Raises GatewayError `unauthenticated`. An unknown and a revoked key get the same answer; only
    who holds a disabled or an expired one is told so.
    """
    if key is None or key.revoked_at is not None:
        raise GatewayError("unauthenticated", "User not found.")
    if key.disabled:
        raise GatewayError("unauthenticated", "API key disabled.")
    if key.expires_at is not None and now >= key.expires_at:
        raise GatewayError("unauthenticated", "API key expired.")
    return key
