"""Which providers a configuration stands for, where their keys come from, and that none shows."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from proxy import credentials
from proxy.credentials import (
    ResolvedProvider,
    Secret,
    discover,
    keys_looked_for,
    read_text,
    resolve,
)
from proxy.providers import Provider, Quirks, known
from proxy.settings import ConfigError, ProviderRow

TABLE = known()
CANARY = "sk-canary-0123456789abcdef"
KNOWN = {
    "openai": Provider(
        slug="openai",
        name="OpenAI",
        base_url="https://api.openai.com/v1",
        key_env=("OPENAI_API_KEY",),
        trains_on_data=False,
        quirks=Quirks(obfuscation_option=True, max_tokens="max_completion_tokens"),
    ),
    "huggingface": Provider(
        slug="huggingface",
        name="Hugging Face",
        base_url="https://router.huggingface.co/v1",
        key_env=("HF_TOKEN", "HUGGINGFACE_API_KEY"),
    ),
    "ollama": Provider(
        slug="ollama", name="Ollama", base_url="http://127.0.0.1:11434/v1", local=True
    ),
    "vllm": Provider(
        slug="vllm",
        name="vLLM",
        base_url="http://127.0.0.1:8000/v1",
        local=True,
        key_env=("VLLM_API_KEY",),
    ),
}


@pytest.fixture(autouse=True)
def _table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "known", lambda: KNOWN)


def files(name: str) -> str:
    """A file system of three files."""
    match name:
        case "/run/key":
            return f"{CANARY}\n"
        case "/run/empty":
            return "\n"
        case "/run/binary":
            return b"\xff".decode()
    raise FileNotFoundError(2, "No such file or directory", name)


def resolved(
    given: Mapping[str, Any], environ: Mapping[str, str] | None = None
) -> ResolvedProvider:
    return resolve(
        msgspec.convert(given, ProviderRow),
        given=given,
        path="$.providers[2]",
        environ=environ or {},
        read_file=files,
    )


def test_a_known_slug_needs_no_more_than_its_key() -> None:
    found = resolved({"slug": "openai"}, {"OPENAI_API_KEY": f" {CANARY}\n"})
    assert found == ResolvedProvider(provider=KNOWN["openai"], keys=(Secret(CANARY),))


def test_given_fields_override_the_known_row_quirk_by_quirk() -> None:
    given = {
        "slug": "openai",
        "name": "Ours",
        "base_url": "http://10.0.0.2:9/v1/",
        "retains_prompts_days": 0,
        "quirks": {"obfuscation_option": False, "reasoning_control": "effort"},
        "api_key": CANARY,
    }
    provider = resolved(given).provider
    assert provider == msgspec.structs.replace(
        KNOWN["openai"],
        name="Ours",
        base_url="http://10.0.0.2:9/v1",
        retains_prompts_days=0,
        quirks=Quirks(max_tokens="max_completion_tokens", reasoning_control="effort"),
    )


def test_an_unknown_slug_with_an_address_is_a_provider() -> None:
    found = resolved({"slug": "acme", "base_url": "https://acme.example/v1", "api_key": "k"})
    assert found.provider == Provider(slug="acme", name="acme", base_url="https://acme.example/v1")


@pytest.mark.parametrize(
    ("api_key", "keys"),
    [
        (CANARY, [CANARY]),
        ("env:MINE", ["mine-1"]),
        ("file:/run/key", [CANARY]),
        (["env:MINE", "file:/run/key", "odd:but:a:key"], ["mine-1", CANARY, "odd:but:a:key"]),
    ],
)
def test_a_key_is_found_where_the_row_says(api_key: str | list[str], keys: list[str]) -> None:
    found = resolved({"slug": "openai", "api_key": api_key}, {"MINE": "mine-1"})
    assert [key.reveal() for key in found.keys] == keys


@pytest.mark.parametrize(
    ("environ", "keys"),
    [
        ({"HF_TOKEN": "first", "HUGGINGFACE_API_KEY": "second"}, ["first"]),
        ({"HF_TOKEN": " ", "HUGGINGFACE_API_KEY": "second"}, ["second"]),
    ],
)
def test_left_out_the_first_variable_that_is_set_counts(
    environ: dict[str, str], keys: list[str]
) -> None:
    assert [key.reveal() for key in resolved({"slug": "huggingface"}, environ).keys] == keys


def test_a_local_provider_may_have_no_key() -> None:
    assert resolved({"slug": "ollama"}).keys == ()
    assert resolved({"slug": "vllm"}, {"VLLM_API_KEY": "k"}).keys == (Secret("k"),)


URL = "$.providers[2].base_url"
KEY = "$.providers[2].api_key"
ADDRESS = 'expected an absolute URL, such as "https://api.example.com/v1"'
WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"slug": "Open AI"}, "$.providers[2].slug", "expected lower-case letters, digits, `.`, `_`"),
    ({"slug": "opnai"}, URL, 'missing: "opnai" is not known here, did you mean "openai"?'),
    ({"slug": "zzz"}, URL, 'missing: "zzz" is not known here'),
    ({"slug": "openai", "base_url": ""}, URL, ADDRESS),
    ({"slug": "openai", "base_url": "api.openai.com/v1"}, URL, ADDRESS),
    ({"slug": "openai", "base_url": "ftp://api.openai.com"}, URL, ADDRESS),
    ({"slug": "openai", "base_url": "https:///v1"}, URL, ADDRESS),
    ({"slug": "openai", "base_url": "https://[::1/v1"}, URL, ADDRESS),
    ({"slug": "openai", "base_url": "https://h:99999/v1"}, URL, ADDRESS),
    ({"slug": "openai", "base_url": "https://h:0/v1"}, URL, ADDRESS),
    ({"slug": "openai", "base_url": "https://h/v 1"}, URL, ADDRESS),
    ({"slug": "openai", "base_url": "https://h/v1\r\nX: y"}, URL, ADDRESS),
    ({"slug": "openai", "base_url": f"https://u:{CANARY}@h/v1"}, URL, "a URL here holds no user"),
    ({"slug": "openai", "base_url": f"https://h/v1?k={CANARY}"}, URL, "a URL here has no query"),
    ({"slug": "openai", "base_url": f"https://h/v1#{CANARY}"}, URL, "a URL here has no query"),
    (
        {"slug": "openai", "dialect": "gemini", "api_key": CANARY},
        "$.providers[2].dialect",
        '"gemini" is not supported yet',
    ),
    ({"slug": "openai"}, KEY, "no key: environment variable OPENAI_API_KEY is not set"),
    ({"slug": "huggingface"}, KEY, "no key: environment variable HF_TOKEN or HUGGINGFACE_API_KEY"),
    ({"slug": "acme", "base_url": "http://h"}, KEY, 'no key: give api_key = "env:NAME", or local'),
    ({"slug": "openai", "api_key": ""}, KEY, "the key is empty"),
    ({"slug": "openai", "api_key": []}, KEY, "the list is empty"),
    ({"slug": "openai", "api_key": "env:NOT"}, KEY, "environment variable NOT is not set"),
    ({"slug": "openai", "api_key": ["k", "env:NOT"]}, f"{KEY}[1]", "environment variable NOT"),
    ({"slug": "openai", "api_key": "file:/none"}, KEY, 'can not read "/none": No such file'),
    ({"slug": "openai", "api_key": "file:/run/binary"}, KEY, 'can not read "/run/binary": it is'),
    ({"slug": "openai", "api_key": "file:/run/empty"}, KEY, 'file "/run/empty" is empty'),
    ({"slug": "openai", "api_key": f"{CANARY} x"}, KEY, "the key holds a space or a character"),
    ({"slug": "openai", "api_key": f"{CANARY}\u00e9"}, KEY, "the key holds a space or a character"),
    ({"slug": "openai", "api_key": "env:TWO"}, KEY, "environment variable TWO holds a space"),
]


@pytest.mark.parametrize(("given", "path", "reason"), WRONG)
def test_a_wrong_row_is_refused_without_its_secret(
    given: dict[str, Any], path: str, reason: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        resolved(given, {"TWO": f"{CANARY}\n{CANARY}"})
    assert caught.value.path == path
    assert caught.value.reason.startswith(reason)
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_file_that_fails_without_a_word_is_named_all_the_same() -> None:
    def broken(name: str) -> str:
        raise OSError

    with pytest.raises(ConfigError, match=r'^\$\.a: can not read "/x": I/O error$'):
        read_text("/x", path="$.a", read_file=broken)


def test_discovery_takes_every_known_provider_whose_variable_is_set_in_table_order() -> None:
    environ = {"VLLM_API_KEY": "v", "HUGGINGFACE_API_KEY": "h", "OPENAI_API_KEY": ""}
    found = discover(environ)
    assert [(one.provider.slug, one.keys) for one in found] == [
        ("huggingface", (Secret("h"),)),
        ("vllm", (Secret("v"),)),
    ]
    assert discover({}) == ()


def test_discovery_refuses_what_can_not_be_a_key() -> None:
    with pytest.raises(ConfigError) as caught:
        discover({"OPENAI_API_KEY": f"{CANARY} {CANARY}"})
    assert str(caught.value).startswith("$.providers: environment variable OPENAI_API_KEY holds")
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("slug", TABLE)
def test_every_known_provider_resolves_from_its_slug(
    slug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "known", lambda: TABLE)
    found = resolved({"slug": slug, "api_key": CANARY})
    assert found.provider == TABLE[slug], "the table's own form is the checked one"


def test_the_variables_looked_for_are_listed() -> None:
    assert keys_looked_for() == [
        "OPENAI_API_KEY",
        "HF_TOKEN",
        "HUGGINGFACE_API_KEY",
        "VLLM_API_KEY",
    ]


def test_a_secret_shows_nowhere_but_where_it_is_asked_for() -> None:
    secret = Secret(CANARY)
    holder = ResolvedProvider(provider=KNOWN["openai"], keys=(secret,))
    assert secret.reveal() == CANARY
    assert CANARY not in f"{secret} {secret!r} {holder} {[secret]}"
    with pytest.raises(TypeError):
        msgspec.json.encode(holder)


def test_secrets_compare_by_value() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a")}) == 1
