"""The log: one JSON object per line whatever is logged, and no secret in any of it."""

import asyncio
import gc
import io
import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy import logs
from proxy.logs import HIDDEN, hide, redact, setup

CANARY = "canary/0123+456789&é-value"
KEY = "sk-or-v1-" + "0123456789abcdef" * 4

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def stream(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[io.StringIO]:
    """Standard error while logging is as `setup` leaves it; undone afterwards."""
    root, ours = logging.getLogger(), logging.getLogger("proxy")
    before = root.handlers[:], root.level, ours.level
    monkeypatch.setattr(logs, "_known", set())
    monkeypatch.setattr(logs, "_known_form", None)
    # pytest's own handler sees every record too, and raises for those that are broken on purpose.
    monkeypatch.setattr(type(caplog.handler), "handleError", lambda self, record: None)
    stream = io.StringIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        setup("debug")
    yield stream
    logging.captureWarnings(False)
    root.handlers[:], root.level = before[0], before[1]
    ours.setLevel(before[2])


@pytest.fixture
def lines(stream: io.StringIO) -> Lines:
    """What was written so far, decoded."""
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


log = logging.getLogger("proxy.test")


def test_a_line_says_when_how_grave_who_and_what(lines: Lines) -> None:
    log.info("listening on %s", "127.0.0.1:8080", extra={"workers": 1, "tls": None, "share": 0.5})
    (line,) = lines()
    when = datetime.fromisoformat(line.pop("time"))
    assert when.utcoffset() == timedelta(0)
    assert line == {
        "level": "INFO",
        "logger": "proxy.test",
        "message": "listening on 127.0.0.1:8080",
        "workers": 1,
        "tls": None,
        "share": 0.5,
    }


def test_time_is_rfc3339_in_utc_with_milliseconds(lines: Lines) -> None:
    record = logging.makeLogRecord({"levelno": 20, "created": 1_700_000_000.1239, "msg": "x"})
    logging.getLogger().handle(record)
    assert lines()[0]["time"] == "2023-11-14T22:13:20.123Z"


def test_an_exception_is_one_field_of_one_line(lines: Lines) -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        log.exception("failed", stack_info=True)
    (line,) = lines()
    assert line["exception"].startswith("Traceback (most recent call last):\n")
    assert line["exception"].endswith("ValueError: first\nsecond\n")
    assert "test_logs.py" in line["stack"]


@pytest.mark.parametrize("text", ["a\nb", "a\r\n{}", "\x1b[2J", "\u2028\u2029", "\x00", "\ud800"])
def test_no_text_can_break_out_of_its_line(text: str, stream: io.StringIO) -> None:
    log.warning(text, extra={text: text})
    written = stream.getvalue()
    assert written.endswith("}\n")
    assert written[:-1].isascii()
    assert written[:-1].isprintable()
    line = json.loads(written)
    assert line["message"] == line[text] == text


def test_extra_fields_do_not_replace_the_usual_ones(lines: Lines) -> None:
    log.info("x", extra={"time": "never", "level": "none", "logger": "me"})
    assert lines()[0]["level"] == "INFO"


class Mute:
    def __str__(self) -> str:
        raise RuntimeError(CANARY)


class Broken(dict[str, str]):
    def items(self) -> Any:
        raise RuntimeError(CANARY)


LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Mute(), "(not shown: RuntimeError)"),
        (float("nan"), "nan"),
        (b"\xff", "b'\\xff'"),
        ({1: (Mute(), {2})}, {"1": ["(not shown: RuntimeError)", [2]]}),
        (LOOP, [[[[["[[...]]"]]]]]),
        ("x" * 20_000, "x" * 16_384 + "… (20000 characters)"),
    ],
    ids=["mute", "nan", "bytes", "nested", "loop", "long"],
)
def test_any_value_is_shown_as_json_has_it(lines: Lines, value: object, shown: object) -> None:
    log.info("x", extra={"value": value})
    assert lines()[0]["value"] == shown


@pytest.mark.parametrize("value", [10**5000, Broken(a="b")], ids=["digits", "mapping"])
def test_a_record_that_can_not_be_written_leaves_a_line_that_says_so(
    lines: Lines, value: object
) -> None:
    log.error("x", extra={"value": value})
    (line,) = lines()
    assert line["level"] == "ERROR"
    assert line["message"].startswith("(a record could not be written: ")
    assert CANARY not in str(line)


def test_arguments_that_do_not_fit_are_shown_beside_the_text(lines: Lines) -> None:
    log.info("%d of %d", "one")
    assert lines()[0]["message"] == "%d of %d ('one',)"


def test_an_exception_without_its_traceback_is_left_out(lines: Lines) -> None:
    logging.getLogger().handle(logging.makeLogRecord({"levelno": 20, "exc_info": True}))
    assert "exception" not in lines()[0]


def test_a_log_that_can_not_be_written_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        def write(self, text: str) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    setup("info")
    log.info("x")


def everywhere(secret: str) -> None:
    """Log `secret` in every place where a record has room for one."""
    log.info("told %s", secret)
    log.info(f"told {secret}", extra={"a": secret, secret: 1, "deep": {"b": [secret, {secret}]}})
    log.info("told %s and %r", [secret], {"key": secret.encode()})
    log.info("%d", secret)
    try:
        try:
            raise KeyError(secret)
        except KeyError as error:
            raise ValueError(f"cause {secret}") from error
    except ValueError as error:
        log.exception("failed: %s", error)
    logging.getLogger("aiohttp.client").warning("told %s", secret)
    logging.getLogger("hypercorn.error").error("told %s", secret)


@pytest.mark.parametrize(
    ("secret", "value"),
    [
        ("canary-0123456789", "canary-0123456789"),
        ('canary"\\0123456789', 'canary"\\0123456789'),
        (KEY, KEY),
        ("Bearer 0123456789abc", "0123456789abc"),
        ("authorization: bearer  aWxsdXNpb24=", "aWxsdXNpb24="),
    ],
)
def test_a_secret_shows_in_no_part_of_a_record(
    secret: str, value: str, stream: io.StringIO
) -> None:
    if value.startswith("canary"):
        hide([value])
    everywhere(secret)
    written = stream.getvalue()
    assert len(written.splitlines()) == 7
    assert written.count(HIDDEN) >= 7
    for form in (value, json.dumps(value)[1:-1], repr(value)[1:-1]):
        assert form not in written
        assert json.dumps(form)[1:-1] not in written


def test_a_secret_is_hidden_in_its_url_form_too() -> None:
    hide([CANARY])
    assert redact("/x?k=canary%2F0123%2B456789%26%C3%A9-value&y") == f"/x?k={HIDDEN}&y"


@pytest.mark.parametrize(
    "secret",
    [
        "ya29.c.b0Aaekm1K-x_0123456789",
        "ya29.0123456789",
        "eyJ0eXAiOiJKV1Qi.eyJhdWQiOiJodHRwcyJ9.c2lnbmF0dXJl-_",
        "AKIAIOSFODNN7EXAMPLE",
        "ASIAIOSFODNN7EXAMPLE",
        "IQoJb3JpZ2luX2VjEJ//////////wEaCXVzLWVhc3Q+=",
        "AIzaSyA0123456789abcdefghijklmnopqrstuv",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE+/=\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\\nMIIE+/=",
    ],
)
@pytest.mark.parametrize("text", ["{}", "token={} x", '"{}"', "({})", "Bearer {}"])
def test_what_is_lent_is_known_by_its_form(secret: str, text: str) -> None:
    shown = redact(text.format(secret))
    assert HIDDEN in shown
    assert shown in (text.format(HIDDEN), "Bearer " + HIDDEN)


def test_of_secrets_that_begin_alike_nothing_is_left() -> None:
    hide(["abcdefgh", "abcdefgh-more"])
    hide(["abcdefgh-more-yet"])
    assert redact("abcdefgh-more-yet abcdefgh-more abcdefgh") == f"{HIDDEN} {HIDDEN} {HIDDEN}"


@pytest.mark.parametrize(
    "text",
    [
        "none",
        "the bearer of a token",
        "sk-or-v1-abc...def",
        "task-0123456789abcdef0",
        "Bearer x",
        "eyJust a word",
        "AKIA",
        "Asiapacificsoutheast",
        "ya29.x",
        "a PRIVATE KEY",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    hide(["none", ""])
    assert redact(text) == text


@given(st.text("ab%&/é", min_size=8, max_size=12), st.text("ab%&/é "), st.text("ab%&/é "))
def test_a_hidden_value_never_comes_through(secret: str, before: str, after: str) -> None:
    hide([secret])
    assert secret not in redact(before + secret + after)


def test_other_libraries_are_heard_but_not_at_debug(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, lines: Lines
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    assert log.isEnabledFor(logging.DEBUG)
    assert not logging.getLogger("hpack.hpack").isEnabledFor(logging.DEBUG)
    logger = logging.getLogger("hypercorn.error")
    logger.addHandler(logging.StreamHandler())
    logger.propagate = False
    setup("info")
    logger.info("running")
    assert [line["message"] for line in lines()] == ["running"]


def test_a_higher_level_holds_for_all(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, lines: Lines
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    setup("ERROR")
    log.warning("x")
    logging.getLogger("hypercorn.error").warning("x")
    assert lines() == []


def test_an_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="Unknown level"):
        setup("loud")


def test_warnings_become_lines(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, lines: Lines
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        setup("info")
        warnings.warn("old", UserWarning, stacklevel=1)
    (line,) = lines()
    assert (line["logger"], line["level"]) == ("py.warnings", "WARNING")
    assert "UserWarning: old" in line["message"]


async def test_an_error_nobody_awaited_becomes_a_line(lines: Lines) -> None:
    async def fail() -> None:
        raise ValueError(KEY)

    task = asyncio.ensure_future(fail())
    await asyncio.wait([task])
    del task
    gc.collect()
    (line,) = lines()
    assert line["logger"] == "asyncio"
    assert KEY not in str(line)
    assert line["exception"].endswith(f"ValueError: {HIDDEN}\n")
