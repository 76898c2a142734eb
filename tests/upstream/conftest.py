"""Both event loops for both transports: the gateway runs on uvloop where that is installed."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

ON_BOTH = {"test_transport.py", "test_dialing.py"}
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """asyncio's own loop, and for some files uvloop after it."""
    return LOOPS if item.path.name in ON_BOTH else {"asyncio": LOOPS["asyncio"]}
