"""Every format that callers speak has the whole of what the pipeline asks of one."""

import orjson
import pytest
from msgspec.structs import replace

from proxy.api.inference import PATHS
from proxy.dialects.calling import INBOUND
from proxy.dialects.forms import Inbound
from proxy.errors import GatewayError
from proxy.wire.request import Head
from tests.plain import ASK


def test_every_path_speaks_one_and_every_one_is_spoken() -> None:
    assert set(PATHS.values()) == set(INBOUND)


@pytest.mark.parametrize("row", INBOUND.values(), ids=INBOUND)
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b"[" * 5000])
def test_what_is_no_request_is_refused_before_anything_else(row: Inbound, body: bytes) -> None:
    with pytest.raises(GatewayError) as raised:
        row.decode_request(body, [(b"content-type", b"application/json")])
    assert (raised.value.kind, raised.value.status) == ("invalid_request", 400)


@pytest.mark.parametrize("row", INBOUND.values(), ids=INBOUND)
@pytest.mark.parametrize("kind", ["unauthenticated", "internal", "provider_timeout"])
def test_every_format_tells_of_an_error_in_json(row: Inbound, kind: str) -> None:
    error = GatewayError(kind, "No luck today.")
    for id_, routing in ((None, None), ("gen-1-x", {"summary": "all of it"})):
        told = orjson.loads(row.encode_error(error, id_, routing))
        assert "No luck today." in orjson.dumps(told).decode()


@pytest.mark.parametrize("row", INBOUND.values(), ids=INBOUND)
def test_what_breaks_off_says_nothing_while_it_waits(row: Inbound) -> None:
    """A comment amidst what is no event stream would be a part of it."""
    assert not row.breaks or row.waiting == b""


def test_what_comes_whole_only_has_no_stream() -> None:
    assert {name for name, row in INBOUND.items() if row.encoder is None} == {
        "embeddings",
        "rerank",
    }
    head = Head(id="gen-1", created=0, model="a/b", provider="p")
    for stream in (True, False):
        asked = replace(ASK, stream=stream)
        assert (INBOUND["chat"].streaming(head, asked) is not None) == stream
        assert INBOUND["rerank"].streaming(head, asked) is None
