"""Signatures for AWS: its own published ones, botocore's, and those that a server recomputes."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive, Scope, Send

from proxy.errors import GatewayError
from proxy.identity import AwsPair, AwsProfile
from proxy.upstream.aws import SigV4, of_profile
from proxy.upstream.fetch import fetch
from proxy.upstream.session import AiohttpTransport
from proxy.upstream.signing import Signing
from proxy.upstream.tokens import Kept
from proxy.upstream.transport import Call
from tests.running import serving

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
PAIR = AwsPair("AKIDEXAMPLE", SECRET)
LENT = AwsPair("AKIDEXAMPLE", SECRET, "session/token+example==")
NOW = 1440938160.0  # 2015-08-30T12:36:00Z, the moment of AWS's test suite
CONVERSE = "/model/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse-stream"


def signer(pair: AwsPair | Kept[AwsPair] = PAIR, service: str = "bedrock") -> SigV4:
    return SigV4(pair, region="us-east-1", wall=lambda: NOW, service=service)


@pytest.mark.parametrize(
    ("path", "body", "signature"),
    [
        ("/", None, "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        ("/", b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    ],
    ids=["get-vanilla", "post-vanilla"],
)
def test_signatures_are_those_of_awss_own_test_suite(
    path: str, body: bytes | None, signature: str
) -> None:
    headers = signer(service="service").sign(f"https://example.amazonaws.com{path}", body)
    assert headers == {
        "X-Amz-Date": "20150830T123600Z",
        "Authorization": "AWS4-HMAC-SHA256 "
        "Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders=host;x-amz-date, Signature={signature}",
    }


def botocores(
    pair: AwsPair, url: str, body: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """What botocore's client would send for the same call at the same moment."""
    moment = datetime.fromisoformat("2015-08-30T12:36:00+00:00")
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: moment)
    request = AWSRequest("GET" if body is None else "POST", url, data=body or b"")
    credentials = Credentials(pair.access, pair.secret, pair.session)
    botocore.auth.SigV4Auth(credentials, "bedrock", "us-east-1").add_auth(request)
    return dict(request.headers.items())


@given(
    model=st.text(min_size=1, max_size=40),
    query=st.dictionaries(st.sampled_from("abc"), st.text(max_size=5), max_size=3),
    body=st.none() | st.binary(max_size=100),
    pair=st.sampled_from([PAIR, LENT]),
)
def test_signatures_are_botocores(
    model: str, query: dict[str, str], body: bytes | None, pair: AwsPair
) -> None:
    said = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
    url = f"https://bedrock.us-east-1.amazonaws.com:8443/model/{quote(model, safe='')}/x?{said}"
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert signer(pair).sign(url, body) == botocores(pair, url, body, monkeypatch)


class Verifier:
    """Says of each call whether its signature is that of the bytes that came."""

    def __init__(self, pair: AwsPair) -> None:
        self.pair = pair
        self.paths: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while (message := await receive()).get("more_body"):
            body += message["body"]
        body += message.get("body", b"")
        self.paths.append(scope["raw_path"])
        good = self._expected(scope, body) == dict(scope["headers"])[b"authorization"].decode()
        await send({"type": "http.response.start", "status": 200 if good else 403, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def _expected(self, scope: Scope, body: bytes) -> str:
        headers = {name.decode().title(): value.decode() for name, value in scope["headers"]}
        signed = headers["Authorization"].partition("SignedHeaders=")[2].partition(",")[0]
        assert {name for name in map(str.lower, headers) if name.startswith("x-amz-")} <= set(
            signed.split(";")
        )
        query = f"?{scope['query_string'].decode()}" if scope["query_string"] else ""
        url = f"http://{headers['Host']}{scope['raw_path'].decode()}{query}"
        request = AWSRequest(scope["method"], url, data=body)
        for name in signed.split(";"):
            if name != "host":
                request.headers[name] = headers[name.title()]
        request.context["timestamp"] = headers["X-Amz-Date"]
        auth = botocore.auth.SigV4Auth(
            Credentials(self.pair.access, self.pair.secret), "bedrock", "us-east-1"
        )
        text = auth.string_to_sign(request, auth.canonical_request(request))
        return (
            f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, SignedHeaders={signed}, "
            f"Signature={auth.signature(text, request)}"
        )


@pytest.fixture
async def transport() -> AsyncIterator[AiohttpTransport]:
    made = AiohttpTransport()
    yield made
    await made.close()


@pytest.mark.parametrize("pair", [PAIR, LENT], ids=["pair", "session"])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CONVERSE, b'{"messages": []}'),
        ("/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fx/converse", b"{}"),
        ("/model/a%20b%2Bc~d_e.f-g%E1%88%B4/converse", b"\x00\xff"),
        ("/foundation-models", None),
        ("/foundation-models?byOutputModality=TEXT&b=a%3Ab", None),
    ],
)
async def test_a_server_finds_that_what_was_signed_is_what_came(
    transport: AiohttpTransport, pair: AwsPair, path: str, body: bytes | None
) -> None:
    verifier = Verifier(pair)
    async with serving(verifier) as url:
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            **signer(pair).sign(f"{url}{path}", body),
        }
        call = Call(f"{url}{path}", headers, body, 5.0)
        assert await fetch(transport, call, timeout_s=5) == (200, b"")
        forged = call._replace(body=b"another")
        assert await fetch(transport, forged, timeout_s=5) == (403, b"")
    assert verifier.paths[0].decode() == path.partition("?")[0], "byte for byte"


def test_none_of_its_parts_is_shown() -> None:
    one = signer(LENT)
    assert set(one.secrets) == {LENT.access, SECRET, LENT.session}
    assert SECRET not in f"{one!r} {[one]} {Signing({'p0': [one]})!r}"
    assert SECRET not in str(one.sign("https://x.test/", b""))


# Profiles.


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """AWS's configuration, and nothing else of the machine."""
    file = tmp_path / "credentials"
    file.write_text(
        f"[ours]\naws_access_key_id = AKIDOURS\naws_secret_access_key = {SECRET}\n"
        "aws_session_token = lent\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    return file


@pytest.mark.usefixtures("profiles")
async def test_a_profile_signs_once_it_was_looked_up() -> None:
    kept = of_profile(AwsProfile("ours"), name="b")
    one = signer(kept)
    assert one.secrets == ()
    with pytest.raises(GatewayError) as caught:
        one.sign("https://x.test/", b"")
    assert caught.value.kind == "provider_credential"
    await kept.renew()
    pair = AwsPair("AKIDOURS", SECRET, "lent")
    assert kept.value == pair
    assert one.sign("https://x.test/", b"") == signer(pair).sign("https://x.test/", b"")
    assert set(one.secrets) == {"AKIDOURS", SECRET, "lent"}
    now = asyncio.get_running_loop().time()
    assert kept.good(now + 330)
    assert not kept.good(now + 375)


@pytest.mark.usefixtures("profiles")
async def test_the_default_is_whatever_awss_tools_would_find(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    kept = of_profile(AwsProfile("default"), name="b")
    await kept.renew()
    assert kept.value == AwsPair("AKIDENV", SECRET)
    await kept.renew()
    assert kept.recent == (AwsPair("AKIDENV", SECRET),) * 2


@pytest.mark.usefixtures("profiles")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("another", "AWS's configuration can not be used: ProfileNotFound"),
        ("default", "AWS's configuration has no credentials"),
    ],
)
async def test_a_profile_that_is_none_is_told(
    name: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    kept = of_profile(AwsProfile(name), name="b")
    await kept.renew()
    told = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    assert told == [f"no token for b, again in 10 s: {reason}"]


async def test_the_loop_never_waits_for_a_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files, programs and servers are asked in a thread."""
    loops: list[Any] = []

    class Found:
        access_key, secret_key, token = "a", "s", None

        def get_frozen_credentials(self) -> "Found":
            loops.append(asyncio._get_running_loop())
            return self

    monkeypatch.setattr("proxy.upstream.aws._credentials", lambda name: Found())
    kept = of_profile(AwsProfile("x"), name="b")
    await kept.renew()
    assert (kept.value, loops) == (AwsPair("a", "s"), [None])
