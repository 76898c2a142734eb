"""Signatures and binary frames, against Amazon's own client library."""

from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.eventstream import EventStreamBuffer

from proxy.upstream.fake.ask import Request
from proxy.upstream.fake.aws import encode_frame, is_signed, is_signed_by, prelude

HOST = "127.0.0.1:9000"


def signed(
    path: str = "/model/weir%2Florem/converse", query: str = "", secret: str = "SECRET"
) -> Request:
    url = f"http://{HOST}{path}" + (f"?{query}" if query else "")
    made: Any = AWSRequest(method="POST", url=url, data=b'{"a":1}')
    made.headers["content-type"] = "application/json"
    SigV4Auth(Credentials("ACCESS", secret), "bedrock", "us-east-1").add_auth(made)
    headers = {name.lower(): value for name, value in made.headers.items()} | {"host": HOST}
    return Request("POST", "decoded", headers, b'{"a":1}', raw_path=path, query=query)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/model/weir%2Florem/converse", ""),
        ("/model/a.b-c%3A0/converse-stream", ""),
        ("/foundation-models", "byProvider=a%20b&also="),
    ],
)
def test_a_signature_by_the_real_client_holds(path: str, query: str) -> None:
    request = signed(path, query)
    assert is_signed(request)
    assert is_signed_by(request, "ACCESS", "SECRET")


def test_a_signature_for_something_else_does_not() -> None:
    request = signed()
    assert not is_signed_by(request, "ACCESS", "OTHER")
    assert not is_signed_by(request, "OTHER", "SECRET")
    assert not is_signed_by(request._replace(body=b"{}"), "ACCESS", "SECRET")
    assert not is_signed_by(request._replace(raw_path="/model/x/converse"), "ACCESS", "SECRET")
    assert not is_signed_by(request._replace(query="a=1"), "ACCESS", "SECRET")
    later = request.headers | {"x-amz-date": "20250101T000000Z"}
    assert not is_signed_by(request._replace(headers=later), "ACCESS", "SECRET")


def test_a_path_is_quoted_where_the_server_kept_no_raw_one() -> None:
    request = signed("/foundation-models")
    assert is_signed_by(
        request._replace(path="/foundation-models", raw_path=""), "ACCESS", "SECRET"
    )


@pytest.mark.parametrize("header", ["", "AWS4-HMAC-SHA256 Credential=x", "Bearer k"])
def test_what_is_no_signature(header: str) -> None:
    request = signed()
    odd = request._replace(headers=request.headers | {"authorization": header})
    assert not is_signed(odd)
    assert not is_signed_by(odd, "ACCESS", "SECRET")
    undated = {name: value for name, value in request.headers.items() if name != "x-amz-date"}
    assert not is_signed(request._replace(headers=undated))


def test_frames_are_read_by_the_real_client() -> None:
    buffer: Any = EventStreamBuffer()
    payloads = [b"", b"{}", b'{"text":"\xc3\xa9"}' * 100]
    for payload in payloads:
        buffer.add_data(encode_frame({":event-type": "x", ":message-type": "event"}, payload))
    read = list(buffer)
    assert [message.payload for message in read] == payloads
    assert {message.headers[":event-type"] for message in read} == {"x"}


def test_the_prelude_tells_the_lengths() -> None:
    frame = encode_frame({":event-type": "x"}, b"{}")
    assert frame.startswith(prelude(len(frame), 16))
