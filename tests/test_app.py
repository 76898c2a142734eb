"""Which path goes where, what every answer carries, and that no input is answered with a 500."""

import asyncio
import json
import socket
import string
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from proxy import hosting
from proxy.accounts.keys import mint
from proxy.app import ALLOWED_HEADERS, CORS, PREFIXES, UNBUILT, App, metrics_of_all, refuse
from proxy.errors import GatewayError
from proxy.gateway import Gateway
from proxy.metrics import Dump, Metrics
from proxy.serving.channel import Channel
from proxy.stores.schema import StoreUnavailable
from proxy.upstream.fake import load_scenario
from tests.asgi import Answer, call
from tests.running import SERVERS, config_text, mint_key, model_text, provider, weir

EXPOSED = "X-Generation-Id,X-Provider-Name,cf-ray"


def is_open(answer: Answer) -> bool:
    """Whether a page on any origin may read the answer."""
    return (
        answer.headers.get("access-control-allow-origin") == "*"
        and answer.headers.get("access-control-expose-headers") == EXPOSED
        and "access-control-allow-credentials" not in answer.headers
    )


async def thing(request: Request) -> Response:
    fault = request.query_params.get("fault")
    if fault == "ours":
        raise GatewayError("model_unknown", "no", headers={"Retry-After": "3"})
    if fault == "store":
        raise StoreUnavailable("The store is locked.")
    if fault:
        raise RuntimeError("a secret detail")
    return PlainTextResponse(request.url.path)


async def say_hello(scope: Scope, receive: Receive, send: Send) -> None:
    """An inference path, which says itself what every answer of it has."""
    response = PlainTextResponse("hello", headers={"X-Generation-Id": "gen-1"})
    response.raw_headers += CORS
    await response(scope, receive, send)


async def metrics() -> bytes:
    return b"a 1\n"


def app_of(ready: int = 200) -> App:
    return App(
        inference={"/say": say_hello},
        routes=[Route("/thing", thing), Route("/made", thing, methods=["POST", "PUT"])],
        health=lambda: (200, {"status": "ok"}),
        ready=lambda: (ready, {"status": "so"}),
        metrics=metrics,
    )


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_both_prefixes_lead_to_the_same(prefix: str) -> None:
    app = app_of()
    assert (await call(app, "GET", f"{prefix}/thing")).status == 200
    said = await call(app, "POST", f"{prefix}/say")
    assert (said.status, said.body, said.headers["x-generation-id"]) == (200, b"hello", "gen-1")
    assert is_open(said)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1", "/v1", "/api/v1/", "/v1/", "/api/v1x", "/api/v1x/thing", "/v1x/thing", "/v10",
        "/api", "/api/", "/", "", "/thing", "/say", "/api/v2/thing", "/API/V1/thing",
        "/api/v1/thing/", "/api/v1//thing", "/api/v1/say/", "/api/v1/api/v1/thing",
        "/v1/health", "/api/v1/metrics", "/health/", "/metrics/", "/ready/x", "/v1/../v1/thing",
    ],
)  # fmt: skip
async def test_all_else_is_nowhere(path: str) -> None:
    answer = await call(app_of(), "GET", path)
    assert (answer.status, answer.error["message"]) == (404, "Not Found")
    assert "location" not in answer.headers
    below = path.startswith(("/api/v1/", "/v1/")) or path in PREFIXES
    assert is_open(answer) is below


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize(
    ("path", "named"),
    [
        *((path, path) for path in UNBUILT),
        ("/keys/0123", "/keys"),
        ("/videos/job-1", "/videos"),
        ("/files/one/content", "/files"),
    ],
)
async def test_what_openrouter_has_there_is_named(method: str, path: str, named: str) -> None:
    answer = await call(app_of(), method, f"/api/v1{path}")
    assert (answer.status, answer.error["message"]) == (404, f"{named}: not supported yet")
    assert answer.error["metadata"]["error_type"] == "not_found"


@pytest.mark.parametrize("path", ["/keyss", "/auth", "/endpoints", "/audiobook", "/x/keys"])
async def test_what_only_looks_like_it_is_nowhere(path: str) -> None:
    answer = await call(app_of(), "GET", f"/v1{path}")
    assert (answer.status, answer.error["message"]) == (404, "Not Found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v1/thing", {"GET", "HEAD"}),
        ("DELETE", "/v1/thing", {"GET", "HEAD"}),
        ("GET", "/v1/made", {"POST", "PUT"}),
        ("GET", "/v1/say", {"POST"}),
        ("HEAD", "/v1/say", {"POST"}),
        ("PUT", "/health", {"GET", "HEAD"}),
        ("POST", "/metrics", {"GET", "HEAD"}),
        ("OPTIONS", "/ready", {"GET", "HEAD"}),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(
    method: str, path: str, allowed: set[str]
) -> None:
    answer = await call(app_of(), method, path)
    assert answer.status == 405
    assert set(answer.headers["allow"].split(", ")) == allowed
    assert answer.error["message"] == f"Method not allowed: {method}"


async def test_a_wrong_method_is_told_in_the_words_of_its_path() -> None:
    app = app_of()
    app._inference = {"/api/v1/messages": say_hello}
    answer = await call(app, "GET", "/api/v1/messages")
    assert answer.status == 405
    assert json.loads(answer.body)["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("fault", "status", "message"),
    [
        ("ours", 400, "no"),
        ("store", 503, "The store does not answer."),
        ("bug", 500, "Internal Server Error"),
    ],
)
async def test_what_goes_wrong_has_the_contracts_shape(
    fault: str, status: int, message: str
) -> None:
    answer = await call(app_of(), "GET", "/api/v1/thing", query=f"fault={fault}")
    assert (answer.status, answer.error["message"]) == (status, message)
    sdk = [("anthropic-version", "2023-06-01")]
    answer = await call(app_of(), "GET", "/v1/thing", query=f"fault={fault}", headers=sdk)
    told = json.loads(answer.body)
    assert (answer.status, told["type"], told["error"]["message"]) == (status, "error", message)
    assert answer.headers["content-type"] == "application/json"
    assert is_open(answer)
    assert b"secret" not in answer.body
    assert answer.headers.get("retry-after") == ("3" if fault == "ours" else None)


@pytest.mark.parametrize(
    ("wished", "allowed"),
    [
        (None, ALLOWED_HEADERS),
        ("", ALLOWED_HEADERS),
        ("x-stainless-os, authorization", "x-stainless-os, authorization"),
        ("x\r\nset-cookie: a=b", ALLOWED_HEADERS),
        ("\u00e4", ALLOWED_HEADERS),
    ],
)
@pytest.mark.parametrize("path", ["/api/v1/thing", "/v1/say", "/v1/nowhere", "/v1"])
async def test_preflights_are_answered(path: str, wished: str | None, allowed: str) -> None:
    headers = [("Origin", "https://app.example"), ("Access-Control-Request-Method", "POST")]
    if wished is not None:
        headers.append(("Access-Control-Request-Headers", wished))
    answer = await call(app_of(), "OPTIONS", path, headers=headers)
    assert (answer.status, answer.body) == (204, b"")
    assert is_open(answer)
    assert answer.headers["access-control-allow-headers"] == allowed
    assert "POST" in answer.headers["access-control-allow-methods"]


async def test_probes_say_what_they_are_told() -> None:
    health = await call(app_of(), "GET", "/health")
    assert (health.status, health.json) == (200, {"status": "ok"})
    ready = await call(app_of(ready=503), "GET", "/ready")
    assert (ready.status, ready.json) == (503, {"status": "so"})
    metrics = await call(app_of(), "GET", "/metrics")
    assert metrics.body == b"a 1\n"
    assert metrics.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


def test_refusals_from_outside_the_application_look_the_same() -> None:
    headers, body = refuse(GatewayError("draining", "Later.", headers={"Retry-After": "1"}))
    answer = Answer(503, {k.decode(): v.decode() for k, v in headers}, body)
    assert answer.error["metadata"]["error_type"] == "provider_unavailable"
    assert answer.headers["retry-after"] == "1"
    assert is_open(answer)


async def test_other_exceptions_of_the_router_are_wrong_methods() -> None:
    async def picky(_: Request) -> Response:
        raise HTTPException(405)

    app = App(
        inference={},
        routes=[Route("/picky", picky)],
        health=lambda: (200, {}),
        ready=lambda: (200, {}),
        metrics=metrics,
    )
    answer = await call(app, "GET", "/v1/picky")
    assert (answer.status, answer.headers["allow"]) == (405, "")


async def test_metrics_are_those_of_all_as_far_as_the_supervisor_answers() -> None:
    def own() -> Dump:
        return Metrics().dump({"weir_ready": 1})

    assert b"weir_ready 1.0" in await metrics_of_all(own, None)
    ours, theirs = [await Channel.open(end, {}) for end in socket.socketpair()]
    assert b"weir_ready 1.0" in await metrics_of_all(own, ours)
    theirs.handlers["metrics"] = lambda _: {"weir_workers": [([], [3])]}
    assert b"weir_workers 3.0" in await metrics_of_all(own, ours)
    await theirs.close()
    assert b"weir_ready 1.0" in await metrics_of_all(own, ours)
    await ours.close()


# A whole gateway, asked without a server: whatever is sent, the error object comes back.

Ask = Callable[..., Answer]
SECRET, KEY = mint("fuzz", token_hex=lambda size: "0f" * size, now=0.0)
BEARER = ("Authorization", f"Bearer {SECRET}")


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """A gateway without providers, and a way to ask it from a synchronous test."""
    folder = tmp_path_factory.mktemp("app")
    file = folder / "config.toml"
    file.write_text(f'[store]\nurl = "sqlite:///{folder}/weir.db"\n[limits]\nbody_bytes_max = 200')
    config = hosting.load(file, {})
    loop = asyncio.new_event_loop()

    def run(work: Awaitable[Any]) -> Any:
        return loop.run_until_complete(work)

    secret = mint_key(folder / "weir.db")
    gateway: Gateway = run(Gateway.open(config, lambda: config))
    hash_ = next(iter(gateway.office._keyring._contents.keys))
    found = gateway.office._keyring.find(hash_)
    gateway.office._keyring._contents.keys[KEY.hash] = KEY
    assert found is not None
    assert secret != SECRET
    yield lambda *arguments, **more: run(call(gateway.app, *arguments, **more))
    run(gateway.close())
    loop.close()


PUBLIC = ("/models", "/models/count", "/providers")
PRIVATE = ("/key", "/auth/key", "/generation")


@pytest.mark.parametrize("headers", [[], [("Authorization", "Bearer sk-wrong")]])
@pytest.mark.parametrize("path", PUBLIC)
def test_the_catalogue_needs_no_key(ask: Ask, path: str, headers: list[tuple[str, str]]) -> None:
    assert ask("GET", f"/api/v1{path}", headers=headers).status == 200


@pytest.mark.parametrize(
    ("headers", "status", "message"),
    [
        ([], 401, "Missing Authentication header"),
        ([("Authorization", "Basic abc")], 401, "Missing Authentication header"),
        ([("Authorization", "Bearer ")], 401, "Missing Authentication header"),
        ([("Authorization", "Bearer sk-or-v1-short")], 401, "User not found."),
        ([("Authorization", f"Bearer sk-or-v1-{'0' * 64}")], 401, "User not found."),
        ([("x-api-key", "\xff\x00")], 401, "User not found."),
        ([BEARER, ("x-api-key", "other")], 400, "two credentials"),
        ([BEARER, ("Authorization", "Bearer other")], 400, "two credentials"),
    ],
)
@pytest.mark.parametrize("path", [*PRIVATE, "/chat/completions"])
def test_all_else_needs_one_good_key(
    ask: Ask, path: str, headers: list[tuple[str, str]], status: int, message: str
) -> None:
    method = "POST" if path == "/chat/completions" else "GET"
    answer = ask(method, f"/v1{path}", headers=headers)
    assert answer.status == status
    assert message in answer.error["message"]
    assert is_open(answer)


@pytest.mark.parametrize(
    "headers", [[BEARER], [("X-Api-Key", SECRET)], [BEARER, ("x-api-key", SECRET)]]
)
def test_a_good_key_may_stand_in_either_header(ask: Ask, headers: list[tuple[str, str]]) -> None:
    answer = ask("GET", "/api/v1/key", headers=headers)
    assert answer.status == 200
    assert answer.json["data"]["label"] == KEY.label


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"x" * 201, [("Content-Length", "201")], 413),
        (b"{}", [("Content-Encoding", "gzip")], 415),
        (b"{}", [("Content-Length", "2"), ("Transfer-Encoding", "chunked")], 400),
        (b"{", [], 400),
        (b'{"model": "none", "messages": [{"role": "user", "content": "x"}]}', [], 400),
    ],
)
def test_pages_can_read_why_a_body_is_refused(
    ask: Ask, body: bytes, headers: list[tuple[str, str]], status: int
) -> None:
    answer = ask("POST", "/v1/chat/completions", headers=[BEARER, *headers], body=body)
    assert answer.status == status
    assert answer.error
    assert is_open(answer)


SEGMENTS = st.sampled_from(
    ["api", "v1", "models", "count", "endpoints", "key", "auth", "generation", "chat",
     "completions", "providers", "health", "ready", "metrics", "..", ""]
) | st.text(max_size=6)  # fmt: skip
PATHS = st.lists(SEGMENTS, max_size=6).map(lambda parts: "/" + "/".join(parts)) | st.tuples(
    st.sampled_from(PREFIXES), st.lists(SEGMENTS, max_size=3)
).map(lambda pair: "/".join([pair[0], *pair[1]]))
METHODS = st.sampled_from(
    ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE", "BREW"]
)
QUERIES = st.binary(max_size=20) | st.builds(
    lambda name, value: name + b"=" + value,
    st.sampled_from([b"id", b"offset", b"limit", b"sort", b"q"]),
    st.binary(max_size=12) | st.integers().map(lambda number: str(number).encode()),
)
NAMES = st.sampled_from(
    ["authorization", "x-api-key", "content-length", "host", "content-encoding"]
)
HEADERS = st.lists(
    st.tuples(NAMES, st.text(string.printable, max_size=12))
    | st.sampled_from([BEARER, ("x-api-key", SECRET)]),
    max_size=3,
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["model", "models", "messages", "stream", "role", "content", "n"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
BODIES = st.binary(max_size=30) | VALUES.map(lambda value: json.dumps(value).encode())


@settings(max_examples=300, deadline=None)
@given(method=METHODS, path=PATHS, query=QUERIES, headers=HEADERS, body=BODIES)
def test_no_request_head_is_answered_with_a_500(
    ask: Ask, method: str, path: str, query: bytes, headers: list[tuple[str, str]], body: bytes
) -> None:
    answer = ask(method, path, query=query, headers=headers, body=body)
    assert answer.status < 500 or path == "/ready"
    if answer.status >= 400 and path != "/ready":
        assert answer.error


@settings(max_examples=300, deadline=None)
@given(body=BODIES)
def test_no_request_body_is_answered_with_a_500(ask: Ask, body: bytes) -> None:
    answer = ask("POST", "/v1/chat/completions", headers=[BEARER], body=body)
    assert 400 <= answer.status < 500
    assert answer.error


@given(
    query=st.text(st.sampled_from("0123456789-+.e"), max_size=12).map(lambda text: text.encode())
)
def test_no_page_is_answered_with_a_500(ask: Ask, query: bytes) -> None:
    assert ask("GET", "/v1/models", query=b"offset=" + query).status in (200, 400)
    assert ask("GET", "/v1/models", query=b"limit=" + query).status in (200, 400)


# The core of it once more, over sockets.


@pytest.mark.parametrize("server", SERVERS)
async def test_the_core_on_every_server(tmp_path: Path, server: str) -> None:
    odd = model_text("test/two:free", ("p0", "test/two"))
    async with (
        provider('models = ["test/one"]', server) as (_, base_url),
        weir(tmp_path, config_text(tmp_path, base_url) + odd, server) as running,
        aiohttp.ClientSession() as session,
    ):

        async def fetch(method: str, path: str, key: str = "", body: bytes = b"") -> Answer:
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            async with session.request(
                method, f"{running.url}{path}", headers=headers, data=body, allow_redirects=False
            ) as response:
                found = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status, found, await response.read())

        for prefix in PREFIXES:
            listed = await fetch("GET", f"{prefix}/models")
            assert [row["id"] for row in listed.json["data"]] == ["test/two:free", "test/one"]
            assert is_open(listed)
        expected = [
            ("HEAD", "/api/v1/models", 200),
            ("HEAD", "/health", 200),
            ("HEAD", "/api/v1/nowhere", 404),
            ("HEAD", "/api/v1/chat/completions", 405),
            ("GET", "/api/v1/models/test/two:free/endpoints", 200),
            ("GET", "/api/v1/models/test%2Fone/endpoints", 200),
            ("OPTIONS", "/api/v1/chat/completions", 204),
            ("GET", "/api/v1/models/", 404),
            ("GET", "/api/v1x/models", 404),
            ("POST", "/v1/models", 405),
            ("GET", "/v1/chat/completions", 405),
            ("GET", "/v1/key", 401),
            ("POST", "/v1/chat/completions", 401),
            ("GET", "/ready", 200),
            ("GET", "/metrics", 200),
        ]
        for method, path, status in expected:
            answer = await fetch(method, path)
            assert answer.status == status, (method, path)
            assert is_open(answer) is ("v1/" in path), (method, path)
            assert ("allow" in answer.headers) is (status == 405), (method, path)
            if method == "HEAD":
                assert answer.body == b""
            elif status >= 400:
                assert answer.error
        assert (await fetch("GET", "/v1/key", running.key)).json["data"]["usage"] == 0


async def test_another_accounts_generation_is_not_found(tmp_path: Path) -> None:
    async with (
        provider(load_scenario('models = ["test/one"]')) as (_, base_url),
        weir(tmp_path, config_text(tmp_path, base_url, enforce=False)) as running,
    ):
        other, key = mint("other", token_hex=lambda size: "0e" * size, now=0.0)
        stranger = type(key)(hash=key.hash, name="o", label="l", account="b", created_at=0.0)
        await running.gateway._writer.call(lambda store: store.ledger.create_account("b", at=0.0))
        await running.gateway._writer.call(lambda store: store.add_key(stranger))
        running.gateway.office._keyring._contents.keys[key.hash] = stranger
        mine = [("Authorization", f"Bearer {running.key}")]
        theirs = [("Authorization", f"Bearer {other}")]
        body = b'{"model": "test/one", "messages": [{"role": "user", "content": "x"}]}'
        app = running.gateway.app
        made = await call(app, "POST", "/v1/chat/completions", headers=mine, body=body)
        for flushed in (False, True):
            if flushed:
                await running.gateway._writer.call(lambda store: store.keys())
            query = f"id={made.json['id']}"
            answer = await call(app, "GET", "/v1/generation", headers=mine, query=query)
            assert answer.json["data"]["id"] == made.json["id"]
            answer = await call(app, "GET", "/v1/generation", headers=theirs, query=query)
            assert (answer.status, answer.error["metadata"]["error_type"]) == (404, "not_found")
