"""What one attempt heard: counts, the first content, who has finished and by which reason."""

from typing import Any

import pytest
from msgspec.structs import replace

from proxy.pipeline.heard import Heard, with_searches, with_units
from proxy.wire.events import Attachments, Finished, Reasoning, Spliced, Text, Usage
from proxy.wire.request import Ask
from tests.stage import endpoint


def test_content_is_counted_and_its_first_moment_kept() -> None:
    heard = Heard()
    assert heard.speak(Text(1, "four"), 7.0) == (4, 0)
    assert heard.speak(Text(0, "fünf"), 8.0) == (5, 0)
    assert heard.speak(Spliced(2, b"data: {}\n\n" * 2, (6, 1)), 9.0) == (7, 0)
    assert heard.speak(Attachments(0, "images", ({}, {})), 9.0) == (0, 2)
    assert (heard.said_bytes, heard.images, heard.content_at) == (16, 2, 7.0)
    assert heard.spoken == {0, 1, 2}


@pytest.mark.parametrize(
    ("said_bytes", "images", "counted", "tokens"),
    [
        (0, 0, None, 0),
        (1, 0, None, 1),
        (3, 0, None, 1),
        (4, 0, None, 2),
        (4, 2, None, 2002),
        (300, 0, 99, 100),
        (300, 0, 101, 101),
    ],
)
def test_the_estimate_is_an_upper_one(
    said_bytes: int, images: int, counted: int | None, tokens: int
) -> None:
    heard = Heard(said_bytes=said_bytes, images=images)
    heard.usage = None if counted is None else Usage(completion_tokens=counted)
    assert heard.tokens_max == tokens
    assert heard.said_max == -(-said_bytes // 3) + 1000 * images


def test_an_answer_is_complete_when_all_that_spoke_has_finished() -> None:
    heard = Heard()
    assert not heard.complete
    heard.speak(Text(0, "a"), 1.0)
    heard.speak(Text(1, "a"), 1.0)
    heard.finish(Finished(1, "length", "MAX"))
    assert not heard.complete
    heard.finish(Finished(0, "stop", "END"))
    assert heard.complete


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_first_choices_reason_is_the_answers(order: tuple[int, int]) -> None:
    heard = Heard()
    for choice in order:
        heard.finish(Finished(choice, f"reason {choice}", f"native {choice}"))
    assert (heard.finish_reason, heard.native_finish_reason) == ("reason 0", "native 0")


OWN = Usage(characters=5, audio_ms=2000, prompt_tokens=9)


@pytest.mark.parametrize(
    ("usage", "likely", "expected"),
    [
        (Usage(prompt_tokens=3), None, Usage(prompt_tokens=3)),
        (Usage(prompt_tokens=3), OWN, Usage(prompt_tokens=3, characters=5, audio_ms=2000)),
        (Usage(audio_ms=1), OWN, Usage(audio_ms=1, characters=5)),
    ],
)
def test_units_are_the_gateways_where_the_provider_has_none(
    usage: Usage, likely: Usage | None, expected: Usage
) -> None:
    ask = Ask(models=("m",), body={}, task="speech", likely=likely)
    assert with_units(usage, ask) == expected
    assert with_units(usage, None) is usage


def test_searches_that_were_told_of_are_counted() -> None:
    heard = Heard()
    told: dict[str, Any] = {"type": "reasoning.server_tool_call", "tool_name": "web_search"}
    others: tuple[dict[str, Any], ...] = (
        told | {"tool_name": "web_fetch"},
        told | {"type": "reasoning.text"},
        {},
    )
    heard.speak(Reasoning(0, "", (told, *others)), 1.0)
    heard.speak(Reasoning(0, "", (told,)), 1.0)
    heard.speak(Text(0, "a"), 1.0)
    assert heard.searches == 2


@pytest.mark.parametrize(
    ("usage", "told", "unasked", "searches"),
    [
        (Usage(), 3, False, 0),  # the provider counted none
        (Usage(estimated=True), 3, False, 3),
        (Usage(estimated=True), 0, False, 0),
        (Usage(estimated=True), 3, True, 3),
        (Usage(), 0, True, 1),
        (Usage(web_searches=2), 3, True, 2),
        (Usage(web_searches=2, estimated=True), 3, True, 2),
    ],
)
def test_searches_that_nobody_counted(
    usage: Usage, told: int, unasked: bool, searches: int
) -> None:
    at = endpoint()
    tools = {"p0": ("web_search",)} if unasked else {}
    at = replace(at, provider=replace(at.provider, tools=tools))
    assert with_searches(usage, Heard(searches=told), at).web_searches == searches
