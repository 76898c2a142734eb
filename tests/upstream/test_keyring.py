"""Which key signs how: told by its provider's row and by its own form."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from proxy.errors import GatewayError
from proxy.providers import Provider, known
from proxy.upstream.keyring import keyring
from proxy.upstream.session import AiohttpTransport
from proxy.upstream.signing import PREPARE_S, Signing
from tests.upstream.lenders import Lender, lending, token

NOW = 1440938160.0
URL = "https://provider.test/v1"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
BEDROCK = replace(
    known()["amazon-bedrock"],
    base_url="https://bedrock-runtime.us-east-1.amazonaws.com",
    models_url="https://bedrock.us-east-1.amazonaws.com/foundation-models",
    options={"region": "us-east-1"},
)
AZURE = replace(known()["azure"], base_url="https://ours.openai.azure.com")


@pytest.fixture
async def transport() -> AsyncIterator[AiohttpTransport]:
    made = AiohttpTransport()
    yield made
    await made.close()


def clock() -> float:
    return asyncio.get_running_loop().time()


def ring(transport: AiohttpTransport, provider: Provider, *keys: str) -> Signing:
    return keyring([(provider, keys)], transport=transport, wall=lambda: NOW)


def signed(signing: Signing, slug: str) -> list[dict[str, str]]:
    return [dict(one.sign(URL, b"{}")) for one in signing.credentials(slug, clock())]


@pytest.mark.parametrize(
    ("provider", "key", "headers"),
    [
        (known()["openai"], "k", {"Authorization": "Bearer k"}),
        (known()["anthropic"], "k", {"x-api-key": "k"}),
        (known()["google-ai-studio"], "k", {"x-goog-api-key": "k"}),
        (known()["cohere"], "k", {"Authorization": "Bearer k"}),
        (BEDROCK, "bedrock-api-key-x==", {"Authorization": "Bearer bedrock-api-key-x=="}),
        (AZURE, "k", {"api-key": "k"}),
    ],
)
async def test_a_word_goes_where_its_provider_wants_it(
    transport: AiohttpTransport, provider: Provider, key: str, headers: dict[str, str]
) -> None:
    signing = ring(transport, provider, key)
    assert signed(signing, provider.slug) == [headers]
    assert signing.secrets(provider.slug) == (key,)
    assert signing.unready([provider.slug], clock()) == ()


async def test_keys_of_both_kinds_take_turns(transport: AiohttpTransport) -> None:
    signing = ring(transport, BEDROCK, "word", f"AKIDEXAMPLE:{SECRET}")
    first, second = signed(signing, "amazon-bedrock")
    assert first == {"Authorization": "Bearer word"}
    assert second["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/")
    assert "/us-east-1/bedrock/aws4_request," in second["Authorization"]
    assert signing.secrets("amazon-bedrock") == ("word", "AKIDEXAMPLE", SECRET)
    assert signing.hosts("amazon-bedrock") == (
        "bedrock-runtime.us-east-1.amazonaws.com",
        "bedrock.us-east-1.amazonaws.com",
    )


async def test_an_application_is_shown_a_token(transport: AiohttpTransport) -> None:
    lender = Lender(token("eyJ.token"))
    async with lending(lender) as url:
        azure = replace(AZURE, options={**AZURE.options, "authority": url})
        signing = ring(transport, azure, "tenant:client:secret-1234")
        assert signing.unready(["azure", "other"], clock()) == ("azure",)
        await signing.prepare(["azure"], clock())
        assert signing.unready(["azure"], clock()) == ()
        assert signed(signing, "azure") == [{"Authorization": "Bearer eyJ.token"}]
        assert set(signing.secrets("azure")) == {"eyJ.token", "tenant", "client", "secret-1234"}
        assert signing.hosts("azure") == ("ours.openai.azure.com", url.removeprefix("http://"))
    await signing.close()


async def test_a_service_account_is_known_by_its_project(transport: AiohttpTransport) -> None:
    vertex = replace(
        known()["google-vertex"],
        base_url="https://aiplatform.googleapis.com",
        options={"project": "our-project", "location": "global"},
    )
    account = {
        "type": "service_account",
        "private_key": "-----BEGIN PRIVATE KEY-----",
        "client_email": "weir@our-project.test",
    }
    signing = ring(transport, vertex, json.dumps(account))
    assert signing.unready(["google-vertex"], clock()) == ("google-vertex",)
    assert signing.hosts("google-vertex") == ("aiplatform.googleapis.com", "our-project")
    assert set(signing.secrets("google-vertex")) == {
        "-----BEGIN PRIVATE KEY-----",
        "weir@our-project.test",
    }
    await signing.prepare(["google-vertex"], clock())
    assert signing.unready(["google-vertex"], clock()) == (), "not before it has rested"
    (credential,) = signing.credentials("google-vertex", clock())
    with pytest.raises(GatewayError) as caught:
        credential.sign(URL, b"{}")
    assert caught.value.kind == "provider_credential"


async def test_profiles_are_looked_up_before_they_sign(
    transport: AiohttpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Found:
        access_key, secret_key, token = "AKIDOURS", SECRET, None

        def get_frozen_credentials(self) -> "Found":
            return self

    monkeypatch.setattr("proxy.upstream.aws._credentials", lambda name: Found())
    signing = ring(transport, BEDROCK, "aws:default")
    assert signing.unready(["amazon-bedrock"], clock()) == ("amazon-bedrock",)
    await signing.prepare(["amazon-bedrock"], clock())
    (headers,) = signed(signing, "amazon-bedrock")
    assert "Credential=AKIDOURS/" in headers["Authorization"]


@pytest.mark.parametrize("keys", [("a b",), ("t:c",)])
async def test_a_key_that_is_none_is_refused(
    transport: AiohttpTransport, keys: Sequence[str]
) -> None:
    with pytest.raises(ValueError, match=r"^(is|holds)"):
        ring(transport, AZURE, *keys)


async def test_nothing_shows_a_key_or_a_token(transport: AiohttpTransport) -> None:
    lender = Lender(token("eyJ.token"))
    async with lending(lender) as url:
        azure = replace(AZURE, options={**AZURE.options, "authority": url})
        signing = ring(transport, azure, "tenant:client:secret-1234")
        await signing.prepare(["azure"], clock())
        seen: list[Any] = [signing, vars(signing), *signing.credentials("azure", clock())]
        assert not any(secret in repr(seen) for secret in signing.secrets("azure"))
    assert PREPARE_S == 10.0
