"""What holds for all tests: how far properties are searched, and which programs may be missing."""

import os
import shutil

import pytest
from hypothesis import settings

# A slow machine is no fault, and a run of CI says the same when it is run again; whoever works on
# the code searches further with every run.
settings.register_profile("ci", deadline=None, derandomize=True)
settings.register_profile("here", deadline=None)
settings.load_profile("ci" if "CI" in os.environ else "here")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("debian"):
        (program,) = marker.args
        if shutil.which(program) is None:
            assert "CI" not in os.environ, f"{program} is to be installed by .ci/run"
            pytest.skip(f"{program} is not installed")
