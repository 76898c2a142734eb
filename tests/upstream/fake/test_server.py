"""The simulated provider as an ASGI application: routes, hang-ups, aborts, counters."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, MutableMapping
from dataclasses import replace
from random import Random
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from proxy.upstream.fake import server
from proxy.upstream.fake.ask import Request
from proxy.upstream.fake.scenario import FAULTS, MODELS, Answer, Rule, Scenario
from proxy.upstream.fake.server import ConnectionCut, Fake, fake
from tests.clock import play
from tests.upstream.fake.hearing import hear_stream, hear_whole
from tests.upstream.fake.speaking import MANNERS, Wish, events, request

Message = MutableMapping[str, Any]
ASK = {"model": "weir/lorem", "messages": [{"role": "user", "content": "hi"}]}
HANG_UP_AFTER = 40  # messages: more than any whole answer here has


class Caller:
    """One request to the application, and what came back."""

    def __init__(self, app: Fake, **scope: Any) -> None:
        self.app = app
        self.scope = {"type": "http", "method": "POST", "path": "/v1/chat/completions"} | scope
        self.scope.setdefault("headers", [])
        self.requests: asyncio.Queue[Message] = asyncio.Queue()
        self.responses: asyncio.Queue[Message] = asyncio.Queue()
        self.messages: list[Message] = []
        self.task: asyncio.Task[None] | None = None

    def begin(self, *parts: bytes) -> None:
        for index, part in enumerate(parts, 1):
            more = index < len(parts)
            self.requests.put_nowait({"type": "http.request", "body": part, "more_body": more})
        self.task = asyncio.create_task(self.app(self.scope, self.requests.get, self.responses.put))

    async def next(self) -> Message:
        message = await asyncio.wait_for(self.responses.get(), 20)
        self.messages.append(message)
        return message

    async def whole(self, **body: Any) -> tuple[int, bytes]:
        self.begin(json.dumps(ASK | body).encode())
        while (await self.next()).get("more_body", True):
            pass
        assert self.task is not None
        await self.task
        return self.messages[0]["status"], b"".join(m.get("body", b"") for m in self.messages)

    def hang_up(self) -> None:
        self.requests.put_nowait({"type": "http.disconnect"})

    async def end(self) -> None:
        assert self.task is not None
        await asyncio.wait_for(self.task, 20)


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    assert asyncio.all_tasks() - before <= {asyncio.current_task()}


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/chat/completions", "/a/b/chat/completions"]
)
async def test_chat_under_any_prefix(path: str) -> None:
    status, body = await Caller(fake(), path=path).whole()
    assert status == 200
    assert json.loads(body)["choices"][0]["message"]["content"].startswith("Water")


@pytest.mark.parametrize("path", ["/v1/models", "/models"])
async def test_models(path: str) -> None:
    status, body = await Caller(fake(), path=path, method="GET").whole()
    listed = json.loads(body)
    assert status == 200
    assert [row["id"] for row in listed["data"]] == list(MODELS)
    assert listed["data"][0]["context_length"] > 0


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/chat/completions"),
        ("POST", "/v1/models"),
        ("POST", "/v1/chat/xcompletions"),
        ("GET", "/v1/models/x"),
        ("GET", "/"),
    ],
)
async def test_anything_else_is_not_found(method: str, path: str) -> None:
    status, body = await Caller(fake(), method=method, path=path).whole()
    assert status == 404
    assert path in json.loads(body)["error"]["message"]


@pytest.mark.parametrize(
    ("sent", "status"), [(b"Bearer sk-1", 200), (b"Bearer sk-2", 401), (None, 401)]
)
@pytest.mark.parametrize("route", [("GET", "/v1/models"), ("POST", "/v1/chat/completions")])
async def test_a_key_is_checked_where_there_is_one(
    sent: bytes | None, status: int, route: tuple[str, str]
) -> None:
    headers = [(b"authorization", sent)] if sent else []
    app = fake(Scenario(api_key="sk-1"))
    caller = Caller(app, method=route[0], path=route[1], headers=headers)
    answered, body = await caller.whole()
    assert answered == status
    assert b"sk-" not in body


async def say(app: Fake, request: Request) -> tuple[int, Any]:
    """What `request` is answered with; its path arrives quoted, as a client sends it."""
    headers = [(name.encode(), value.encode()) for name, value in request.headers.items()]
    raw_path = quote(request.path, safe="/:").encode()
    caller = Caller(
        app,
        method=request.method,
        path=request.path,
        raw_path=raw_path,
        query_string=request.query.encode(),
        headers=headers,
    )
    caller.begin(request.body)
    while (await caller.next()).get("more_body", True):
        pass
    await caller.end()
    data = b"".join(message.get("body", b"") for message in caller.messages)
    return caller.messages[0]["status"], data


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", MANNERS)
async def test_every_dialect_is_spoken(dialect: str, stream: bool) -> None:
    status, data = await say(fake(), request(dialect, Wish(stream=stream)))
    assert status == 200
    heard = (
        hear_stream(dialect, events(dialect, data))
        if stream
        else hear_whole(dialect, json.loads(data))
    )
    assert heard.text.startswith("Water meets")
    assert heard.usage == (2, 32)


@pytest.mark.parametrize("dialect", sorted(set(MANNERS) - {"bedrock"}))
async def test_every_dialect_checks_its_key(dialect: str) -> None:
    app = fake(Scenario(api_key="sk-1"))
    asked = request(dialect, Wish())
    header = {
        "azure": "api-key", "anthropic": "x-api-key", "gemini": "x-goog-api-key"
    }.get(dialect, "authorization")  # fmt: skip
    prefix = "Bearer " if header == "authorization" else ""
    for key, is_let_in in (("sk-1", True), ("sk-2", False)):
        sent = asked.headers | {header: prefix + key}
        status, data = await say(app, asked._replace(headers=sent))
        assert (status == 200) == is_let_in
        assert b"sk-2" not in data


async def test_bedrock_checks_a_signature_or_a_key() -> None:
    app = fake(Scenario(api_key="ACCESS:SECRET"))
    asked = request("bedrock", Wish())
    raw_path = "/model/weir%2Florem/converse"
    for secret, status in (("SECRET", 200), ("OTHER", 403)):
        made: Any = AWSRequest(method="POST", url=f"http://a{raw_path}", data=asked.body)
        SigV4Auth(Credentials("ACCESS", secret), "bedrock", "us-east-1").add_auth(made)
        sent = {name.lower(): value for name, value in made.headers.items()} | {"host": "a"}
        caller = Caller(
            app,
            path=asked.path,
            raw_path=raw_path.encode(),
            headers=[(name.encode(), value.encode()) for name, value in sent.items()],
        )
        caller.begin(asked.body)
        assert (await caller.next())["status"] == status
        while (await caller.next()).get("more_body", True):
            pass
        await caller.end()


def next_turn(dialect: str, body: Any) -> tuple[dict[str, Any], ...]:
    """What a caller sends next to the answer `body`: all of it, and what its tools said."""
    said = "18 degrees"
    match dialect.removeprefix("vertex-"):
        case "anthropic":
            results = [
                {"type": "tool_result", "tool_use_id": block["id"], "content": said}
                for block in body["content"]
                if block["type"] == "tool_use"
            ]
            turn = {"role": "assistant", "content": body["content"]}
            return turn, {"role": "user", "content": results}
        case "gemini":
            content = body["candidates"][0]["content"]
            answer = {"functionResponse": {"name": "get_weather", "response": {"result": said}}}
            return content, {"role": "user", "parts": [answer]}
        case "bedrock":
            message = body["output"]["message"]
            results = [
                {"toolResult": {"toolUseId": call["toolUse"]["toolUseId"],
                                "content": [{"text": said}]}}
                for call in message["content"]
                if "toolUse" in call
            ]  # fmt: skip
            return message, {"role": "user", "content": results}
        case "responses":
            call = body["output"][-1]["call_id"]
            output = {"type": "function_call_output", "call_id": call, "output": said}
            return *body["output"], output
        case "cohere":
            call = body["message"]["tool_calls"][0]["id"]
            return body["message"], {"role": "tool", "tool_call_id": call, "content": said}
        case _:
            message = body["choices"][0]["message"]
            call = message["tool_calls"][0]["id"]
            return message, {"role": "tool", "tool_call_id": call, "content": said}


@pytest.mark.parametrize("model", ["weir/lorem", "weir/reason"])
@pytest.mark.parametrize("dialect", MANNERS)
async def test_a_conversation_with_tools_goes_on(dialect: str, model: str) -> None:
    app = fake()
    wish = Wish(text="weather", tools=("get_weather",), model=model)
    status, data = await say(app, request(dialect, wish))
    assert status == 200
    again = replace(wish, turns=next_turn(dialect, json.loads(data)))
    status, data = await say(app, request(dialect, again))
    assert status == 200
    assert hear_whole(dialect, json.loads(data)).text == "The tool said: 18 degrees"


async def test_what_another_seed_signed_is_refused() -> None:
    wish = Wish(text="weather", tools=("get_weather",), model="weir/reason")
    for dialect in ("anthropic", "vertex-gemini", "bedrock", "responses"):
        _, data = await say(fake(Scenario(seed=7)), request(dialect, wish))
        again = replace(wish, turns=next_turn(dialect, json.loads(data)))
        assert (await say(fake(), request(dialect, again)))[0] == 400
        assert (await say(fake(Scenario(seed=7)), request(dialect, again)))[0] == 200


async def test_a_marked_prompt_is_written_once_and_then_read() -> None:
    app = fake()
    mark = {"type": "text", "text": "be brief now", "cache_control": {"type": "ephemeral"}}
    asked = request("anthropic", Wish(more={"system": [mark]}))
    counts = []
    for _ in range(2):
        _, data = await say(app, asked)
        usage = json.loads(data)["usage"]
        counts.append((usage["cache_creation_input_tokens"], usage["cache_read_input_tokens"]))
    assert counts == [(3, 0), (0, 3)]


@pytest.mark.parametrize("dialect", MANNERS)
async def test_every_dialect_refuses_in_its_own_words(dialect: str) -> None:
    status, data = await say(fake(), request(dialect, Wish())._replace(body=b"{"))
    assert status == 400
    assert any(key in json.loads(data) for key in ("error", "message"))
    status, _ = await say(fake(), request(dialect, Wish(model="fault/rate-limit")))
    assert status == 429


async def test_a_broken_request_is_refused_in_openai_s_shape() -> None:
    caller = Caller(fake())
    caller.begin(b'{"model":"m",', b"x")
    assert (await caller.next())["status"] == 400
    assert list(json.loads((await caller.next())["body"])["error"]) == [
        "message", "type", "param", "code"
    ]  # fmt: skip
    await caller.next()
    await caller.end()


async def test_a_stream_comes_event_by_event() -> None:
    caller = Caller(fake(Scenario(answer=Answer(tokens=3))))
    status, _ = await caller.whole(stream=True)
    assert status == 200
    assert dict(caller.messages[0]["headers"])[b"content-type"].startswith(b"text/event-stream")
    events = [message["body"] for message in caller.messages[1:]]
    assert all(event.startswith(b"data: ") for event in events[:-1])
    assert events[-2:] == [b"data: [DONE]\n\n", b""]
    assert len(events) == 7


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", FAULTS)
async def test_every_fault_ends_with_the_caller(fault: str, stream: bool) -> None:
    """Whatever the fault, once the caller hung up (or was cut off) nothing goes on."""
    app = fake()
    cut: list[bool] = []
    extensions = {"weir.abort": lambda: cut.append(True)}
    caller = Caller(app, extensions=extensions)
    caller.begin(json.dumps(ASK | {"model": f"fault/{fault}", "stream": stream}).encode())
    assert caller.task is not None
    for _ in range(HANG_UP_AFTER):
        following = asyncio.create_task(caller.next())
        await asyncio.wait({following, caller.task}, timeout=0.02, return_when="FIRST_COMPLETED")
        if not following.done():
            following.cancel()
            await asyncio.wait({following})
            break
    ended = caller.task.done()
    caller.hang_up()
    await caller.end()
    # One that was not done may have come to its end by itself just then.
    assert (app.requests, app.open) == (1, 0)
    assert app.disconnects <= int(not ended)
    assert cut == [True] * (fault in {"cut", "cut-head"})


@pytest.mark.parametrize(
    ("model", "stream", "messages"),
    [("fault/no-head", True, 0), ("fault/stall", True, 4), ("weir/slow", False, 0)],
)
async def test_a_hang_up_ends_the_answer_at_once(model: str, stream: bool, messages: int) -> None:
    app = fake()
    caller = Caller(app)
    caller.begin(json.dumps(ASK | {"model": model, "stream": stream}).encode())
    for _ in range(messages):
        await caller.next()
    await asyncio.sleep(0)  # the application begins
    assert app.open == 1
    before = time.monotonic()
    caller.requests.put_nowait({"type": "http.request"})  # a late and empty part changes nothing
    caller.hang_up()
    await caller.end()
    assert (app.open, app.disconnects) == (0, 1)
    assert before <= app.disconnect_times[0] <= time.monotonic() < before + 5


async def test_a_hang_up_in_the_request_body_is_counted() -> None:
    app = fake()
    caller = Caller(app)
    caller.hang_up()
    caller.begin()
    await caller.end()
    assert (app.requests, app.open, app.disconnects) == (1, 0, 1)


async def test_a_hang_up_is_seen_though_send_never_waits() -> None:
    """An endless answer into a server that swallows everything."""
    app = fake()
    caller = Caller(app)
    sent = 0

    async def send(message: Message) -> None:
        nonlocal sent
        sent += 1
        if sent == 100:
            caller.hang_up()

    caller.requests.put_nowait(
        {"type": "http.request", "body": json.dumps(ASK | {"model": "fault/endless"}).encode()}
    )
    await asyncio.wait_for(app(caller.scope, caller.requests.get, send), 5)
    assert 100 <= sent < 200
    assert app.disconnects == 1


async def test_a_send_that_fails_is_a_hang_up() -> None:
    app = fake()
    caller = Caller(app)
    caller.requests.put_nowait({"type": "http.request", "body": json.dumps(ASK).encode()})

    async def send(message: Message) -> None:
        raise OSError("closed")

    await app(caller.scope, caller.requests.get, send)
    assert (app.open, app.disconnects) == (0, 1)


@pytest.mark.parametrize("extensions", [{}, {"extensions": None}, {"extensions": {}}])
async def test_a_cut_without_the_extension_is_an_exception(extensions: dict[str, Any]) -> None:
    app = fake()
    caller = Caller(app, **extensions)
    caller.begin(json.dumps(ASK | {"model": "fault/cut", "stream": True}).encode())
    with pytest.raises(ConnectionCut):
        await caller.end()
    assert (app.open, app.disconnects, caller.responses.qsize()) == (0, 0, 4)


async def test_a_server_that_stops_stops_the_answer() -> None:
    app = fake()
    caller = Caller(app)
    caller.begin(json.dumps(ASK | {"model": "fault/stall", "stream": True}).encode())
    await caller.next()
    assert caller.task is not None
    caller.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller.end()
    assert (app.open, app.disconnects) == (0, 0)


def test_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = Answer(tokens=11, tokens_per_s=200, first_token_s=0.05)

    async def story() -> float:
        clock = SimpleNamespace(monotonic=asyncio.get_running_loop().time)
        monkeypatch.setattr(server, "time", clock)
        begun = asyncio.get_running_loop().time()
        await Caller(fake(Scenario(answer=flow))).whole(stream=True)
        return asyncio.get_running_loop().time() - begun

    assert play(story()) == pytest.approx(0.05 + 10 / 200)


async def test_rules_count_and_scenarios_change() -> None:
    app = fake(Scenario(rules=(Rule(fault="overloaded", times=1), Rule(on="models", fault="html"))))
    assert [(await Caller(app).whole())[0] for _ in range(2)] == [503, 200]
    assert (await Caller(app, method="GET", path="/models").whole())[1].startswith(b"<!doctype")
    app.play(Scenario(models=("a/b",)))
    listed = json.loads((await Caller(app, method="GET", path="/models").whole())[1])
    assert [row["id"] for row in listed["data"]] == ["a/b"]
    assert app.requests == 4


async def test_what_arrived_is_remembered_if_wanted() -> None:
    app = fake(keep=1)
    for text in ("one", "two"):
        await Caller(app, headers=[(b"x-title", b"demo")]).whole(user=text)
    (seen,) = app.seen
    assert (seen.method, seen.path) == ("POST", "/v1/chat/completions")
    assert seen.headers == {"x-title": "demo"}
    assert json.loads(seen.body)["user"] == "two"
    forgetful = fake()
    await Caller(forgetful).whole()
    assert not forgetful.seen


async def test_time_and_chance_are_arguments() -> None:
    async def one(make: Callable[[], Fake]) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads((await Caller(make()).whole())[1])
        return answer

    assert (await one(lambda: fake(now=lambda: 12.9)))["created"] == 12
    assert await one(fake) == await one(fake)
    assert (await one(lambda: fake(rng=Random(5))))["id"] != (await one(fake))["id"]
    assert (await one(lambda: fake(Scenario(seed=5))))["id"] == (
        await one(lambda: fake(rng=Random(5)))
    )["id"]


async def test_lifespan() -> None:
    caller = Caller(fake(), type="lifespan")
    caller.requests.put_nowait({"type": "lifespan.startup"})
    caller.requests.put_nowait({"type": "lifespan.shutdown"})
    caller.begin()
    assert (await caller.next())["type"] == "lifespan.startup.complete"
    assert (await caller.next())["type"] == "lifespan.shutdown.complete"
    await caller.end()


async def test_other_scopes_are_left_alone() -> None:
    app = fake()
    caller = Caller(app, type="websocket")
    caller.begin()
    await caller.end()
    assert (app.requests, caller.responses.qsize()) == (0, 0)
