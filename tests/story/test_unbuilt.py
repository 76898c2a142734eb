"""What OpenRouter has and Weir has not yet is refused by name: clearly, before any provider is
asked, and at no cost. Silence would be a lie.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import aiohttp
import orjson
import pytest

from proxy.stores.sql import SqlStore
from tests.campaign import rows_of
from tests.paths import Fault, Form, refused
from tests.running import Running, config_text, model_text, provider, weir

Json = dict[str, Any]

MODEL: Final = "test/one"
ROUTERS: Final = ("auto-beta", "pareto-code", "bodybuilder", "fusion", "fusion-flash")
PLUGINS: Final = (
    "web", "web-fetch", "file-parser", "response-healing", "context-compression", "moderation",
    "auto-router", "auto-beta-router", "pareto-router", "fusion", "armor", "alignment",
    "jev-router", "switchyard-router",
)  # fmt: skip
SERVER_TOOLS: Final = (
    "web_search", "web_fetch", "datetime", "image_generation", "apply_patch", "shell", "bash",
    "files", "fusion", "advisor", "subagent", "tool_search", "experimental__search_models",
    "text_editor", "memory", "mcp", "file_search", "code_interpreter", "browser_use",
)  # fmt: skip
REGIONS: Final = {"geo": "eu", "data_region": "europe"}
HEADERS: Final = {"X-Provider-API-Keys": '{"openai": "sk-own"}', "X-OpenRouter-Cache": "true"}
PATHS: Final = ("/byok", "/byok/keys", "/guardrails", "/workspaces", "/workspaces/mine")
FUNCTION: Final = {
    "chat": {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}},
    "messages": {"name": "f", "input_schema": {"type": "object"}},
    "responses": {"type": "function", "name": "f", "parameters": {"type": "object"}},
}
HELLO: Final = {"messages": [{"role": "user", "content": "hello"}]}
FORMS: Final = {
    "chat": Form("/chat/completions", "", False, HELLO),
    "messages": Form("/messages", "", False, HELLO | {"max_tokens": 50}, words="messages"),
    "responses": Form("/responses", "", False, {"input": "hello"}, words="responses"),
}
NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Wish(NamedTuple):
    """What is asked for, and what its refusal says."""

    told: str
    fields: Mapping[str, Any] = NOTHING
    headers: Mapping[str, str] = NOTHING


def _later(named: str, **fields: Any) -> Wish:
    return Wish(f"{named}: not supported yet", fields)


def _plugins() -> dict[str, Wish]:
    return {f"plugin {id_}": _later("plugins", plugins=[{"id": id_}]) for id_ in PLUGINS}


def _server_tools(form: str) -> Iterator[tuple[str, Wish]]:
    for name in SERVER_TOOLS:
        tool = {"type": f"openrouter:{name}", "parameters": {}}
        yield tool["type"], _later("tools[0].type", tools=[tool])  # type: ignore[misc]
    search = {"type": "openrouter:web_search", "parameters": {"max_results": 3}}
    yield "behind a function", _later("tools[1].type", tools=[FUNCTION[form], search])


def _names() -> Iterator[tuple[str, Wish]]:
    online = Wish(f"{MODEL}:online: `:online` is not supported yet", {"model": f"{MODEL}:online"})
    yield ":online", online
    both = f"{MODEL}:nitro:online"
    yield ":nitro:online", Wish(f"{both}: `:online` is not supported yet", {"model": both})
    auto = "openrouter/auto:online"
    yield "a router online", Wish(f"{auto}: `:online` is not supported yet", {"model": auto})
    for name in ROUTERS:
        named = f"openrouter/{name}"
        yield named, Wish(f"{named}: {named} is not supported yet", {"model": named})
    fallback = {"models": [MODEL, "openrouter/fusion"]}
    yield "as a fallback", Wish("openrouter/fusion is not supported yet", fallback)


def _others() -> Iterator[tuple[str, Wish]]:
    yield "transforms", _later("transforms", transforms=["middle-out"])
    for name, value in REGIONS.items():
        yield name, Wish(f"provider.{name}: ", {"provider": {name: value}})
    for name, value in HEADERS.items():
        yield name, Wish(f"{name}: not supported yet", headers={name: value})


WISHES: Final = {
    form: {**_plugins(), **dict(_server_tools(form)), **dict(_names()), **dict(_others())}
    for form in FORMS
}
EACH: Final = [(form, name) for form, wishes in WISHES.items() for name in wishes]


HARMLESS: Final = {
    "no plugins": Wish("", {"plugins": []}),
    "plugins that are off": Wish("", {"plugins": [{"id": "web", "enabled": False}]}),
    "no transforms": Wish("", {"transforms": []}),
    "no caching": Wish("", headers={"X-OpenRouter-Cache": "false"}),
}


class Refused(NamedTuple):
    """What a caller was told."""

    status: int
    type: str
    raw: bytes

    @property
    def message(self) -> str:
        return str(orjson.loads(self.raw)["error"]["message"])


class Campaign(NamedTuple):
    """All refusals by format and wish, those of paths, and the answers to wishes for nothing."""

    refused: Mapping[tuple[str, str], Refused]
    paths: Mapping[str, Refused]
    harmless: Mapping[tuple[str, str], Refused]


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    return asyncio.run(_run(tmp_path_factory.mktemp("unbuilt")))


async def _run(folder: Path) -> Campaign:
    async with provider() as (fake, url):
        text = config_text(folder, url) + model_text(MODEL, ("p0", "m"))
        async with weir(folder, text) as running, aiohttp.ClientSession() as session:
            listed = fake.requests
            told: dict[tuple[str, str], Refused] = {}
            for form, name in EACH:
                told[form, name] = await _ask(session, running, form, WISHES[form][name])
            paths = {path: await _post(session, running, path, {}) for path in PATHS}
            assert fake.requests == listed, "no provider was asked"
            harmless = {
                (form, name): await _ask(session, running, form, wish)
                for form in FORMS
                for name, wish in HARMLESS.items()
            }
            assert fake.requests == listed + len(harmless)
            found = Campaign(told, paths, harmless)
    with closing(SqlStore.open(f"sqlite:///{folder}/weir.db")) as store:
        rows = rows_of(store, "default")
        assert len(rows.charges) == len(found.harmless), "and nobody was charged"
        assert not any(one.cost_nano for one in rows.generations.values() if one.error)
    return found


async def _ask(session: aiohttp.ClientSession, running: Running, form: str, wish: Wish) -> Refused:
    body = {"model": MODEL, **FORMS[form].asked, **wish.fields}
    return await _post(session, running, FORMS[form].path, body, wish.headers)


async def _post(
    session: aiohttp.ClientSession,
    running: Running,
    path: str,
    body: Json,
    headers: Mapping[str, str] = NOTHING,
) -> Refused:
    said = {"Authorization": f"Bearer {running.key}", **headers}
    url = f"{running.base_url}{path}"
    async with session.post(url, json=body, headers=said) as response:
        return Refused(response.status, response.headers["Content-Type"], await response.read())


def _check(campaign: Campaign, form: str, name: str) -> None:
    found, wish = campaign.refused[form, name], WISHES[form][name]
    assert found.status == 400, found.raw
    assert found.type == "application/json"
    assert wish.told in found.message
    assert refused(FORMS[form], found.status, found.raw) == Fault(400, "invalid_request")


def _of(names: Iterable[str]) -> pytest.MarkDecorator:
    each = [(form, name) for form, name in EACH if name in set(names)]
    return pytest.mark.parametrize(("form", "name"), each)


@_of(map("plugin {}".format, PLUGINS))
def test_a_plugin_is_refused_by_name(campaign: Campaign, form: str, name: str) -> None:
    assert campaign.refused[form, name].status == 400
    _check(campaign, form, name)


@_of(
    (
        "plugin auto-router",
        "plugin auto-beta-router",
        "plugin pareto-router",
        "plugin fusion",
        "plugin jev-router",
        "plugin switchyard-router",
    )
)
def test_a_plugin_of_a_router_is_refused_by_name(campaign: Campaign, form: str, name: str) -> None:
    assert campaign.refused[form, name].status == 400
    _check(campaign, form, name)


@_of(("plugin context-compression", "transforms"))
def test_context_compression_is_refused_by_name(campaign: Campaign, form: str, name: str) -> None:
    assert campaign.refused[form, name].status == 400
    _check(campaign, form, name)


@_of(dict(_server_tools("chat")))
def test_a_server_tool_is_refused_by_name(campaign: Campaign, form: str, name: str) -> None:
    assert campaign.refused[form, name].status == 400
    _check(campaign, form, name)


@_of(("openrouter:advisor", "openrouter:subagent"))
def test_an_advisor_or_a_subagent_is_refused_by_name(
    campaign: Campaign, form: str, name: str
) -> None:
    assert campaign.refused[form, name].status == 400
    _check(campaign, form, name)


@_of((":online", ":nitro:online", "a router online"))
def test_online_is_refused_by_name(campaign: Campaign, form: str, name: str) -> None:
    assert campaign.refused[form, name].status == 400
    _check(campaign, form, name)


@_of((*map("openrouter/{}".format, ROUTERS), "as a fallback"))
def test_a_router_that_is_not_built_is_refused_by_name(
    campaign: Campaign, form: str, name: str
) -> None:
    assert campaign.refused[form, name].status == 400
    _check(campaign, form, name)


@_of(REGIONS)
def test_a_region_is_refused_by_name(campaign: Campaign, form: str, name: str) -> None:
    assert campaign.refused[form, name].status == 400
    _check(campaign, form, name)


@_of(("X-Provider-API-Keys",))
def test_keys_of_ones_own_are_refused_by_name(campaign: Campaign, form: str, name: str) -> None:
    assert campaign.refused[form, name].status == 400
    _check(campaign, form, name)


@_of(("X-OpenRouter-Cache",))
def test_caching_of_answers_is_refused_by_name(campaign: Campaign, form: str, name: str) -> None:
    assert campaign.refused[form, name].status == 400
    _check(campaign, form, name)


def test_every_wish_is_asked_for(campaign: Campaign) -> None:
    assert campaign.refused.keys() == set(EACH)


@pytest.mark.parametrize("path", PATHS)
def test_a_path_that_is_not_built_says_so(campaign: Campaign, path: str) -> None:
    found = campaign.paths[path]
    assert found.status == 404
    assert found.message.endswith(": not supported yet")
    assert path.startswith(found.message.partition(":")[0])


@pytest.mark.parametrize(("form", "name"), [(form, name) for form in FORMS for name in HARMLESS])
def test_who_asks_for_nothing_of_it_is_answered(campaign: Campaign, form: str, name: str) -> None:
    assert campaign.harmless[form, name].status == 200
