"""Every sentence of OpenRouter's routing that is honoured has a test, and the table names it.

The table is in `docs/routing.md`: what is promised, and the tests that show it.
"""

import ast
import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest

PAGE: Final = Path("docs/routing.md")
ROW: Final = re.compile(r"^\| (\d+[a-z]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
TEST: Final = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")

BUILT: Final = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 20, 21, 22, 24)
"""The numbers of the contract's section 4 whose sentences are honoured."""

NOT_YET: Final = (1, 3, 11, 13, 15, 16, 17, 18, 19, 23)
"""Those with sentences that are not: asking for them is refused."""


@cache
def rows() -> list[tuple[str, str, str]]:
    found = ROW.findall(PAGE.read_text())
    assert found
    return found


@cache
def functions_of(path: str) -> dict[str, ast.AST]:
    tree = ast.parse(Path(path).read_text())
    return {
        node.name: node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_no_sentence_stands_there_twice() -> None:
    places = [at for at, _, _ in rows()]
    assert len(set(places)) == len(places)
    assert places == sorted(places, key=lambda at: (int(re.sub(r"\D", "", at)), len(at), at))


def test_every_number_of_the_contract_is_there() -> None:
    built = {int(re.sub(r"\D", "", at)) for at, _, shown in rows() if "not yet" not in shown}
    assert built >= set(BUILT)
    refused = {int(re.sub(r"\D", "", at)) for at, _, shown in rows() if "not yet" in shown}
    assert refused == set(NOT_YET)


@pytest.mark.parametrize(("at", "said", "shown"), rows(), ids=[at for at, _, _ in rows()])
def test_each_sentence_is_shown_by_tests_that_exist_and_run(at: str, said: str, shown: str) -> None:
    found = TEST.findall(shown)
    assert found, f"{at} ({said}) names no test"
    for path, name in found:
        test = functions_of(path).get(name)
        assert test is not None, f"{at}: {path} has no {name}"
        assert "skip" not in ast.unparse(test).partition("\n")[0], f"{at}: {name} is skipped"
        assert any(isinstance(node, ast.Assert | ast.With) for node in ast.walk(test)), (
            f"{at}: {name} asserts nothing itself"
        )


@pytest.mark.parametrize("path", sorted(set(re.findall(r"tests/[\w/]+\.py", PAGE.read_text()))))
def test_the_tests_stand_where_they_are_run(path: str) -> None:
    assert Path(path).name.startswith("test_")
