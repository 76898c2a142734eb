"""Tools that providers run themselves: every search of the web is paid for, once, by who asked."""

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from proxy.dialects import INBOUND
from proxy.routing.catalogue import Endpoint
from tests.anthropics import frames
from tests.stage import (
    END,
    HEAD,
    JSON_HEAD,
    KEY,
    SECRET,
    Client,
    Providers,
    Script,
    Stage,
    endpoint,
    model,
    play,
    whole,
)

Json = dict[str, Any]

MUCH = 10**12
TOKENS_NANO = 20_000_000  # ten of the prompt, five of the answer
SEARCH_NANO = 10_000_000

CLAUDES: Json = {"type": "web_search_20250305", "name": "web_search"}
OPENAIS: Json = {"type": "web_search"}
GOOGLES: Json = {"google_search": {}}


def searcher(dialect: str, *, price: str | None = "0.01", **more: Any) -> Endpoint:
    plain = endpoint()
    assert plain.pricing is not None
    search = None if price is None else Decimal(price)
    return replace(
        plain,
        provider=replace(plain.provider, dialect=dialect, cancel_stops_billing=True, **more),
        model="gemini-3-flash" if dialect == "gemini" else plain.model,
        pricing=replace(plain.pricing, web_search=search),
    )


def tell(
    script: Script,
    words: str,
    at: Endpoint,
    *,
    credit_nano: int | None = MUCH,
    act: Callable[[Client], None] = lambda client: None,
    **fields: Any,
) -> tuple[Client, Stage]:
    """One request, from beginning to end."""

    async def story() -> tuple[Client, Stage]:
        one = model("test/one", at)
        stage = await Stage(Providers(script), one, credit_nano=credit_nano, key=KEY).open()
        said: Json = {"messages": [{"role": "user", "content": "hello"}]}
        said = {"input": "hello"} if words == "responses" else said
        limit = "max_output_tokens" if words == "responses" else "max_tokens"
        body = {"model": "test/one", limit: 100} | said | fields
        client = Client(orjson.dumps(body), {"x-api-key": SECRET})
        act(client)
        await stage.flow.serve(client.caller, INBOUND[words])
        await stage.close()
        return client, stage

    return play(story())


def sse(*events: Json) -> bytes:
    return b"".join(
        b"event: " + one["type"].encode() + b"\ndata: " + orjson.dumps(one) + b"\n\n"
        for one in events
    )


def claudes(searches: int, *, stream: bool) -> Script:
    """Anthropic's answer. Of all its searches one is told of."""
    use = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    result = {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []}
    blocks: list[Json] = [use, result, {"type": "text", "text": "hello"}]
    ran = {"web_search_requests": searches, "web_fetch_requests": 0}
    counts: Json = {"input_tokens": 10, "output_tokens": 5, "server_tool_use": ran}
    head: Json = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude"}
    if not stream:
        whole = head | {"content": blocks, "stop_reason": "end_turn", "usage": counts}
        return [(0.1, JSON_HEAD), (0.2, orjson.dumps(whole)), (0.3, END)]
    usage = {"input_tokens": 10, "output_tokens": 1}
    said: list[Json] = [
        {"type": "message_start", "message": head | {"content": [], "usage": usage}}
    ]
    for index, block in enumerate(blocks):
        said.append({"type": "content_block_start", "index": index, "content_block": block})
        said.append({"type": "content_block_stop", "index": index})
    ends: list[Json] = [
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": counts},
        {"type": "message_stop"},
    ]
    return [(0.1, HEAD), (0.2, sse(*said)), (1.0, sse(*ends)), (1.1, END)]


def openais(searches: int, *, stream: bool, full: bool = True) -> Script:
    """OpenAI's answer, which tells of searches by items; opening a page is none. Some do not repeat
    them at the end, unless it is `full`.
    """
    items: list[Json] = [
        {"id": f"ws_{n}", "type": "web_search_call", "status": "completed",
         "action": {"type": "search", "query": "q"}}
        for n in range(searches)
    ]  # fmt: skip
    items.append({**items[0], "id": "ws_p", "action": {"type": "open_page", "url": "u"}})
    text = {"type": "output_text", "text": "hello", "annotations": []}
    items.append({"id": "msg", "type": "message", "role": "assistant", "content": [text]})
    counts = {"input_tokens": 10, "output_tokens": 5, "total_tokens": 15}
    whole = {"id": "resp_1", "status": "completed", "output": items, "usage": counts}
    if not stream:
        return [(0.1, JSON_HEAD), (0.2, orjson.dumps(whole)), (0.3, END)]
    said: list[Json] = [{"type": "response.created", "response": {"id": "resp_1", "output": []}}]
    for place, item in enumerate(items):
        for step in ("added", "done"):
            name = f"response.output_item.{step}"
            said.append({"type": name, "output_index": place, "item": item})
    last_ = whole | {"output": items if full else []}
    said.append({"type": "response.completed", "response": last_})
    return [(0.1, HEAD), (0.2, sse(*said)), (0.4, END)]


def googles(searches: int, *, stream: bool) -> Script:
    queries = [f"q{n}" for n in range(searches)] + ["", "q0"]
    answer = {
        "candidates": [
            {
                "content": {"parts": [{"text": "hello"}]},
                "finishReason": "STOP",
                "groundingMetadata": {"webSearchQueries": queries},
            }
        ],
        "modelVersion": "gemini-3-flash",
        "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5},
    }
    data = orjson.dumps(answer)
    if stream:
        return [(0.1, HEAD), (0.2, b"data: " + data + b"\n\n"), (0.3, END)]
    return [(0.1, JSON_HEAD), (0.2, data), (0.3, END)]


WAYS = [
    ("messages", "anthropic", claudes, {"tools": [CLAUDES]}),
    ("chat", "anthropic", claudes, {"tools": [CLAUDES]}),
    ("responses", "responses", openais, {"tools": [OPENAIS]}),
    ("responses", "responses", partial(openais, full=False), {"tools": [OPENAIS]}),
    ("chat", "gemini", googles, {"tools": [GOOGLES]}),
]


def last(client: Client, words: str, *, stream: bool) -> Json:
    """The usage that the caller is told."""
    if not stream:
        usage: Json = orjson.loads(client.body)["usage"]
        return usage
    found = [orjson.loads(line[6:]) for line in client.body.split(b"\n") if line[:7] == b"data: {"]
    told = [one["response"] if words == "responses" and "response" in one else one for one in found]
    usages: list[Json] = [one["usage"] for one in told if one.get("usage")]
    return usages[-1]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("words", "dialect", "answer", "fields"), WAYS)
def test_each_search_is_charged(
    words: str, dialect: str, answer: Callable[..., Script], fields: Json, stream: bool
) -> None:
    at = searcher(dialect)
    client, stage = tell(answer(3, stream=stream), words, at, stream=stream, **fields)
    assert client.status == 200
    charged = TOKENS_NANO + 3 * SEARCH_NANO
    balance = stage.vault.balance("default")
    assert (balance.charged_nano, stage.row.cost_nano) == (charged, charged)
    assert stage.treasury.held_nano == 0
    usage = last(client, words, stream=stream)
    assert usage["cost"] == charged / 10**9
    name = "server_tool_use" if words == "messages" else "server_tool_use_details"
    assert usage[name]["web_search_requests"] == 3


def test_what_anthropic_says_goes_through_as_it_came() -> None:
    script = claudes(3, stream=True)
    client, stage = tell(script, "messages", searcher("anthropic"), stream=True, tools=[CLAUDES])
    sent = b"".join(step for _, step in script if isinstance(step, bytes))
    assert frames(client.body)[1:-2] == frames(sent)[1:-2]
    (call,) = stage.providers.calls
    assert orjson.loads(call.call.body or b"")["tools"] == [CLAUDES]


def test_what_openai_says_goes_through_as_it_came() -> None:
    script = openais(3, stream=True)
    client, _ = tell(script, "responses", searcher("responses"), stream=True, tools=[OPENAIS])
    sent = b"".join(step for _, step in script if isinstance(step, bytes))
    parts, own = client.body.split(b"\n\n"), sent.split(b"\n\n")
    assert parts[1:-3] == own[1:-2]


@pytest.mark.parametrize(
    ("counted", "tools", "charged"),
    [
        (1000, [CLAUDES | {"max_uses": 2}], 2),  # a provider that lies, or does not obey
        (1000, [CLAUDES], 100),
        (1000, [CLAUDES | {"max_uses": 5000}], 100),
        (3, [], 0),
        (0, [CLAUDES], 0),
    ],
)
def test_no_more_is_charged_than_was_allowed(counted: int, tools: list[Json], charged: int) -> None:
    script = claudes(counted, stream=True)
    _, stage = tell(script, "messages", searcher("anthropic"), stream=True, tools=tools)
    balance = stage.vault.balance("default")
    assert balance.charged_nano == TOKENS_NANO + charged * SEARCH_NANO
    assert stage.row.house_nano == (counted - charged) * SEARCH_NANO


def test_who_hangs_up_pays_for_the_searches_that_were_told_of() -> None:
    _, stage = tell(
        claudes(3, stream=True),
        "messages",
        searcher("anthropic"),
        stream=True,
        tools=[CLAUDES],
        act=lambda client: client.later(0.5, client.hang_up),
    )
    assert stage.row.usage_estimated
    tokens = stage.row.prompt_tokens * 1_000_000 + stage.row.completion_tokens * 2_000_000
    assert stage.vault.balance("default").charged_nano == tokens + SEARCH_NANO


@pytest.mark.parametrize(
    ("credit_nano", "tool", "status"),
    [
        (1_600_000_000, CLAUDES | {"max_uses": 1}, 200),
        (1_600_000_000, CLAUDES | {"max_uses": 100}, 402),
        (1_450_000_000, CLAUDES | {"max_uses": 1}, 200),
        (1_450_000_000, CLAUDES, 402),
        (1_600_000_000, CLAUDES, 200),
    ],
)
def test_searches_are_held_before_they_are_made(credit_nano: int, tool: Json, status: int) -> None:
    script = claudes(1, stream=False)
    at = searcher("anthropic")
    client, stage = tell(script, "messages", at, credit_nano=credit_nano, tools=[tool])
    assert client.status == status, client.body
    assert not stage.vault.overdrawn


def test_a_model_that_searches_unasked_searched_once() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    script: Script = [(0.1, JSON_HEAD), (0.2, whole("hello", usage=usage)), (0.3, END)]
    at = searcher("openai", tools={"p0": ("web_search",)})
    _, stage = tell(script, "chat", at)
    assert stage.vault.balance("default").charged_nano == TOKENS_NANO + SEARCH_NANO


@pytest.mark.parametrize(
    ("words", "dialect", "tool", "name"),
    [
        ("messages", "anthropic", CLAUDES, "web_search"),
        ("chat", "anthropic", CLAUDES, "web_search"),
        ("messages", "anthropic", {"type": "code_execution_20250825"}, "code_execution"),
        ("responses", "responses", {"type": "image_generation"}, "image_generation"),
        ("chat", "gemini", {"google_maps": {}}, "google_maps"),
    ],
)
def test_credits_pay_for_no_tool_without_a_price(
    words: str, dialect: str, tool: Json, name: str
) -> None:
    at = searcher(dialect, price=None)
    client, stage = tell([], words, at, tools=[tool])
    assert client.status == 402
    assert f"No price is configured for {name} at test/one" in client.body.decode()
    assert stage.providers.calls == []
    unbilled, _ = tell(claudes(1, stream=False), words, at, credit_nano=None, tools=[tool])
    assert unbilled.status != 402


def test_what_is_the_operators_is_for_no_caller() -> None:
    tool = {"type": "file_search", "vector_store_ids": ["vs_1"]}
    client, stage = tell([], "responses", searcher("responses"), tools=[tool], credit_nano=None)
    assert (client.status, stage.providers.calls) == (400, [])
    assert "tools[0]: names what is the operator's own" in client.body.decode()
    open_ = searcher("responses", shares_files=True)
    script = openais(1, stream=False)
    client, _ = tell(script, "responses", open_, tools=[tool], credit_nano=None)
    assert client.status == 200
