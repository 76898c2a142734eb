"""Every fault at every path beside chat, and that each of them is told what it is asked for."""

import asyncio
import json
from math import inf

import orjson
import pytest

from proxy.upstream.fake.ask import Refused, Request
from proxy.upstream.fake.mangle import Cut, Step, Wait
from proxy.upstream.fake.manner import Failure
from proxy.upstream.fake.scenario import FAULTS, TASKS, Answer, Rule, Scenario
from proxy.upstream.fake.server import Fake, fake
from tests.upstream.fake.speaking import body_of, head_of
from tests.upstream.fake.tasking import REQUESTS, ask_of, manner_of, perform

NAMES = sorted(REQUESTS)
REFUSALS = {
    "status": 500,
    "rate-limit": 429,
    "overloaded": 503,
    "bad-key": 401,
    "unknown-model": 404,
    "too-long": 400,
}
HEADLESS = {"no-head", "cut-head"}
OTHER_STATUS = {"bad-key": {400, 401, 403}, "unknown-model": {400, 404}, "overloaded": {503, 529}}


@pytest.mark.parametrize("name", NAMES)
def test_it_is_answered_for_its_task(name: str) -> None:
    made = perform(REQUESTS[name])
    assert head_of(made).status == 200
    assert body_of(made)
    assert ask_of(REQUESTS[name]).task in TASKS
    assert manner_of(REQUESTS[name]).name == name.removesuffix("-stream")


@pytest.mark.parametrize("name", NAMES)
def test_every_fault_plays(name: str) -> None:
    healthy = body_of(perform(REQUESTS[name]))
    for fault in FAULTS:
        check(fault, perform(REQUESTS[name], Rule(fault=fault, delay_s=1.5, events=1)), healthy)


def check(fault: str, made: list[Step], healthy: bytes) -> None:
    if fault in HEADLESS:
        assert made == [Wait(inf) if fault == "no-head" else Cut.NOW]
    elif fault in REFUSALS:
        known = OTHER_STATUS.get(fault, {REFUSALS[fault]})
        assert head_of(made).status in known
        assert isinstance(json.loads(body_of(made)), dict)
    elif fault in ("one-byte", "slices"):
        assert healthy.startswith(body_of(made))
    elif fault in ("cut", "stall"):
        assert made[-1] in (Cut.NOW, Wait(inf))
        assert len(body_of(made)) < len(healthy)
    elif fault in ("truncated", "early-end"):
        assert len(body_of(made)) < len(healthy)
    else:
        assert head_of(made)


@pytest.mark.parametrize("name", NAMES)
def test_usage_can_be_missing(name: str) -> None:
    manner = manner_of(REQUESTS[name])
    made = body_of(perform(REQUESTS[name], Rule(fault="usage-missing")))
    if not manner.binary:
        assert not any(f'"{key}":{{'.encode() in made for key in ("usage", "usageMetadata", "meta"))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_can_be_said(name: str) -> None:
    made = perform(REQUESTS[name], Rule(fault="no-content"))
    assert head_of(made).status == 200
    if "count" not in name:
        assert len(body_of(made)) < len(body_of(perform(REQUESTS[name])))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_none_of_its_choices_has_none(name: str) -> None:
    manner = manner_of(REQUESTS[name])
    if not ask_of(REQUESTS[name]).stream:
        body = orjson.loads(body_of(perform(REQUESTS[name], Rule(fault="done-only"))))
        assert not any(body.get(key) for key in manner.contents)
        nothing = orjson.loads(body_of(perform(REQUESTS[name], Rule(fault="null-choices"))))
        assert all(nothing[key] is None for key in manner.contents if key in nothing)


@pytest.mark.parametrize("name", NAMES)
def test_bodies_that_are_none_are_refused_in_the_dialects_words(name: str) -> None:
    request = REQUESTS[name]._replace(body=b"[")
    with pytest.raises(Refused) as caught:
        ask_of(request)
    refused = manner_of(request).refusal(Failure(caught.value.kind, str(caught.value)))
    assert refused.status == 400
    assert str(caught.value) in orjson.dumps(refused.body).decode().replace('\\"', '"')


def test_a_pace_is_kept() -> None:
    answer = Answer(first_token_s=2, tokens_per_s=4, tokens=3)
    for name in ("speech", "transcription-stream", "completion-stream"):
        waits = [
            step.seconds for step in perform(REQUESTS[name], None, answer) if type(step) is Wait
        ]
        assert waits == [2, 0.25, 0.25], name
    (wait,) = (step for step in perform(REQUESTS["embeddings"], None, answer) if type(step) is Wait)
    assert wait.seconds == 2


async def call(app: Fake, request: Request) -> int:
    """Send `request` to `app`; gives the status."""
    sent: asyncio.Queue[dict[str, object]] = asyncio.Queue()
    statuses = []
    sent.put_nowait({"type": "http.request", "body": request.body})

    async def send(message: object) -> None:
        assert isinstance(message, dict)
        statuses.append(message.get("status"))

    headers = [(name.encode(), value.encode()) for name, value in request.headers.items()]
    scope = {"type": "http", "method": "POST", "path": request.path, "headers": headers}
    await app(scope | {"query_string": request.query.encode()}, sent.get, send)
    assert isinstance(statuses[0], int)
    return statuses[0]


async def test_rules_are_for_tasks() -> None:
    one = Rule(on="embeddings", fault="rate-limit")
    app = fake(Scenario(rules=(one, Rule(model="*titan", fault="overloaded"))))
    assert await call(app, REQUESTS["embeddings"]) == 429
    assert await call(app, REQUESTS["bedrock-invoke"]) == 429
    assert await call(app, REQUESTS["rerank"]) == 200
    app.play(Scenario(rules=(Rule(model="*titan", fault="overloaded"),)))
    assert await call(app, REQUESTS["bedrock-invoke"]) == 503
    assert await call(app, REQUESTS["embeddings"]) == 200


async def test_the_word_that_is_forbidden() -> None:
    body = {"model": "gpt-image", "prompt": "Something FORBIDDEN"}
    request = REQUESTS["image"]._replace(body=orjson.dumps(body))
    assert await call(fake(), request) == 400
    refused = manner_of(request).refusal(Failure("moderated"))
    assert refused.body["error"]["code"] == "moderation_blocked"
