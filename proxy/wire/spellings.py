"""How a secret may be written where somebody repeats it: escaped for URLs or JSON, or as base64."""

import base64
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

_AS_IT_IS: Final = re.compile(r"[A-Za-z0-9._~-]")  # nothing escapes these
_LETTERS: Final = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}


def spelt(secret: str) -> str:
    """A regular expression for `secret`, which is not empty: as it is, and with any of its
    characters escaped the way URLs, JSON, and JSON within JSON have it.
    """
    return "".join(map(_escaped, secret))


def anyhow(secret: str) -> str:
    """The same, and for all of it that shows in base64, wherever in a longer text that began."""
    coded = dict.fromkeys(_coded(secret.encode("utf-8", "surrogatepass")))
    return "|".join(map(spelt, (secret, *coded)))


def _escaped(character: str) -> str:
    if _AS_IT_IS.fullmatch(character):
        return re.escape(character)
    itself, code = re.escape(character), f"{ord(character):x}"
    letter = _LETTERS.get(character, itself)
    in_url = re.escape(quote(character, safe="", errors="replace"))
    in_url = rf"{in_url}|\+" if character == " " else in_url
    return rf"(?:{itself}|\\+{letter}|(?i:{in_url}|\\+u0*{code}|\\+x0*{code}))"


def _coded(secret: bytes) -> Iterator[str]:
    """The characters of base64 that depend on nothing else; three bytes are four of them."""
    for before in range(3):
        begin, end = -(-8 * before // 6), 8 * (before + len(secret)) // 6
        if end - begin >= 8:
            for alphabet in (b"+/", b"-_"):
                whole = base64.b64encode(bytes(before) + secret, alphabet)
                yield whole[begin:end].decode()
