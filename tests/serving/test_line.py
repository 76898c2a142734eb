"""What the parts of our own HTTP/1.1 ask of each other is there."""

from proxy.app import refuse
from proxy.serving.guard import Guard
from proxy.serving.hall import Hall
from proxy.serving.http1 import Connection
from proxy.serving.line import Guarding, Line, Place
from tests.serving.pipe import Heard


async def test_who_plays_which_part() -> None:
    guard = Guard(Heard(), refuse=refuse, client_stall_s=lambda: 3.0)
    guarding: Guarding = guard
    assert (guarding.client_stall_s, guarding.ending) == (3.0, False)
    hall = Hall(guard, state={}, refuse=refuse, keep_alive_s=1.0)
    place: Place = hall
    assert place.answer is guard.app
    line: Line = Connection(hall)
    assert line.hall is hall
    assert (line.blocked, line.last) == (False, False)
    hall.close()
