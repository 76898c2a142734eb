"""Reasoning survives its journey through a caller of Responses, whatever that caller keeps."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.responses.items import OPENAI
from proxy.dialects.responses.sealing import (
    SEAL,
    details_of,
    grow,
    responses_format,
    sealed,
    seals_in,
    thought,
    unsealed,
)
from tests.order import Json
from tests.truths.responses import XAI

CLAUDE = "anthropic-claude-v1"


def text(words: str | None, **more: Any) -> Json:
    said = {} if words is None else {"text": words}
    return {"type": "reasoning.text", "format": CLAUDE, "index": 0} | said | more


@given(st.lists(st.dictionaries(st.text(max_size=4), st.text(max_size=4) | st.integers(0, 9))))
def test_a_seal_keeps_everything(details: list[Json]) -> None:
    assert unsealed(sealed(details)) == details


@pytest.mark.parametrize("broken", ["", "!", "AAAA", "5", "eyI", "gICA", "é"])
def test_a_broken_seal(broken: str) -> None:
    if broken == "5":
        broken = "NQ=="  # a number: no details
        assert unsealed(SEAL + broken) == []
        return
    with pytest.raises(ValueError, match="broken"):
        unsealed(SEAL + broken)


def test_what_stands_in_the_seals_of_a_conversation() -> None:
    items: list[Any] = [
        {"encrypted_content": sealed([{"a": 1}])}, {"encrypted_content": SEAL + "é"},
        {"encrypted_content": "gAAAA"}, {"role": "user"}, {"encrypted_content": sealed([])}, "x",
    ]  # fmt: skip
    assert seals_in(items) == b'[{"a":1}][]'


def test_pieces_of_a_text_become_one_with_its_signature() -> None:
    details: list[Json] = []
    for piece in (text("a"), text("b"), text(None, signature="s"), text("c", index=1)):
        grow(details, piece)
    assert details == [text("ab", signature="s"), text("c", index=1)]


def test_pieces_of_other_kinds_stay_apart() -> None:
    details: list[Json] = []
    encrypted = {"type": "reasoning.encrypted", "data": "x", "index": 0}
    pieces: list[Json] = [encrypted, encrypted, {"type": "reasoning.text", "text": "a"}]
    for piece in [*pieces, pieces[-1]]:
        grow(details, piece)
    assert details == [*pieces, pieces[-1]]


@pytest.mark.parametrize(
    ("details", "fields"),
    [
        ([text("a")], {"format": CLAUDE}),
        ([text("a", signature=None)], {"format": CLAUDE}),
        (
            [text("a", signature="s")],
            {
                "encrypted_content": sealed([text("a", signature="s")]),
                "signature": "s",
                "format": CLAUDE,
            },
        ),
        ([text("a", id="rs_1", format=OPENAI)], {"format": OPENAI}),
        ([], {}),
    ],
)
def test_what_an_item_has_beside_its_text(details: list[Json], fields: Json) -> None:
    assert thought(details) == fields


def item(**more: Any) -> Json:
    return {"type": "reasoning", "id": "rs_1", "summary": []} | more


TEXT = [{"type": "reasoning_text", "text": "hm"}]
SUMMARY = [{"type": "summary_text", "text": "so"}]


@pytest.mark.parametrize(
    ("said", "details"),
    [
        (item(), []),
        (item(encrypted_content=sealed([text("a", signature="s")])), [text("a", signature="s")]),
        # OpenRouter's own words for the same, of a conversation that began there.
        (
            item(content=TEXT, signature="s", format=CLAUDE),
            [text("hm", signature="s", index=3)],
        ),
        (item(signature="s", format=CLAUDE), [text(None, signature="s", index=3)]),
        (
            item(encrypted_content="CiQ", format="google-gemini-v1"),
            [
                {
                    "type": "reasoning.encrypted",
                    "data": "CiQ",
                    "format": "google-gemini-v1",
                    "id": "rs_1",
                    "index": 3,
                }
            ],
        ),
        (item(content=TEXT), [text("hm", format="unknown", index=3)]),
        (
            item(content=TEXT, summary=SUMMARY, encrypted_content="x", id=None, format=XAI),
            [
                {"type": "reasoning.text", "text": "hm", "format": XAI, "index": 3},
                {"type": "reasoning.summary", "summary": "so", "format": XAI, "index": 4},
                {"type": "reasoning.encrypted", "data": "x", "format": XAI, "index": 5},
            ],
        ),
        (
            item(summary=SUMMARY),
            [{"type": "reasoning.summary", "summary": "so", "format": OPENAI, "index": 3}],
        ),
        (
            item(content=TEXT, format=OPENAI),
            [
                {
                    "type": "reasoning.text",
                    "text": "hm",
                    "format": OPENAI,
                    "id": "rs_1",
                    "index": 3,
                }
            ],
        ),
        (item(content=[{"text": 5}]), []),
    ],
)
def test_details_in_an_item(said: Json, details: list[Json]) -> None:
    assert details_of(said, 3) == details


def test_which_formats_are_those_of_items() -> None:
    assert responses_format("azure-openai-responses-v1")
    assert not responses_format(CLAUDE)
    assert not responses_format(None)


def test_the_seal_is_what_its_name_says() -> None:
    assert sealed([]).startswith(SEAL)
    assert json.dumps(sealed([text("é")])).isascii()
