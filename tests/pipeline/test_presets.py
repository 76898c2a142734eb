"""A request that names a preset asks for all that it says, in each format, small or large."""

import asyncio
import contextlib
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.accounts.keys import Key
from proxy.dialects import INBOUND
from proxy.dialects.bodies import BIG_BODY_BYTES
from proxy.errors import GatewayError
from proxy.pipeline.exchange import Exchange
from proxy.pipeline.presets import asked, nowhere
from proxy.wire.presets import Draft
from proxy.wire.request import Ask
from tests.stage import KEY, WALL, snapshot

CONFIG = {"model": "a/b", "temperature": 0.5, "provider": {"only": ["p0"]}, "cache_enabled": False}
DRAFT = Draft(config=orjson.dumps(CONFIG))
KIND = Draft(config=DRAFT.config, system_prompt="Be kind.")
HELLO = [{"role": "user", "content": "hello"}]
WORDS: dict[str, dict[str, Any]] = {
    "chat": {"messages": HELLO},
    "messages": {"messages": HELLO},
    "count": {"messages": HELLO},
    "responses": {"input": "hello"},
    "completions": {"prompt": "hello"},
}


def exchange(key: Key | None = None) -> Exchange:
    made = Exchange(id="gen-1", created_at=WALL, started_at=0.0, snapshot=snapshot())
    made.key = key
    return made


def ask(
    format_: str,
    fields: dict[str, Any],
    draft: Draft | None = DRAFT,
    *,
    on: Exchange | None = None,
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> Ask:
    def find(account: str, slug: str) -> Draft | None:
        return draft if (account, slug) == ("default", "one") else None

    body = orjson.dumps(fields)
    return asyncio.run(asked(on or exchange(), INBOUND[format_], body, headers, find))


@pytest.mark.parametrize("format_", WORDS)
def test_every_format_of_talk_can_name_a_preset(format_: str) -> None:
    on = exchange()
    found = ask(format_, {"model": "@preset/one", **WORDS[format_]}, on=on)
    assert (found.models, on.preset) == (("a/b",), "one")
    assert found.body["temperature"] == 0.5
    assert found.preferences.only == ("p0",)
    assert not {"cache_enabled", "preset", "model"} & found.body.keys()
    own = ask(format_, {"model": "c/d", "preset": "one", "temperature": 1, **WORDS[format_]})
    assert (own.models, own.body["temperature"]) == (("c/d",), 1)
    both = ask(format_, {"model": "c/d@preset/one", **WORDS[format_]})
    assert (both.models, both.body["temperature"]) == (("c/d",), 0.5)


@pytest.mark.parametrize("format_", WORDS)
def test_without_a_preset_nothing_changes(format_: str) -> None:
    fields = {"model": "a/b", **WORDS[format_], "user": "preset"}
    on = exchange()
    assert ask(format_, fields, on=on) == INBOUND[format_].decode_request(orjson.dumps(fields), ())
    assert on.preset is None


@pytest.mark.parametrize("format_", ["chat", "messages", "responses"])
def test_its_system_prompt_is_said(format_: str) -> None:
    found = ask(format_, {"model": "@preset/one", **WORDS[format_]}, KIND)
    assert found.body["messages"][0] == {"role": "system", "content": "Be kind."}
    plain = ask(format_, {"model": "@preset/one", **WORDS[format_]})
    assert found.text_bytes > plain.text_bytes >= len(DRAFT.config)


@pytest.mark.parametrize("format_", ["messages", "responses"])
def test_a_provider_of_the_same_words_is_told_it_too(format_: str) -> None:
    found = ask(format_, {"model": "@preset/one", **WORDS[format_]}, KIND)
    assert found.native is not None
    assert found.native["temperature"] == 0.5
    assert "Be kind." in (found.native.get("system"), found.native.get("instructions"))
    assert not {"preset", "model", "provider"} & found.native.keys()


@pytest.mark.parametrize("format_", WORDS)
def test_a_large_request_can_name_one(format_: str) -> None:
    ((name, value),) = WORDS[format_].items()
    long = "a preset " * (BIG_BODY_BYTES // 9 + 1)
    said = [{"role": "user", "content": long}] if isinstance(value, list) else long
    found = ask(format_, {"model": "@preset/one", name: said})
    assert (found.models, found.body["temperature"]) == (("a/b",), 0.5)
    assert found.text_bytes > BIG_BODY_BYTES
    plain = orjson.dumps({"model": "a/b", name: said})
    steps = asked(exchange(), INBOUND[format_], plain, (), nowhere)
    assert asyncio.run(steps) == INBOUND[format_].decode_request(plain, ())


@pytest.mark.parametrize("format_", ["embeddings", "speech"])
def test_other_tasks_know_no_presets(format_: str) -> None:
    on = exchange()
    found = ask(format_, {"model": "@preset/one", "input": "hello", "voice": "x"}, on=on)
    assert (found.models, on.preset) == (("@preset/one",), None)  # whom nobody is


def test_an_unknown_preset_is_not_found() -> None:
    with pytest.raises(GatewayError) as refused:
        ask("chat", {"model": "@preset/two", "messages": HELLO})
    assert (refused.value.kind, refused.value.status) == ("not_found", 404)
    assert refused.value.message == "Preset 'two' not found"
    with pytest.raises(GatewayError, match="'one' not found"):
        ask("chat", {"model": "@preset/one", "messages": HELLO}, None)
    assert nowhere("default", "one") is None


def test_a_preset_is_that_of_the_caller_s_account() -> None:
    fields = {"model": "@preset/one", "messages": HELLO}
    assert ask("chat", fields, on=exchange(KEY)).models == ("a/b",)
    with pytest.raises(GatewayError, match="'one' not found"):
        ask("chat", fields, on=exchange(replace(KEY, account="team")))


def test_a_preset_without_a_model_needs_one() -> None:
    with pytest.raises(GatewayError, match="model"):
        ask("chat", {"model": "@preset/one", "messages": HELLO}, Draft(config=b"{}"))


@pytest.mark.parametrize(
    "config",
    [
        {"plugins": [{"id": "web"}]},
        {"tools": [{"type": "openrouter:advisor"}]},
        {"cache_enabled": True},
    ],
)
def test_what_is_not_built_is_refused_where_a_preset_wants_it(config: dict[str, Any]) -> None:
    draft = Draft(config=orjson.dumps(CONFIG | config))
    with pytest.raises(GatewayError, match="not supported yet") as refused:
        ask("chat", {"model": "@preset/one", "messages": HELLO}, draft)
    assert refused.value.status == 400


def test_a_request_may_do_without_its_preset_s_cache() -> None:
    draft = Draft(config=orjson.dumps(CONFIG | {"cache_enabled": True}))
    headers = ((b"x-openrouter-cache", b"false"),)
    found = ask("chat", {"model": "@preset/one", "messages": HELLO}, draft, headers=headers)
    assert found.models == ("a/b",)


def test_a_request_changes_no_preset() -> None:
    reasoning = Draft(config=b'{"model":"a/b","reasoning":{"max_tokens":2000.0}}')
    for _ in range(2):
        found = ask("chat", {"model": "@preset/one", "messages": HELLO}, reasoning)
        assert found.thinking is not None
        assert found.thinking.max_tokens == 2000
    assert reasoning.config == b'{"model":"a/b","reasoning":{"max_tokens":2000.0}}'


VALUES: st.SearchStrategy[Any] = st.sampled_from([
    None, 0, 1, 2.5, "", "x", "auto", "low", True, False, [], {}, ["a"], [{}], {"a": 1},
    {"type": "function", "function": {"name": "f"}}, {"type": "json_schema", "json_schema": {}},
    {"type": "text"}, {"effort": "low"}, {"max_tokens": 5.0}, {"enabled": True, "exclude": True},
    [{"type": "function"}], [{"type": "function", "function": {"name": "f", "parameters": None}}],
    [{"type": "openrouter:advisor", "parameters": []}], [{"type": "custom", "name": "q"}],
    [{"name": "f", "input_schema": {}}], {"type": "tool", "name": "f"}, {"type": "adaptive"},
    {"format": {"type": "json_schema", "schema": {}}}, {"format": []},
])  # fmt: skip
NAMES = st.sampled_from([
    "models", "provider", "tools", "tool_choice", "response_format", "reasoning", "logprobs",
    "reasoning_effort", "stop", "max_tokens", "max_completion_tokens", "parallel_tool_calls",
    "system", "instructions", "messages", "text", "thinking", "output_config", "stop_sequences",
])  # fmt: skip


@given(
    made=st.sampled_from(["chat", "messages", "responses"]),
    used=st.sampled_from(list(WORDS)),
    fields=st.dictionaries(NAMES, VALUES, max_size=3),
)
def test_whatever_a_preset_says_is_understood_or_refused(
    made: str, used: str, fields: dict[str, Any]
) -> None:
    words = INBOUND[made].presets
    assert words is not None
    with contextlib.suppress(GatewayError):
        draft = words.draft({"model": "a/b", **fields})
        found = ask(used, {"model": "@preset/one", **WORDS[used]}, draft)
        assert found.models[0] == "a/b"
