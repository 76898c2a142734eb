"""What speech and transcription have in common: their fields, options of one provider, counts."""

from typing import Any, Final, TypeVar

from proxy.dialects.asked import Common, accept
from proxy.dialects.chat.fields import OWN_FIELDS
from proxy.dialects.counts import COUNT_MAX, count, usable
from proxy.dialects.forms import Bill, Headers
from proxy.dialects.options import TIERS
from proxy.dialects.values import mapping
from proxy.errors import GatewayError
from proxy.money import to_usd
from proxy.providers import Provider
from proxy.wire.events import Usage
from proxy.wire.preferences import options_in
from proxy.wire.request import Ask

OPTIONS: Final = "provider_options"
"""Where a canonical body keeps `provider.options`: fields for one provider alone, by its slug."""

_OWN: Final = (OWN_FIELDS | TIERS | {"user"}) - {"prompt", "speed"}
"""What is the gateway's; of `user` OpenRouter says for these that no provider is told."""

_ELSEWHERE = frozenset(("url", "file_url", "audio_url", "source_url", "file_id"))
"""Recordings that stand elsewhere: nobody here knows how long they last, and a provider's own files
are not the caller's.
"""

Form = TypeVar("Form", bound=Common)


def decode(
    fields: dict[str, Any], headers: Headers, form: type[Form]
) -> tuple[dict[str, Any], Form]:
    """The fields that travel on to a provider, and the known ones of all.

    Raises GatewayError `invalid_request` or `not_supported`, each naming the field.
    """
    travelling, known = accept(fields, headers, form, _OWN)
    options = options_in(known.provider)
    for said in (travelling, *options.values()):
        for name in _ELSEWHERE.intersection(said):
            raise GatewayError("not_supported", f"{name}: not supported yet")
    return travelling | {OPTIONS: options}, known


def split(ask: Ask, provider: Provider) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of a request, and the options that its caller has for this provider; neither with
    what the provider refuses.
    """
    omits = {*provider.quirks.omits, OPTIONS}
    fields = {name: value for name, value in ask.body.items() if name not in omits}
    options = mapping(ask.body[OPTIONS].get(provider.slug))
    return fields, {name: value for name, value in options.items() if name not in TIERS}


def decode_usage(said: object) -> Usage | None:
    """What a provider counts: OpenAI's tokens or seconds, Mistral's tokens and seconds; None where
    that is nothing.
    """
    usage = mapping(said)
    names = ("input_tokens", "prompt_tokens"), ("output_tokens", "completion_tokens")
    counts = [next((n for key in keys if (n := usable(usage.get(key))) is not None), None)
              for keys in names]  # fmt: skip
    heard_ms = milliseconds(usage.get("seconds")) or milliseconds(usage.get("prompt_audio_seconds"))
    if counts == [None, None] and not heard_ms:
        return None
    prompt, completion = (number or 0 for number in counts)
    details = mapping(usage.get("input_token_details"))
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        prompt_audio_tokens=min(prompt, count(details.get("audio_tokens"))),
        audio_ms=heard_ms,
    )


def milliseconds(seconds: object) -> int:
    """A number of seconds in milliseconds; 0 for what is none."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return 0
    return round(seconds * 1000) if 0 <= seconds <= COUNT_MAX / 1000 else 0


def tokens_of(bill: Bill) -> dict[str, Any]:
    """Tokens and cost as OpenAI and OpenRouter tell them of audio."""
    usage = bill.usage
    return {
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "cost": to_usd(bill.cost.charge_nano) if bill.cost else 0,
    }
