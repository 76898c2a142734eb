"""Recorded provider traffic, read from where it lies beside the project and never copied in."""

import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

Row = dict[str, Any]


@dataclass(frozen=True)
class Recording:
    """One recorded exchange. `request` is its `request.json`; `body` is the response's bytes, which
    are made again from the JSON (keys in their recorded order) where only that was kept.
    """

    row: Row
    request: dict[str, Any]
    status: int
    headers: dict[str, str]
    body: bytes


def root() -> Path:
    """The folder of recordings: `$WEIR_SHARED/wire`, else `../shared/wire` beside the repository.

    Without it the test is skipped, or fails where WEIR_REQUIRE_RECORDINGS is 1.
    """
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("WEIR_SHARED") or beside) / "wire"
    if not (folder / "index.jsonl").is_file():
        message = "no recordings of provider traffic: set WEIR_SHARED to the folder with wire/"
        if os.environ.get("WEIR_REQUIRE_RECORDINGS") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return folder


def index() -> list[Row]:
    """One row for each recording, in the order of the index."""
    return _rows(root())


def load(row: Row) -> Recording:
    """The recording that `row` of the index describes."""
    folder = root() / row["dir"]
    response = json.loads((folder / "response.json").read_bytes())
    if "body_file" in response:
        body = (folder / response["body_file"]).read_bytes()
    elif "body_text" in response:
        body = response["body_text"].encode()
    else:
        body = json.dumps(response["body"], ensure_ascii=False, separators=(",", ":")).encode()
    return Recording(
        row=row,
        request=json.loads((folder / "request.json").read_bytes()),
        status=response["status"],
        headers=response["headers"],
        body=body,
    )


@cache
def _rows(folder: Path) -> list[Row]:
    lines = (folder / "index.jsonl").read_bytes().splitlines()
    return [json.loads(line) for line in lines]
