"""The table of known providers is whole, and every row is usable as it stands."""

import re
from urllib.parse import urlsplit

import msgspec
import pytest

from proxy.identity import VARIABLES
from proxy.providers import DIALECTS, Provider, address, known, options_in

ROWS = list(known().values())
IDS = [row.slug for row in ROWS]
CLOUD = [row for row in ROWS if not row.local]
LOCAL_PORTS = {"ollama": 11434, "vllm": 8000, "llamacpp": 8080, "lmstudio": 1234}
ASKED_FOR = (
    "openai mistral xai deepseek cerebras nvidia groq together fireworks perplexity deepinfra "
    "moonshotai z-ai huggingface meta openrouter ollama vllm llamacpp lmstudio voyage "
    "anthropic google-ai-studio google-vertex cohere amazon-bedrock azure"
)


def test_the_table_has_every_provider_that_was_asked_for() -> None:
    assert sorted(known()) == sorted(ASKED_FOR.split())


def test_local_servers_come_last_and_resellers_before_them() -> None:
    assert [row.local for row in ROWS] == sorted(row.local for row in ROWS)
    assert CLOUD[-1].slug == "openrouter"


def test_slugs_names_and_key_variables_are_nobody_elses() -> None:
    for values in (
        IDS,
        [row.name for row in ROWS],
        [row.base_url for row in ROWS],
        [variable for row in ROWS for variable in row.key_env],
    ):
        assert len(values) == len(set(values))


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_a_row_is_usable(row: Provider) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", row.slug)
    assert row.name.strip() == row.name != ""
    assert row.dialect in DIALECTS
    assert not row.base_url.endswith("/")
    assert all(re.fullmatch(r"[A-Z][A-Z0-9_]*", variable) for variable in row.key_env)
    assert row.retains_prompts_days is None or row.retains_prompts_days >= 0
    assert row.headquarters is None or re.fullmatch(r"[A-Z]{2}", row.headquarters)
    for url in (row.privacy_policy_url, row.terms_of_service_url, row.status_page_url):
        assert url is None or urlsplit(url).scheme == "https"


@pytest.mark.parametrize("row", CLOUD, ids=lambda row: row.slug)
def test_a_cloud_provider_is_reached_by_tls_with_a_key(row: Provider) -> None:
    said = dict.fromkeys((*options_in(row.base_url), *options_in(row.models_url)), "somewhere")
    options = {**said, "endpoint": "https://ours.example/", **row.options}
    for template in filter(None, (row.base_url, row.models_url)):
        url = urlsplit(address(template, options))
        assert (url.scheme, url.port, url.username) == ("https", None, None)
        assert url.hostname == (url.hostname or "").strip("-.{}")
    assert row.key_env or row.auth == "google"


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_what_its_urls_need_is_there_or_has_a_variable(row: Provider) -> None:
    needed = {*options_in(row.base_url), *options_in(row.models_url), *DIALECTS[row.dialect]}
    if "aws" in (row.auth, row.auth_also):
        needed.add("region")
    assert needed <= row.options.keys() | row.option_env.keys()
    variables = [name for names in row.option_env.values() for name in names]
    assert len(variables) == len(set(variables))


def test_a_key_of_a_cloud_for_all_its_services_turns_no_provider_on() -> None:
    general = {name for names in VARIABLES.values() for name in names}
    assert not general & {name for row in ROWS for name in row.key_env}


@pytest.mark.parametrize(
    ("slug", "name", "dialect", "auths"),
    [
        ("anthropic", "Anthropic", "anthropic", ("x-api-key", None)),
        ("google-ai-studio", "Google AI Studio", "gemini", ("x-goog-api-key", None)),
        ("google-vertex", "Google", "vertex", ("google", None)),
        ("cohere", "Cohere", "cohere", ("bearer", None)),
        ("amazon-bedrock", "Amazon Bedrock", "bedrock", ("bearer", "aws")),
        ("azure", "Azure", "azure", ("api-key", "entra")),
        ("openai", "OpenAI", "openai", ("bearer", None)),
    ],
)
def test_the_ways_of_native_providers(
    slug: str, name: str, dialect: str, auths: tuple[str, str | None]
) -> None:
    row = known()[slug]
    assert (row.name, row.dialect, (row.auth, row.auth_also)) == (name, dialect, auths)


@pytest.mark.parametrize(
    ("url", "options", "filled"),
    [
        ("https://a.test/v1", {}, "https://a.test/v1"),
        ("https://r.{region}.test", {"region": "eu-west-1"}, "https://r.eu-west-1.test"),
        ("{endpoint}", {"endpoint": "https://x.test/"}, "https://x.test"),
        ("https://{location-}api.test", {"location": "global"}, "https://api.test"),
        ("https://{location-}api.test", {"location": "us-east5"}, "https://us-east5-api.test"),
        (
            "https://{location}.test/{location}",
            {"location": "global"},
            "https://global.test/global",
        ),
        ("https://{Region}.test", {}, "https://{Region}.test"),
    ],
)
def test_options_are_filled_in(url: str, options: dict[str, str], filled: str) -> None:
    assert address(url, options) == filled
    assert set(options_in(url)) == options.keys()


def test_no_address_names_no_options() -> None:
    assert options_in(None) == ()


@pytest.mark.parametrize(("slug", "port"), LOCAL_PORTS.items())
def test_a_local_server_is_on_loopback_at_its_default_port(slug: str, port: int) -> None:
    row = known()[slug]
    url = urlsplit(row.base_url)
    assert (url.scheme, url.hostname, url.port) == ("http", "127.0.0.1", port)
    assert (row.local, row.key_env, row.prices) == (True, (), None)


def test_the_price_table_has_every_id_that_a_row_names() -> None:
    from genai_prices.data_snapshot import get_snapshot

    ids = {provider.id for provider in get_snapshot().providers}
    assert {row.prices for row in ROWS if row.prices} <= ids


# Facts that recorded traffic shows (see the comments of the table).
@pytest.mark.parametrize(
    ("slug", "quirk", "value"),
    [
        ("openai", "obfuscation_option", True),
        ("openai", "max_tokens", "max_completion_tokens"),
        ("mistral", "usage_option", False),
        ("mistral", "max_tokens", "max_tokens"),
        ("perplexity", "usage_option", False),
        ("xai", "reasoning_apart", True),
        ("deepseek", "reasoning_replay", "reasoning_content"),
        ("moonshotai", "reasoning_replay", "reasoning_content"),
        ("z-ai", "reasoning_replay", "reasoning_content"),
        ("cerebras", "reasoning_replay", "reasoning"),
        ("openrouter", "reasoning_replay", "details"),
        ("openrouter", "reasoning_control", "object"),
        ("openrouter", "cache_marks", True),
        ("mistral", "reasoning_replay", "thinking"),
        ("mistral", "files", "document_url"),
        ("mistral", "seed", "random_seed"),
        ("deepseek", "attachments", ()),
        ("deepseek", "thinks_when_forced", False),
        ("together", "logprobs_count", True),
        ("z-ai", "reasoning_switch", "thinking"),
    ],
)
def test_quirks(slug: str, quirk: str, value: object) -> None:
    assert getattr(known()[slug].quirks, quirk) == value


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_who_takes_no_files_has_pdfs_read_for_it(row: Provider) -> None:
    taken = row.quirks.attachments
    assert taken is None or "file" in taken or row.quirks.reads_pdf is False
    assert taken is None or row.quirks.fetches is None or set(row.quirks.fetches) <= set(taken)


@pytest.mark.parametrize("quirk", ["obfuscation_option", "reasoning_apart"])
def test_some_quirks_belong_to_one_provider_alone(quirk: str) -> None:
    assert len([row for row in ROWS if getattr(row.quirks, quirk)]) == 1


def test_only_openrouter_speaks_in_slugs() -> None:
    assert [row.slug for row in ROWS if row.names_are_slugs] == ["openrouter"]


def test_an_unknown_key_is_an_error() -> None:
    row = {"slug": "x", "name": "X", "base_url": "https://x.example", "colour": "red"}
    with pytest.raises(msgspec.ValidationError, match="colour"):
        msgspec.convert(row, Provider)


def test_the_table_is_read_once() -> None:
    assert known() is known()
