"""What may go wrong before and after the first content, on every path in every form: what callers
see in their own envelope, who is asked next, what is charged, and that nothing stays open.

The rows are those of a catalogue of failures: B before any content, C after it. All of it is asked
once, some at a time, and each test looks at one answer.
"""

import asyncio
import itertools
import re
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp
import msgspec
import pytest
from starlette.types import Message, Receive, Scope, Send

from proxy.errors import KINDS, Retry, Source
from proxy.pipeline import reading, relay
from proxy.stores.sql import SqlStore
from proxy.upstream.fake import FAULTS, Answer, Fake, Rule, Scenario, fake
from proxy.wire.frames import Splitter
from proxy.wire.record import Generation
from tests.calling import Calls, calling
from tests.campaign import rows_of
from tests.paths import FORMS, Form, Heard, read, theirs
from tests.running import config_text, free_port, serving, weir
from tests.story import test_faults as faults
from tests.story.test_faults import CUT, EMPTY, FAILING, MALFORMED, OK, Expected

ROWS: Final[Mapping[str, tuple[str, ...]]] = {
    "B1": ("unreachable", "cut-head"),
    "B2": ("rate-limit",),
    "B3": ("bad-key", "echoes-key"),
    "B4": ("too-long", "unknown-model"),
    "B5": ("status", "overloaded", "gateway-page", "redirect"),
    "B6": ("error-first", "error-200"),
    "B7": ("no-head", "slow-head", "slow-first-token"),
    "B8": (
        "html", "html-disguised", "gzip", "wrong-json", "empty", "endless", "giant", "other-form",
    ),
    "B9": ("done-only", "no-content", "null-choices"),
    "B10": ("moderated",),
    "C1": ("cut", "early-end", "no-finish"),
    "C2": ("stall",),
    "C3": ("error-event", "error-named"),
    "C4": ("truncated", "bad-json", "bad-utf8", "binary"),
    "C5": ("usage-missing",),
    "C6": ("usage-twice", "usage-cumulative"),
    "C7": ("absurd",),
    "C13": (
        "one-byte", "slices", "slow-tokens", "crlf", "cr", "bom", "comments", "multi-line",
        "no-space", "fields", "garbage-lines", "no-last-blank",
    ),
    "C14": ("no-done", "after-done"),
}  # fmt: skip
"""What each row is played by. B11 (races), B12 (stale connections), C8 to C11 (callers that leave)
and C12 (money that ends) have tests of their own below.
"""

OWN: Final = {
    "unreachable": Expected(502, "provider_unreachable"),
    "moderated": Expected(400, "provider_moderated"),
    "absurd": OK,
}
"""What the simulated provider does not play by itself."""

EVERY: Final = [fault for row in ROWS.values() for fault in row]
STREAMED: Final = {**faults.STREAMED, **OWN}
WHOLE: Final = {**faults.WHOLE, **OWN}


def _within(expected: Expected) -> Expected:
    return expected._replace(within=True)


REJECTED: Final = Expected(400, "provider_rejected")
OVERLOADED: Final = Expected(503, "provider_overloaded")
_SPEECH: Final = {"no-content": EMPTY, "error-first": MALFORMED, "empty": EMPTY}
_IMAGES: Final = {
    "endless": _within(MALFORMED),
    "no-finish": _within(CUT),
    "done-only": CUT,
    "null-choices": CUT,
    "no-content": CUT,
}
_IMAGES_WHOLE: Final = dict.fromkeys(("done-only", "null-choices", "no-content"), FAILING)

SPECIAL: Final[Mapping[str, Mapping[str, Expected]]] = {
    "messages-own": {
        "error-first": OVERLOADED,  # Anthropic's own word
        "error-event": _within(OVERLOADED),
        "error-named": _within(OVERLOADED),
    },
    "messages-own-whole": {"no-finish": EMPTY},
    "responses-own": {
        "error-named": _within(FAILING),
        "no-done": _within(CUT),
    },
    "completions": {"endless": _within(MALFORMED)},
    "embeddings": {"no-content": MALFORMED},
    "rerank": {"no-content": MALFORMED, "done-only": MALFORMED},
    "images": _IMAGES,
    "generations": _IMAGES,
    "images-whole": _IMAGES_WHOLE,
    "generations-whole": _IMAGES_WHOLE,
    "edits-whole": _IMAGES_WHOLE,
    "speech": {**_SPEECH, "html-disguised": MALFORMED},
    "speech-events": {
        "no-content": EMPTY, "error-first": CUT, "wrong-json": CUT, "endless": _within(MALFORMED),
        "error-event": _within(CUT), "error-named": _within(CUT), "no-finish": _within(CUT),
        "no-done": _within(CUT),
    },
    "transcriptions": {
        "endless": _within(MALFORMED), "no-finish": _within(CUT), "no-done": _within(CUT),
    },
}  # fmt: skip
"""Where a form differs from what all streams, or all whole answers, have in common: the first event
has content already, the last one says that it is the end, or the provider has other words for it.
"""

UNSEEN: Final[Mapping[tuple[str, str], str]] = {
    ("messages-own-whole", "done-only"): "nothing",
    ("responses-own", "null-choices"): "nothing",
    ("responses-own-whole", "done-only"): "nothing",
    ("transcriptions-whole", "done-only"): "nothing",  # as after silence
    ("transcriptions", "done-only"): "all",  # which is said in the last event once more
    ("transcriptions", "null-choices"): "nothing",
    ("responses-own", "done-only"): "all",
    ("responses-own", "no-finish"): "all",
    **{
        ("speech", fault): "all"  # bytes do not tell that some are missing, or what they are
        for fault in (
            "early-end", "error-event", "error-named", "truncated", "bad-json", "bad-utf8",
            "binary", "after-done",
        )
    },
    **{
        (name, fault): "all"  # a provider may send more images than it was asked for, or fewer
        for name in ("images", "generations")
        for fault in ("usage-twice", "after-done", "other-form")
    },
}  # fmt: skip
"""Good answers all the same, as far as anybody can see; and what is charged."""

ENDED: Final = {
    (name, "too-long")
    for name in ("responses", "responses-whole", "responses-own", "responses-own-whole")
}
"""Errors that are none to a caller: the answer is ended by its length, and says nothing."""

UNTOLD: Final = {
    ("speech", "endless"),
    ("speech", "one-byte"),
    ("speech-events", "one-byte"),
}
"""What takes long and says nothing: a sound that goes on is one, and its bytes are many."""


SHORT: Final = {(name, "too-long") for name in FORMS if name.startswith("responses")}
"""To a caller of Responses, what is too long is no error, but a response that is not complete."""


def expected(name: str, fault: str) -> Expected:
    """What a caller of that form sees of that fault."""
    usual = STREAMED if FORMS[name].stream else WHOLE
    wanted = SPECIAL.get(name, {}).get(fault, usual[fault])
    if (name, fault) in UNSEEN:
        return OK
    if name == "count" and wanted.kind and KINDS[wanted.kind].source is not Source.CALLER:
        return OK  # an estimate
    return wanted


# The providers.

_COUNTED: Final = re.compile(
    rb'"((?:prompt|completion|input|output|total)_tokens|search_units|seconds)": ?\d+'
)


class Odd:
    """Before the simulated provider: it adds what that has no fault for, lies about usage and
    refusals out of policy.
    """

    def __init__(self, app: Fake) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        message = await receive()
        body = message.get("body", b"")
        while message.get("more_body"):
            message = await receive()
            body += message.get("body", b"")
        pending = [{"type": "http.request", "body": body}]

        async def again() -> Message:
            return pending.pop() if pending else await receive()

        async def lying(message: Message) -> None:
            if message["type"] == "http.response.body":
                message["body"] = _COUNTED.sub(rb'"\1":900000000', message["body"])
            await send(message)

        if b"-x-moderated" in body:
            await _moderate(send)
        else:
            await self.app(scope, again, lying if b"-x-absurd" in body else send)


async def _moderate(send: Send) -> None:
    refusal = (
        b'{"type":"error","error":{"type":"invalid_request_error","code":"content_policy_violation"'
        b',"message":"Your request was rejected by our content policy."}}'
    )
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": refusal})


def _rule(fault: str, form: str = "", events: int = 3) -> Rule:
    model = f"*{form}-x-{fault}"
    if fault not in FAULTS:
        return Rule(model=model)
    rule = Rule(model=model, fault=fault, delay_s=0.05, events=events)
    if STREAMED[fault].within:  # what came before must be out before the next breaks
        return msgspec.structs.replace(rule, tokens=4, tokens_per_s=20)
    if fault == "slow-tokens":
        return msgspec.structs.replace(rule, tokens_per_s=400)
    if fault in ("rate-limit", "overloaded"):
        return msgspec.structs.replace(rule, retry_after_s=7)
    return rule


OPENING: Final = {"messages-own": 5, "responses-own": 6}
"""How many events it takes until the first word is out, where they are more than three."""

SCENARIO: Final = Scenario(
    answer=Answer(tokens=32),
    rules=(
        *(_rule(fault, form, events) for fault in EVERY for form, events in OPENING.items()),
        *map(_rule, EVERY),
    ),
)

PRICES: Final[Mapping[str, tuple[str, str]]] = {
    "": ('prompt = "0.000001", completion = "0.000002"', 'prompt = "0.1", completion = "0.2"'),
    "image": ('prompt = "0.000005", completion = "0.00004"', 'prompt = "0.5", completion = "4"'),
    "speech": (
        'prompt = "0", completion = "0", character = "0.00001"',
        'prompt = "0.1", completion = "0", character = "1"',
    ),
    "speech-events": (
        'prompt = "0.0000006", completion = "0.000012"', 'prompt = "0.06", completion = "1.2"',
    ),
}  # fmt: skip
"""Of the first endpoint, and of one that is so dear that it is asked next, but for once in 10**10
times.
"""

ROOTS: Final = {"openai": "/v1", "responses": "/v1", "anthropic": ""}


def configuration(folder: Path, faulty: str, healthy: str) -> str:
    text = config_text(folder, more=faults.TIMEOUTS)
    for dialect, root in ROOTS.items():
        nowhere = f"http://127.0.0.1:{free_port()}"
        for slug, url in (("first", faulty), ("second", healthy), ("nowhere", nowhere)):
            text += (
                f'[[providers]]\nslug = "{dialect}-{slug}"\nname = "{dialect} {slug}"\n'
                f'dialect = "{dialect}"\nbase_url = "{url}{root}"\nauth = "bearer"\n'
                f'api_key = "{faults.PROVIDER_KEY}"\nauthor = "test"\n'
                '[providers.quirks]\nspeech_events = "gpt-"\n'
            )
    for name, fault in itertools.product(FORMS, (*EVERY, "nothing")):
        text += _model(name, fault, alone=True)
        if _moves_on(name, fault):
            text += _model(name, fault, alone=False)
    return text


def _moves_on(name: str, fault: str) -> bool:
    if fault == "nothing":
        return False
    kind = expected(name, fault).kind
    return kind is not None and not expected(name, fault).within


def _model(name: str, fault: str, *, alone: bool) -> str:
    form = FORMS[name]
    cheap, dear = PRICES.get(name) or PRICES.get(form.kind) or PRICES[""]
    kind, waits = "alone" if alone else "both", faults.WAITS.get(fault, "")
    first = "nowhere" if fault == "unreachable" else "first"
    rows = (
        f'[[models.endpoints]]\nprovider = "{form.dialect}-{first}"\n'
        f'model = "{theirs(name, fault, kind)}"\npricing = {{ {cheap} }}\n'
        f"timeouts = {{ {waits} }}\n"
    )
    if not alone:
        rows += (
            f'[[models.endpoints]]\nprovider = "{form.dialect}-second"\n'
            f'model = "{theirs(name, "healthy")}"\npricing = {{ {dear} }}\n'
        )
    puts = f'output_modalities = ["{form.kind}"]\n' if form.kind else ""
    return f'[[models]]\nid = "{kind}/{name}.{fault}"\n{puts}{rows}\n'


# The campaign.


class Seen(NamedTuple):
    """An answer: how far it came, what its caller read, the row that was kept, what was charged."""

    status: int
    headers: Mapping[str, str]
    raw: bytes
    broken: bool
    row: Generation | None = None
    charge_nano: int = 0


Campaign = dict[tuple[str, str, str], Seen]


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    """All answers, by `alone` or `both`, form and fault."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relay, "FIRST_COMMENT_S", 30.0)
        patch.setattr(reading, "ANSWER_BYTES_MAX", faults.SMALL_BYTES)
        patch.setattr(Splitter.__init__, "__defaults__", (faults.SMALL_BYTES,))
        return asyncio.run(_run(tmp_path_factory.mktemp("paths")))


async def _run(folder: Path) -> Campaign:
    async with (
        serving(Odd(fake(SCENARIO))) as faulty,
        serving(fake()) as healthy,
        weir(folder, configuration(folder, faulty, healthy)) as running,
        calling(running) as calls,
    ):
        plans = [
            (kind, name, fault)
            for name, fault in itertools.product(FORMS, (*EVERY, "nothing"))
            for kind in ("alone", "both")
            if (name, fault) not in UNTOLD and (kind == "alone" or _moves_on(name, fault))
        ]
        found: Campaign = {}

        async def one(plan: tuple[str, str, str]) -> None:
            kind, name, fault = plan
            found[plan] = await ask(calls, FORMS[name], f"{kind}/{name}.{fault}")

        await faults._at_most(16, one, [(plan,) for plan in plans])
        await calls.nothing_left()
        rows = dict(calls.rows)
    with closing(SqlStore.open(f"sqlite:///{folder}/weir.db")) as store:
        kept = rows_of(store, "default")
    assert all(count == 1 for count in kept.counts.values())
    assert kept.generations.keys() == rows.keys()
    assert not any(row.task == "count" for row in rows.values())
    for plan, seen in found.items():
        id_ = seen.headers.get("X-Generation-Id", "")
        charge = kept.charges.get(id_, 0)
        found[plan] = seen._replace(row=rows.get(id_), charge_nano=charge)
    return found


async def ask(calls: Calls, form: Form, model: str, key: str = "") -> Seen:
    """One request, read to its end, or to where it breaks off."""
    running, raw, broken = calls.running, b"", False
    sent = form.send(calls._session, running.base_url, model, key or running.key)
    async with sent as response:
        try:
            async for piece in response.content.iter_any():
                raw += piece
        except aiohttp.ClientPayloadError:
            broken = True
        return Seen(response.status, response.headers, raw, broken)


# What was seen.


def _cases(kind: str) -> list[Any]:
    return [
        pytest.param(name, fault, id=f"{row}-{fault}-{name}")
        for row, name in itertools.product(ROWS, FORMS)
        for fault in ROWS[row]
        if (name, fault) not in UNTOLD and (kind == "alone" or _moves_on(name, fault))
    ]


@pytest.mark.parametrize(("name", "fault"), _cases("alone"))
def test_what_the_caller_sees(campaign: Campaign, name: str, fault: str) -> None:
    form, wanted = FORMS[name], expected(name, fault)
    seen = campaign["alone", name, fault]
    assert faults.PROVIDER_KEY.encode() not in seen.raw
    if wanted.kind is None:
        _check_good(seen, name, fault, campaign["alone", name, "nothing"])
        return
    kind = KINDS[wanted.kind]
    ended = (name, fault) in ENDED
    assert seen.status == (200 if wanted.within or ended else wanted.status)
    assert seen.broken == (form.breaks and wanted.within)
    assert seen.charge_nano == 0
    if ended:
        assert read(form, 200, seen.headers, seen.raw) == Heard("", 0, finish="incomplete")
    elif not seen.broken:
        told = read(form, seen.status, seen.headers, seen.raw)
        assert told.fault is not None
        assert told.fault.type == kind.error_type
        assert told.fault.status in (0, kind.status)
        assert wanted.within == (told.said != "")
    if fault in ("rate-limit", "overloaded"):
        assert 1 <= int(seen.headers["Retry-After"]) <= 7
    if name != "count":
        assert seen.row is not None
        assert (seen.row.error, seen.row.status) == (wanted.kind, wanted.status)
        assert [one.error for one in seen.row.attempts] == [wanted.kind]
        assert (seen.row.cost_nano, seen.row.cancelled) == (0, False)


def _check_good(seen: Seen, name: str, fault: str, healthy: Seen) -> None:
    """It says what a healthy answer says, and costs the same."""
    form = FORMS[name]
    assert (seen.status, seen.broken) == (200, False), seen.raw
    usual = read(form, 200, healthy.headers, healthy.raw)
    told = usual if (name, fault) in UNSEEN else read(form, 200, seen.headers, seen.raw)
    assert told.fault is None
    if name == "count":
        assert (seen.row, seen.charge_nano) == (None, 0)
        assert told.said.isdecimal()
        return
    row = seen.row
    assert row is not None
    assert row.cost_nano == seen.charge_nano
    assert (name, fault) in UNSEEN or told.cost_nano in (None, seen.charge_nano)
    assert [one.error for one in row.attempts] == [None]
    if fault == "no-content":
        assert seen.charge_nano == 0
    elif (name, fault) in UNSEEN:
        all_nano = {"all": healthy.charge_nano, "nothing": 0}
        assert seen.charge_nano == all_nano[UNSEEN[name, fault]]
    elif fault == "giant":
        assert len(told.said) >= len(usual.said)
    else:
        assert told.said == usual.said
        assert told.finish in (usual.finish, "None") or fault == "no-finish"
        guessed = fault in ("usage-missing", "absurd", "other-form")
        assert guessed or seen.charge_nano == healthy.charge_nano
        assert 0 < seen.charge_nano <= row.held_nano


@pytest.mark.parametrize(("name", "fault"), _cases("both"))
def test_who_is_asked_next(campaign: Campaign, name: str, fault: str) -> None:
    kind = expected(name, fault).kind
    assert kind is not None
    seen = campaign["both", name, fault]
    if KINDS[kind].retry is not Retry.ENDPOINT:
        assert seen.status == (200 if (name, fault) in ENDED else expected(name, fault).status)
        assert seen.row is None or len(seen.row.attempts) == 1
        return
    assert (seen.status, seen.broken) == (200, False), seen.raw
    form, healthy = FORMS[name], campaign["alone", name, "nothing"]
    told = read(form, 200, seen.headers, seen.raw)
    usual = read(form, 200, healthy.headers, healthy.raw)
    assert (told.said, told.fault) == (usual.said, None)
    if name != "count":
        assert seen.row is not None
        assert [one.error for one in seen.row.attempts] == [kind, None]
        assert seen.row.provider == f"{form.dialect}-second"
        assert seen.row.cost_nano == seen.charge_nano > healthy.charge_nano
        assert told.cost_nano in (None, seen.charge_nano)
