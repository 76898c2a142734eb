"""Which providers a configuration stands for, where their keys come from, and that none shows."""

import json
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
from proxy.providers import Provider, Quirks, known, options_in
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
        {"slug": "openai", "dialect": "gemni", "api_key": CANARY},
        "$.providers[2].dialect",
        'there is no dialect "gemni", did you mean "gemini"?',
    ),
    (
        {"slug": "openai", "dialect": "zzz", "api_key": CANARY},
        "$.providers[2].dialect",
        'there is no dialect "zzz", only openai, responses, ',
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


PLACES = {
    "AWS_REGION": "eu-west-1",
    "AZURE_OPENAI_ENDPOINT": "https://ours.openai.azure.com/",
    "GOOGLE_CLOUD_PROJECT": "our-project",
}
ACCOUNT = {
    "type": "service_account",
    "project_id": "its-project",
    "private_key_id": "0123456789abcdef",
    "private_key": f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n",
    "client_email": "weir@its-project.iam.gserviceaccount.com",
    "token_uri": "https://oauth2.googleapis.com/token",
}


@pytest.mark.parametrize("slug", TABLE)
def test_every_known_provider_resolves_from_its_slug(
    slug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "known", lambda: TABLE)
    row = TABLE[slug]
    key = json.dumps(ACCOUNT) if row.auth == "google" else CANARY
    found = resolved({"slug": slug, "api_key": key}, PLACES).provider
    assert "{" not in f"{found.base_url}{found.models_url}"
    told = {name: getattr(row, name) for name in ("base_url", "models_url", "options")}
    if not options_in(row.base_url):
        assert found == row, "the table's own form is the checked one"
    assert msgspec.structs.replace(found, **told) == row


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


# Clouds.


@pytest.fixture
def _clouds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "known", lambda: TABLE)


VERTEX, BEDROCK, AZURE = ({"slug": slug} for slug in ("google-vertex", "amazon-bedrock", "azure"))
PAIR = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": CANARY}
ENTRA = {"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_CLIENT_SECRET": CANARY}


def cloud_files(name: str) -> str:
    if name == "/run/account.json":
        return json.dumps(ACCOUNT, indent=1) + "\n"
    return files(name)


def in_cloud(
    given: Mapping[str, Any], environ: Mapping[str, str] | None = None
) -> ResolvedProvider:
    return resolve(
        msgspec.convert(given, ProviderRow),
        given=given,
        path="$.providers[2]",
        environ={} if environ is None else environ,
        read_file=cloud_files,
    )


@pytest.mark.usefixtures("_clouds")
@pytest.mark.parametrize(
    ("given", "environ", "base_url"),
    [
        (VERTEX, {}, "https://aiplatform.googleapis.com"),
        ({**VERTEX, "options": {"location": "global"}}, {"GOOGLE_CLOUD_LOCATION": "us-east5"},
         "https://aiplatform.googleapis.com"),
        (VERTEX, {"GOOGLE_CLOUD_LOCATION": "us-east5"},
         "https://us-east5-aiplatform.googleapis.com"),
        (BEDROCK, {"AWS_DEFAULT_REGION": "us-west-2", "AWS_REGION": " "},
         "https://bedrock-runtime.us-west-2.amazonaws.com"),
        (BEDROCK, {"AWS_DEFAULT_REGION": "us-west-2", "AWS_REGION": "us-east-1"},
         "https://bedrock-runtime.us-east-1.amazonaws.com"),
        ({**BEDROCK, "options": {"region": "eu-west-1"}}, {"AWS_REGION": "us-east-1"},
         "https://bedrock-runtime.eu-west-1.amazonaws.com"),
        (AZURE, PLACES, "https://ours.openai.azure.com"),
        ({**AZURE, "base_url": "http://127.0.0.1:9/"}, {}, "http://127.0.0.1:9"),
    ],
)  # fmt: skip
def test_an_address_is_made_of_options(
    given: dict[str, Any], environ: dict[str, str], base_url: str
) -> None:
    key = "file:/run/account.json" if given["slug"] == "google-vertex" else "k"
    assert in_cloud({**given, "api_key": key}, environ).provider.base_url == base_url


@pytest.mark.usefixtures("_clouds")
def test_options_come_from_the_row_then_the_environment_then_what_is_known() -> None:
    given = {**AZURE, "api_key": "k"}
    known_version = TABLE["azure"].options["api_version"]
    said = {"OPENAI_API_VERSION": "from-environment"}
    mine = {**given, "options": {"api_version": "mine"}}

    def version(given: Mapping[str, Any], environ: Mapping[str, str]) -> str:
        return in_cloud(given, {**PLACES, **environ}).provider.options["api_version"]

    assert version(given, {}) == known_version
    assert version(given, said) == "from-environment"
    assert version(mine, said) == "mine"


@pytest.mark.usefixtures("_clouds")
def test_another_address_is_not_shown_the_list_of_models() -> None:
    """Nor the key that would be sent there."""
    given = {**BEDROCK, "api_key": "k", "options": {"region": "us-east-1"}}
    assert in_cloud(given).provider.models_url == (
        "https://bedrock.us-east-1.amazonaws.com/foundation-models"
    )
    elsewhere = {**given, "base_url": "http://127.0.0.1:9"}
    assert in_cloud(elsewhere).provider.models_url is None
    both = {**elsewhere, "models_url": "http://127.0.0.1:9/{region}/"}
    assert in_cloud(both).provider.models_url == "http://127.0.0.1:9/us-east-1"


@pytest.mark.usefixtures("_clouds")
def test_the_project_may_come_from_the_account() -> None:
    given = {**VERTEX, "api_key": "file:/run/account.json"}
    assert in_cloud(given).provider.options["project"] == "its-project"
    named = in_cloud(given, {"GOOGLE_CLOUD_PROJECT": "another"})
    assert named.provider.options["project"] == "another"


@pytest.mark.usefixtures("_clouds")
@pytest.mark.parametrize(
    ("given", "environ", "key"),
    [
        (BEDROCK, {"AWS_BEARER_TOKEN_BEDROCK": "b", **PAIR}, "b"),
        (BEDROCK, PAIR, f"AKIDEXAMPLE:{CANARY}"),
        (BEDROCK, {**PAIR, "AWS_SESSION_TOKEN": "s"}, f"AKIDEXAMPLE:{CANARY}:s"),
        ({**BEDROCK, "api_key": "aws:default"}, PAIR, "aws:default"),
        (AZURE, {"AZURE_OPENAI_API_KEY": "k", **ENTRA}, "k"),
        (AZURE, ENTRA, f"t:c:{CANARY}"),
        (VERTEX, {"GOOGLE_APPLICATION_CREDENTIALS": "/run/account.json"},
         json.dumps(ACCOUNT, indent=1)),
        ({**VERTEX, "api_key": "env:MINE"}, {"MINE": "/run/account.json"},
         json.dumps(ACCOUNT, indent=1)),
        ({**VERTEX, "api_key": "env:MINE"}, {"MINE": json.dumps(ACCOUNT)}, json.dumps(ACCOUNT)),
    ],
)  # fmt: skip
def test_an_account_is_found_where_the_clouds_own_tools_look(
    given: dict[str, Any], environ: dict[str, str], key: str
) -> None:
    found = in_cloud(given, {**PLACES, **environ})
    assert [one.reveal() for one in found.keys] == [key]


OPTION = "$.providers[2].options"
WRONG_IN_CLOUD: list[tuple[dict[str, Any], dict[str, str], str, str]] = [
    (BEDROCK, {}, f"{OPTION}.region",
     "missing, and environment variable AWS_REGION or AWS_DEFAULT_REGION is not set"),
    ({**BEDROCK, "options": {"region": ""}}, {}, f"{OPTION}.region", "missing, and"),
    ({**BEDROCK, "options": {"region": "evil.test/"}}, {}, f"{OPTION}.region", "expected letters"),
    ({**BEDROCK, "base_url": "http://h", "api_key": f"a:{CANARY}"}, {}, f"{OPTION}.region",
     "missing, and environment variable AWS_REGION"),
    (BEDROCK, {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "a"}, KEY,
     "no key: environment variable AWS_BEARER_TOKEN_BEDROCK or "
     "AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY is not set, and"),
    ({**BEDROCK, "api_key": f"a:{CANARY}:s:t"}, PLACES, KEY, "the key is not \"ACCESS_KEY_ID:"),
    ({**BEDROCK, "api_key": f":{CANARY}"}, PLACES, KEY, "the key is not \"ACCESS_KEY_ID:"),
    ({**BEDROCK, "auth": "aws", "api_key": CANARY}, PLACES, KEY, "the key is not \"ACCESS_KEY_ID:"),
    (AZURE, {}, f"{OPTION}.endpoint", "missing, and environment variable AZURE_OPENAI_ENDPOINT"),
    (AZURE, {"AZURE_OPENAI_ENDPOINT": "ours"}, f"{OPTION}.endpoint", "expected an absolute URL"),
    (AZURE, {"AZURE_OPENAI_ENDPOINT": f"https://u:{CANARY}@h"}, f"{OPTION}.endpoint",
     "a URL here holds no user"),
    ({**AZURE, "api_key": f"c:{CANARY}"}, PLACES, KEY, "the key is not \"TENANT_ID:CLIENT_ID:"),
    ({**AZURE, "options": {"api_version": ""}, "api_key": "k"}, PLACES, f"{OPTION}.api_version",
     "missing, and environment variable OPENAI_API_VERSION is not set"),
    (VERTEX, {}, KEY, "no key: environment variable GOOGLE_APPLICATION_CREDENTIALS is not set"),
    ({**VERTEX, "api_key": "file:/run/key"}, {}, KEY, 'file "/run/key" is not the JSON file of'),
    ({**VERTEX, "api_key": "env:MINE"}, {"MINE": CANARY}, KEY,
     "the file that environment variable MINE names can not be read"),
    (VERTEX, {"GOOGLE_APPLICATION_CREDENTIALS": "/run/key"}, KEY,
     "the file that environment variable GOOGLE_APPLICATION_CREDENTIALS names is not the JSON"),
    ({**VERTEX, "api_key": '{"type": "authorized_user"}'}, {}, KEY,
     "the key is not the JSON file of a service account"),
    ({**VERTEX, "api_key": ""}, {}, KEY, "the key is empty"),
    ({"slug": "acme", "base_url": "https://acme.test", "dialect": "vertex", "api_key": "k"}, {},
     f"{OPTION}.project", "missing"),
]  # fmt: skip


@pytest.mark.usefixtures("_clouds")
@pytest.mark.parametrize(("given", "environ", "path", "reason"), WRONG_IN_CLOUD)
def test_what_a_cloud_lacks_is_said_with_its_variables(
    given: dict[str, Any], environ: dict[str, str], path: str, reason: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        in_cloud(given, environ)
    assert caught.value.path == path
    assert caught.value.reason.startswith(reason)
    assert CANARY not in str(caught.value)


@pytest.mark.usefixtures("_clouds")
@pytest.mark.parametrize(
    ("environ", "slugs"),
    [
        ({"ANTHROPIC_API_KEY": "k"}, ["anthropic"]),
        ({"GOOGLE_API_KEY": "k", "CO_API_KEY": "k"}, ["google-ai-studio", "cohere"]),
        ({"AWS_BEARER_TOKEN_BEDROCK": "k"}, []),
        ({"AWS_BEARER_TOKEN_BEDROCK": "k", "AWS_REGION": "us-east-1"}, ["amazon-bedrock"]),
        ({"AZURE_OPENAI_API_KEY": "k"}, []),
        ({"AZURE_OPENAI_API_KEY": "k", **PLACES}, ["azure"]),
        ({**PAIR, **ENTRA, **PLACES, "GOOGLE_APPLICATION_CREDENTIALS": "/run/account.json"}, []),
    ],
)
def test_discovery_needs_a_providers_own_key_and_its_place(
    environ: dict[str, str], slugs: list[str]
) -> None:
    found = discover(environ)
    assert [one.provider.slug for one in found] == slugs
    assert not any("{" in one.provider.base_url for one in found)


@pytest.mark.usefixtures("_clouds")
def test_who_says_how_keys_are_shown_is_taken_at_their_word() -> None:
    given = {**BEDROCK, "api_key": "odd:but:a:key", "auth": "bearer"}
    provider = in_cloud(given, PLACES).provider
    assert (provider.auth, provider.auth_also) == ("bearer", None)


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"responses": "("}, "responses"),
        ({"quirks": {"thinkers": "["}}, "quirks.thinkers"),
        ({"quirks": {"efforts_of": {"o": ["low"], "*": []}}}, 'quirks.efforts_of."*"'),
        ({"tools": {"*": ["web_search"]}}, 'tools."*"'),
    ],
)
def test_a_pattern_that_is_none_is_told_at_once(given: dict[str, Any], path: str) -> None:
    acme = {"slug": "acme", "base_url": "http://127.0.0.1:1/v1", "api_key": "k"}
    with pytest.raises(ConfigError) as caught:
        resolved(acme | given)
    assert str(caught.value).startswith(f"$.providers[2].{path}: no regular expression: ")


@pytest.mark.parametrize(
    ("prices", "reason"),
    [
        ({"web_search": 0.01}, 'web_search: expected USD as a string, such as "0.01"'),
        ({"web_search": "-1"}, "web_search: expected a price from 0 to 1000 USD"),
        ({"web_search": "1001"}, "web_search: expected a price from 0 to 1000 USD"),
        ({"web_search": "NaN"}, "web_search: expected a price from 0 to 1000 USD"),
        ({"mcp": "0.1"}, 'mcp: only "0" can be said: none but web_search is counted'),
    ],
)
def test_prices_of_tools_are_such_that_can_be_charged(prices: dict[str, Any], reason: str) -> None:
    acme = {"slug": "acme", "base_url": "http://127.0.0.1:1/v1", "api_key": "k"}
    with pytest.raises(ConfigError) as caught:
        resolved(acme | {"tool_prices": prices})
    assert str(caught.value) == f"$.providers[2].tool_prices.{reason}"
