"""Tokens: fetched once for all who wait, renewed in time, and silent about what they are."""

import asyncio
import base64
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import crypt, jwt

from proxy.errors import GatewayError
from proxy.identity import Application, ServiceAccount
from proxy.upstream import tokens
from proxy.upstream.session import AiohttpTransport
from proxy.upstream.tokens import Kept, Lent, TokenError, of_application, of_service_account
from tests.clock import play
from tests.running import free_port
from tests.upstream.lenders import Lender, lending, token

CANARY = "canary-0123456789abcdef"
NOW = 1_700_000_000.0


class Source:
    """Gives what it is told to, after a second each."""

    def __init__(self, *answers: Lent[str] | Exception) -> None:
        self.answers = list(answers)
        self.asked_at: list[float] = []

    async def __call__(self) -> Lent[str]:
        self.asked_at.append(asyncio.get_running_loop().time() - 1000.0)
        await asyncio.sleep(1)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def clock() -> float:
    return asyncio.get_running_loop().time()


def test_a_token_is_fetched_once_for_all_who_wait() -> None:
    async def story() -> None:
        source = Source(Lent("one", 100.0))
        kept = Kept(source, name="p0")
        assert not kept.good(clock())
        with pytest.raises(GatewayError, match="no token"):
            _ = kept.value
        kept.freshen(clock())
        tasks = {kept.renew() for _ in range(5)}
        assert len(tasks) == 1
        await tasks.pop()
        assert (kept.value, kept.good(clock()), source.asked_at) == ("one", True, [0.0])

    play(story())


def test_it_is_renewed_at_four_fifths_of_its_life_and_serves_meanwhile() -> None:
    async def story() -> None:
        source = Source(Lent("one", 100.0), Lent("two", 1000.0))
        kept = Kept(source, name="p0")
        await kept.renew()
        await asyncio.sleep(78.9)  # 79.9 s of its life
        kept.freshen(clock())
        await asyncio.sleep(0.1)
        assert source.asked_at == [0.0]
        kept.freshen(clock())
        kept.freshen(clock())
        await asyncio.sleep(0.5)
        assert (kept.value, kept.good(clock())) == ("one", True)
        await asyncio.sleep(1)
        assert source.asked_at == [0.0, 80.0]
        assert (kept.value, kept.recent) == ("two", ("two", "one"))
        await asyncio.sleep(938.4)  # 1,000 s, less a minute, since it was asked for
        assert kept.good(clock())
        await asyncio.sleep(0.2)
        assert not kept.good(clock())

    play(story())


def test_a_renewal_that_fails_rests_longer_each_time_while_the_token_serves(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story() -> None:
        failures = [TokenError("status 500")] * 7
        source = Source(Lent("one", 100.0), *failures, Lent("two", 100.0))
        kept = Kept(source, name="p0")
        await kept.renew()
        await asyncio.sleep(80)
        kept.freshen(clock())
        await asyncio.sleep(2)
        assert kept.good(clock()), "what is there serves"
        while len(source.asked_at) < 9:
            kept.freshen(clock())
            await asyncio.sleep(1)
        rests = [b - a - 1 for a, b in zip(source.asked_at[1:], source.asked_at[2:], strict=False)]
        assert [round(rest) for rest in rests] == [10, 20, 40, 80, 160, 300, 300]
        assert not kept.good(clock())
        await asyncio.sleep(2)
        assert kept.good(clock())
        assert kept.rests_until < clock()

    play(story())
    assert caplog.messages[0] == "no token for p0, again in 10 s: status 500"
    assert len(caplog.messages) == 7


def test_a_token_that_was_refused_is_given_up_for_a_while() -> None:
    async def story() -> None:
        source = Source(Lent("one", 100.0), Lent("two", 100.0))
        kept = Kept(source, name="p0")
        await kept.renew()
        kept.drop(clock())
        assert not kept.good(clock())
        assert kept.recent == ("one",), "it may still be echoed"
        kept.freshen(clock())
        await asyncio.sleep(9.9)
        kept.freshen(clock())
        assert len(source.asked_at) == 1
        await asyncio.sleep(0.2)
        kept.freshen(clock())
        await asyncio.sleep(1.1)
        assert kept.value == "two"

    play(story())


def test_what_goes_wrong_is_told_without_a_word_of_its_own(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story() -> None:
        async def never() -> Lent[str]:
            await asyncio.sleep(1000)
            raise AssertionError

        for source in (
            never,
            Source(ValueError(CANARY)),
            Source(GatewayError("provider_unreachable", "The provider could not be reached.")),
        ):
            began_at = clock()
            await Kept(source, name="p0").renew()
            assert clock() - began_at <= tokens.FETCH_S

    play(story())
    assert [message.partition(": ")[2] for message in caplog.messages] == [
        "no answer in time",
        "ValueError",
        "The provider could not be reached.",
    ]
    assert CANARY not in caplog.text


def test_closing_ends_a_renewal() -> None:
    async def story() -> None:
        kept = Kept(Source(Lent("one", 1.0)), name="p0")
        await kept.close(give_up=True)
        task = kept.renew()
        await asyncio.sleep(0.5)
        await kept.close(give_up=True)
        assert task.cancelled()
        await kept.renew()
        assert task is not kept.renew()
        await kept.close(give_up=True)
        kept = Kept(Source(Lent("one", 1.0)), name="p0")
        kept.renew()
        await kept.close(give_up=False)
        assert kept.value == "one"

    play(story())


# Over sockets.


@pytest.fixture
async def transport() -> AsyncIterator[AiohttpTransport]:
    made = AiohttpTransport()
    yield made
    await made.close()


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


async def test_a_service_account_asserts_itself(
    key: rsa.RSAPrivateKey, transport: AiohttpTransport
) -> None:
    lender = Lender(token("ya29.first"))
    async with lending(lender) as url:
        account = ServiceAccount(
            client_email="weir@ours.iam.gserviceaccount.com",
            private_key=pem(key),
            token_uri=f"{url}/token",
            private_key_id="key-1",
        )
        kept = of_service_account(account, transport=transport, wall=lambda: NOW, name="g")
        await kept.renew()
    assert kept.value == "ya29.first"
    (asked,) = lender.asked
    assert asked.path == "/token"
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert asked.form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assertion = asked.form["assertion"]
    signed, _, signature = assertion.rpartition(".")
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    raw = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    assert crypt.verify_signature(signed.encode(), raw, public)
    header, claims, *_ = jwt._unverified_decode(assertion.encode())
    assert header == {"typ": "JWT", "alg": "RS256", "kid": "key-1"}
    assert claims == {
        "iss": "weir@ours.iam.gserviceaccount.com",
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": account.token_uri,
        "iat": int(NOW),
        "exp": int(NOW) + 3600,
    }


async def test_a_broken_private_key_is_no_token(
    transport: AiohttpTransport, caplog: pytest.LogCaptureFixture
) -> None:
    broken = f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----\n"
    account = ServiceAccount(client_email="a@b", private_key=broken)
    kept = of_service_account(account, transport=transport, wall=lambda: NOW, name="g")
    await kept.renew()
    assert not kept.good(clock())
    assert caplog.messages == ["no token for g, again in 10 s: the private key can not be used"]


async def test_an_application_shows_its_secret_to_its_authority_alone(
    transport: AiohttpTransport,
) -> None:
    lender = Lender(token("eyJ.first", "3599"))
    async with lending(lender) as url:
        application = Application("our tenant/", "client", "s~e+c r&t")
        kept = of_application(application, transport=transport, authority=f"{url}/", name="a")
        await kept.renew()
    assert kept.value == "eyJ.first"
    assert 3590 - 3599 / 10 < kept._good_until - clock() < 3599
    (asked,) = lender.asked
    assert asked.path == "/our tenant//oauth2/v2.0/token"
    assert asked.form == {
        "grant_type": "client_credentials",
        "client_id": "client",
        "client_secret": "s~e+c r&t",
        "scope": "https://cognitiveservices.azure.com/.default",
    }


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((401, {"error": "invalid_client", "error_description": CANARY}), "401, invalid_client"),
        ((400, {"error": f"no word: {CANARY}"}), "status 400"),
        ((400, {"error": {"message": CANARY}}), "status 400"),
        ((500, b"<html>"), "status 500"),
        ((502, b"[" * 100_000), "status 502"),
        ((302, b""), "status 302"),
        ((200, b"<html>"), "the answer is not a token"),
        ((200, {"access_token": CANARY, "expires_in": 0}), "the answer is not a token"),
        ((200, {"access_token": CANARY, "expires_in": -1}), "the answer is not a token"),
        ((200, {"access_token": CANARY, "expires_in": "soon"}), "the answer is not a token"),
        ((200, {"access_token": f"{CANARY}\r\nX: y"}), "the answer is not a token"),
        ((200, {"access_token": ""}), "the answer is not a token"),
        ((200, {"expires_in": 3600}), "the answer is not a token"),
    ],
)
async def test_a_bad_answer_is_no_token(
    transport: AiohttpTransport,
    caplog: pytest.LogCaptureFixture,
    answer: tuple[int, Any],
    reason: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    lender = Lender(answer)
    async with lending(lender) as url:
        application = Application("tenant", "client", "secret")
        kept = of_application(application, transport=transport, authority=url, name="a")
        await kept.renew()
    assert not kept.good(clock())
    told = [one.getMessage() for one in caplog.records if one.name == tokens.__name__]
    assert len(told) == 1
    assert told[0].endswith(reason)
    assert CANARY not in caplog.text


async def test_nobody_there_is_no_token(
    transport: AiohttpTransport, caplog: pytest.LogCaptureFixture
) -> None:
    authority = f"http://127.0.0.1:{free_port()}"
    kept = of_application(
        Application("t", "c", "s"), transport=transport, authority=authority, name="a"
    )
    await kept.renew()
    assert caplog.messages == [
        "no token for a, again in 10 s: The provider could not be reached."
    ]  # fmt: skip


async def test_a_life_is_never_longer_than_a_day(transport: AiohttpTransport) -> None:
    async def source() -> Lent[str]:
        return Lent("x", float("inf"))

    kept = Kept(source, name="p")
    await kept.renew()
    assert kept.good(clock() + 86_000)
    assert not kept.good(clock() + 86_400)


async def test_the_life_of_a_token_may_be_left_out(transport: AiohttpTransport) -> None:
    lender = Lender((200, {"access_token": "t"}))
    async with lending(lender) as url:
        assert await tokens.granted(transport, url, {}) == Lent("t", 3600.0)
