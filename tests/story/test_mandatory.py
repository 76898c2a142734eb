"""A model that always thinks is not asked to answer without: the next is, or the caller is told."""

from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from proxy.providers import Quirks
from proxy.routing.catalogue import Endpoint
from tests.stage import END, GOOD, HEAD, KEY, Client, Script, Stage, asked, endpoint, model, tell

ANSWER: Script = [(0.1, HEAD), (0.2, GOOD), (0.3, END)]
WISHES: list[dict[str, Any]] = [
    {"reasoning": {"effort": "none"}},
    {"reasoning": {"enabled": False}},
    {"reasoning_effort": "none"},
]


def thinker(slug: str) -> Endpoint:
    """One whose only model always thinks."""
    plain = endpoint(slug)
    quirks = Quirks(reasoning_control="effort", efforts_of={".*": ("low", "high")})
    return replace(plain, provider=replace(plain.provider, quirks=quirks))


def ask(*scripts: Script, ends: list[Endpoint], **fields: Any) -> tuple[Client, Stage]:
    one = model("test/one", *ends)
    return tell(*scripts, models=[one], body=asked(**fields), credit_nano=10**12, key=KEY)


@pytest.mark.parametrize("wish", WISHES, ids=str)
def test_effort_none_is_a_400_where_reasoning_is_mandatory(wish: dict[str, Any]) -> None:
    client, stage = ask(ends=[thinker("p0"), thinker("p1")], **wish)
    assert client.status == client.error["code"] == 400
    assert "reasoning: is mandatory" in client.error["message"]
    assert (stage.providers.calls, stage.row.cost_nano) == ([], 0)


@pytest.mark.parametrize("wish", WISHES, ids=str)
def test_who_can_do_without_reasoning_is_asked_instead(wish: dict[str, Any]) -> None:
    client, stage = ask(ANSWER, ends=[thinker("p0"), endpoint("p1")], **wish)
    assert client.text == "hello world"
    assert stage.row.provider == "p1"


def test_any_other_effort_is_asked_for() -> None:
    client, stage = ask(ANSWER, ends=[thinker("p0")], reasoning={"effort": "minimal"})
    assert client.text == "hello world"
    sent = stage.providers.calls[0].call.body
    assert sent is not None
    assert orjson.loads(sent)["reasoning_effort"] == "low"
