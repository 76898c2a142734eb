"""Secrets are found again however they were written."""

import base64
import json
import re
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.spellings import anyhow, spelt

AWS = "IQoJb3JpZ2lu//x+y/abc=="
SECRETS = ("sk-or-v1-0123456789abcdef", AWS, "-----BEGIN KEY-----\nMII/x+=\n", "a\\b'c\"d\té-x")


def found(secret: str, text: str) -> bool:
    return re.search(anyhow(secret), text) is not None


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "write",
    [
        str,
        repr,
        json.dumps,
        lambda text: json.dumps(json.dumps(text)),
        lambda text: json.dumps(text).replace("/", "\\/"),
        lambda text: json.dumps(text).replace("+", "\\u002B").replace("=", "\\u003d"),
        lambda text: quote(text, safe=""),
        quote,
        quote_plus,
        lambda text: quote(text, safe="").replace("%2F", "%2f"),
        lambda text: base64.b64encode(text.encode()).decode(),
        lambda text: base64.urlsafe_b64encode(f"{text}:".encode()).decode(),
        lambda text: base64.b64encode(f"user:{text}".encode()).decode(),
        lambda text: base64.b64encode(f"Bearer {text}".encode()).decode(),
        lambda text: json.dumps(base64.b64encode(text.encode()).decode()).replace("/", "\\/"),
    ],
)
def test_a_secret_is_found(secret: str, write: object) -> None:
    assert callable(write)
    assert found(secret, f"x {write(secret)} y")


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1), st.text())
def test_whatever_it_is_and_wherever_it_stands(secret: str, before: str) -> None:
    text = before + secret
    assert found(secret, text)
    assert found(secret, json.dumps(text))
    assert found(secret, quote(text, safe="", errors="replace"))
    coded = base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()
    assert len(secret) < 8 or found(secret, coded)


def test_base64_is_looked_for_where_that_is_asked_for() -> None:
    coded = base64.b64encode(SECRETS[0].encode()).decode()
    assert found(SECRETS[0], coded)
    assert re.search(spelt(SECRETS[0]), coded) is None


def test_half_a_pair_is_no_fault() -> None:
    assert found("\ud800abcdefg", "x\ud800abcdefg")


@pytest.mark.parametrize("text", ["", "sk-or-v1-0123456789abcde", "SK-OR-V1-0123456789ABCDEF"])
def test_nothing_else_is(text: str) -> None:
    assert not found(SECRETS[0], text)
