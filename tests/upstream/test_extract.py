"""What is found in a PDF, within bounds."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pypdf
import pytest

from proxy.upstream import extract as module
from proxy.upstream.extract import Found, extract, main
from tests.upstream.papers import locked, pdf


@pytest.fixture(autouse=True)
def _loud() -> Iterator[None]:
    yield
    logging.disable(logging.NOTSET)


def read(data: bytes, *, bytes_max: int = 10_000, until: float = 1e9) -> Found:
    ticks = count()
    return extract(data, bytes_max=bytes_max, until=until, clock=lambda: next(ticks))


def test_the_text_of_all_pages() -> None:
    found = read(pdf("one", "", "three"))
    assert found == {"text": "one\n\nthree", "pages": 3, "whole": True}


def test_only_so_many_bytes() -> None:
    assert read(pdf("one", "two"), bytes_max=6) == {"text": "one\n\nt", "pages": 2, "whole": False}
    assert read(pdf("one", "two"), bytes_max=10)["whole"]
    assert read(pdf("\xfc\xfc"), bytes_max=3) == {"text": "ü", "pages": 1, "whole": False}


def test_only_so_many_pages_and_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    paper = pdf(*"abcdef")
    assert read(paper, until=2) == {"text": "a\n\nb\n\nc", "pages": 6, "whole": False}
    monkeypatch.setattr(module, "PAGES_MAX", 2)
    assert read(paper) == {"text": "a\n\nb", "pages": 6, "whole": False}


def test_what_only_its_owner_may_change_can_be_read() -> None:
    assert read(locked(pdf("one"), user_password="", owner_password="x"))["text"] == "one"


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (locked(pdf("one"), user_password="x"), "encrypted"),
        (b"", "broken"),
        (b"%PDF-1.7\n", "broken"),
        (b"<html>", "broken"),
        (pdf("one")[:200], "broken"),
        (pdf(""), "empty"),
        (pdf(), "empty"),
        (pdf("", stream=b"broken ("), "empty"),
    ],
)
def test_what_has_no_text_for_us(data: bytes, error: str) -> None:
    assert read(data) == {"error": error}


def test_a_cipher_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise pypdf.errors.DependencyError

    monkeypatch.setattr(pypdf, "PdfReader", broken)
    assert read(pdf("one")) == {"error": "encrypted"}


def test_what_is_no_text_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def text(_page: Any) -> str:
        return "a\0b\x1b \t\n\n\n\n\ud800c"

    monkeypatch.setattr(pypdf.PageObject, "extract_text", text)
    assert read(pdf("one"))["text"] == "ab\n\nc"


def test_it_reads_and_writes() -> None:
    target = io.BytesIO()
    main(io.BytesIO(pdf("one")), target, bytes_max=100, seconds=5.0)
    assert json.loads(target.getvalue()) == {"text": "one", "pages": 1, "whole": True}


def test_as_a_program_it_has_bounds(tmp_path: Path) -> None:
    code = (
        "from proxy.upstream.extract import confine\n"
        "import resource\n"
        "confine(5.0)\n"
        "print(resource.getrlimit(resource.RLIMIT_CPU)[0])\n"
        "try: bytearray(2**31)\n"
        "except MemoryError: print('memory')\n"
        f"try: print('x', file=open('{tmp_path}/x', 'w'), flush=True)\n"
        "except OSError: print('file')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.split() == ["7", "memory", "file"]
