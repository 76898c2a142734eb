"""The recordings are found, read, and their absence is said aloud."""

from pathlib import Path

import pytest

from tests import recordings


@pytest.mark.wire
def test_every_recording_loads() -> None:
    rows = recordings.index()
    assert len(rows) > 1000
    for row in rows:
        recording = recordings.load(row)
        assert recording.status == row["status"]
        assert recording.body or row["kind"] not in {"sse", "json"}


def test_absence_is_a_skip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WEIR_SHARED", str(tmp_path))
    monkeypatch.delenv("WEIR_REQUIRE_RECORDINGS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="WEIR_SHARED"):
        recordings.root()


def test_absence_fails_where_recordings_are_required(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WEIR_SHARED", str(tmp_path))
    monkeypatch.setenv("WEIR_REQUIRE_RECORDINGS", "1")
    with pytest.raises(pytest.fail.Exception, match="WEIR_SHARED"):
        recordings.root()
