"""Going to an address: only to those that were looked at. `test_egress.py` has all else of it."""

import pytest

from proxy.errors import GatewayError
from proxy.upstream import visitor
from proxy.upstream.addresses import Allowed, plain
from proxy.upstream.found import Budget
from proxy.upstream.visitor import Visitor


async def test_nobody_connects_to_what_was_not_looked_at() -> None:
    pinned = visitor._Pinned([plain("127.0.0.1")])
    with pytest.raises(OSError, match="not looked at"):
        pinned.socket((2, 1, 6, "", ("127.0.0.2", 80)))
    pinned.socket((2, 1, 6, "", ("127.0.0.1", 80))).close()


@pytest.mark.parametrize("failure", [OSError(), UnicodeError()])
async def test_a_name_that_is_none_has_no_address(failure: Exception) -> None:
    async def resolve(host: str, port: int) -> list[str]:
        raise failure

    made = Visitor(Allowed(()), agent="", resolve=resolve, tls=True)
    with pytest.raises(GatewayError, match="no public address"):
        await made.fetch("https://files.test/", 10, Budget(10))


async def test_what_takes_too_long_is_told_by_who_counts_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def follow(*_: object) -> None:
        raise TimeoutError

    monkeypatch.setattr(Visitor, "_follow", follow)
    made = Visitor(Allowed(()), agent="", resolve=None, tls=True)
    with pytest.raises(TimeoutError):
        await made.fetch("https://files.test/", 10, Budget(10))
