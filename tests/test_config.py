"""The configuration as a whole: what is decoded, what is refused, what needs a restart."""

from collections.abc import Mapping
from decimal import Decimal

import pytest
from msgspec.structs import replace

from proxy import credentials
from proxy.config import RESTART, Config, decode, difference
from proxy.credentials import Secret
from proxy.money import PriceOverride, Pricing
from proxy.providers import Provider
from proxy.settings import (
    ConfigError,
    Endpoint,
    EndpointTimeouts,
    Model,
    Server,
    Settings,
    Timeouts,
    Tls,
)

CANARY = "sk-canary-0123456789abcdef"
KNOWN = {
    "openai": Provider(
        slug="openai",
        name="OpenAI",
        base_url="https://api.openai.com/v1",
        key_env=("OPENAI_API_KEY",),
    ),
    "groq": Provider(
        slug="groq",
        name="Groq",
        base_url="https://api.groq.com/openai/v1",
        key_env=("GROQ_API_KEY",),
    ),
    "ollama": Provider(
        slug="ollama", name="Ollama", base_url="http://127.0.0.1:11434/v1", local=True
    ),
}
ENVIRON = {"OPENAI_API_KEY": CANARY}


@pytest.fixture(autouse=True)
def _table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "known", lambda: KNOWN)


def files(name: str) -> str:
    if name.endswith(".pem"):
        return "-----BEGIN CERTIFICATE-----\n"
    if name.endswith(".txt"):
        return "no certificate"
    raise FileNotFoundError(2, "No such file or directory", name)


def load(text: str, environ: Mapping[str, str] = ENVIRON) -> Config:
    return decode(text, environ=environ, read_file=files)


def test_without_a_word_the_defaults_hold_and_the_environment_names_the_providers() -> None:
    config, defaults = load(""), Settings()
    assert (config.server, config.auth, config.credits) == (
        defaults.server,
        defaults.auth,
        defaults.credits,
    )
    assert (config.store, config.limits, config.catalogue) == (
        defaults.store,
        defaults.limits,
        defaults.catalogue,
    )
    assert (config.timeouts, config.timeouts_set) == (Timeouts(), frozenset())
    assert [one.provider for one in config.resolved] == [KNOWN["openai"]]
    assert config.models == ()
    assert load("", {}).resolved == ()


def test_a_full_file_is_decoded() -> None:
    config = load(
        """
        [server]
        bind = ["127.0.0.1:8080", "[::1]:0", "unix:/run/weir.sock", "localhost:80"]
        tls = { certificate = "cert.pem", key = "key.pem" }
        [auth]
        mode = "none"
        [credits]
        enforce = false
        [store]
        url = "sqlite:////var/lib/weir.db"
        [limits]
        body_bytes_max = 1000
        [timeouts]
        first_token_s = 7
        drain_s = 0
        [catalogue]
        refresh_s = 0.5
        [[providers]]
        slug = "openai"
        [[providers]]
        slug = "ollama"
        [[models]]
        id = "openai/gpt-5"
        name = "GPT-5"
        context_length = 400000
        input_modalities = ["text", "file"]
        output_modalities = ["text"]
        distillable = true
        quality = 87.5
          [[models.endpoints]]
          provider = "openai"
          model = "gpt-5"
          max_completion_tokens = 128000
          quantization = "fp8"
          supported_parameters = ["tools", "reasoning"]
          timeouts = { first_token_s = 300 }
            [models.endpoints.pricing]
            prompt = "0.00000125"
            completion = "1e-5"
            overrides = [{ min_prompt_tokens = 200000, prompt = "0.0000025" }]
          [[models.endpoints]]
          provider = "ollama"
          model = "gpt-oss:20b"
        """
    )
    assert config.server.bind[3] == "localhost:80"
    assert config.server.tls == Tls(certificate="cert.pem", key="key.pem")
    assert (config.auth.mode, config.credits.enforce) == ("none", False)
    assert config.store.url == "sqlite:////var/lib/weir.db"
    assert config.limits.body_bytes_max == 1000
    assert config.timeouts == Timeouts(first_token_s=7, drain_s=0)
    assert config.timeouts_set == {"first_token_s", "drain_s"}
    assert config.catalogue.refresh_s == 0.5
    assert [(one.provider, one.keys) for one in config.resolved] == [
        (KNOWN["openai"], (Secret(CANARY),)),
        (KNOWN["ollama"], ()),
    ]
    endpoints = (
        Endpoint(
            provider="openai",
            model="gpt-5",
            max_completion_tokens=128_000,
            quantization="fp8",
            supported_parameters=("tools", "reasoning"),
            timeouts=EndpointTimeouts(first_token_s=300),
            pricing=Pricing(
                prompt=Decimal("0.00000125"),
                completion=Decimal("0.00001"),
                overrides=(PriceOverride(min_prompt_tokens=200_000, prompt=Decimal("0.0000025")),),
            ),
        ),
        Endpoint(provider="ollama", model="gpt-oss:20b"),
    )
    assert config.models == (
        Model(
            id="openai/gpt-5",
            name="GPT-5",
            context_length=400_000,
            input_modalities=("text", "file"),
            output_modalities=("text",),
            distillable=True,
            quality=87.5,
            endpoints=endpoints,
        ),
    )
    assert CANARY not in repr(config)


def test_variant_and_tier_make_endpoints_of_one_model_at_one_provider() -> None:
    offers = [
        *("", "variant = 'eu'", "variant = 'us'"),
        *("tier = 'flex'", "tier = 'priority'", "variant = 'eu'\ntier = 'flex'"),
    ]
    rows = "".join(
        f"\n[[models.endpoints]]\nprovider = 'openai'\nmodel = 'm'\n{offer}" for offer in offers
    )
    config = decode(
        f"[auth]\nmode = 'none'\n[[providers]]\nslug = 'openai'\n[[models]]\nid = 'a/b'{rows}",
        environ={"OPENAI_API_KEY": CANARY},
        read_file=files,
    )
    (model,) = config.models
    assert [(one.variant, one.tier) for one in model.endpoints] == [
        *((None, None), ("eu", None), ("us", None)),
        *((None, "flex"), (None, "priority"), ("eu", "flex")),
    ]


def test_the_command_line_stands_for_the_file() -> None:
    config = decode(
        "[server]\nbind = ['0.0.0.0:80']\n[auth]\nmode = 'none'",
        environ={},
        read_file=files,
        bind=["127.0.0.1:9"],
        workers=1,
    )
    assert config.server == Server(bind=("127.0.0.1:9",), workers=1)


@pytest.mark.parametrize(
    ("bind", "workers", "path"),
    [(["0.0.0.0:80", "x"], None, "$.server.bind[1]"), (["y"], 2, "$.server.bind[0]")],
)
def test_the_command_line_is_checked_too(bind: list[str], workers: int | None, path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        decode("", environ={}, read_file=files, bind=bind, workers=workers)
    assert caught.value.path == path


ENDPOINT = "[[models]]\nid = 'a/b'\n[[models.endpoints]]\nprovider = 'openai'\nmodel = 'm'\n"
TIERS = 'expected one of "flex", "priority", "ultrafast", got "fast"'
AGAIN = "\n[[models.endpoints]]\nprovider = 'openai'\nmodel = 'm'\n"
PRICING = "$.models[0].endpoints[0].pricing"
HOSTS = 'expected a network, such as "10.0.0.0/8", or the name of a host, got "'
DOLLARS = 'expected USD per token as a string, such as "0.000003"'
RANGE = "expected a price from 0 to 1000 USD"
FORM = 'expected "host:port" or "unix:/path", got'
NOT_YET = "not supported yet, leave it at"
WRONG = [
    ("[server]\nbind = ['8080']", "$.server.bind[0]", FORM),
    ("[server]\nbind = [':8080']", "$.server.bind[0]", FORM),
    ("[server]\nbind = ['::1:8080']", "$.server.bind[0]", FORM),
    ("[server]\nbind = ['h:65536']", "$.server.bind[0]", FORM),
    ("[server]\nbind = ['h:-1']", "$.server.bind[0]", FORM),
    ("[server]\nbind = ['h:1', 'http://h:1']", "$.server.bind[1]", FORM),
    (
        "[server]\nbind = ['h:1', 'unix:a', 'h:1']",
        "$.server.bind[2]",
        '"h:1" is given twice, first at $.server.bind[0]',
    ),
    ("[server]\nbind = ['unix:']", "$.server.bind[0]", "expected a path of 1 to 107 bytes"),
    (f"[server]\nbind = ['unix:/{'a' * 107}']", "$.server.bind[0]", "expected a path of 1 to"),
    (
        "[server]\ntls = { certificate = 'c', key = 'k.pem' }",
        "$.server.tls.certificate",
        'can not read "c": No such file or directory',
    ),
    (
        "[server]\ntls = { certificate = 'c.pem', key = 'k.txt' }",
        "$.server.tls.key",
        '"k.txt" is not a PEM file',
    ),
    (
        "[server]\nbind = ['127.0.0.1:1', '0.0.0.0:80']\n[auth]\nmode = 'none'",
        "$.auth.mode",
        '"none" needs loopback or unix: addresses, and "0.0.0.0:80" is neither ($.server.bind[1])',
    ),
    ("[server]\nbind = ['weir.example:80']\n[auth]\nmode = 'none'", "$.auth.mode", '"none" needs'),
    ("[store]\nurl = 'postgresql://u@h/d'", "$.store.url", "PostgreSQL is not supported yet"),
    ("[store]\nurl = 'sqlite://'", "$.store.url", 'expected "sqlite:///file"'),
    ("[store]\nurl = 'weir.db'", "$.store.url", 'expected "sqlite:///file"'),
    ("[limits]\nurl = 'redis://h:6379/0'", "$.limits.url", f'{NOT_YET} "memory://"'),
    (
        "[[providers]]\nslug = 'openai'\n[[providers]]\nslug = 'openai'",
        "$.providers[1].slug",
        '"openai" is given twice, first at $.providers[0].slug',
    ),
    ("[[providers]]\nslug = 'groq'", "$.providers[0].api_key", "no key: environment variable GROQ"),
    ("[credits]\nmargin = '-0.1'", "$.credits.margin", "expected 0 to 10, 0.05 is 5 %"),
    ("[credits]\nmargin = '11'", "$.credits.margin", "expected 0 to 10"),
    ("[credits]\nmargin = 'nan'", "$.credits.margin", "expected"),
    ("[routing]\nhedge_share_max = 0.0", "$.routing.hedge_share_max", "expected"),
    ("[upstream]\ntransport = 'curl'", "$.upstream.transport", 'expected one of "aiohttp", "weir"'),
    ("[upstream]\nca_file = 'none.crt'", "$.upstream.ca_file", 'can not read "none.crt"'),
    ("[upstream]\nca_file = 'cut.pem'", "$.upstream.ca_file", '"cut.pem" is not a PEM file'),
    ("[upstream]\nca_file = 'a.txt'", "$.upstream.ca_file", '"a.txt" is not a PEM file'),
    *(
        (f"[upstream]\nproxy = '{url}'", "$.upstream.proxy", 'expected "http://host:port"')
        for url in (
            "proxy:3128",
            "https://proxy:3128",
            "http://:3128",
            "http://p:65536",
            "http://p:3128/x",
            "http://u:p@@h",
            "http://u:p w@h",
            "http://h\u0660:1",
            "http://u:p@h:1?q",
            "socks5://h:1",
        )
    ),
    ("[egress]\nbytes_max = 0", "$.egress.bytes_max", "expected"),
    ("[egress]\nallow = ['']", "$.egress.allow[0]", "expected"),
    ("[egress]\nallow = ['::/0', 'a b']", "$.egress.allow[1]", HOSTS),
    ("[egress]\nallow = ['10.0.0.0/33']", "$.egress.allow[0]", HOSTS),
    ("[egress]\nallow = ['10.0.0.300']", "$.egress.allow[0]", HOSTS),
    ("[egress]\nallow = ['http://files.internal']", "$.egress.allow[0]", HOSTS),
    ("[egress]\nallow = ['files.internal:80']", "$.egress.allow[0]", HOSTS),
    ("[egress]\nallow = ['*.internal']", "$.egress.allow[0]", HOSTS),
    (
        "[egress]\nallow = ['10.1.2.3/8']",
        "$.egress.allow[0]",
        'expected a network, such as "10.0.0.0/8"',
    ),
    ("[[models]]\nid = 'gpt-5'", "$.models[0].id", 'expected "author/name", got "gpt-5"'),
    ("[[models]]\nid = 'a/b/c'", "$.models[0].id", 'expected "author/name"'),
    (
        "[[models]]\nid = 'a/b'\n[[models]]\nid = 'a/b'",
        "$.models[1].id",
        '"a/b" is given twice, first at $.models[0].id',
    ),
    (
        "[[models]]\nid = 'a/b'\noutput_modalities = ['text', 'video']",
        "$.models[0].output_modalities",
        '"video" is not supported yet',
    ),
    (
        f"{ENDPOINT}[[models.endpoints]]\nprovider = 'openia'\nmodel = 'm'",
        "$.models[0].endpoints[1].provider",
        'there is no provider "openia", did you mean "openai"?',
    ),
    (
        "[[models]]\nid = 'a/b'\n[[models.endpoints]]\nprovider = 'zzz'\nmodel = 'm'",
        "$.models[0].endpoints[0].provider",
        'there is no provider "zzz", only openai',
    ),
    (
        f"{ENDPOINT}[[models.endpoints]]\nprovider = 'openai'\nmodel = 'm'",
        "$.models[0].endpoints[1]",
        '"openai: m" is given twice, first at $.models[0].endpoints[0]',
    ),
    (
        f"{ENDPOINT}variant = 'eu'\ntier = 'flex'{AGAIN}variant = 'eu'\ntier = 'flex'",
        "$.models[0].endpoints[1]",
        '"openai/eu/flex: m" is given twice, first at $.models[0].endpoints[0]',
    ),
    (
        f"{ENDPOINT}tier = 'flex'{AGAIN}variant = 'flex'",
        "$.models[0].endpoints[1]",
        '"openai/flex: m" is given twice, first at $.models[0].endpoints[0]',
    ),
    (f"{ENDPOINT}tier = 'fast'", "$.models[0].endpoints[0].tier", TIERS),
    (f"{ENDPOINT}variant = 'EU'", "$.models[0].endpoints[0].variant", "expected str matching"),
    (f"{ENDPOINT}variant = 'a/b'", "$.models[0].endpoints[0].variant", "expected str matching"),
    ("[[models]]\nid = 'a/b'\nquality = 101", "$.models[0].quality", "expected float <= 100"),
    ("[[models]]\nid = 'a/b'\nquality = -1", "$.models[0].quality", "expected float >= 0"),
    ("[[models]]\nid = 'a/b'\ndistillable = 1", "$.models[0].distillable", "expected bool"),
    (f"{ENDPOINT}pricing = {{ prompt = 3e-6, completion = '0' }}", f"{PRICING}.prompt", DOLLARS),
    (f"{ENDPOINT}pricing = {{ prompt = '0', completion = 0 }}", f"{PRICING}.completion", DOLLARS),
    (f"{ENDPOINT}pricing = {{ prompt = '-1', completion = '0' }}", f"{PRICING}.prompt", RANGE),
    (f"{ENDPOINT}pricing = {{ prompt = 'NaN', completion = '0' }}", f"{PRICING}.prompt", RANGE),
    (f"{ENDPOINT}pricing = {{ prompt = '1e9', completion = '0' }}", f"{PRICING}.prompt", RANGE),
    (
        f"{ENDPOINT}pricing = {{ prompt = '0', completion = '0', "
        "overrides = [{ min_prompt_tokens = 1 }, { min_prompt_tokens = 2, completion = 'inf' }] }",
        f"{PRICING}.overrides[1].completion",
        RANGE,
    ),
    (
        f"{ENDPOINT}pricing = {{ prompt = '0', completion = '0', "
        "overrides = [{ min_prompt_tokens = -1 }] }",
        f"{PRICING}.overrides[0].min_prompt_tokens",
        "expected int >= 0",
    ),
]


@pytest.mark.parametrize(("text", "path", "reason"), WRONG)
def test_a_wrong_file_is_refused_at_its_key(text: str, path: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert caught.value.path == path
    assert caught.value.reason.startswith(reason)


def test_an_endpoint_without_any_provider_says_so() -> None:
    with pytest.raises(ConfigError, match=r'there is no provider "openai": none is configured$'):
        load(ENDPOINT, {})


def test_a_password_in_a_store_url_is_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        load(f"[store]\nurl = 'postgres://u:{CANARY}@h/d'")
    assert CANARY not in str(caught.value)


OTHERWISE = {
    "server.bind": "[server]\nbind = ['127.0.0.1:1']",
    "server.tls": "[server]\ntls = { certificate = 'c.pem', key = 'k.pem' }",
    "server.http1": "[server]\nhttp1 = 'hypercorn'",
    "store.url": "[store]\nurl = 'sqlite:///other.db'",
    "auth.mode": "[auth]\nmode = 'none'",
    "upstream": "[upstream]\ntransport = 'aiohttp'",
}


@pytest.mark.parametrize("key", OTHERWISE)
def test_what_needs_a_restart_is_named(key: str) -> None:
    assert difference(load(""), load(OTHERWISE[key])) == [f"$.{key}"]


def test_workers_need_a_restart_too() -> None:
    config = load("")
    changed = replace(config, server=replace(config.server, workers=2))
    assert difference(config, changed) == ["$.server.workers"]
    assert {*OTHERWISE, "server.workers"} == set(RESTART)


def test_what_may_be_fetched_from() -> None:
    allow = ["10.0.0.0/8", "fd00::/8", "192.168.1.7", "::1", "files.internal", "a-b", "A_1.x2"]
    assert load(f"[egress]\nallow = {allow}").egress.allow == tuple(allow)


def test_all_else_is_taken_by_a_reload() -> None:
    changed = load("[timeouts]\nconnect_s = 1\n[[providers]]\nslug = 'ollama'")
    assert difference(load(""), changed) == []
