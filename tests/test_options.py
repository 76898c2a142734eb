"""Options make URLs: each is found, or missed by name, whatever the address looks like."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proxy.identity import AwsPair, Word
from proxy.options import addressed, lacking, with_accounts, with_options
from proxy.providers import Provider
from proxy.settings import ConfigError

ROW = Provider(
    slug="x",
    name="X",
    base_url="https://{place-}x.test",
    options={"place": "global", "empty": " "},
    option_env={"place": ("FIRST", "SECOND"), "project": ("PROJECT",)},
)


@pytest.mark.parametrize(
    ("environ", "said", "options"),
    [
        ({}, {}, {"place": "global"}),
        ({"FIRST": "a", "SECOND": "b"}, {}, {"place": "a"}),
        ({"FIRST": "", "SECOND": " b "}, {}, {"place": "b"}),
        ({"FIRST": "a"}, {"place": "global"}, {"place": "global"}),
        ({"PROJECT": "p"}, {}, {"place": "global", "project": "p"}),
    ],
)
def test_options_are_looked_for(
    environ: dict[str, str], said: dict[str, str], options: dict[str, str]
) -> None:
    assert with_options(ROW, environ, said=said).options == options


def test_what_is_lacking_is_told_before_keys_are() -> None:
    vertex = Provider(slug="v", name="V", base_url="https://{region}.v.test", dialect="vertex")
    assert lacking(vertex) == ["region", "project", "location"]
    assert lacking(ROW) == []


@given(st.text(alphabet=string.printable, min_size=1))
def test_whatever_an_option_is_the_host_stays_the_same(value: str) -> None:
    row = Provider(slug="x", name="X", base_url="https://{place}.x.test", options={"place": value})
    if re.fullmatch("[A-Za-z0-9-]+", value):
        assert addressed(row, path="$").base_url == f"https://{value}.x.test"
    else:
        with pytest.raises(ConfigError, match=r"^\$\.options\.place: expected letters"):
            addressed(row, path="$")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://x.test", "expected an absolute URL"),
        ("https://[::1", "expected an absolute URL"),
        ("https://user:secret@x.test", "a URL here holds no user"),
        ("https://x.test?secret", "a URL here has no query"),
    ],
)
@pytest.mark.parametrize("field", ["base_url", "models_url", "options.endpoint"])
def test_a_url_that_can_not_be_is_refused_where_it_stands(
    field: str, url: str, reason: str
) -> None:
    row = Provider(slug="x", name="X", base_url="https://x.test")
    if field == "options.endpoint":
        row = replace(row, base_url="{endpoint}", options={"endpoint": url})
    else:
        row = replace(row, **{field: url})
    with pytest.raises(ConfigError) as caught:
        addressed(row, path="$")
    assert caught.value.path == f"$.{field}"
    assert caught.value.reason.startswith(reason)
    assert "secret" not in str(caught.value)


def test_an_option_nobody_looks_for_has_no_variable() -> None:
    row = Provider(slug="x", name="X", base_url="https://{place}.x.test")
    with pytest.raises(ConfigError, match=r"^\$\.options\.place: missing$"):
        addressed(row, path="$")


def test_a_signature_needs_a_region_and_a_word_does_not() -> None:
    row = Provider(slug="x", name="X", base_url="https://x.test")
    assert with_accounts(row, (Word("k"),), path="$") == row
    with pytest.raises(ConfigError, match=r"^\$\.options\.region: missing$"):
        with_accounts(row, (Word("k"), AwsPair("a", "s")), path="$")
