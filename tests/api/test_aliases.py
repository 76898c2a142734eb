"""Aliases by HTTP: who may see them, and how their arms stand side by side."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace
from starlette.requests import Request

from proxy.accounts.keys import Key, mint
from proxy.aliases import Alias, Arm
from proxy.api import aliases
from proxy.api.aliases import SINCE_S, trial_row
from proxy.app import App
from proxy.errors import GatewayError
from proxy.stores.trials import ArmRow, Waits
from tests.asgi import Answer, call

NOW = 1_779_474_928.5
_, PLAIN = mint("mine", token_hex=lambda size: "ab" * size, now=NOW)
KEY = replace(PLAIN, management=True, account="team")
CHAT = Alias(
    id="team/chat", split=(Arm(model="a/one", weight=3.0), Arm(model="b/two:nitro", weight=1.0))
)
SOLO = Alias(id="team/solo", sticky="none", split=(Arm(model="a/one", weight=1.0),))
ONE = ArmRow(
    arm="a/one",
    requests=30,
    errors=3,
    cancelled=2,
    cost_nano=60_000_000,
    prompt_tokens=300,
    completion_tokens=600,
    finish_reasons={"error": 3, "none": 2, "stop": 25},
    first=Waits(p50=100, p95=900),
    whole=Waits(p50=2000, p95=9000),
    feedback={"latency": 2, "other": 1},
    remarked=2,
)
GONE = ArmRow(arm="c/old", requests=10, finish_reasons={"stop": 10})


class Desk:
    """The routes for one caller, and what was asked of the store."""

    def __init__(self, key: Key | None = KEY, error: GatewayError | None = None) -> None:
        self.key = key
        self.error = error
        self.asked: list[tuple[str, float, str]] = []

    def authenticate(self, _: Request) -> Key | None:
        if self.error is not None:
            raise self.error
        return self.key

    async def trial(self, alias: str, since: float, account: str) -> list[ArmRow]:
        self.asked.append((alias, since, account))
        return [ONE, GONE]

    async def get(self, path: str, query: str = "") -> Answer:
        async def metrics() -> bytes:
            return b""

        app = App(
            inference={},
            routes=aliases.routes(
                authenticate=self.authenticate,
                aliases=lambda: {one.id: one for one in (CHAT, SOLO)},
                trial=self.trial,
                now=lambda: NOW,
            ),
            health=lambda: (200, {}),
            ready=lambda: (200, {}),
            metrics=metrics,
        )
        return await call(app, "GET", f"/api/v1{path}", query=query)


async def test_aliases_are_listed_as_they_are_configured() -> None:
    assert (await Desk().get("/aliases")).json == {
        "data": [
            {
                "id": "team/chat",
                "sticky": "session",
                "arms": [
                    {"model": "a/one", "weight": 3.0},
                    {"model": "b/two:nitro", "weight": 1.0},
                ],
            },
            {
                "id": "team/solo",
                "sticky": "none",
                "arms": [{"model": "a/one", "weight": 1.0}],
            },
        ]
    }


async def test_the_arms_of_an_alias_stand_side_by_side() -> None:
    desk = Desk()
    found = (await desk.get("/aliases/team/chat")).json["data"]
    assert desk.asked == [("team/chat", NOW - SINCE_S, "team")]
    arms = found.pop("arms")
    since = datetime.fromtimestamp(NOW - SINCE_S, UTC).isoformat(timespec="seconds")
    assert found == {"id": "team/chat", "sticky": "session", "since": since, "requests": 40}
    assert [arm["model"] for arm in arms] == ["a/one", "b/two:nitro", "c/old"]
    assert [arm["weight"] for arm in arms] == [3.0, 1.0, None]
    assert [arm["share"] for arm in arms] == [0.75, 0.0, 0.25]
    assert arms[0] == {
        "model": "a/one",
        "weight": 3.0,
        "requests": 30,
        "share": 0.75,
        "errors": 3,
        "error_rate": 0.1,
        "cancelled": 2,
        "finish_reasons": {"error": 3, "none": 2, "stop": 25},
        "cost": 0.06,
        "cost_per_request": 0.002,
        "tokens_prompt": 300,
        "tokens_completion": 600,
        "latency": {"p50": 100, "p95": 900},
        "generation_time": {"p50": 2000, "p95": 9000},
        "feedback": {
            "categories": {"latency": 2, "other": 1},
            "generations": 2,
            "ratio": 2 / 30,
        },
    }
    assert (arms[1]["error_rate"], arms[1]["cost_per_request"]) == (None, None)
    assert arms[1]["latency"] == {"p50": None, "p95": None}


def test_an_alias_that_nobody_asked_for_has_its_arms_all_the_same() -> None:
    row = trial_row(CHAT, [], since=0.0)
    assert [arm["share"] for arm in row["arms"]] == [None, None]
    assert row["requests"] == 0


async def test_since_when_may_be_said() -> None:
    desk = Desk(key=None)
    for text in ("2026-01-31T12:00:00Z", "2026-01-31T12:00", "2026-01-31T14:00:00%2B02:00"):
        assert (await desk.get("/aliases/team/chat", f"since={text}")).status == 200
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC).timestamp()
    assert desk.asked == [("team/chat", noon, "default")] * 3
    last = await desk.get("/aliases/team/chat", "since=9999-12-31T23:59:59.999999Z")
    assert last.json["data"]["since"] == "9999-12-31T23:59:59+00:00"


@pytest.mark.parametrize("text", ["", "yesterday", "1700000000", "0001-01-01T00:00%2B23:00"])
async def test_what_is_no_moment_is_refused(text: str) -> None:
    desk = Desk()
    found = await desk.get("/aliases/team/chat", f"since={text}")
    assert (found.status, desk.asked) == (400, [])
    assert found.error["message"].startswith("since: expected a moment such as ")


async def test_an_alias_that_is_not_there() -> None:
    found = await Desk().get("/aliases/team/none")
    assert (found.status, found.error["message"]) == (404, "Alias 'team/none' not found")


@pytest.mark.parametrize("path", ["/aliases", "/aliases/team/chat"])
async def test_only_management_keys_may_look(path: str) -> None:
    assert (await Desk(PLAIN).get(path)).status == 403
    assert (await Desk(error=GatewayError("unauthenticated", "No")).get(path)).status == 401
    assert (await Desk(None).get(path)).status == 200
