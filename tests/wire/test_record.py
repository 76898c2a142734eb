"""The row of a generation: every field but two has a default, and none holds a prompt."""

import msgspec

from proxy.wire.record import Generation, Try


def test_the_least_that_is_known() -> None:
    row = Generation(id="gen-1", created_at=1.5)
    told = msgspec.to_builtins(row)
    assert (row.status, row.account, row.cost_nano) == (200, "default", 0)
    assert row.attempts == ()
    assert told["error"] is None


def test_no_place_for_what_was_said() -> None:
    fields = set(Generation.__struct_fields__) | set(Try.__struct_fields__)
    assert not fields & {"messages", "prompt", "content", "body", "text", "answer", "key", "raw"}


def test_a_row_survives_being_written() -> None:
    note = Try(provider="p", provider_name="P", model="m", status=None, latency_ms=3, error="x")
    row = Generation(id="gen-1", created_at=1.5, cost_nano=None, attempts=(note,))
    assert msgspec.json.decode(msgspec.json.encode(row), type=Generation) == row
