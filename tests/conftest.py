"""What holds for all tests: how far properties are searched, which programs may be missing, and
what the workers of a run tell whoever hands the tests out to them.
"""

import os
import shutil
from collections.abc import Generator

import pytest
from hypothesis import settings

# A slow machine is no fault, and a run of CI says the same when it is run again; whoever works on
# the code searches further with every run.
settings.register_profile("ci", deadline=None, derandomize=True)
settings.register_profile("here", deadline=None)
settings.load_profile("ci" if "CI" in os.environ else "here")

# The scenarios of the SDKs say what they found, as tests do.
pytest.register_assert_rewrite("tests.sdk")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("debian"):
        (program,) = marker.args
        if shutil.which(program) is None:
            assert "CI" not in os.environ, f"{program} is to be installed by .ci/run"
            pytest.skip(f"{program} is not installed")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A worker can only tell what is UTF-8, and some tests log what is not."""
    report = yield
    report.sections = [
        (title, text.encode(errors="backslashreplace").decode()) for title, text in report.sections
    ]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table of the SDKs' tests: who hands tests out to workers reads this conftest alone."""
    asked = [
        tuple(value)
        for report in terminalreporter.stats.get("passed", [])
        for name, value in report.user_properties
        if name == "asks"
    ]
    if asked:
        from tests.sdk.table import TITLE, lines

        terminalreporter.section(TITLE)
        for line in lines(asked):
            terminalreporter.write_line(line)
