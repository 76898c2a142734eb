"""Answers with vectors, as callers are sent them."""

import json
from typing import Any

from proxy.dialects.embeddings.answer import encode_answer
from proxy.dialects.forms import Bill
from proxy.wire.events import Ended, Event, Finished, Produced, Started, Usage
from proxy.wire.request import Ask, Head

HEAD = Head(id="gen-1", created=7, model="a/b", provider="Acme")
EVENTS: list[Event] = [
    Started(upstream_id="x"),
    Produced(0, {"index": 1, "embedding": "AACAPw=="}),
    Produced(0, {"index": 0, "embedding": [0.5]}),
    Finished(0, "stop", None),
    Ended(),
]


def answer(usage: Usage, routing: dict[str, Any] | None = None, **fields: Any) -> Any:
    ask = Ask(models=("m",), body=fields, task="embeddings")
    return json.loads(encode_answer(EVENTS, HEAD, ask, Bill(usage, None, routing)).body)


def test_vectors_stand_in_the_order_of_their_inputs() -> None:
    said = answer(Usage(prompt_tokens=3))
    assert said == {
        "object": "list",
        "data": [
            {"object": "embedding", "embedding": [0.5], "index": 0},
            {"object": "embedding", "embedding": [1.0], "index": 1},
        ],
        "model": "a/b",
        "usage": {
            "prompt_tokens": 3,
            "total_tokens": 3,
            "cost": 0,
            "is_byok": False,
            "cost_details": {
                "upstream_inference_cost": None,
                "upstream_inference_prompt_cost": 0,
                "upstream_inference_completions_cost": 0,
            },
        },
        "provider": "Acme",
        "id": "gen-1",
    }


def test_vectors_as_base64() -> None:
    said = answer(Usage(), encoding_format="base64")
    assert [one["embedding"] for one in said["data"]] == ["AAAAPw==", "AACAPw=="]


def test_kinds_of_input_are_told_where_there_are_several() -> None:
    pictured = answer(Usage(prompt_tokens=9, prompt_image_tokens=4, prompt_audio_tokens=2))
    assert pictured["usage"]["prompt_tokens_details"] == {
        "text_tokens": 3,
        "image_tokens": 4,
        "audio_tokens": 2,
    }
    alone = answer(Usage(prompt_tokens=4, prompt_image_tokens=4))
    assert "prompt_tokens_details" not in alone["usage"]


def test_how_it_was_routed_is_told_to_who_asks() -> None:
    assert answer(Usage(), {"a": 1})["openrouter_metadata"] == {"a": 1}
