"""The catalogue's routes: who may ask, pages, odd names, and the official SDK against all of it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from openrouter import OpenRouter, components, operations

from proxy.aliases import Alias, Arm
from proxy.api.catalogue import page
from proxy.api.live import Live
from proxy.api.orders import MODELS_PER_STEP
from proxy.errors import GatewayError
from proxy.money import FREE
from proxy.providers import known
from proxy.routing.catalogue import Catalogue
from proxy.routing.health import Outcome, Pool, Ticket
from proxy.routing.plan import plan
from proxy.wire.preferences import decode
from proxy.wire.request import Ask
from tests.asgi import call
from tests.wares import ACME, NOW, app_of, embedder, endpoint, model


@pytest.mark.parametrize(
    "slug",
    ["acme/large:free", "acme/org/model", "acme/a/b/c:thinking", "acme/\u00e4", "a/endpoints"],
)
async def test_slugs_may_have_colons_and_slashes(slug: str) -> None:
    app = app_of(model(slug), model())
    answer = await call(app, "GET", f"/api/v1/models/{slug}/endpoints")
    assert answer.status == 200
    assert answer.json["data"]["id"] == slug


@pytest.mark.parametrize(
    "path",
    [
        "/models/acme/none/endpoints",
        "/models/acme/endpoints",
        "/models/acme//endpoints",
        "/models/acme/large",
        "/models/acme/large/endpoints/",
        "/models/\x1b[31m/\u2028/endpoints",
        f"/models/acme/{'x' * 5000}/endpoints",
        "/models/",
        "/providers/acme",
    ],
)
async def test_what_is_not_there_is_a_404(path: str) -> None:
    answer = await call(app_of(model()), "GET", f"/api/v1{path}")
    assert answer.status == 404
    assert answer.error["metadata"]["error_type"] == "not_found"
    assert answer.error["message"].isprintable()
    assert len(answer.error["message"]) < 1000


async def test_models_are_counted() -> None:
    answer = await call(app_of(model(), model("acme/small")), "GET", "/v1/models/count")
    assert components.ModelsCountResponse.model_validate(answer.json).data.count == 2


async def test_providers_say_their_policies() -> None:
    providers = (ACME, *known().values())
    body = (await call(app_of(providers=providers), "GET", "/v1/providers")).json
    parsed = operations.ListProvidersResponse.model_validate(body).data
    assert [row.slug for row in parsed] == [provider.slug for provider in providers]
    assert [row.name for row in parsed] == [provider.name for provider in providers]
    assert body["data"][0]["datacenters"] is None
    for row, provider in zip(parsed, providers, strict=True):
        assert row.privacy_policy_url == provider.privacy_policy_url


@given(st.integers(0, 30), st.integers(1, 12), st.integers(0, 31))
def test_pages_are_the_list(total: int, limit: int, offset: int) -> None:
    whole = [model(f"acme/m{number}") for number in range(total)]
    query: dict[str, str] | None = {"offset": str(offset), "limit": str(limit)}
    found: list[str] = []
    while query is not None:
        body = page(whole, query)
        assert body["total_count"] == total
        assert len(body["data"]) <= limit
        found += [row["id"] for row in body["data"]]
        following = body["links"]["next"]
        pairs = following.partition("?")[2].split("&") if following else None
        query = dict(pair.split("=") for pair in pairs) if pairs else None
    assert found == [one.id for one in whole][offset:]


def test_without_a_page_all_models_come() -> None:
    whole = [model(f"acme/m{number}") for number in range(700)]
    assert len(page(whole, {})["data"]) == 700
    body = page(whole, {"offset": "0"})
    assert len(body["data"]) == 500
    assert body["links"]["next"] == "/api/v1/models?offset=500&limit=500"
    assert len(page(whole, {"limit": "1000"})["data"]) == 700


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("limit", value) for value in ("0", "1001", "", "x", "-1", "1.5", "\u0663", "9" * 5000)),
        *(("offset", value) for value in ("-1", "10000000000", " 1", "1\n", "+1", "0x1")),
    ],
)
def test_a_page_that_is_none_is_refused(name: str, value: str) -> None:
    with pytest.raises(GatewayError, match=f"^{name}: must be a whole number from") as caught:
        page([], {name: value})
    assert caught.value.status == 400


SPEAKS = model("acme/draws", output_modalities=("text", "image"))


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        (None, ["acme/large", "acme/draws"]),
        ("", ["acme/large", "acme/draws"]),
        ("text", ["acme/large", "acme/draws"]),
        ("embeddings", ["acme/embed"]),
        ("image,embeddings", ["acme/embed", "acme/draws"]),
        ("video", []),
        ("all", ["acme/large", "acme/embed", "acme/draws"]),
    ],
)
async def test_models_by_what_they_put_out(value: str | None, ids: list[str]) -> None:
    app = app_of(model(), embedder(), SPEAKS)
    query = "" if value is None else f"output_modalities={value}"
    body = (await call(app, "GET", "/v1/models", query=query)).json
    assert [row["id"] for row in body["data"]] == ids
    assert body["total_count"] == len(ids)
    count = (await call(app, "GET", "/v1/models/count", query=query)).json["data"]["count"]
    assert count == len(ids)


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/count"])
async def test_what_no_model_puts_out_is_refused(path: str) -> None:
    answer = await call(app_of(model()), "GET", path, query="output_modalities=text,smell")
    assert answer.status == 400
    assert answer.error["message"].startswith("output_modalities: must be all, or of text, ")


async def test_the_next_page_is_of_the_same_models() -> None:
    app = app_of(*(embedder(f"acme/e{n}") for n in range(3)), model())
    query = "limit=2&output_modalities=embeddings,video&q=acme%20e"
    body = (await call(app, "GET", "/api/v1/models", query=query)).json
    assert body["total_count"] == 3
    path, _, query = body["links"]["next"].partition("?")
    assert path == "/api/v1/models"
    assert query == "limit=2&output_modalities=embeddings,video&q=acme+e&offset=2"
    body = (await call(app, "GET", path, query=query)).json
    assert [row["id"] for row in body["data"]] == ["acme/e2"]
    assert body["links"]["next"] is None


async def test_models_that_embed_have_a_list_of_their_own() -> None:
    app = app_of(model(), *(embedder(f"acme/e{n}") for n in range(3)))
    body = (await call(app, "GET", "/api/v1/embeddings/models")).json
    listed = components.ModelsListResponse.model_validate(body)
    assert [row.id for row in listed.data] == ["acme/e0", "acme/e1", "acme/e2"]
    (row, *_) = body["data"]
    assert row["architecture"]["modality"] == "text->embeddings"
    assert row["supported_parameters"] == []
    assert row["pricing"] == {"prompt": "0.000003", "completion": "0.000015"}
    second = await call(app, "GET", "/api/v1/embeddings/models", query="limit=1&offset=1")
    assert [row["id"] for row in second.json["data"]] == ["acme/e1"]
    assert second.json["links"]["next"] == "/api/v1/embeddings/models?limit=1&offset=2"
    found = await call(app, "GET", "/api/v1/embeddings/models", query="q=e2")
    assert [row["id"] for row in found.json["data"]] == ["acme/e2"]


async def test_what_no_filter_is_called_is_left_alone() -> None:
    answer = await call(app_of(model()), "GET", "/api/v1/models", query="utm_source=x&a=%ff&b")
    assert answer.status == 200


# Names with variants.


FREE_AND_NOT = model(
    "acme/mixed", endpoint(), endpoint(tag="acme/free", model="large-free", pricing=FREE)
)


@pytest.mark.parametrize(
    ("name", "id", "tags"),
    [
        ("acme/mixed", "acme/mixed", ["acme", "acme/free"]),
        ("acme/mixed:nitro", "acme/mixed", ["acme", "acme/free"]),
        ("acme/mixed:free", "acme/mixed:free", ["acme/free"]),
        ("acme/mixed:free:floor", "acme/mixed:free", ["acme/free"]),
        ("acme/gratis:free", "acme/gratis:free", ["acme"]),
    ],
)
async def test_a_name_with_variants_is_resolved(name: str, id: str, tags: list[str]) -> None:
    app = app_of(FREE_AND_NOT, model("acme/gratis:free"))
    found = (await call(app, "GET", f"/api/v1/models/{name}/endpoints")).json["data"]
    assert found["id"] == id
    assert [row["tag"] for row in found["endpoints"]] == tags
    one = await call(app, "GET", f"/api/v1/model/{name}")
    row = components.ModelResponse.model_validate(one.json).data
    assert row.id == id
    assert row.pricing.prompt == ("0" if tags == ["acme/free"] else "0.000003")


@pytest.mark.parametrize(
    "name", ["acme/large:free", "acme/large:thinking", "acme/none:nitro", "x/y"]
)
async def test_a_variant_that_nobody_has_is_a_404(name: str) -> None:
    for path in (f"/api/v1/model/{name}", f"/api/v1/models/{name}/endpoints"):
        answer = await call(app_of(model()), "GET", path)
        assert answer.status == 404
        assert answer.error["message"] == f"Model {name!r} not found"


async def test_a_variant_that_is_not_built_is_a_400() -> None:
    answer = await call(app_of(model()), "GET", "/api/v1/model/acme/large:online")
    assert answer.status == 400
    assert "`:online` is not supported yet" in answer.error["message"]


# Who may ask.


def busy() -> Live:
    """Figures of the usual endpoint, which answered a few requests."""
    pool = Pool()
    for _ in range(20):
        ticket = pool.begin(("acme", "large"), 60.0, retry=False, last=True)
        assert isinstance(ticket, Ticket)
        pool.content(ticket, 60.5)
        pool.end(ticket, Outcome.GOOD, 62.5, tokens=100)
    return Live(pool, lambda: 70.0)


PRIVATE = replace(ACME, slug="private", name="Private", retains_prompts_days=0)


async def test_who_shows_no_key_is_told_no_speed() -> None:
    """Contract, section 3: latency and throughput are null when unauthenticated."""
    one = model("acme/large", endpoint(provider=PRIVATE))
    app = app_of(one, live=busy(), key="k")
    for headers, told in (([], False), ([("Authorization", "Bearer k")], True)):
        for path in ("/api/v1/models/acme/large/endpoints", "/api/v1/endpoints/zdr"):
            data = (await call(app, "GET", path, headers=headers)).json["data"]
            (row,) = data if isinstance(data, list) else data["endpoints"]
            assert row["uptime_last_5m"] == 100
            assert (row["latency_last_30m"] is not None) is told
            assert (row["throughput_last_30m"] is not None) is told


async def test_a_key_that_is_no_good_is_none_on_public_routes() -> None:
    app = app_of(model(), key="k")
    headers = [("Authorization", "Bearer x")]
    paths = ("/models", "/models/count", "/model/acme/large", "/models/acme/large/endpoints",
             "/providers", "/endpoints/zdr", "/embeddings/models")  # fmt: skip
    for path in paths:
        assert (await call(app, "GET", f"/api/v1{path}", headers=headers)).status == 200
    assert (await call(app, "GET", "/api/v1/models/user", headers=headers)).status == 401


async def test_models_of_a_user_are_those_that_credits_pay_for() -> None:
    dear = model("acme/dear")
    half = model("acme/half", endpoint(pricing=None), endpoint(tag="acme/two", pricing=FREE))
    unknown = model("acme/unknown", endpoint(pricing=None))
    nowhere = replace(model("acme/nowhere"), endpoints=())
    models = (dear, half, unknown, nowhere)
    headers = [("Authorization", "Bearer k")]
    for enforce, ids in (
        (True, ["acme/dear", "acme/half"]),
        (False, ["acme/dear", "acme/half", "acme/unknown"]),
    ):
        app = app_of(*models, key="k", enforce=enforce)
        body = (await call(app, "GET", "/api/v1/models/user", headers=headers)).json
        assert [row["id"] for row in body["data"]] == ids
        prices = {row["id"]: row["pricing"]["prompt"] for row in body["data"]}
        assert prices["acme/half"] == ("0" if enforce else "-1")
    query = "limit=1&sort=pricing-high-to-low"
    body = (await call(app, "GET", "/api/v1/models/user", headers=headers, query=query)).json
    assert [row["id"] for row in body["data"]] == ["acme/dear"]
    assert body["links"]["next"].startswith("/api/v1/models/user?limit=1&sort=")


# Zero data retention.


ZDR = model(
    "acme/kept",
    endpoint(),
    endpoint(provider=PRIVATE, tag="private"),
    endpoint(provider=PRIVATE, tag="private/flex", tier="flex"),
    endpoint(provider=replace(ACME, slug="long", retains_prompts_days=30), tag="long"),
)


async def test_the_zdr_list_is_what_a_zdr_request_may_be_led_to() -> None:
    app = app_of(ZDR, model("acme/none"))
    body = (await call(app, "GET", "/api/v1/endpoints/zdr")).json
    listed = operations.ListEndpointsZdrResponse.model_validate(body).data
    assert [(row.model_id, row.tag) for row in listed] == [
        ("acme/kept", "private"), ("acme/kept", "private/flex"),
    ]  # fmt: skip
    led = set()
    for wish in ({"zdr": True}, {"zdr": True, "only": ["private/flex"]}):
        ask = Ask(body={}, models=("acme/kept",), stream=False, preferences=decode(wish))
        found = plan(ask, Catalogue((ZDR,)), pool=Pool(), now=0.0, rng=lambda: 0.5)
        led |= {one.tag for _, one in found.attempts}
    assert led == {row.tag for row in listed}


async def test_the_figures_of_many_endpoints_let_others_have_their_turn() -> None:
    """Those of thousands that are busy took the loop 0.9 s."""
    kept = [replace(ZDR, id=f"acme/kept-{number}") for number in range(64)]
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(count())
    answer = await call(app_of(*kept), "GET", "/api/v1/endpoints/zdr")
    assert len(answer.json["data"]) == 128
    assert turns >= 64
    turns, query = 0, "zdr=true&sort=throughput-high-to-low"
    answer = await call(app_of(*kept), "GET", "/api/v1/models", query=query)
    assert len(answer.json["data"]) == 64
    assert turns >= 64 // MODELS_PER_STEP * 2
    others.cancel()


# The feed.


async def test_the_list_as_a_feed() -> None:
    query = "use_rss=true&q=large"
    answer = await call(app_of(model(), embedder()), "GET", "/api/v1/models", query=query)
    assert answer.headers["content-type"].startswith("application/rss+xml")
    assert answer.body.count(b"<item>") == 1
    assert b"/api/v1/model/acme/large</link>" in answer.body
    answer = await call(app_of(model(), SPEAKS), "GET", "/v1/models", query="use_rss=true&limit=1")
    assert answer.body.count(b"<item>") == 1
    for query in ("use_rss=false", "use_rss=", "use_rss_chat_links=false", "category="):
        plain = await call(app_of(model()), "GET", "/api/v1/models", query=query)
        assert plain.json["total_count"] == 1


@pytest.mark.parametrize("host", ["", "[", "a<b>&c", "\x85", "x" * 5000])
async def test_any_host_makes_a_feed(host: str) -> None:
    headers = [(b"host", host.encode("latin-1"))] if host else []
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "GET", "path": "/api/v1/models", "query_string": b"use_rss=true",
        "scheme": "http", "headers": headers, "root_path": "", "server": ("127.0.0.1", 1),
    }  # fmt: skip
    await app_of(model())(scope, _nothing, send)
    assert sent[0]["status"] == 200
    assert ElementTree.fromstring(sent[1]["body"]).findtext("channel/item/guid") == "acme/large"


async def _nothing() -> Any:
    raise AssertionError("a list is asked for without a body")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("use_rss=1", "use_rss: must be true or false"),
        ("use_rss_chat_links=true", "use_rss_chat_links: not supported yet"),
    ],
)
async def test_a_feed_that_is_none_is_refused(query: str, message: str) -> None:
    answer = await call(app_of(model()), "GET", "/api/v1/models", query=query)
    assert (answer.status, answer.error["message"]) == (400, message)


# The official SDK.


@pytest.fixture
async def sdk() -> AsyncIterator[OpenRouter]:
    free = model("acme/gratis", endpoint(pricing=FREE), created=int(NOW) - 86_400)
    app = app_of(model(), ZDR, free, embedder(), live=busy(), key="k")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        yield OpenRouter(api_key="k", server_url="http://weir/api/v1", async_client=client)


EVERY_ARGUMENT: dict[str, Any] = {
    "offset": 0, "limit": 10, "supported_parameters": "tools", "output_modalities": "text",
    "sort": "latency-low-to-high", "q": "acme", "input_modalities": "text,image", "context": 1000,
    "min_price": 0.0, "max_price": 10.5, "arch": "Other", "model_authors": "acme,other",
    "providers": "Private", "distillable": "false", "zdr": "true", "min_output_price": 1,
    "max_output_price": 1e2, "min_age_days": 1, "max_age_days": 10_000,
}  # fmt: skip


async def test_the_official_sdk_may_wish_for_everything(sdk: OpenRouter) -> None:
    found = await sdk.models.list_async(**EVERY_ARGUMENT)
    assert found is not None
    assert [row.id for row in found.result.data] == ["acme/kept"]
    assert found.result.total_count == 1


async def test_the_official_sdk_reads_every_route(sdk: OpenRouter) -> None:
    everything = await sdk.models.list_async(output_modalities="all")
    assert everything is not None
    assert [row.id for row in everything.result.data] == [
        "acme/large", "acme/kept", "acme/gratis", "acme/embed",
    ]  # fmt: skip
    assert (await sdk.models.count_async(output_modalities="all")).data.count == 4
    assert (await sdk.models.get_async(author="acme", slug="large")).data.id == "acme/large"
    mine = await sdk.models.list_for_user_async(
        security=operations.ListModelsUserSecurity(bearer="k"), sort="newest"
    )
    assert mine is not None
    assert mine.result.data[0].id == "acme/gratis"
    (row, *_) = (await sdk.endpoints.list_async(author="acme", slug="large")).data.endpoints
    assert row.latency_last_30m is not None
    assert row.latency_last_30m.p50 == pytest.approx(500, rel=0.05)
    assert len((await sdk.endpoints.list_zdr_endpoints_async()).data) == 2
    assert [row.slug for row in (await sdk.providers.list_async()).data] == ["acme"]
    vectors = await sdk.embeddings.list_models_async()
    assert vectors is not None
    assert [row.id for row in vectors.result.data] == ["acme/embed"]


@pytest.mark.parametrize("id", ["acme/large", "acme/large:free"])
async def test_anthropics_list_may_be_filtered_as_well(id: str) -> None:
    app = app_of(model(id), model("other/small", name="Small"))
    headers = [("anthropic-version", "2023-06-01")]
    answer = await call(app, "GET", "/v1/models", headers=headers, query="q=acme")
    assert [row["id"] for row in answer.json["data"]] == [id]
    one = await call(app, "GET", f"/v1/models/{id}", headers=headers)
    assert one.json["id"] == id


# Queries that say nothing, or too much.


LISTS = ("/models", "/models/count", "/models/user", "/embeddings/models")


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("query", ["limit=&offset=&q=", "utm=1&utm=2", "q=&q=acme"])
async def test_a_query_that_says_nothing_changes_nothing(path: str, query: str) -> None:
    app = app_of(model(), embedder())
    plain = await call(app, "GET", f"/v1{path}")
    assert (await call(app, "GET", f"/v1{path}", query=query)).status == 200
    assert (await call(app, "GET", f"/v1{path}", query="limit=&utm=1")).body == plain.body


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    "query",
    [
        "supported_parameters=tools&supported_parameters=seed",
        "limit=1&limit=2",
        "zdr=true&zdr=true",
    ],
)
async def test_a_wish_that_is_said_twice_is_refused(path: str, query: str) -> None:
    """One of the two would be passed over in silence."""
    answer = await call(app_of(model()), "GET", f"/v1{path}", query=query)
    assert answer.status == 400
    assert answer.error["message"].startswith(f"{query.partition('=')[0]}: must be said once")


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("output_modalities=all", ["acme/embed", "acme/both"]),
        ("output_modalities=embeddings", ["acme/embed", "acme/both"]),
        ("output_modalities=text", ["acme/both"]),
        ("output_modalities=image", []),
    ],
)
async def test_what_else_embeddings_models_put_out_is_heeded(query: str, ids: list[str]) -> None:
    both = replace(embedder("acme/both"), output_modalities=("embeddings", "text"))
    app = app_of(model(), embedder(), both)
    found = (await call(app, "GET", "/v1/embeddings/models", query=query)).json
    assert [row["id"] for row in found["data"]] == ids


async def test_an_alias_may_have_variants_that_sort() -> None:
    alias = Alias(id="team/chat", split=(Arm(model="acme/large", weight=1),))
    for name, status in (("team/chat:nitro", 200), ("team/chat:thinking", 404)):
        answer = await call(app_of(model(), aliases=(alias,)), "GET", f"/v1/model/{name}")
        assert answer.status == status
