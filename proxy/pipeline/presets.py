"""Requests that may name a preset: what they ask for with all that it says."""

from collections.abc import Callable
from typing import Final, TypeAlias

from proxy.dialects import Inbound
from proxy.dialects.asking import encode_json
from proxy.dialects.bodies import BIG_BODY_BYTES, decode_object, object_steps
from proxy.dialects.forms import Headers
from proxy.dialects.presets import CACHING, named, refuse_caching, without
from proxy.errors import GatewayError
from proxy.pipeline.exchange import Exchange
from proxy.pipeline.large import in_turns
from proxy.wire.presets import Draft
from proxy.wire.request import Ask
from proxy.wire.slices import Steps, at_once

ANONYMOUS: Final = "default"
"""The account of callers who need no key."""

MARK: Final = b"preset"
"""A body without it names none; it is looked for because looking is quicker than reading."""

Find: TypeAlias = Callable[[str, str], Draft | None]
"""What an account's preset says now, by its slug."""


def nowhere(account: str, slug: str) -> Draft | None:
    """Where nobody has presets."""


async def asked(
    exchange: Exchange, dialect: Inbound, body: bytes, headers: Headers, find: Find
) -> Ask:
    """What the caller asks for, with the preset that it names, if it names one; the exchange is
    told which. A large body is read in steps.

    Raises what `Inbound.decode_request` does, GatewayError `not_found` for an unknown preset.
    """
    steps = _steps(exchange, dialect, body, headers, find)
    return await in_turns(steps) if len(body) > BIG_BODY_BYTES else at_once(steps)


def _steps(
    exchange: Exchange, dialect: Inbound, body: bytes, headers: Headers, find: Find
) -> Steps[Ask]:
    whole = dialect.ask_steps is None  # it is read from its bytes alone
    if dialect.presets is None or (whole and MARK not in body):
        return (yield from dialect.decode_steps(body, headers))
    size_bytes = len(body)
    if size_bytes <= BIG_BODY_BYTES:  # most only speak of presets, and are not to pay for it
        fields = decode_object(body)
    else:
        fields = yield from object_steps(body)
    found = named(fields)
    if found is not None:
        draft = _draft(exchange, found.slug, find)
        config = decode_object(draft.config)  # anew: requests are mended where they are
        refuse_caching(config, headers)
        config = {name: value for name, value in config.items() if name not in CACHING}
        fields = dialect.presets.merge(without(fields, found), config, draft.system_prompt)
        size_bytes += draft.size_bytes
        exchange.preset = found.slug
    if dialect.ask_steps is not None:
        return (yield from dialect.ask_steps(fields, size_bytes, headers))
    return dialect.decode_request(body if found is None else encode_json(fields), headers)


def _draft(exchange: Exchange, slug: str, find: Find) -> Draft:
    account = ANONYMOUS if exchange.key is None else exchange.key.account
    draft = find(account, slug)
    if draft is None:
        raise GatewayError("not_found", f"Preset {slug[:100]!a} not found")
    return draft
