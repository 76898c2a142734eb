"""The commands that touch the store, as a user types them, also beside a running gateway."""

import asyncio
import json
import re
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.accounts.ledger import Settlement, account_pot
from proxy.stores.sql import SqlStore
from proxy.wire.record import Candidate, Generation, Try
from tests.running import config_text, model_text, provider, weir
from tests.typed import Weir, typist, wrong


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Weir:
    return typist(tmp_path, monkeypatch)


@contextmanager
def store() -> Iterator[SqlStore]:
    """The store in the working directory."""
    opened = SqlStore.open("sqlite:///weir.db", create=False)
    try:
        yield opened
    finally:
        opened.close()


def rows(invoke: Weir, *command: str) -> Any:
    """What a command says to programs."""
    result = invoke(*command, "--json")
    assert result.exit_code == 0
    return json.loads(result.stdout)


# Keys.


def test_a_new_key_stands_alone_on_standard_output(invoke: Weir) -> None:
    result = invoke("keys", "create", "app")
    assert result.exit_code == 0
    assert re.fullmatch(r"sk-or-v1-[0-9a-f]{64}\n", result.stdout)
    assert result.stdout.strip() not in result.stderr
    assert "only time it is shown" in result.stderr
    assert Path("weir.db").exists()
    assert result.stdout.strip().encode() not in Path("weir.db").read_bytes()


def test_the_life_of_a_key(invoke: Weir) -> None:
    invoke("keys", "create", "one")
    invoke("keys", "create", "two", "--expires", "2999-01-31T00:00Z")
    assert "active already" in wrong(invoke("keys", "create", "one"), code=1)

    rows = json.loads(invoke("keys", "list", "--json").stdout)
    assert [row["name"] for row in rows] == ["one", "two"]
    assert [row["expires_at"] for row in rows] == [
        None, datetime(2999, 1, 31, tzinfo=UTC).timestamp()
    ]  # fmt: skip
    assert all(row["revoked_at"] is None for row in rows)

    revoked = invoke("keys", "revoke", "one")
    assert (revoked.exit_code, revoked.stdout) == (0, "")
    assert rows[0]["label"] in revoked.stderr
    assert invoke("keys", "revoke", rows[1]["hash"]).exit_code == 0
    states = [line.split()[-1] for line in invoke("keys", "list").stdout.splitlines()]
    assert states == ["state", "revoked", "revoked"]
    assert wrong(invoke("keys", "revoke", "one"), code=1) == "There is no active key 'one'."
    assert invoke("keys", "create", "one").exit_code == 0, "the name is free again"


@pytest.mark.parametrize("name", ["nobody", "", " ", "\udcff", "a\x00", "%", "ffffffff"])
def test_who_is_not_there_can_not_be_revoked(invoke: Weir, name: str) -> None:
    invoke("keys", "create", "one")
    assert "There is no active key" in wrong(invoke("keys", "revoke", name), code=1)


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "\x1b[31m", "\udcff"])
def test_a_name_must_be_seen(invoke: Weir, name: str) -> None:
    assert "NAME" in wrong(invoke("keys", "create", "--", name))
    assert not Path("weir.db").exists()


def test_a_key_is_disabled_and_enabled(invoke: Weir) -> None:
    invoke("keys", "create", "one")
    for command, state in [("disable", True), ("disable", True), ("enable", False)]:
        done = invoke("keys", command, "one")
        assert (done.exit_code, done.stdout) == (0, "")
        assert f"is {command}d" in done.stderr
        (row,) = rows(invoke, "keys", "list")
        assert row["disabled"] is state
    assert invoke("keys", "disable", row["hash"][:16]).exit_code == 0
    assert invoke("keys", "list").stdout.split()[-1] == "disabled"
    for command in ("disable", "enable"):
        assert "no active key 'two'" in wrong(invoke("keys", command, "two"), code=1)


LIMITS = [
    ((), {}),
    (("--limit", "5"), {"limit_nano": 5 * 10**9}),
    (("--limit", "0.1", "--limit-reset", "daily"), {"limit_nano": 10**8, "limit_reset": "daily"}),
    (("--limit", "1", "--limit-reset", "weekly"), {"limit_nano": 10**9, "limit_reset": "weekly"}),
    (("--limit", "1", "--limit-reset", "monthly"), {"limit_nano": 10**9, "limit_reset": "monthly"}),
    (("--rpm", "60"), {"requests_per_minute": 60}),
    (("--tpm", "9000"), {"tokens_per_minute": 9000}),
    (("--concurrent", "4"), {"concurrent_requests": 4}),
    (("--concurrent", "0"), {"concurrent_requests": 0}),
    (("--management",), {"management": True}),
    (("--account", "team"), {"account": "team"}),
]  # fmt: skip
UNLIMITED = {
    "limit_nano": None, "limit_reset": None, "requests_per_minute": None,
    "tokens_per_minute": None, "concurrent_requests": None, "management": False,
    "account": "default",
}  # fmt: skip


@pytest.mark.parametrize(("options", "fields"), LIMITS)
def test_a_key_has_the_limits_it_was_given(
    invoke: Weir, options: tuple[str, ...], fields: dict[str, Any]
) -> None:
    invoke("accounts", "create", "team")
    assert invoke("keys", "create", "one", *options).exit_code == 0
    (row,) = rows(invoke, "keys", "list")
    assert {name: row[name] for name in UNLIMITED} == UNLIMITED | fields
    assert (row["usage"], row["limit_remaining"]) == (0, row["limit"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--limit", "0"), "--limit: '0' is not an amount"),
        (("--limit", "much"), "--limit: 'much' is not an amount"),
        (("--limit-reset", "daily"), "--limit-reset: needs --limit"),
        (("--management", "--limit", "1"), "--management: "),
        (("--management", "--rpm", "0"), "--management: "),
        (("--management", "--tpm", "1"), "--management: "),
        (("--management", "--concurrent", "1"), "--management: "),
        (("--expires", "soon"), "--expires: 'soon' is not a moment"),
        (("--expires", "2020-01-01"), "--expires: '2020-01-01' is in the past"),
    ],
)
def test_a_limit_without_effect_or_sense_is_refused(
    invoke: Weir, options: tuple[str, ...], said: str
) -> None:
    assert wrong(invoke("keys", "create", "app", *options)).startswith(said)
    assert not Path("weir.db").exists()


@pytest.mark.parametrize("option", ["--rpm", "--tpm", "--concurrent", "--limit-reset"])
@pytest.mark.parametrize("value", ["-1", "x", "", "1.5", "hourly"])
def test_a_limit_of_no_kind_gets_the_usage(invoke: Weir, option: str, value: str) -> None:
    result = invoke("keys", "create", "app", "--limit", "1", option, value)
    assert result.exit_code == 2
    assert result.stderr.startswith("Usage: ")


def test_the_account_of_a_key_must_be_there(invoke: Weir) -> None:
    said = wrong(invoke("keys", "create", "app", "--account", "nobody"), code=1)
    assert said == "There is no account named 'nobody'."
    assert rows(invoke, "keys", "list") == []


def test_an_end_without_zone_is_utc(invoke: Weir) -> None:
    zoned = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    for number, text in enumerate([zoned.isoformat(), zoned.replace(tzinfo=None).isoformat()]):
        assert invoke("keys", "create", str(number), "--expires", text).exit_code == 0
    rows = json.loads(invoke("keys", "list", "--json").stdout)
    assert [row["expires_at"] for row in rows] == [zoned.timestamp()] * 2


# Accounts and credit.


def test_the_life_of_an_account(invoke: Weir) -> None:
    made = invoke("accounts", "create", "team")
    assert (made.exit_code, made.stdout) == (0, "")
    assert "weir credits grant" in made.stderr
    assert [row["account"] for row in rows(invoke, "accounts", "list")] == ["default", "team"]
    assert wrong(invoke("accounts", "create", "team"), code=1) == (
        "There is an account named 'team' already."
    )
    assert wrong(invoke("accounts", "create", "default"), code=1).startswith("There is an account")
    assert invoke("credits", "grant", "25", "--account", "team").stdout == "25.00\n"
    lines = invoke("accounts", "list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["account", "default", "team"]
    assert lines[2].split()[1:] == ["25.00", "0.00", "25.00"]


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "\udcff", "a:b", ":"])
def test_an_account_has_a_name_that_is_seen(invoke: Weir, name: str) -> None:
    assert "NAME" in wrong(invoke("accounts", "create", "--", name))
    assert not Path("weir.db").exists()


def test_credit_is_granted_to_the_nano_dollar(invoke: Weir) -> None:
    first = invoke("credits", "grant", "10")
    assert (first.exit_code, first.stdout) == (0, "10.00\n")
    assert first.stderr == "Granted 10.00 USD to account 'default'; above is what it has now.\n"
    second = invoke("credits", "grant", "0.000000001", "--note", "a cent's ten millionth")
    assert second.stdout == "10.000000001\n"

    found = rows(invoke, "credits", "show")
    assert (found["granted_nano"], found["available_nano"]) == (10_000_000_001, 10_000_000_001)
    assert [one["amount_nano"] for one in found["transfers"]] == [1, 10**10]
    assert [one["note"] for one in found["transfers"]] == ["a cent's ten millionth", None]
    shown = invoke("credits", "show").stdout
    assert "a cent's ten millionth" in shown
    assert shown.splitlines()[1].split() == ["granted", "10.000000001"]


@pytest.mark.parametrize("usd", ["0", "0.0", "nonsense", "1e3", "1" * 10, "0.0000000001", ""])
def test_what_is_no_amount_is_not_granted(invoke: Weir, usd: str) -> None:
    assert wrong(invoke("credits", "grant", usd)).startswith(f"USD: {usd!r} is not an amount")
    assert not Path("weir.db").exists()


def test_nothing_is_taken_back_by_a_slip(invoke: Weir) -> None:
    assert invoke("credits", "grant", "-5").stderr.startswith("Usage: ")
    assert wrong(invoke("credits", "grant", "--", "-5")).startswith("USD: '-5' is not")


def test_a_note_must_be_seen(invoke: Weir) -> None:
    said = wrong(invoke("credits", "grant", "1", "--note", "\x1b[31m"))
    assert said == "--note: must be printable"


def test_credit_needs_an_account(invoke: Weir) -> None:
    for command in (("credits", "grant", "1"), ("credits", "show")):
        invoke("accounts", "create", "team")
        said = wrong(invoke(*command, "--account", "nobody"), code=1)
        assert said == "There is no account named 'nobody'."


# The ledger.


def spend(opened: SqlStore, id: str, **more: Any) -> Generation:
    """A generation of the default account that cost 1,100,000 nano-dollars."""
    row = Generation(
        id=id, created_at=time.time(), model="acme/large", requested_model="large",
        provider="acme", endpoint_model="l", finish_reason="stop", cost_nano=1_100_000,
        upstream_nano=1_000_000, held_nano=5_000_000, **more,
    )  # fmt: skip
    pot, owner = account_pot("default"), secrets.token_hex(4)
    books = opened.ledger
    books.open_owner(owner, at=row.created_at)
    books.resize(
        owner, pot, keep_nano=0, least_nano=1_100_000, want_nano=2_000_000, at=row.created_at
    )
    charged = Settlement(
        owner=owner, generation=row, charge_nano=row.cost_nano or 0, pots=(pot.name,)
    )
    books.settle([charged])
    return row


def test_the_books_agree(invoke: Weir) -> None:
    invoke("credits", "grant", "10")
    with store() as opened:
        spend(opened, "gen-1-a")
    told = invoke("ledger", "verify")
    assert told.exit_code == 0
    assert told.stdout.endswith(": all agree\n")
    assert rows(invoke, "ledger", "verify")["differences"] == []
    found = rows(invoke, "credits", "show")
    assert (found["charged_nano"], found["granted_nano"]) == (1_100_000, 10**10)
    assert found["leased_nano"] > 0
    assert found["transfers"][-1]["kind"] == "grant"
    assert {one["kind"] for one in found["transfers"]} == {"grant", "lease", "charge"}


def test_a_difference_is_listed_and_fails(invoke: Weir) -> None:
    invoke("credits", "grant", "10")
    with store() as opened, opened._reading() as connection:
        connection.exec_driver_sql("UPDATE pots SET available_nano = available_nano + 1")
        connection.commit()
    told = invoke("ledger", "verify")
    assert told.exit_code == 1
    first, *differences = told.stdout.splitlines()
    assert f": {len(differences)} difference" in first
    assert differences
    for_programs = invoke("ledger", "verify", "--json")
    assert for_programs.exit_code == 1
    assert json.loads(for_programs.stdout)["differences"] == differences


@pytest.mark.parametrize(
    "command", [("ledger", "verify"), ("credits", "show"), ("why", "gen-1-a")], ids=" ".join
)
def test_without_a_store_nothing_can_be_proved(invoke: Weir, command: tuple[str, ...]) -> None:
    for option in ((), ("--json",)):
        said = wrong(invoke(*command, *option), code=1)
        assert said == "There is no store at weir.db yet."
    assert not Path("weir.db").exists()


# Single requests.


def test_why_tells_how_a_request_was_routed(invoke: Weir) -> None:
    invoke("credits", "grant", "10")
    candidates = (
        Candidate(provider="acme", model="l", price_nano=3 * 10**9),
        Candidate(provider="beta", model="l", standing="out", excluded="it failed five times"),
    )
    tried = (Try(provider="acme", provider_name="A", model="l", status=200, latency_ms=7),)
    with store() as opened:
        spend(opened, "gen-1-a", candidates=candidates, attempts=tried)
    told = invoke("why", "gen-1-a")
    assert told.exit_code == 0
    for said in (
        "asked for large, which is acme/large",
        "beta/l",
        "not tried: it failed five times",
        "acme/l: status 200, answered, 7 ms",
        "largest hold: 0.005 USD",
        "the caller pays 0.0011 USD",
    ):
        assert said in told.stdout
    row = rows(invoke, "why", "gen-1-a")
    assert [one["excluded"] for one in row["candidates"]] == [None, "it failed five times"]
    assert (row["cost"], row["upstream_cost"], row["held"]) == (0.0011, 0.001, 0.005)


@pytest.mark.parametrize("generation", ["gen-2", "", "\udcff", "a\x00", "%"])
def test_a_request_that_is_not_there_has_no_reasons(invoke: Weir, generation: str) -> None:
    invoke("accounts", "create", "team")
    said = wrong(invoke("why", "--", generation), code=1)
    assert said == f"There is no generation {generation!r}."


# Beside a running gateway, and as processes of their own.


async def test_a_running_gateway_follows_within_a_second(invoke: Weir, tmp_path: Path) -> None:
    async with (
        weir(tmp_path, config_text(tmp_path)) as running,
        aiohttp.ClientSession() as session,
    ):

        async def typed(*arguments: str) -> str:
            result = await asyncio.to_thread(invoke, *arguments)
            assert result.exit_code == 0, result.stderr
            return result.stdout.strip()

        async def get(path: str, key: str) -> tuple[int, Any]:
            headers = {"Authorization": f"Bearer {key}"}
            async with session.get(f"{running.base_url}{path}", headers=headers) as response:
                return response.status, await response.json()

        async def becomes(status: int, key: str) -> float:
            """Seconds until the gateway answers so."""
            since = time.monotonic()
            while time.monotonic() < since + 20:
                if (await get("/key", key))[0] == status:
                    return time.monotonic() - since
                await asyncio.sleep(0.02)
            raise AssertionError(f"it never answered {status}")

        took_s: list[float] = []
        limits = ("--limit", "5", "--limit-reset", "monthly")
        key = await typed("keys", "create", "fresh", *limits)
        took_s.append(await becomes(200, key))
        data = (await get("/key", key))[1]["data"]
        assert (data["limit"], data["limit_remaining"], data["limit_reset"]) == (5, 5, "monthly")
        for command, status in (("disable", 401), ("enable", 200), ("revoke", 401)):
            await typed("keys", command, "fresh")
            took_s.append(await becomes(status, key))

        chief = await typed("keys", "create", "chief", "--management")
        took_s.append(await becomes(200, chief))
        assert statistics.median(took_s) < 1  # where a busy machine does not hold one of them up
        _, before = await get("/credits", chief)
        await typed("credits", "grant", "12.5")
        status, after = await get("/credits", chief)
        assert status == 200
        assert after["data"]["total_credits"] - before["data"]["total_credits"] == 12.5
        assert (await get("/credits", running.key))[0] == 403
        assert "all agree" in await typed("ledger", "verify")


async def test_what_a_request_cost_is_everywhere_the_same(invoke: Weir, tmp_path: Path) -> None:
    async with provider('models = ["m"]') as (_, base_url), aiohttp.ClientSession() as session:
        text = config_text(tmp_path, base_url, more='[credits]\nmargin = "0.1"')
        text += model_text("test/own", ("p0", "m"))
        async with weir(tmp_path, text) as running:

            async def told(*arguments: str) -> Any:
                return await asyncio.to_thread(rows, invoke, *arguments)

            async def get(path: str, key: str) -> Any:
                headers = {"Authorization": f"Bearer {key}"}
                async with session.get(f"{running.base_url}{path}", headers=headers) as response:
                    assert response.status == 200
                    return (await response.json())["data"]

            granted = await asyncio.to_thread(invoke, "credits", "grant", "1")
            assert granted.exit_code == 0
            before = await told("credits", "show")
            async with session.post(
                f"{running.base_url}/chat/completions",
                json={"model": "own", "messages": [{"role": "user", "content": "hello"}]},
                headers={"Authorization": f"Bearer {running.key}"},
            ) as response:
                assert response.status == 200
                usage = (await response.json())["usage"]
                id_ = response.headers["X-Generation-Id"]

            after = await told("credits", "show")
            cost_nano = after["charged_nano"] - before["charged_nano"]
            assert cost_nano > 0
            (charge,) = [one for one in after["transfers"] if one["kind"] == "charge"]
            assert (charge["id"], charge["amount_nano"]) == (id_, cost_nano)

            why = await told("why", id_)
            generation = await get(f"/generation?id={id_}", running.key)
            assert generation["routing"].items() <= why.items()
            spent = {
                cost_nano / 1e9, usage["cost"], why["cost"], generation["total_cost"],
                (await get("/key", running.key))["usage"],
                *[row["usage"] for row in await told("keys", "list")],
                after["charged_usd"] - before["charged_usd"],
            }  # fmt: skip
            assert len(spent) == 1
            assert why["upstream_cost"] == generation["upstream_inference_cost"]
            assert 1.09 < why["cost"] / why["upstream_cost"] < 1.11
            assert (why["requested_model"], why["model"]) == ("own", "test/own")
            assert [one["status"] for one in why["attempts"]] == [200]
            assert why["held"] >= why["cost"]
            assert (await told("ledger", "verify"))["differences"] == []
            shown = (await asyncio.to_thread(invoke, "why", id_)).stdout
            assert "asked for own, which is test/own" in shown


def test_processes_grant_at_the_same_time_and_nothing_is_lost(invoke: Weir, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "proxy", "credits", "grant", "0.01"]
    invoke("accounts", "create", "team")
    started = [
        subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        for _ in range(2)
    ]
    said = sorted(one.communicate(timeout=30)[0].decode().strip() for one in started)
    assert said == ["0.01", "0.02"], "each tells the balance that it made"
    assert "all agree" in invoke("ledger", "verify").stdout


# Aliases.

ALIASES = """
[[aliases]]
id = "team/chat"
split = [{ model = "a/one", weight = 3 }, { model = "b/two", weight = 1 }]
[[aliases]]
id = "team/solo"
split = [{ model = "a/one", weight = 1 }]
"""


def test_the_arms_of_an_alias_side_by_side(invoke: Weir) -> None:
    Path("config.toml").write_text(ALIASES)
    empty = invoke("ab", "show")
    assert empty.exit_code == 0
    assert "There is no store" in empty.stderr
    assert empty.stdout.count("sticky: session") == 2

    invoke("keys", "create", "app")
    now = time.time()
    with store() as opened:
        opened.ledger.settle(
            [
                Settlement(
                    owner="a",
                    generation=Generation(
                        id=f"g{number}", created_at=now - number * 86_400.0,
                        requested_model="team/chat", arm="a/one" if number % 2 else "b/two",
                    ),
                )
                for number in (1, 2, 3, 29, 31)
            ]
        )  # fmt: skip

    def counts(*more: str) -> dict[str, int]:
        (row,) = rows(invoke, "ab", "show", "team/chat", *more)
        return {arm["model"]: arm["requests"] for arm in row["arms"]}

    assert counts() == {"a/one": 3, "b/two": 1}
    since = datetime.fromtimestamp(now - 2.5 * 86_400, UTC).isoformat()
    assert counts("--since", since) == {"a/one": 1, "b/two": 1}
    assert [row["id"] for row in rows(invoke, "ab", "show")] == ["team/chat", "team/solo"]
    lines = invoke("ab", "show", "team/chat").stdout.splitlines()
    assert ["requests", "3", "1"] in [line.split() for line in lines]


def test_what_ab_show_refuses(invoke: Weir) -> None:
    Path("config.toml").write_text(ALIASES)
    assert wrong(invoke("ab", "show", "team/x"), code=1) == "There is no alias 'team/x'."
    assert "is not a moment" in wrong(invoke("ab", "show", "--since", "yesterday"))
    assert "is in the future" in wrong(invoke("ab", "show", "--since", "2999-01-01"))
    Path("config.toml").write_text("")
    invoke("keys", "create", "app")
    assert invoke("ab", "show").stdout == "no alias is configured\n"
