"""The caller's connection in plain calls is what our own HTTP/1.1 offers."""

from proxy.serving.cycle import Cycle
from proxy.serving.direct import DIRECT, Direct
from tests.serving.pipe import Heard, Pipe, hall
from tests.serving.raw import request


async def test_what_is_offered_has_every_call() -> None:
    async with hall(app := Heard()) as here:
        await Pipe(here).hear(request("/"))
    direct: Direct = app.scopes[0]["extensions"][DIRECT]
    assert isinstance(direct, Cycle)
    assert (direct.gone, direct.full, direct.body()) == (False, False, None)
