"""Who has no room for a request is not tried, and only they (contract, section 4, item 1)."""

from collections.abc import Sequence
from sys import maxsize
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.errors import GatewayError
from proxy.providers import Provider
from proxy.routing.assembly import EndpointRow, ModelRow, build
from proxy.routing.catalogue import Catalogue, Model
from proxy.routing.health import Pool
from proxy.routing.plan import plan
from proxy.routing.ranking import Plan
from proxy.routing.room import BYTES_PER_TOKEN_MAX, room_of
from proxy.routing.waits import Timeouts
from proxy.wire.request import Ask, Task

Limits = tuple[int | None, int | None]
"""Of a context, and of an answer."""


def house(**models: Sequence[Limits]) -> Catalogue:
    """Models `a/name`, each with endpoints at `p0`, `p1`, … of so much room."""
    most = max(map(len, models.values()))
    made = build(
        providers=[
            Provider(slug=f"p{n}", name=f"P{n}", base_url="https://p.example/") for n in range(most)
        ],
        listings={},
        configured=[
            ModelRow(
                id=f"a/{name}",
                endpoints=tuple(
                    EndpointRow(provider=f"p{n}", model=name) for n in range(len(limits))
                ),
            )
            for name, limits in models.items()
        ],
        timeouts=Timeouts(),
        price_of=lambda provider, model: None,
    )
    return Catalogue(
        _limited(model, models[model.id.partition("/")[2]]) for model in made.models.values()
    )


def _limited(model: Model, limits: Sequence[Limits]) -> Model:
    endpoints = [
        replace(one, context_length=context, max_completion_tokens=answer)
        for one, (context, answer) in zip(model.endpoints, limits, strict=True)
    ]
    return replace(model, endpoints=tuple(endpoints))


def planned(
    where: Catalogue,
    *names: str,
    prompt: int = 0,
    max_tokens: int | None = None,
    task: Task = "chat",
) -> Plan:
    """The plan of a prompt that has at least so many tokens."""
    said = "x" * (prompt * BYTES_PER_TOKEN_MAX)
    ask = Ask(
        models=names or ("a/m",), body={"messages": [{"role": "user", "content": said}]},
        text_bytes=len(said), max_tokens=max_tokens, task=task,
    )  # fmt: skip
    return plan(ask, where, pool=Pool(), now=0.0, rng=lambda: 0.0)


def tried(made: Plan) -> list[str]:
    return [endpoint.tag for _, endpoint in made.attempts]


@pytest.mark.parametrize(
    ("limits", "prompt", "max_tokens", "left"),
    [
        # The prompt alone.
        ([(100, None), (200, None)], 100, None, ["p0", "p1"]),
        ([(100, None), (200, None)], 101, None, ["p1"]),
        ([(100, None), (None, None)], 9999, None, ["p1"]),
        # The answer beside it.
        ([(100, None), (200, None)], 50, 50, ["p0", "p1"]),
        ([(100, None), (200, None)], 50, 51, ["p1"]),
        # The answer alone.
        ([(None, 64), (None, 128)], 0, 64, ["p0", "p1"]),
        ([(None, 64), (None, 128)], 0, 65, ["p1"]),
        ([(None, 64), (None, None)], 0, 999, ["p1"]),
        # Where an answer has no room anywhere, its provider decides: it may give a shorter one.
        ([(100, 64), (200, 64)], 0, 65, ["p0", "p1"]),
        ([(100, None), (200, None)], 0, 300, ["p0", "p1"]),
        # Not so where its prompt has none.
        ([(100, None), (200, None)], 101, 300, ["p1"]),
        ([(None, None), (None, None)], 9999, 9999, ["p0", "p1"]),
    ],
)
def test_who_has_no_room_is_left_out_where_others_have(
    limits: Sequence[Limits], prompt: int, max_tokens: int | None, left: list[str]
) -> None:
    made = planned(house(m=limits), prompt=prompt, max_tokens=max_tokens)
    assert tried(made) == left
    assert [one.provider for one in made.candidates if one.excluded is None] == left
    out = [one for one in made.candidates if one.excluded is not None]
    assert {one.by for one in out} <= {"context_length"}
    assert len(made.candidates) == len(limits)
    assert made.candidates[len(left) :] == tuple(out)


@pytest.mark.parametrize(
    ("limits", "prompt", "max_tokens", "words"),
    [
        ((100, None), 101, None, "holds 100 tokens, and the prompt has at least 101"),
        ((100, None), 50, 51, "holds 100 tokens, too few for max_tokens 51 and the prompt"),
        ((None, 64), 0, 65, "answers with 64 tokens at most, and max_tokens is 65"),
    ],
)
def test_it_is_told_what_has_no_room(
    limits: Limits, prompt: int, max_tokens: int | None, words: str
) -> None:
    made = planned(house(m=[limits, (None, None)]), prompt=prompt, max_tokens=max_tokens)
    assert [one.excluded for one in made.candidates] == [None, words]


def test_a_fallback_model_answers_what_the_first_has_no_room_for() -> None:
    where = house(m=[(100, None)], big=[(1000, None), (50, None)])
    assert tried(planned(where, "a/m", "a/big", prompt=101)) == ["p0"]
    assert planned(where, "a/m", "a/big", prompt=101).attempts[0][0].id == "a/big"
    assert len(planned(where, "a/m", "a/big", prompt=10).attempts) == 3


def test_a_prompt_that_fits_nowhere_is_too_long_in_openrouters_words() -> None:
    where = house(m=[(100, None), (200, 10)], big=[(1000, None)], unsaid=[(None, None)])
    with pytest.raises(GatewayError) as caught:
        planned(where, prompt=300, max_tokens=7)
    error = caught.value
    assert (error.kind, error.status, error.error_type) == (
        "context_length", 400, "context_length_exceeded",
    )  # fmt: skip
    assert error.message == (
        "This endpoint's maximum context length is 200 tokens. However, you requested about 307 "
        "tokens (300 of text input, 7 in the output). Please reduce the length of either one."
    )
    assert error.availability == {
        "code": "constraint_filtered",
        "retryable": False,
        "requested_models": ["a/m"],
        "docs_url": "docs/errors.md#availability",
        "affected_providers": ["p0", "p1"],
        "excluded_by": ["context_length"],
        "constraint": {"field": "messages", "detail": "at most 200 tokens fit"},
        "fallback_models": ["a/big", "a/unsaid"],
    }


@pytest.mark.parametrize(
    ("message", "tokens"),
    [
        ({"content": [{"type": "text", "text": "x" * 320}]}, 10),
        ({"content": [{"type": "text", "text": "x" * 319}]}, 9),
        ({"content": None, "images": [{"image_url": {"url": "x" * 9999}}]}, 0),
        ({"content": "", "reasoning_details": [{"data": "x" * 9999}]}, 0),
        ({"content": [{"type": "image_url", "image_url": {"url": "x" * 9999}}]}, 0),
    ],
)
def test_only_text_is_counted_for_sure(message: dict[str, Any], tokens: int) -> None:
    for context, left in ((tokens, True), (tokens - 1, False)):
        if context < 1:
            continue
        where = house(m=[(context, None), (None, None)])
        ask = Ask(models=("a/m",), body={"messages": [message]}, text_bytes=10**6)
        made = plan(ask, where, pool=Pool(), now=0.0, rng=lambda: 0.0)
        assert ("p0" in tried(made)) is left
    where = house(m=[(max(1, tokens), None)])
    ask = Ask(models=("a/m",), body={"messages": [message]}, text_bytes=10**6)
    assert tried(plan(ask, where, pool=Pool(), now=0.0, rng=lambda: 0.0)) == ["p0"]


@pytest.mark.parametrize("task", ["count", "completion"])
def test_only_chats_are_measured(task: Task) -> None:
    assert tried(planned(house(m=[(100, None)]), prompt=999, task=task)) == ["p0"]


@given(
    st.lists(st.tuples(st.none() | st.integers(1, 9), st.none() | st.integers(1, 9)), min_size=1),
    st.integers(0, 12),
    st.none() | st.integers(1, 12),
)
def test_somebody_is_tried_unless_the_prompt_fits_nowhere(
    limits: list[Limits], prompt: int, max_tokens: int | None
) -> None:
    fits = [context is None or prompt <= context for context, _ in limits]
    if not any(fits):
        with pytest.raises(GatewayError):
            planned(house(m=limits), prompt=prompt, max_tokens=max_tokens)
        return
    left = tried(planned(house(m=limits), prompt=prompt, max_tokens=max_tokens))
    assert left
    assert {f"p{n}" for n, one in enumerate(fits) if one} >= set(left)


def test_the_room_of_some_is_the_least_of_who_says() -> None:
    assert room_of(()) == (maxsize, maxsize)
    (model,) = house(m=[(100, None), (None, 8), (300, 9)]).models.values()
    assert room_of(model.endpoints) == (100, 8)
