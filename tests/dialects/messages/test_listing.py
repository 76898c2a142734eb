"""Anthropic's list of models becomes rows; the recorded one does whole."""

import json
from typing import Any

import pytest

from proxy.dialects.messages.listing import decode_listing
from proxy.errors import GatewayError
from proxy.wire.listing import PARAMETERS, Listing
from tests.recordings import index, load


def listed(*models: Any) -> tuple[Listing, ...]:
    return decode_listing(json.dumps({"data": models}).encode())


def test_a_row_that_says_little() -> None:
    assert listed({"id": "a"}) == (Listing(model="a", output_modalities=("text",)),)


def test_a_row_that_says_all() -> None:
    able = {"supported": True}
    capabilities = {
        "image_input": able,
        "pdf_input": {"supported": False},
        "structured_outputs": able,
        "thinking": able,
        "effort": able,
        "batch": None,
    }
    (row,) = listed(
        {
            "id": "claude-opus-5",
            "display_name": "Claude Opus 5",
            "created_at": "2026-07-24T00:00:00Z",
            "max_input_tokens": 1_000_000,
            "max_tokens": 128_000,
            "capabilities": capabilities,
        }
    )
    assert row == Listing(
        model="claude-opus-5",
        name="Claude Opus 5",
        created=1_784_851_200,
        context_length=1_000_000,
        max_completion_tokens=128_000,
        input_modalities=("text", "image"),
        output_modalities=("text",),
        supported_parameters=row.supported_parameters,
    )
    told = set(row.supported_parameters or ())
    assert {"tools", "reasoning", "verbosity", "structured_outputs"} <= told <= set(PARAMETERS)
    assert "temperature" not in told


def test_a_model_without_capabilities_of_its_own() -> None:
    (row,) = listed({"id": "claude-haiku-4-5", "capabilities": {}})
    assert row.input_modalities == ("text",)
    assert "temperature" in (row.supported_parameters or ())
    assert "reasoning" not in (row.supported_parameters or ())


@pytest.mark.parametrize(
    "row",
    [None, {}, {"id": 1}, {"id": "x" * 300}, {"id": " "}, {"id": "a", "lifecycle": "retired"}],
)
def test_what_is_no_model_is_left_out(row: Any) -> None:
    assert listed(row, {"id": "b"}, {"id": "b", "display_name": "again"}) == listed({"id": "b"})


@pytest.mark.parametrize("created", [None, 5, "yesterday", "2026-13-01T00:00:00Z"])
def test_a_time_that_is_none(created: Any) -> None:
    (row,) = listed({"id": "a", "created_at": created, "max_tokens": True, "max_input_tokens": 0})
    assert (row.created, row.max_completion_tokens, row.context_length) == (None, None, None)


def test_the_beginning_of_time_is_not_known() -> None:
    assert listed({"id": "a", "created_at": "1970-01-01T00:00:00Z"})[0].created is None


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"data": 1}', b"{}"])
def test_what_is_no_list(body: bytes) -> None:
    with pytest.raises(GatewayError) as caught:
        decode_listing(body)
    assert caught.value.kind == "provider_malformed"


@pytest.mark.wire
def test_the_recorded_list() -> None:
    rows = [row for row in index() if (row["provider"], row["api"]) == ("anthropic", "models")]
    bodies = [load(row).body for row in rows if load(row).status == 200]
    assert bodies
    for body in bodies:
        models = decode_listing(body)
        assert [model.model for model in models] == [one["id"] for one in json.loads(body)["data"]]
        for model in models:
            assert None not in (model.name, model.created, model.context_length)
            assert model.input_modalities == ("text", "image", "file")
            assert set(model.supported_parameters or ()) <= set(PARAMETERS)
