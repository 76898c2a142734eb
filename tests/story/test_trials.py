"""An alias of two models, over sockets: who is given which, and what is said of both afterwards."""

import asyncio
import json
import secrets
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import httpx
from click.testing import CliRunner
from openrouter import OpenRouter

from proxy import cli
from proxy.accounts.keys import fingerprint
from proxy.aliases import Alias, Arm
from proxy.routing.trials import assigned
from proxy.wire.record import Generation
from proxy.wire.request import Ask
from tests.calling import calling
from tests.running import Running, config_text, eventually, mint_key, model_text, provider, weir

SESSIONS = 40
EACH = 5
ONE, TWO = "test/one", "test/two"
SPLIT = (Arm(model=ONE, weight=3), Arm(model=f"{TWO}:nitro", weight=1))
CHAT = Alias(id="team/chat", split=SPLIT)
ALIASES = """
[[aliases]]
id = "team/chat"
split = [{ model = "test/one", weight = 3 }, { model = "test/two:nitro", weight = 1 }]
[[aliases]]
id = "team/any"
sticky = "none"
split = [{ model = "test/one", weight = 1 }, { model = "test/two", weight = 1 }]
"""
MODELS = model_text(ONE, ("p0", "one")) + model_text(TWO, ("p0", "two"))
SCENARIO = """
models = []
rules = [
    { model = "two", fault = "status", status = 400, times = 3 },
    { model = "two", tokens = 7 },
    { model = "one", tokens = 4 },
]
"""


class Said(NamedTuple):
    """An answer: its id, its status, and the model that its body names."""

    id: str
    status: int
    model: str


async def ask(
    session: aiohttp.ClientSession, running: Running, who: Mapping[str, str], **body: Any
) -> Said:
    """One request; `who` are headers that say whose it is."""
    headers = {"Authorization": f"Bearer {running.key}", **who}
    sent = {"model": "team/chat", "messages": [{"role": "user", "content": "Hello"}], **body}
    url = f"{running.base_url}/chat/completions"
    async with session.post(url, json=sent, headers=headers) as response:
        found = await response.json()
        id_ = response.headers.get("X-Generation-Id", "")
        return Said(id_, response.status, found.get("model", ""))


def expected(session: str) -> str | None:
    """The arm that every worker gives this session."""
    request = Ask(models=("team/chat",), body={}, session_id=session)
    found = assigned(request, {"team/chat": CHAT}, session=None, key=None, rng=lambda: 0.0)
    return found[1]


async def shown(folder: Path, *command: str) -> str:
    """What a command prints beside the running gateway."""
    arguments = [*command, "--config", str(folder / "config.toml")]
    result = await asyncio.to_thread(CliRunner().invoke, cli.main, arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


async def test_a_trial_from_the_first_request_to_the_figures(tmp_path: Path) -> None:
    async with provider(SCENARIO) as (_, base_url):
        text = config_text(tmp_path, base_url) + MODELS + ALIASES
        async with weir(tmp_path, text) as running, calling(running) as calls:
            async with aiohttp.ClientSession() as session:
                said: dict[str, list[Said]] = {}
                for number in range(SESSIONS):
                    name = f"session-{number}"
                    # The body's word and the head's are the same to it.
                    spoken: Any = {"session_id": name} if number % 2 else {}
                    who = {} if spoken else {"x-session-id": name}
                    said[name] = [await ask(session, running, who, **spoken) for _ in range(EACH)]
            rows = calls.rows
            told = await _told(running, tmp_path, said, rows)
        await _agree(tmp_path, said, rows, told)


async def _told(
    running: Running, folder: Path, said: Mapping[str, list[Said]], rows: Mapping[str, Generation]
) -> dict[str, Any]:
    """Gives feedback on three answers of the second model and reads the figures by HTTP."""
    key = mint_key(folder / "weir.db", secrets.token_hex(4), usd=0, management=True)
    second = [one.id for answers in said.values() for one in answers if one.model == TWO][:3]
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as session:
        await eventually(lambda: running.gateway.office.key(fingerprint(key)))
        # The SDK would close its own once more whenever the collector finds it.
        async with httpx.AsyncClient(follow_redirects=True) as web:
            client = OpenRouter(api_key=key, server_url=running.base_url, async_client=web)
            for id_ in second:
                answer = await client.generations.submit_feedback_async(
                    category="incorrect_response", generation_id=id_, comment="No."
                )
                assert answer.model_dump()["data"] is not None
        lost = {"generation_id": "gen-lost", "category": "other"}
        async with session.post(f"{running.base_url}/generation/feedback", json=lost) as refused:
            assert refused.status == 404
        async with session.get(f"{running.base_url}/aliases") as listed:
            assert [row["id"] for row in (await listed.json())["data"]] == ["team/chat", "team/any"]
        async with session.get(f"{running.base_url}/aliases/team/chat") as answer_of:
            told: dict[str, Any] = (await answer_of.json())["data"]
    assert {row.requested_model for row in rows.values()} == {"team/chat"}
    return told


async def _agree(
    folder: Path,
    said: Mapping[str, list[Said]],
    rows: Mapping[str, Generation],
    told: Mapping[str, Any],
) -> None:
    """What is told of the trial is what became of it."""
    arms: dict[str, list[Generation]] = {ONE: [], f"{TWO}:nitro": []}
    for name, answers in said.items():
        found = {rows[one.id].arm for one in answers}
        assert found == {expected(name)}, "a session stays with one model"
        for one in answers:
            row = rows[one.id]
            assert row.arm is not None
            assert one.model in ("", row.arm.partition(":")[0])
            arms[row.arm].append(row)
    first, second = arms.values()
    assert len(first) + len(second) == SESSIONS * EACH
    assert 0.55 < len(first) / (SESSIONS * EACH) < 0.92
    assert told["requests"] == SESSIONS * EACH
    for arm, group in zip(told["arms"], (first, second), strict=True):
        assert arm["requests"] == len(group)
        assert arm["share"] == len(group) / (SESSIONS * EACH)
        assert arm["errors"] == sum(row.error is not None for row in group)
        assert arm["finish_reasons"] == Counter(row.finish_reason for row in group)
        assert arm["cost"] * 1e9 == sum(row.cost_nano or 0 for row in group)
        assert arm["tokens_completion"] == sum(row.completion_tokens for row in group)
        assert 0 <= arm["latency"]["p50"] <= arm["latency"]["p95"]
        assert arm["latency"]["p50"] <= arm["generation_time"]["p95"]
    assert [arm["errors"] for arm in told["arms"]] == [0, 3]
    assert [arm["feedback"]["generations"] for arm in told["arms"]] == [0, 3]
    assert told["arms"][1]["feedback"]["categories"] == {"incorrect_response": 3}

    (again,) = json.loads(await shown(folder, "ab", "show", "team/chat", "--json"))
    assert again["arms"] == told["arms"]
    lines = (await shown(folder, "ab", "show", "team/chat")).splitlines()
    cells = [line.split() for line in lines]
    assert lines[1].split() == [ONE, f"{TWO}:nitro"]
    assert ["requests", str(len(first)), str(len(second))] in cells
    assert ["errors", "0", "3"] in cells
    assert ["said:", "incorrect_response", "0", "3"] in cells
    assert "team/any" not in "".join(lines)


async def test_users_and_keys_stay_too_and_nobody_does_where_it_is_not_sticky(
    tmp_path: Path,
) -> None:
    async with provider("models = []") as (_, base_url):
        text = config_text(tmp_path, base_url) + MODELS + ALIASES
        async with (
            weir(tmp_path, text) as running,
            calling(running),
            aiohttp.ClientSession() as session,
        ):
            for who in ({"user": "anna"}, {"user": "boris"}, {}):
                found = {(await ask(session, running, {}, **who)).model for _ in range(8)}
                assert len(found) == 1
            names = {f"u{number}": {"user": f"u{number}"} for number in range(24)}
            users = {(await ask(session, running, {}, **who)).model for who in names.values()}
            assert users == {ONE, TWO}
            any_ = [
                (await ask(session, running, {}, model="team/any", session_id="s")).model
                for _ in range(40)
            ]
            assert set(any_) == {ONE, TWO}


async def test_an_alias_may_be_changed_while_it_runs(tmp_path: Path) -> None:
    async with provider("models = []") as (_, base_url):
        text = config_text(tmp_path, base_url) + MODELS
        async with (
            weir(tmp_path, text) as running,
            calling(running),
            aiohttp.ClientSession() as session,
        ):
            assert (await ask(session, running, {})).status == 400
            (tmp_path / "config.toml").write_text(text + ALIASES)
            assert await running.gateway.reload()
            assert (await ask(session, running, {})).model in (ONE, TWO)
            (tmp_path / "config.toml").write_text(text + ALIASES.replace("= 3", "= 0.000001"))
            assert await running.gateway.reload()
            models = {
                (await ask(session, running, {}, session_id=f"s{number}")).model
                for number in range(20)
            }
            assert models == {TWO}
