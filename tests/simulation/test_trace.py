"""The trace: its last events in words, all of them in its fingerprint."""

from proxy.simulation.trace import LAST_EVENTS, Trace


def test_the_last_events_are_kept_and_all_count() -> None:
    traces = []
    for first in ("a", "b"):
        trace = Trace(lambda: 1.5)
        trace.say(first)
        for number in range(LAST_EVENTS):
            trace.say(f"{number}")
        traces.append(trace)
    one, other = traces
    assert one.last == other.last
    assert one.last[0] == "1.500000 0"
    assert one.events == LAST_EVENTS + 1
    assert one.fingerprint != other.fingerprint


def test_time_counts() -> None:
    early, late = Trace(lambda: 1.0), Trace(lambda: 2.0)
    early.say("a")
    late.say("a")
    assert early.fingerprint != late.fingerprint
