"""What the simulated provider remembers between two requests: what it signed, what it cached."""

import hashlib
import hmac
from base64 import b64encode
from collections import OrderedDict

from proxy.upstream.fake.ask import Ask

_PREFIXES_MAX = 1000


class Seal:
    """Signs thoughts, so that it can tell later whether they came back unchanged."""

    def __init__(self, seed: int) -> None:
        self._key = str(seed).encode()

    def sign(self, *parts: str) -> str:
        """The signature of `parts`: the same for the same parts and the same seed."""
        text = "\0".join(parts).encode("utf-8", "surrogatepass")
        return b64encode(hmac.digest(self._key, text, hashlib.sha256)).decode()

    def holds(self, signature: object, *parts: str) -> bool:
        """Whether `signature` is the one of `parts`."""
        return signature == self.sign(*parts)


class Larder:
    """The prompts that were cached, by their text; the oldest go first."""

    def __init__(self) -> None:
        self._prefixes: OrderedDict[str, None] = OrderedDict()

    def use(self, ask: Ask) -> tuple[int, int]:
        """How many tokens of the prompt are read from what is here, and how many are added now.

        The longest prefix that is marked and known is read; what lies between it and the last mark
        is written.
        """
        read = written = 0
        for mark in sorted(set(ask.marks)):
            prefix = "\0".join((ask.model, *ask.texts[:mark]))
            tokens = sum(len(text.split()) for text in ask.texts[:mark])
            if prefix in self._prefixes:
                read, written = tokens, 0
            else:
                written = tokens - read
            self._prefixes[prefix] = None
            self._prefixes.move_to_end(prefix)
        while len(self._prefixes) > _PREFIXES_MAX:
            self._prefixes.popitem(last=False)
        return read, written
