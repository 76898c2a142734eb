"""What holds for all tests: a program that is no Python package may be missing, but not in CI."""

import os
import shutil

import pytest


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("debian"):
        (program,) = marker.args
        if shutil.which(program) is None:
            assert "CI" not in os.environ, f"{program} is to be installed by .ci/run"
            pytest.skip(f"{program} is not installed")
