"""The catalogue out of lists, prices and configuration; lists out of providers."""

import asyncio
from decimal import Decimal
from ipaddress import ip_address
from typing import Any

import pytest
from msgspec.structs import replace
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from proxy import logs, supply
from proxy.config import Config, decode
from proxy.dialects import OUTBOUND, Outbound
from proxy.errors import GatewayError
from proxy.providers import Provider, Quirks, known
from proxy.supply import (
    build_catalogue,
    decode_listing,
    fallback_listing,
    fetch_listing,
    lists,
    new_provisioner,
    new_signing,
)
from proxy.upstream.fake import fake, load_scenario
from proxy.upstream.keyring import keyring
from proxy.upstream.session import AiohttpTransport
from proxy.upstream.signing import Signing
from proxy.wire.listing import Listing
from tests.running import free_port, provider, serving
from tests.upstream.lenders import Lender, lending, token

ACME = Provider(slug="acme", name="Acme AI", base_url="http://127.0.0.1:1/v1")


def configured(text: str) -> Config:
    return decode(text, environ={"OPENAI_API_KEY": "k"}, read_file=lambda name: "")


def test_configuration_lists_and_prices_make_the_catalogue() -> None:
    config = configured(
        """
        [timeouts]
        answer_s = 7
        first_token_s = 60
        [[providers]]
        slug = "openai"
        [[providers]]
        slug = "acme"
        base_url = "http://127.0.0.1:1/v1"
        api_key = "k"
        [[models]]
        id = "acme/own"
        context_length = 9
        [[models.endpoints]]
        provider = "acme"
        model = "own"
        pricing = { prompt = "1", completion = "2" }
        timeouts = { answer_s = 3 }
        """
    )
    listings = {
        "openai": (Listing(model="gpt-4o-mini"), Listing(model="o3")),
        "acme": (Listing(model="small"),),
    }
    models = build_catalogue(config, listings).models
    assert set(models) == {"acme/own", "openai/gpt-4o-mini", "openai/o3", "acme/small"}

    own = models["acme/own"].endpoints[0]
    assert own.pricing is not None
    assert (own.pricing.prompt, own.context_length) == (Decimal(1), 9)
    assert own.timeouts.answer_s == 3

    mini, reasoning = (models[f"openai/{name}"].endpoints[0] for name in ("gpt-4o-mini", "o3"))
    assert mini.pricing is not None
    assert 0 < mini.pricing.prompt < mini.pricing.completion, "from the price table"
    assert mini.timeouts.answer_s == 7
    assert reasoning.timeouts.first_token_s == 60, "as the file says"
    assert reasoning.timeouts.between_chunks_s == 120, "longer, for it reasons"
    assert models["acme/small"].endpoints[0].pricing is None, "nobody knows it"


def test_aliases_of_the_configuration_are_in_the_catalogue() -> None:
    config = configured(
        """
        [[aliases]]
        id = "team/chat"
        split = [{ model = "openai/o3", weight = 2 }]
        """
    )
    aliases = build_catalogue(config, {}).aliases
    assert list(aliases) == ["team/chat"]
    assert aliases["team/chat"] is config.aliases[0]


def test_what_a_provider_is_not_told_its_endpoints_do_not_support() -> None:
    config = configured(
        """
        [[providers]]
        slug = "acme"
        base_url = "http://127.0.0.1:1/v1"
        api_key = "k"
        quirks = { omits = ["stop"], json_schema = false }
        [[providers]]
        slug = "plain"
        base_url = "http://127.0.0.1:2/v1"
        api_key = "k"
        """
    )
    listed = (Listing(model="m", supported_parameters=("stop", "tools", "structured_outputs")),)
    listings = {"acme": (*listed, Listing(model="o")), "plain": listed}
    models = build_catalogue(config, listings).models
    listed_by_acme, unlisted, by_plain = (
        models[slug].endpoints[0].supported_parameters for slug in ("acme/m", "acme/o", "plain/m")
    )
    assert listed_by_acme == ("tools",)
    assert unlisted is not None
    assert "seed" in unlisted
    assert {"stop", "structured_outputs"}.isdisjoint(unlisted)
    assert by_plain == ("stop", "tools", "structured_outputs")


def asked(base_url: str) -> tuple[Provider, Signing]:
    return replace(ACME, base_url=base_url), Signing({"acme": ["sk-the-provider-key"]})


async def test_a_provider_is_asked_for_its_list() -> None:
    app = fake(
        load_scenario('models = ["a/one"]\napi_key = "sk-the-provider-key"'), keep=1
    )  # fmt: skip
    transport = AiohttpTransport()
    try:
        async with serving(app) as url:
            acme, signing = asked(f"{url}/v1/")
            body = await fetch_listing(transport, acme, signing, connect_s=5)
    finally:
        await transport.close()
    assert [row.model for row in decode_listing(acme, body)] == ["a/one"]
    (seen,) = app.seen
    assert (seen.method, seen.path) == ("GET", "/v1/models")
    assert seen.headers["user-agent"] == supply.AGENT
    assert seen.headers["authorization"] == "Bearer sk-the-provider-key"
    assert seen.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("echoes-key", "provider_credential"),
        ("unknown-model", "provider_lacks_model"),
        ("rate-limit", "provider_rate_limited"),
        ("gateway-page", "provider_unavailable"),
        ("cut-head", "provider_cut"),
        ("cut", "provider_cut"),
    ],
)
async def test_a_list_that_can_not_be_had_is_an_error_without_the_key(
    fault: str, kind: str
) -> None:
    transport = AiohttpTransport()
    try:
        async with provider(f'[[rules]]\non = "models"\nfault = "{fault}"') as (_, base_url):
            acme, signing = asked(base_url)
            with pytest.raises(GatewayError) as caught:
                await fetch_listing(transport, acme, signing, connect_s=5)
    finally:
        await transport.close()
    assert caught.value.kind == kind
    assert "sk-the-provider-key" not in f"{caught.value} {caught.value.metadata}"


@pytest.mark.parametrize(
    ("keys", "good", "asked_times"),
    [(("bad", "good"), True, 2), (("good", "bad"), True, 1), (("bad", "worse"), False, 2)],
)
async def test_a_refused_key_gives_way_to_the_next(
    keys: tuple[str, ...], good: bool, asked_times: int
) -> None:
    transport = AiohttpTransport()
    signing = Signing({"acme": keys})
    try:
        async with provider('models = ["a/one"]\napi_key = "good"') as (app, base_url):
            acme = replace(ACME, base_url=base_url)
            if good:
                body = await fetch_listing(transport, acme, signing, connect_s=5)
                assert [row.model for row in decode_listing(acme, body)] == ["a/one"]
            else:
                with pytest.raises(GatewayError) as caught:
                    await fetch_listing(transport, acme, signing, connect_s=5)
                assert caught.value.kind == "provider_credential"
            assert app.requests == asked_times
    finally:
        await transport.close()
    now = asyncio.get_running_loop().time()
    tries = len(list(signing.credentials("acme", now)))
    assert tries == (2 if asked_times == 1 else 1), "who was refused is known"
    assert signing.all_refused("acme", now) is not good


async def test_a_key_that_must_wait_is_not_refused() -> None:
    """Another key would be one more request to who asked for fewer."""
    transport = AiohttpTransport()
    signing = Signing({"acme": ["one", "two"]})
    try:
        async with provider('[[rules]]\non = "models"\nfault = "rate-limit"') as (app, base_url):
            with pytest.raises(GatewayError):
                await fetch_listing(
                    transport, replace(ACME, base_url=base_url), signing, connect_s=5
                )
            assert app.requests == 1
    finally:
        await transport.close()
    assert len(list(signing.credentials("acme", asyncio.get_running_loop().time()))) == 2


async def test_nobody_there_is_an_error() -> None:
    transport = AiohttpTransport()
    acme, signing = asked(f"http://127.0.0.1:{free_port()}/v1")
    try:
        with pytest.raises(GatewayError) as caught:
            await fetch_listing(transport, acme, signing, connect_s=5)
    finally:
        await transport.close()
    assert caught.value.kind == "provider_unreachable"


BODY = b'{"data": [{"id": "gpt-4o-mini"}]}'


def test_the_price_table_describes_what_a_list_leaves_out() -> None:
    (plain,) = decode_listing(ACME, BODY)
    assert plain == Listing(model="gpt-4o-mini")
    (described,) = decode_listing(known()["openai"], BODY)
    assert described.context_length == 128_000


def test_a_list_that_is_none_is_refused() -> None:
    with pytest.raises(GatewayError):
        decode_listing(ACME, b"<html>")


def test_who_never_answered_has_the_models_of_the_price_table() -> None:
    assert "gpt-4o-mini" in {row.model for row in fallback_listing(known()["openai"])}
    assert fallback_listing(ACME) == ()


# Providers that list elsewhere, otherwise, or not at all.


def spoken(**fields: Any) -> dict[str, Outbound]:
    """The dialects, with one more that is `openai` but for `fields`."""
    return {**OUTBOUND, "bedrock": OUTBOUND["openai"]._replace(**fields)}


async def test_a_list_on_another_host_is_asked_for_there_and_signed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        supply, "OUTBOUND", spoken(models_path=None, models_headers={"X-Version": "1"})
    )
    transport = AiohttpTransport()
    app = fake(load_scenario('models = ["a/one"]'), keep=1)
    try:
        async with serving(app) as url:
            bedrock = replace(
                known()["amazon-bedrock"],
                base_url="http://127.0.0.1:1",
                models_url=f"{url}/v1/models",
                options={"region": "us-east-1"},
            )
            signing = keyring(
                [(bedrock, ["AKIDEXAMPLE:secret"])], transport=transport, wall=lambda: 1440938160.0
            )
            assert lists(bedrock)
            await fetch_listing(transport, bedrock, signing, connect_s=5)
            (seen,) = app.seen
            expected = next(signing.credentials(bedrock.slug, 0.0)).sign(f"{url}/v1/models", None)
            assert (seen.method, seen.path) == ("GET", "/v1/models")
            assert seen.headers["authorization"] == expected["Authorization"]
            assert seen.headers["x-amz-date"] == "20150830T123600Z"
            assert seen.headers["x-version"] == "1"
    finally:
        await transport.close()


async def test_a_list_waits_for_its_token() -> None:
    transport = AiohttpTransport()
    lender = Lender(token("ya-lent"))
    try:
        async with (
            lending(lender) as url,
            provider('models = ["a/one"]\napi_key = "ya-lent"') as (_, base_url),
        ):
            azure = replace(ACME, base_url=base_url, auth="entra", options={"authority": url})
            signing = keyring([(azure, ["t:c:secret"])], transport=transport, wall=lambda: 0.0)
            body = await fetch_listing(transport, azure, signing, connect_s=5)
            assert [row.model for row in decode_listing(azure, body)] == ["a/one"]
    finally:
        await transport.close()


async def test_without_a_token_nobody_is_asked() -> None:
    transport = AiohttpTransport()
    lender = Lender((401, {"error": "invalid_client"}))
    try:
        async with lending(lender) as url, provider("") as (app, base_url):
            azure = replace(ACME, base_url=base_url, auth="entra", options={"authority": url})
            signing = keyring([(azure, ["t:c:secret"])], transport=transport, wall=lambda: 0.0)
            for _ in range(2):
                with pytest.raises(GatewayError) as caught:
                    await fetch_listing(transport, azure, signing, connect_s=5)
                assert caught.value.kind == "provider_credential"
            assert app.requests == 0
            assert len(lender.asked) == 1, "it rests"
    finally:
        await transport.close()


async def test_a_list_may_have_to_be_asked_for_more() -> None:
    asked: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            asked.append(f"{scope['path']}?{scope['query_string'].decode()}")
            await Response(b'{"data": []}', media_type="application/json")(scope, receive, send)

    transport = AiohttpTransport()
    try:
        async with serving(app) as url:
            more = Quirks(models_query="output_modalities=all")
            acme = replace(ACME, base_url=f"{url}/v1", quirks=more)
            await fetch_listing(transport, acme, Signing({"acme": ["key"]}), connect_s=5)
    finally:
        await transport.close()
    assert asked == ["/v1/models?output_modalities=all"]


async def test_who_has_no_list_can_not_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supply, "OUTBOUND", spoken(models_path=None))
    bedrock = replace(known()["amazon-bedrock"], models_url=None)
    assert not lists(bedrock)
    transport = AiohttpTransport()
    try:
        with pytest.raises(GatewayError) as caught:
            await fetch_listing(transport, bedrock, Signing({}), connect_s=5)
    finally:
        await transport.close()
    assert caught.value.kind == "not_found"


async def test_keys_and_their_parts_are_in_no_log() -> None:
    transport = AiohttpTransport()
    try:
        config = decode(
            """
            [[providers]]
            slug = "amazon-bedrock"
            api_key = "AKIDEXAMPLE12:secret/part+1234:session-part-1234"
            options = { region = "us-east-1" }
            """,
            environ={},
            read_file=lambda name: "",
        )
        signing = new_signing(config, transport)
        assert len(signing.secrets("amazon-bedrock")) == 3
        for secret in signing.secrets("amazon-bedrock"):
            assert secret not in logs.redact(f"it said {secret} aloud")
    finally:
        await transport.close()


def test_what_is_fetched_for_providers_keeps_to_the_configuration() -> None:
    made = new_provisioner(configured("[egress]\nallow = ['::1']\nbytes_max = 5\ntimeout_s = 2"))
    assert (made._bytes_max, made._timeout_s) == (5, 2)
    assert made._egress._allowed.has("any", ip_address("::1"))
