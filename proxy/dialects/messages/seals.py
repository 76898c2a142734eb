"""Thoughts of other providers in blocks of Anthropic's: sealed, so that they come back unchanged.

A caller keeps the thinking of an answer and sends it back with its signature. Whatever else another
provider's `reasoning_details` entry has than its text stands in that signature, or in the data of
a redacted block where it has no text, behind the mark that OpenRouter uses for it.
"""

import base64
from typing import Any, Final

from proxy.dialects.values import json_text, parsed

_MARK: Final = "openrouter.reasoning:"


def sealed(detail: dict[str, Any]) -> str:
    """`detail` as the signature, or the data, of a block. Raises GatewayError `provider_malformed`
    where it can not be written.
    """
    return _MARK + base64.b64encode(json_text(detail).encode()).decode()


def is_sealed(signature: object) -> bool:
    """Whether nobody but this gateway can read it."""
    return isinstance(signature, str) and signature.startswith(_MARK)


def unsealed(signature: object) -> dict[str, Any] | None:
    """The detail in it; None where there is none."""
    if not isinstance(signature, str) or not is_sealed(signature):
        return None
    try:
        text = base64.b64decode(signature[len(_MARK) :], validate=True).decode()
    except ValueError:  # of what is no base64, or no text
        return None
    return parsed(text)
