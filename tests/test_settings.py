"""The shape of the configuration: what each table takes, and how a complaint reads."""

import contextlib
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.providers import Provider
from proxy.settings import ConfigError, ProviderRow, Settings, near, parse, shape

WRONG = [
    ("x = = 2", "$", "line 1, column 5: Invalid value"),
    (
        "a = 1\nb = 2\n    c d",
        "$",
        "line 3, column 7: Expected '=' after a key in a key/value pair",
    ),
    ("[server", "$", "end of document: Expected ']' at the end of a table declaration"),
    ("a = " + "[" * 100_000, "$", "nested too deeply"),
    ("colour = 1", "$.colour", "unknown key"),
    ("[server]\ncolour = 1", "$.server.colour", "unknown key"),
    ("[server]\nworker = 1", "$.server.worker", 'unknown key, did you mean "workers"?'),
    ("[server.tls]\ncertificat = 1", "$.server.tls.certificat", "unknown key, did you mean"),
    ("[limit]\nurl = 1", "$.limit", 'unknown key, did you mean "limits"?'),
    ('"a\\nb" = 1', '$."a\\nb"', "unknown key"),
    ("[server]\nworkers = '2'", "$.server.workers", "expected int, got str"),
    ("[server]\nworkers = 0", "$.server.workers", "expected int >= 1"),
    ("[server]\nworkers = true", "$.server.workers", "expected int, got bool"),
    ("[server]\nbind = '127.0.0.1:80'", "$.server.bind", "expected array, got str"),
    ("[server]\nbind = []", "$.server.bind", "expected array of length >= 1"),
    ("[server]\nbind = ['a:1', 2]", "$.server.bind[1]", "expected str, got int"),
    ("[server]\ntls = 1", "$.server.tls", "expected table, got int"),
    ("[server.tls]\nkey = 'k'", "$.server.tls.certificate", "missing"),
    ("server = 1", "$.server", "expected table, got int"),
    ("[auth]\nmode = 'all'", "$.auth.mode", 'expected one of "keys", "none", got "all"'),
    ("[limits]\nbody_bytes_max = 0", "$.limits.body_bytes_max", "expected int >= 1"),
    ("[limits]\ntokens_per_minute = -1", "$.limits.tokens_per_minute", "expected int >= 0"),
    ("[timeouts]\nconnect_s = -1", "$.timeouts.connect_s", "expected float > 0.0"),
    ("[timeouts]\nconnect_s = nan", "$.timeouts.connect_s", "expected float > 0.0"),
    ("[timeouts]\nanswer_s = inf", "$.timeouts.answer_s", "expected float <= 2678400.0"),
    ("[timeouts]\ndrain_s = -0.1", "$.timeouts.drain_s", "expected float >= 0.0"),
    ("[catalogue]\nrefresh_s = 0", "$.catalogue.refresh_s", "expected float > 0.0"),
    ("[[providers]]\nname = 'x'", "$.providers[0].slug", "missing"),
    ("[[providers]]\nslug = 'x'\napi_key = 3", "$.providers[0].api_key", "expected str | array"),
    (
        "[[providers]]\nslug = 'x'\nretains_prompts_days = -1",
        "$.providers[0].retains_prompts_days",
        "expected int >= 0",
    ),
    (
        "[[providers]]\nslug = 'a'\n[[providers]]\nslug = 'x'\nquirks = { usage_options = true }",
        "$.providers[1].quirks.usage_options",
        'unknown key, did you mean "usage_option"?',
    ),
    (
        "[[models]]\nid = 'a/b'\ninput_modalities = []",
        "$.models[0].input_modalities",
        "expected array of length >= 1",
    ),
    ("[[models]]\nid = 'a/b'\nname = ''", "$.models[0].name", "expected str of length >= 1"),
    (
        "[[models]]\nid = 'a/b'\n[[models.endpoints]]\nprovider = 'p'\nmodel = ''",
        "$.models[0].endpoints[0].model",
        "expected str of length >= 1",
    ),
    (
        "[[models]]\nid = 'a/b'\n[[models.endpoints]]\nprovider = 'p'\nmodel = 'm'\n"
        "quantization = 'fp5'",
        "$.models[0].endpoints[0].quantization",
        'expected one of "bf16", "fp16"',
    ),
    (
        "[[models]]\nid = 'a/b'\n[[models.endpoints]]\nprovider = 'p'\nmodel = 'm'\n"
        "timeouts = { drain_s = 1 }",
        "$.models[0].endpoints[0].timeouts.drain_s",
        "unknown key",
    ),
    (
        "[[models]]\nid = 'a/b'\n[[models.endpoints]]\nprovider = 'p'\nmodel = 'm'\n"
        "pricing = { prompt = 'x', completion = '0' }",
        "$.models[0].endpoints[0].pricing.prompt",
        "invalid decimal string",
    ),
]


@pytest.mark.parametrize(("text", "path", "reason"), WRONG, ids=[row[1] for row in WRONG])
def test_a_wrong_file_is_refused_at_its_key(text: str, path: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        shape(parse(text))
    assert caught.value.path == path
    assert caught.value.reason.startswith(reason)
    assert str(caught.value) == f"{path}: {caught.value.reason}"


def test_an_integer_of_thousands_of_digits_is_an_error_of_the_file() -> None:
    with pytest.raises(ConfigError, match=r"^\$: .*digits"):
        parse("a = " + "9" * 5000)


def test_an_empty_file_is_the_defaults() -> None:
    assert shape(parse("")) == Settings()


def test_a_provider_row_may_say_all_that_is_true_of_a_provider() -> None:
    assert set(ProviderRow.__struct_fields__) == {*Provider.__struct_fields__, "api_key"}


TABLES = st.sampled_from([*Settings.__struct_fields__, "colour"])
KEYS = st.sampled_from(["bind", "mode", "url", "slug", "id", "connect_s", "quirks", "pricing", "`"])
TEXT = st.text("ab1.=[]{}'\"`#\n\\\u2028\x00", max_size=12)
VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats() | TEXT | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)


def refusal(raw: dict[str, Any]) -> ConfigError | None:
    try:
        shape(raw)
    except ConfigError as error:
        return error
    return None


@given(st.dictionaries(TABLES, VALUES, max_size=3))
@example({"server": {"bind": 2**80}})
def test_whatever_stands_in_the_file_is_taken_or_refused_at_a_key_of_it(
    raw: dict[str, Any],
) -> None:
    error = refusal(raw)
    assert error is None or re.match(r"\$(\.\S+|$)", error.path)


@given(TEXT)
@example("\ufeff")
def test_any_text_parses_or_is_refused_as_a_whole(text: str) -> None:
    with contextlib.suppress(ConfigError):
        assert isinstance(parse(text), dict)


@pytest.mark.parametrize(
    ("word", "hint"), [("opnai", ', did you mean "openai"?'), ("zzz", ""), ("", "")]
)
def test_a_hint_is_given_only_where_it_is_close(word: str, hint: str) -> None:
    assert near(word, ("openai", "mistral")) == hint
