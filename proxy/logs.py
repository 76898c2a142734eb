"""The log: one JSON object per line on standard error, and no secret in any of them.

Redaction is the last step before a line is written, over every string of it: message, extra
fields, their names, the text of an exception. So no caller of a logger has to think of it, other
libraries' loggers included. Known secrets go by value (`hide`), unknown ones by their usual form.

A line escapes everything that is not printable ASCII: a caller's text can neither start a line of
its own nor move the cursor of the terminal that shows it. Writing never raises.
"""

import json
import logging
import math
import re
import sys
import traceback
from collections.abc import Iterable, Mapping
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from typing import Any, Final

from proxy.wire.spellings import spelt

HIDDEN: Final = "[hidden]"

# Shorter ones ("none", "ollama") are placeholders and words: hiding them would garble the log.
_SECRET_CHARACTERS_MIN = 8
# A traceback is some KB; a provider's page of HTML in an error must not fill the disk.
_TEXT_CHARACTERS_MAX = 16_384
_DEPTH_MAX = 6
# A masked key (`sk-or-v1-abc...def`) is shorter than this and stays readable.
_FORMS = re.compile(r"\bsk-[\w-]{16,}|(?<=\bbearer)(\s+)[\w.~+/=-]{8,}", re.IGNORECASE | re.ASCII)
# What providers lend us for an hour is known by its form alone: tokens of Google and Entra,
# sessions of AWS. To look for a part of each is quicker than to look for all.
_LENT_PARTS: Final = ("ya29.", "eyJ", "AKIA", "ASIA", "IQoJ", "FwoG", "AIza", "PRIVATE KEY")
_LENT = re.compile(
    r"\bya29\.[\w.-]{8,}|\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?"
    r"|\bA[KS]IA[A-Z0-9]{12,}|\b(?:IQoJ|FwoG)[\w/+=\\%-]{20,}|\bAIza[\w-]{20,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\w+/=\\\n\r]*(?:-----END [A-Z ]*PRIVATE KEY-----)?",
    re.ASCII,
)
_USUAL_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

_known: set[str] = set()
_known_form: re.Pattern[str] | None = None
known_words: Final[dict[str, str]] = {}
"""By text what `shown` said of it lately; who asks here first saves the call."""
_WORDS_MAX = 4096


def hide(secrets: Iterable[str]) -> None:
    """Never show these values in a log again, nor their forms in a URL, in JSON and in `repr`."""
    global _known_form
    _known.update(secret for secret in secrets if len(secret) >= _SECRET_CHARACTERS_MIN)
    # The longest first: where one secret begins with another, nothing of it is left over.
    longest_first = sorted(_known, key=lambda secret: (-len(secret), secret))
    _known_form = re.compile("|".join(map(spelt, longest_first))) if _known else None
    known_words.clear()


def redact(text: str) -> str:
    """`text` without known secrets and without what looks like one."""
    if _known_form is not None:
        text = _known_form.sub(HIDDEN, text)
    if any(part in text for part in _LENT_PARTS):
        text = _LENT.sub(HIDDEN, text)
    return _FORMS.sub(lambda found: f"{found[1] or ''}{HIDDEN}", text)


def shown(text: str | None) -> str:
    """`text` as a line has it: redacted, as JSON. Words that come again and again are kept."""
    if text is None:
        return "null"
    known = known_words.get(text)
    if known is None:
        if len(known_words) >= _WORDS_MAX:
            known_words.clear()
        known = known_words[text] = json.dumps(_text(text))
    return known


def setup(level: str, **more: Any) -> None:
    """Send all loggers of the process to standard error, from `level` ("INFO", …) on; `more` are
    fields of every line.

    Raises ValueError for an unknown level. Other libraries are heard from INFO on at most: at
    DEBUG, HTTP/2's header coding logs every header, credentials included.
    """
    global _lines
    handler = _lines = _Lines(sys.stderr, more)
    handler.setFormatter(_Json(more))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    logging.getLogger("proxy").setLevel(level.upper())
    root.setLevel(max(logging.INFO, logging.getLogger("proxy").level))
    for name in ("hypercorn.error", "hypercorn.access", "aiohttp", "asyncio", "py.warnings"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of every plug-in it has
    logging.captureWarnings(True)


class _Lines(logging.StreamHandler[Any]):
    """Writes records at once, and what waits before them, so that lines stay in their order."""

    def __init__(self, stream: Any, more: Mapping[str, Any]) -> None:
        super().__init__(stream)
        self.end = "".join(f", {json.dumps(name)}: {json.dumps(more[name])}" for name in more)
        self.waiting: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if self.waiting:
            self.flush()
        super().emit(record)

    def flush(self) -> None:
        """Write what waits; the interpreter calls it as it ends, too."""
        with suppress(Exception), self.lock or nullcontext():
            count = len(self.waiting)  # other threads may add to it meanwhile
            text = "".join(self.waiting[:count])
            del self.waiting[:count]
            self.stream.write(text)
            super().flush()

    def handleError(self, record: logging.LogRecord) -> None:
        """Standard error is gone or full: there is no place left to say so."""


_lines: _Lines | None = None


def put(line: str) -> int:
    """Let a whole line wait that has neither its end nor anything that must be hidden; how many
    wait now. It is written by `flush`, or before the next record of any logger.
    """
    if _lines is None:
        return 0
    _lines.waiting.append(f"{line}{_lines.end}}}\n")
    return len(_lines.waiting)


def flush() -> None:
    """Write what waits."""
    if _lines is not None:
        _lines.flush()


class _Json(logging.Formatter):
    def __init__(self, more: Mapping[str, Any]) -> None:
        super().__init__()
        self._more = more

    def format(self, record: logging.LogRecord) -> str:
        try:
            return json.dumps(_plain({**_fields(record), **self._more}, depth=0))
        except Exception as error:  # a log line is never worth a request
            lost = f"(a record could not be written: {type(error).__name__})"
            return json.dumps({"level": record.levelname, "logger": record.name, "message": lost})


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "time": _time(record.created),
        "level": record.levelname,
        "logger": record.name,
        "message": _message(record),
    }
    if isinstance(record.exc_info, tuple):
        fields["exception"] = "".join(traceback.format_exception(*record.exc_info))
    if record.stack_info:
        fields["stack"] = record.stack_info
    for name, value in vars(record).items():
        if name not in _USUAL_FIELDS:
            fields.setdefault(name, value)
    return fields


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # the arguments do not fit the text
        return f"{_said(record.msg)} {_said(record.args)}"


def time_of(second: float) -> str:
    """The second as RFC 3339 has it, in UTC, as far as the seconds."""
    return datetime.fromtimestamp(second, UTC).isoformat(timespec="seconds")[:-6]


def _time(created: float) -> str:
    stamp = datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds")
    return stamp.replace("+00:00", "Z")


def _plain(value: object, *, depth: int) -> Any:
    """`value` as JSON has it, every string redacted and bounded; what JSON lacks by its text."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if depth < _DEPTH_MAX:
        if isinstance(value, Mapping):
            return {_text(k): _plain(v, depth=depth + 1) for k, v in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [_plain(one, depth=depth + 1) for one in value]
    return _text(value)


def _text(value: object) -> str:
    text = redact(_said(value))
    if len(text) > _TEXT_CHARACTERS_MAX:
        return f"{text[:_TEXT_CHARACTERS_MAX]}… ({len(text)} characters)"
    return text


def _said(value: object) -> str:
    try:
        return str(value)
    except Exception as error:
        return f"(not shown: {type(error).__name__})"
