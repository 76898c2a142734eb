"""Feedback on an answer: who may give it, in which words, and what becomes of it."""

import contextlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from openrouter import components
from starlette.requests import Request
from starlette.types import ASGIApp

from proxy.accounts.keys import Key, mint
from proxy.api import feedback
from proxy.api.feedback import CATEGORIES, COMMENT_CHARS_MAX, decode
from proxy.app import App
from proxy.errors import GatewayError
from proxy.stores.feedback import Feedback
from proxy.wire.record import Generation
from tests.asgi import Answer, call

NOW = 1_779_474_928.5
_, PLAIN = mint("mine", token_hex=lambda size: "ab" * size, now=NOW)
KEY = replace(PLAIN, management=True)
SAID = {
    "category": "incorrect_response",
    "comment": "The model repeated the same paragraph three times.",
    "generation_id": "gen-1",
}


class Desk:
    """The route for one caller, who made `gen-1`, and what was kept."""

    def __init__(self, key: Key | None = KEY, error: GatewayError | None = None) -> None:
        self.key = key
        self.error = error
        self.kept: list[Feedback] = []

    def authenticate(self, _: Request) -> Key | None:
        if self.error is not None:
            raise self.error
        return self.key

    async def find(self, id_: str, caller: Key | None) -> Generation | None:
        assert caller == self.key
        return Generation(id=id_, created_at=NOW) if id_ == "gen-1" else None

    async def keep(self, said: Feedback) -> None:
        self.kept.append(said)

    @property
    def app(self) -> ASGIApp:
        async def metrics() -> bytes:
            return b""

        return App(
            inference={},
            routes=feedback.routes(
                authenticate=self.authenticate, find=self.find, keep=self.keep, now=lambda: NOW
            ),
            health=lambda: (200, {}),
            ready=lambda: (200, {}),
            metrics=metrics,
        )

    async def post(self, body: Any) -> Answer:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await call(self.app, "POST", "/api/v1/generation/feedback", body=raw)


async def test_feedback_is_kept_and_answered_as_at_openrouter() -> None:
    desk = Desk()
    found = await desk.post(SAID)
    assert (found.status, found.json) == (200, {"data": {"success": True}})
    components.SubmitGenerationFeedbackResponse.model_validate(found.json)
    assert desk.kept == [
        Feedback(
            generation="gen-1",
            category="incorrect_response",
            comment="The model repeated the same paragraph three times.",
            key_hash=KEY.hash,
            at=NOW,
        )
    ]


async def test_without_keys_nobody_is_noted_and_a_comment_is_optional() -> None:
    desk = Desk(key=None)
    assert (await desk.post({"generation_id": "gen-1", "category": "other"})).status == 200
    (said,) = desk.kept
    assert (said.key_hash, said.comment) == (None, None)


async def test_only_management_keys_may() -> None:
    desk = Desk(PLAIN)
    found = await desk.post(SAID)
    assert (found.status, found.error["metadata"]["error_type"]) == (403, "permission_denied")
    nobody = Desk(error=GatewayError("unauthenticated", "No"))
    assert (await nobody.post(SAID)).status == 401
    assert desk.kept == nobody.kept == []


async def test_what_its_account_did_not_ask_is_not_found() -> None:
    desk = Desk()
    found = await desk.post(SAID | {"generation_id": "gen-2"})
    assert (found.status, found.error["message"]) == (404, "Generation 'gen-2' not found")
    long = await desk.post(SAID | {"generation_id": "ü" * 500})
    assert long.status == 404
    assert len(long.error["message"]) < 700
    assert desk.kept == []


WRONG: list[tuple[Any, str]] = [
    (b"", "The body is not valid JSON"),
    (b"{", "The body is not valid JSON"),
    (b'{"category": "\xff"}', "The body is not valid JSON"),
    (b"[" * 10_000, "an object"),
    ([], "expected an object, got a list"),
    ({}, "generation_id: required"),
    ({"generation_id": "gen-1"}, "category: required"),
    (SAID | {"generation_id": ""}, "generation_id: must not be empty"),
    (SAID | {"generation_id": 7}, "generation_id: expected a string"),
    (SAID | {"category": "good"}, "category: expected one of latency, incoherence, "),
    (SAID | {"category": None}, "category: expected a string, got null"),
    (SAID | {"comment": "x" * 1001}, "comment: at most 1000 characters"),
    (SAID | {"comment": ["x"]}, "comment: expected a string, got a list"),
]


@pytest.mark.parametrize(("body", "message"), WRONG)
async def test_what_is_wrong_is_said(body: Any, message: str) -> None:
    desk = Desk()
    found = await desk.post(body)
    assert found.status == 400
    assert message in found.error["message"]
    assert desk.kept == []


async def test_the_longest_comment_fits_however_it_is_written() -> None:
    desk = Desk()
    assert (await desk.post(SAID | {"comment": "\U0001f600" * COMMENT_CHARS_MAX})).status == 200
    assert (await desk.post(b" " * 20_000)).status == 413
    assert len(desk.kept) == 1


async def test_other_methods_are_refused() -> None:
    found = await call(Desk().app, "GET", "/api/v1/generation/feedback")
    assert (found.status, found.headers["allow"]) == (405, "POST")


def test_the_categories_are_openrouters() -> None:
    for category in CATEGORIES:
        parsed = components.SubmitGenerationFeedbackRequest.model_validate(
            SAID | {"category": category}
        )
        assert parsed.category == category


@given(
    st.binary(max_size=80) | st.recursive(st.none() | st.text(), st.lists).map(msgspec.json.encode)
)
def test_whatever_is_sent_is_decoded_or_refused(body: bytes) -> None:
    with contextlib.suppress(GatewayError):
        assert decode(body).generation_id
