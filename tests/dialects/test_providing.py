"""The rows of the formats that providers speak in a conversation, beside one another."""

from typing import Any

import pytest

from proxy.dialects.asking import Target
from proxy.dialects.providing import OUTBOUND, VERTEX_CLAUDE
from proxy.providers import DIALECTS, Provider, Quirks
from proxy.wire.request import Ask

OPTIONS = {"project": "p", "location": "eu", "api_version": "2024-12-01-preview", "region": "r"}
ROWS = {**OUTBOUND, "vertex claude": VERTEX_CLAUDE}
HI: list[Any] = [{"role": "user", "content": "Hi"}]


def target(dialect: str) -> Target:
    provider = Provider(
        slug="acme", name="Acme", base_url="http://a.test", options=OPTIONS,
        dialect=dialect.partition(" ")[0],
    )  # fmt: skip
    return Target(provider, "claude-9" if "claude" in dialect else "m-9", 100)


def test_there_is_a_row_for_each_dialect_that_can_be_configured() -> None:
    assert OUTBOUND.keys() == DIALECTS.keys()


@pytest.mark.parametrize("dialect", ROWS)
@pytest.mark.parametrize("stream", [True, False])
def test_every_row_puts_a_plain_question(dialect: str, stream: bool) -> None:
    ask = Ask(models=("a/b",), body={"messages": HI}, stream=stream, max_tokens=9)
    encoded = ROWS[dialect].encode_request(ask, target(dialect))
    assert b"Hi" in encoded.body
    assert ROWS[dialect].path(target(dialect), stream).startswith("/")


@pytest.mark.parametrize("dialect", ROWS)
def test_every_row_reads_nothing_out_of_nothing(dialect: str) -> None:
    decoder = ROWS[dialect].decoder(Quirks())
    assert [*decoder.feed(b""), *decoder.end()] == []


@pytest.mark.parametrize("dialect", ROWS)
def test_who_is_spoken_to_in_its_own_words_is_the_same_but_for_them(dialect: str) -> None:
    row = ROWS[dialect]
    if row.same is not None:
        assert row.words is not None
        assert row.same.same is None, "it would be carried for ever"
        assert row.same.path is row.path
        assert row.same.models_path == row.models_path


@pytest.mark.parametrize("dialect", ["vertex", "azure", "vertex claude"])
def test_who_lists_nothing(dialect: str) -> None:
    assert ROWS[dialect].models_path is None
