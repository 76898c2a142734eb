"""What commands print: the same rows as tables for people and as JSON for programs."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from openrouter import components

from proxy import hosting, reports
from proxy.config import Config
from proxy.stores.usage import UsageRow
from tests.running import config_text, free_port, model_text, provider, weir


def config(folder: Path, text: str) -> Config:
    file = folder / "other.toml"
    file.write_text(text)
    return hosting.load(file, {})


async def resolved(folder: Path, text: str) -> tuple[Config, Any, Any]:
    one = config(folder, text)
    catalogue, status = await reports.resolve(one)
    return one, catalogue, status


async def test_check_shows_what_a_gateway_would_have(tmp_path: Path) -> None:
    async with provider('models = ["test/one", "test/two"]') as (app, base_url):
        text = config_text(tmp_path, base_url) + model_text("test/own", ("p0", "own"))
        one, catalogue, status = await resolved(tmp_path, text)
        assert app.requests == 1
    found = json.loads(reports.check(one, catalogue, status, as_json=True))
    (row,) = found["providers"]
    assert (row["slug"], row["base_url"], row["keys"]) == ("p0", base_url, 1)
    assert (row["models"], row["source"], row["error"]) == (2, "provider", None)
    assert found["models"] == ["test/own", "test/one", "test/two"]
    assert found["unpriced"] == ["test/one", "test/two"]
    assert found["limits"]["body_bytes_max"] == 33_554_432
    assert found["limits"]["first_token_s"] == 60
    assert found["limits"]["free_requests_per_minute"] == 20
    assert found["credits"] == {"enforced": True, "margin": "0"}

    table = reports.check(one, catalogue, status, as_json=False)
    assert "2 (provider)" in table
    assert "auth: keys   store: sqlite:///" in table
    assert "\ncredits: enforced   margin: 0\nrequests_per_minute: 0   " in table
    assert "(what can be asked, of all that is listed): 3\n" in table
    assert [line.split() for line in table.splitlines()[-4:-1]] == [
        ["test/own", "p0", "priced"], ["test/one", "p0", "no", "price"],
        ["test/two", "p0", "no", "price"],
    ]  # fmt: skip
    assert table.endswith("\nwithout a price: test/one, test/two")
    assert "provider-key-0" not in table + json.dumps(found)
    assert not (tmp_path / "weir.db").exists(), "nothing is written"


@pytest.mark.parametrize(
    "text",
    ['[auth]\nmode = "none"\n', "[credits]\nenforce = false\n"],
    ids=["no keys", "not enforced"],
)
async def test_check_says_where_credit_is_not_asked_for(tmp_path: Path, text: str) -> None:
    one, catalogue, status = await resolved(
        tmp_path, config_text(tmp_path, "http://127.0.0.1:1/v1") + text
    )
    assert "credits: only recorded   " in reports.check(one, catalogue, status, as_json=False)


async def test_check_of_many_models_and_of_some_that_nobody_serves(tmp_path: Path) -> None:
    names = ", ".join(f'"test/m{number}"' for number in range(60))
    async with provider(f"models = [{names}]") as (_, base_url):
        text = config_text(tmp_path, base_url, base_url)
        text += '[[models]]\nid = "test/none"\n' + model_text("test/both", ("p0", "a"), ("p1", "a"))
        one, catalogue, status = await resolved(tmp_path, text)
    table = reports.check(one, catalogue, status, as_json=False)
    assert "60 (provider)" in table
    assert "(what can be asked, of all that is listed): 62\n" in table
    lines = [line.split() for line in table.splitlines()]
    assert ["test/none", "nobody"] in lines
    assert ["test/both", "p0,", "p1", "priced"] in lines
    assert ["and", "12", "more"] in lines
    assert sum(line.startswith("  test/") for line in table.splitlines()) == 50
    assert table.endswith("\nserved by nobody: test/none")


@pytest.mark.parametrize("written", ["5", "5.0"])
async def test_a_number_prints_the_same_however_it_was_written(
    tmp_path: Path, written: str
) -> None:
    text = config_text(tmp_path, "http://127.0.0.1:1/v1")
    text += f"[timeouts]\nconnect_s = {written}\nanswer_s = 0.5\n"
    one, catalogue, status = await resolved(tmp_path, text)
    assert "connect_s: 5   " in reports.check(one, catalogue, status, as_json=False)
    shown = reports.check(one, catalogue, status, as_json=True)
    assert '"connect_s": 5,' in shown
    assert json.loads(shown)["limits"]["answer_s"] == 0.5


async def test_what_the_table_shows_is_not_logged_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"http://127.0.0.1:{free_port()}/v1"
    _, _, status = await resolved(tmp_path, config_text(tmp_path, url))
    assert status["p0"].error is not None
    assert caplog.messages == []
    assert logging.getLogger("proxy.upstream.listing").level == logging.NOTSET


async def test_check_of_a_provider_that_is_down(tmp_path: Path) -> None:
    async with provider('models = ["test/one"]') as (_, base_url):
        text = config_text(tmp_path, base_url)
        async with weir(tmp_path, text):
            pass  # now the store knows what the provider had
    one, catalogue, status = await resolved(tmp_path, text)
    assert list(catalogue.models) == ["test/one"]
    assert status["p0"].source == "store"
    table = reports.check(one, catalogue, status, as_json=False)
    assert "1 (store)" in table
    assert str(status["p0"].error) in table

    url = f"http://127.0.0.1:{free_port()}/v1"
    fresh = text.replace("weir.db", "none.db").replace(base_url, url)
    one, catalogue, status = await resolved(tmp_path, fresh)
    assert list(catalogue.models) == []
    assert "0 (none)" in reports.check(one, catalogue, status, as_json=False)


async def test_check_of_nothing(tmp_path: Path) -> None:
    one, catalogue, status = await resolved(tmp_path, config_text(tmp_path))
    assert "no provider" in reports.check(one, catalogue, status, as_json=False)
    assert json.loads(reports.check(one, catalogue, status, as_json=True))["providers"] == []


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("", "training not said, retention not said"),
        ("trains_on_data = true\nretains_prompts_days = 30", "trains, kept 30 days"),
        ("trains_on_data = false\nretains_prompts_days = 0", "no training, not kept"),
    ],
)
async def test_check_says_what_happens_to_the_data(tmp_path: Path, policy: str, said: str) -> None:
    names = ", ".join(f'"test/m{number}"' for number in range(25))
    async with provider(f"models = [{names}]") as (_, base_url):
        text = config_text(tmp_path, base_url).rstrip() + f"\n{policy}\n"
        one, catalogue, status = await resolved(tmp_path, text)
    table = reports.check(one, catalogue, status, as_json=False)
    assert said in table
    assert "test/m19 and 5 more" in table
    assert table.count("test/m20") == 1, "with its line, and not once more"


async def test_models_have_a_line_for_each_endpoint(tmp_path: Path) -> None:
    async with provider('models = ["test/one"]') as (_, base_url):
        text = config_text(tmp_path, base_url, base_url)
        text += model_text("test/own", ("p0", "mine"), ("p1", "yours"))
        text = text.replace('model = "mine"', 'model = "mine"\ntier = "flex"')
        pricing = '{ prompt = "0", completion = "0", search_unit = "0.002" }'
        ranks = model_text("test/ranks", ("p0", "ranker"), pricing=pricing)
        text += ranks.replace("[[models.", 'output_modalities = ["rerank"]\n[[models.')
        _, catalogue, _ = await resolved(tmp_path, text)
    head, *lines = [line.split() for line in reports.models(catalogue, as_json=False).splitlines()]
    assert head[:2] == ["model", "endpoint"]
    assert lines == [
        ["test/own", "p0/flex", "mine", "text", "32,768", "1", "2"],
        ["test/own", "p1", "yours", "text", "32,768", "100000", "200000"],
        ["test/ranks", "p0", "ranker", "rerank", "32,768", "0", "0", "0.002", "search_unit"],
        ["test/one", "p0", "test/one", "text", "131,072", "?", "?"],
        ["test/one", "p1", "test/one", "text", "131,072", "?", "?"],
    ]
    for row in json.loads(reports.models(catalogue, as_json=True)):
        assert components.ListEndpointsResponse.model_validate(row).id in catalogue.models


def test_usage_adds_up_by_name() -> None:
    rows = [
        UsageRow(
            name="test/one", requests=1234, errors=1, prompt_tokens=10, completion_tokens=2000,
            cost_nano=1_500_000,
        )
    ]  # fmt: skip
    head, line = reports.usage(rows, by="model", as_json=False).splitlines()
    assert head.split() == ["model", "requests", "errors", "prompt", "completion", "cost", "USD"]
    assert line.split() == ["test/one", "1,234", "1", "10", "2,000", "0.001500"]
    (row,) = json.loads(reports.usage(rows, by="model", as_json=True))
    assert row == {
        "name": "test/one",
        "requests": 1234,
        "errors": 1,
        "prompt_tokens": 10,
        "completion_tokens": 2000,
        "cost_nano": 1_500_000,
        "cost_usd": 0.0015,
    }
    assert json.loads(reports.usage([], by="day", as_json=True)) == []


async def test_check_says_what_aliases_come_to(tmp_path: Path) -> None:
    alias = (
        '[[aliases]]\nid = "{}"\nsplit = [{{ model = "test/one:nitro", weight = 3 }}, '
        '{{ model = "{}", weight = 0.5 }}]\n'
    )
    async with provider('models = ["test/one", "test/two"]') as (_, base_url):
        text = config_text(tmp_path, base_url)
        text += alias.format("team/chat", "test/none") + alias.format("test/two", "two")
        text += alias.format("team/auto", "openrouter/auto:floor")
        one, catalogue, status = await resolved(tmp_path, text)
    assert reports.check(one, catalogue, status, as_json=False).splitlines()[-4:] == [
        "alias team/chat: test/one:nitro (3), test/none (0.5)   sticky: session",
        "  no model is: test/none",
        "alias test/two: test/one:nitro (3), two (0.5)   sticky: session"
        "   it hides the model of that name",
        "alias team/auto: test/one:nitro (3), openrouter/auto:floor (0.5)   sticky: session",
    ]
    found = json.loads(reports.check(one, catalogue, status, as_json=True))
    assert found["aliases"] == {"team/chat": ["test/none"], "test/two": [], "team/auto": []}
