"""Vectors: lists of numbers, or base64 of 32-bit floats, the lowest byte first.

OpenAI's clients ask for base64, which is a third of the size; few other providers have it.
"""

import base64
import binascii
import sys
from array import array
from typing import Final

from proxy.errors import GatewayError
from proxy.providers import Quirks

_FLOAT_BYTES: Final = 4


def vector(said: object, quirks: Quirks) -> list[float] | str:
    """A vector as the provider gave it, of which every caller's form can be made.

    Raises GatewayError `provider_malformed` where it is none.
    """
    try:
        if isinstance(said, list) and said:
            array("f", said)
            return said
        if isinstance(said, str) and said:
            data = base64.b64decode(said, validate=True)
            if quirks.vectors == "int8":
                return [float(one) for one in array("b", data)]
            if len(data) % _FLOAT_BYTES == 0:
                return said
    except (TypeError, OverflowError, binascii.Error, ValueError):
        pass
    raise GatewayError("provider_malformed", "The provider's answer has no vector.")


def floats(one: list[float] | str) -> list[float]:
    """The numbers of a vector."""
    if not isinstance(one, str):
        return one
    found = array("f", base64.b64decode(one))
    if sys.byteorder == "big":
        found.byteswap()
    return found.tolist()


def packed(one: list[float] | str) -> str:
    """Base64 of a vector."""
    if isinstance(one, str):
        return one
    found = array("f", one)
    if sys.byteorder == "big":
        found.byteswap()
    return base64.b64encode(found.tobytes()).decode()
