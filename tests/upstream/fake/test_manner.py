"""What all dialects have in common, and what a dialect is that changes nothing of it."""

import pytest

from proxy.upstream.fake.ask import Request
from proxy.upstream.fake.manner import Event, Failure, bearer, retry_after
from tests.upstream.fake.speaking import MANNERS, Wish, reply, whole


def test_frames() -> None:
    chat = MANNERS["chat"]
    assert chat.frame("", b"{}") == b"data: {}\n\n"
    assert chat.frame("error", b"{}") == b"event: error\ndata: {}\n\n"
    assert chat.broken("", b"{}") == b"data: {\n\n"
    assert chat.payload(Event("done", None)) == b"[DONE]"


def test_headers() -> None:
    request = Request("POST", "/", {"authorization": "Bearer k"}, b"")
    assert bearer(request) == "k"
    assert bearer(Request("POST", "/", {}, b"")) == ""
    assert retry_after(Failure("status")) == ()
    assert retry_after(Failure("status", retry_after_s=3)) == ((b"retry-after", b"3"),)


OWN = {
    "chat": {"authorization": "Bearer k"},
    "azure": {"api-key": "k"},
    "anthropic": {"x-api-key": "k"},
    "vertex-anthropic": {"authorization": "Bearer k"},
    "gemini": {"x-goog-api-key": "k"},
    "vertex-gemini": {"authorization": "Bearer k"},
    "cohere": {"authorization": "Bearer k"},
    "bedrock": {"authorization": "Bearer k"},
    "responses": {"authorization": "Bearer k"},
}


@pytest.mark.parametrize("dialect", MANNERS)
def test_every_dialect_has_its_own_header_for_the_key(dialect: str) -> None:
    manner = MANNERS[dialect]
    request = Request("POST", "/openai/v1/x", OWN[dialect], b"")
    assert manner.credential(request, None) == ("k", True)
    assert manner.credential(request, "k") == ("k", True)
    assert manner.credential(request, "other") == ("k", False)
    nobody = Request("POST", "/", {}, b"")
    assert manner.credential(nobody, None) == ("", True)
    assert manner.credential(nobody, "k") == ("", False)


@pytest.mark.parametrize("dialect", MANNERS)
def test_a_whole_answer_may_lack_what_belongs_there(dialect: str) -> None:
    manner = MANNERS[dialect]
    body = whole(dialect, Wish())
    assert manner.counted(body) or dialect in ("cohere", "responses")
    assert not any("tokens" in str(value) for value in manner.uncounted(body).get("usage", ()))
    nulled = manner.nulled(body)
    assert list(nulled) == list(body)
    assert None in [nulled.get(key) for key in manner.contents]
    assert "Water" not in str(manner.emptied(body))
    assert "Water" in str(manner.unfinished(body))


@pytest.mark.parametrize("dialect", MANNERS)
def test_every_event_is_taken_apart(dialect: str) -> None:
    manner = MANNERS[dialect]
    said = reply(dialect, Wish(model="weir/reason"))
    for event in manner.events(said):
        assert manner.growing(event, said).kind == event.kind
        if event.data is not None:
            manner.unfinished(event.data)
            assert not manner.counted(manner.uncounted(event.data))
