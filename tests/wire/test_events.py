"""What commits an answer: anything a caller would see, and nothing else."""

import msgspec
import pytest

from proxy.wire.events import (
    Attachments,
    Audio,
    Content,
    Echo,
    Ended,
    Event,
    Failed,
    Finished,
    Produced,
    Reasoning,
    Refusal,
    Sound,
    Spliced,
    Started,
    Text,
    ToolCall,
    Usage,
    UsageReport,
    Verbatim,
    is_content,
)

TABLE: list[tuple[Event, bool]] = [
    (Text(0, "a"), True),
    (Text(0, " "), True),
    (Text(0, ""), False),
    (Text(0, "", {"content": []}), False),
    (Refusal(0, "no"), True),
    (Refusal(0, ""), False),
    (Reasoning(0, "hm"), True),
    (Reasoning(0, ""), False),
    (Reasoning(0, "", ({"type": "reasoning.encrypted"},)), True),
    (ToolCall(0, 0, "id", "name", ""), True),
    (ToolCall(0, 0, None, None, ""), True),
    (Audio(0, {"id": "audio_1"}), True),
    (Attachments(0, "images", ({},)), True),
    (Produced(0, None), True),
    (Spliced(0, b"data: {}\n\n", (2,)), True),
    (Sound(0, b"\xff"), True),
    (Sound(0, b""), False),
    (Echo({"model": "m"}), False),
    (Verbatim("ping", b"{}", {}, ()), False),
    (Started(), False),
    (Finished(0, "stop", "stop"), False),
    (UsageReport(Usage()), False),
    (Failed(500, "", None, ""), False),
    (Ended(), False),
]


@pytest.mark.parametrize(("event", "content"), TABLE, ids=repr)
def test_what_is_content(event: Event, content: bool) -> None:
    assert is_content(event) is content
    assert not content or isinstance(event, Content)


def test_the_table_has_every_event() -> None:
    assert {type(event) for event, _ in TABLE} == set(Event.__subclasses__())


def test_events_do_not_change() -> None:
    with pytest.raises(AttributeError):
        Text(0, "a").text = "b"  # type: ignore[misc]


@pytest.mark.parametrize("event", [event for event, _ in TABLE], ids=repr)
def test_events_can_be_kept(event: Event) -> None:
    assert msgspec.convert(msgspec.to_builtins(event), type(event)) == event


def test_unknown_usage_is_nothing() -> None:
    usage = msgspec.to_builtins(Usage())
    assert not any(usage.values())


def test_what_was_spliced_together_has_parts() -> None:
    event = Spliced(2, b'data: {"a":1}\n\ndata: {"b":2}\n\n', (3, 4))
    assert event.parts() == [
        Spliced(2, b'data: {"a":1}\n\n', (3,)),
        Spliced(2, b'data: {"b":2}\n\n', (4,)),
    ]
