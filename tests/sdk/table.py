"""The table at the end of a run: how many tests went well, of each caller before each dialect."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from tests.sdk.dialects import DIALECTS
from tests.sdk.upstreams import KINDS

TITLE: Final = "callers before providers: " + " / ".join(KINDS)


def lines(asked: Iterable[tuple[str, str, str]]) -> Iterator[str]:
    """`asked` has a caller, a dialect and a kind of provider for each test that went well."""
    counts = Counter(asked)
    yield f"{'':16}" + "".join(f"{dialect:>11}" for dialect in DIALECTS)
    for caller in sorted({caller for caller, _, _ in counts}):
        cells = (
            "/".join(str(counts[caller, dialect, kind]) for kind in KINDS) for dialect in DIALECTS
        )
        yield f"{caller:16}" + "".join(f"{cell:>11}" for cell in cells)
