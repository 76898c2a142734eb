"""Cohere's list of models is read as every other one."""

import json
from collections import Counter
from typing import Any

import pytest

from proxy.dialects.cohere.listing import decode_listing
from proxy.errors import GatewayError
from proxy.wire.listing import PARAMETERS
from tests.recordings import index, load


def listed(*models: object) -> bytes:
    return json.dumps({"models": models}).encode()


def model(**more: Any) -> dict[str, Any]:
    return {"name": "command-x", "endpoints": ["chat"], "context_length": 1000} | more


def test_a_row_says_what_a_model_can() -> None:
    features = ["vision", "tools", "json_mode", "json_schema", "reasoning", "new"]
    (row,) = decode_listing(listed(model(features=features)))
    assert (row.model, row.context_length) == ("command-x", 1000)
    assert (row.input_modalities, row.output_modalities) == (("text", "image"), ("text",))
    assert row.supported_parameters is not None
    assert set(row.supported_parameters) <= set(PARAMETERS)
    wanted = {"tools", "response_format", "structured_outputs", "reasoning", "temperature"}
    assert wanted <= set(row.supported_parameters)
    assert not {"tool_choice", "logprobs"} & set(row.supported_parameters)


def test_a_row_without_features_says_nothing_of_them() -> None:
    (row,) = decode_listing(listed(model(features=None, context_length=8000.0)))
    assert row.supported_parameters is row.input_modalities is None
    assert row.context_length == 8000
    (plain,) = decode_listing(listed(model(features=[])))
    assert plain.input_modalities == ("text",)


def test_what_it_can_be_called_by_tells_what_it_is_for() -> None:
    rows = decode_listing(
        listed(
            model(name="embeds", endpoints=["embed"], features=["vision"]),
            model(name="ranks", endpoints=["rerank"]),
            model(name="hears", endpoints=["transcriptions"]),
            model(name="sees", endpoints=["embed_image"]),
            model(name="old", is_deprecated=True),
            model(name="silent", endpoints=None),
            model(name=None),
            "text",
        )
    )
    assert [(row.model, row.output_modalities) for row in rows] == [
        ("embeds", ("embeddings",)),
        ("ranks", ("rerank",)),
        ("hears", ("transcription",)),
        ("silent", ("text",)),
    ]
    assert rows[0].supported_parameters is None


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"models": 7}'])
def test_what_is_no_list_is_malformed(body: bytes) -> None:
    with pytest.raises(GatewayError) as raised:
        decode_listing(body)
    assert raised.value.kind == "provider_malformed"


@pytest.mark.wire
def test_the_recorded_list_has_every_model_that_is_served() -> None:
    (body,) = (
        recording.body
        for row in index()
        if (row["api"], row["provider"], row["status"]) == ("models", "cohere", 200)
        and (recording := load(row)).request["path"] == "/v1/models"
    )
    told = json.loads(body)["models"]
    served = {"chat", "embed", "rerank", "transcriptions"}
    wanted = [one["name"] for one in told if served & set(one["endpoints"])]
    rows = decode_listing(body)
    assert [row.model for row in rows] == wanted
    assert Counter(row.output_modalities for row in rows) == {
        ("text",): 16,
        ("embeddings",): 5,
        ("rerank",): 5,
        ("transcription",): 1,
    }
