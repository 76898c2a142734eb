"""Every inference path leads into the story of a request, in its own dialect."""

import asyncio
from typing import Any, cast, get_args

from proxy.api.inference import PATHS, handlers
from proxy.dialects import INBOUND, Inbound
from proxy.pipeline.flow import Flow
from proxy.routing import kinds
from proxy.serving.caller import Caller
from proxy.wire.request import Task


class Told:
    """A flow that notes what it is given."""

    def __init__(self) -> None:
        self.served: list[tuple[Caller, Inbound]] = []

    async def serve(self, caller: Caller, dialect: Inbound) -> None:
        self.served.append((caller, dialect))


def test_each_path_has_a_dialect() -> None:
    assert PATHS["/chat/completions"] == "chat"
    assert set(PATHS.values()) == set(INBOUND)


def test_a_request_is_served_in_the_dialect_of_its_path() -> None:
    told = Told()
    apps = handlers(cast("Flow", told), ())
    assert set(apps) == set(PATHS)

    async def receive() -> Any:
        raise AssertionError("the body is the flow's to read")

    async def send(_: Any) -> None:
        raise AssertionError("the answer is the flow's to give")

    for path, name in PATHS.items():
        scope = {"type": "http", "path": path, "headers": []}
        asyncio.run(apps[path](scope, receive, send))  # type: ignore[arg-type]
        caller, dialect = told.served[-1]
        assert caller.scope is scope
        assert dialect is INBOUND[name]


def test_what_a_caller_is_told_of_paths_is_so() -> None:
    """Who asks for a model at the wrong path is told the right one."""
    assert set(kinds.PATHS.values()) <= set(PATHS)
    assert set(kinds.PATHS) == {*get_args(Task)} - {"count"}
