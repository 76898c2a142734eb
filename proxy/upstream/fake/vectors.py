"""Vectors and likenesses that the simulated provider makes up: the same for the same words."""

import hashlib
import math
import re
import struct
from base64 import b64encode
from collections.abc import Sequence

from proxy.upstream.fake.ask import JSONObject

_SIGNIFICANT = 8


def vector(text: str, dimensions: int) -> list[float]:
    """A vector of length 1 for `text`."""
    noise = hashlib.shake_256(text.encode("utf-8", "surrogatepass")).digest(2 * dimensions)
    whole = struct.unpack(f"<{dimensions}h", noise)
    length = math.sqrt(sum(number * number for number in whole)) or 1.0
    return [round(number / length, _SIGNIFICANT) for number in whole]


def packed(values: Sequence[float]) -> str:
    """`values` as OpenAI and Cohere pack them: 32-bit floats, little end first, in base64."""
    return b64encode(struct.pack(f"<{len(values)}f", *values)).decode()


def coarse(values: Sequence[float], kind: str) -> list[float] | list[int] | str:
    """`values` in one of Cohere's `embedding_types`; those with a bit for each number have eight in
    a byte.
    """
    match kind:
        case "int8":
            return [round(max(-1.0, min(1.0, value)) * 127) for value in values]
        case "uint8":
            return [round((max(-1.0, min(1.0, value)) + 1) * 127.5) for value in values]
        case "binary" | "ubinary":
            shift = 128 if kind == "binary" else 0
            rows = (values[at : at + 8] for at in range(0, len(values), 8))
            return [
                int("".join(str(int(v > 0)) for v in row).ljust(8, "0"), 2) - shift for row in rows
            ]
        case "base64":
            return packed(values)
        case _:
            return list(values)


def likeness(query: str, document: str) -> float:
    """How much of `query` is in `document`, above 0 and below 1; seldom the same twice."""
    wanted, found = _words(query), _words(document)
    share = len(wanted & found) / len(wanted) if wanted else 0.0
    noise = hashlib.sha256(document.encode("utf-8", "surrogatepass")).digest()[0]
    return round(0.05 + 0.9 * share + noise / 10_000, _SIGNIFICANT)


def ranked(query: str, documents: Sequence[str], most: int | None) -> list[JSONObject]:
    """The `most` documents that are most like `query`, as all rerankers write them."""
    scores = [(likeness(query, document), index) for index, document in enumerate(documents)]
    scores.sort(key=lambda row: (-row[0], row[1]))
    return [{"index": index, "relevance_score": score} for score, index in scores[:most]]


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))
