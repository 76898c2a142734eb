"""The text of a PDF: a program of its own, which reads the file and writes what it found.

`pdf.py` runs it. A PDF may be made to use up all memory or all time, and its reader is plain
Python: here it can harm nobody, and takes no time of the loop's. It is given no keys.
"""

import json
import logging
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO
from typing import Any, BinaryIO, Final

MEMORY_BYTES_MAX: Final = 1024**3  # a PDF of 30 MB takes a tenth of it
PAGES_MAX: Final = 2000

_GARBAGE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_BLANKS: Final = re.compile(r"[ \t]+(?=\n)|\n(?=\n\n)")

Found = dict[str, Any]


def extract(data: bytes, *, bytes_max: int, until: float, clock: Callable[[], float]) -> Found:
    """`text`, of how many `pages`, and whether that is `whole`: it ends before `bytes_max` of
    UTF-8, and when `clock` says `until`. Or `error`: `encrypted`, `broken` or `empty`.
    """
    from pypdf import PdfReader
    from pypdf.errors import DependencyError

    try:
        reader = PdfReader(BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            return {"error": "encrypted"}
        pages = len(reader.pages)
        return _gather(_texts(reader, pages), pages, bytes_max, lambda: clock() >= until)
    except DependencyError:  # for a cipher
        return {"error": "encrypted"}
    except Exception:  # the reader has many, and MemoryError is one of them
        return {"error": "broken"}


def _texts(reader: Any, pages: int) -> Iterator[str]:
    """The text of one page after the other; of one that can not be read there is none."""
    for number in range(min(pages, PAGES_MAX)):
        text = ""
        with suppress(Exception):
            text = reader.pages[number].extract_text()
        yield _BLANKS.sub("", _GARBAGE.sub("", text)).strip()


def _gather(texts: Iterator[str], pages: int, bytes_max: int, late: Callable[[], bool]) -> Found:
    taken: list[bytes] = []
    left, seen = bytes_max, 0
    for text in texts:
        data = f"{text}\n\n".encode() if text else b""
        taken.append(data[:left])
        left -= len(data)
        seen += 1
        if left < 0 or late():
            break
    text = b"".join(taken).decode(errors="ignore").strip()
    if not text:
        return {"error": "empty"}
    return {"text": text, "pages": pages, "whole": seen == pages and left >= 0}


def main(source: BinaryIO, target: BinaryIO, *, bytes_max: int, seconds: float) -> None:
    """Reads a PDF, writes a JSON object."""
    logging.disable()
    found = extract(
        source.read(), bytes_max=bytes_max, until=time.monotonic() + seconds, clock=time.monotonic
    )
    target.write(json.dumps(found).encode())
    target.flush()


def confine(seconds: float) -> None:
    """Takes from this process what it will not need: memory, time, files and other processes."""
    import os
    import resource

    os.nice(5)
    bounds = (
        (resource.RLIMIT_AS, MEMORY_BYTES_MAX),
        (resource.RLIMIT_CPU, int(seconds) + 2),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    )
    for what, limit in bounds:
        with suppress(ValueError, OSError):  # not everywhere
            resource.setrlimit(what, (limit, limit))


if __name__ == "__main__":
    confine(float(sys.argv[2]))
    main(
        sys.stdin.buffer, sys.stdout.buffer, bytes_max=int(sys.argv[1]), seconds=float(sys.argv[2])
    )
