"""Forms: fields, lists of them, files with any bytes, and what is no form."""

import pytest

from proxy.upstream.fake.ask import Refused, Request
from proxy.upstream.fake.forms import File, decode_form
from tests.upstream.fake.tasking import form

BYTES = bytes(range(256)) + b"\r\n--weir\r\n\n\r"


def test_fields_and_files() -> None:
    fields = {"model": "wéir", "n": 2, "many[]": ["a", "b"], "one[]": "c", "twice": ["x", "y"]}
    read = decode_form(form("/", fields, {"file": BYTES, "image[]": b""}))
    assert read.fields == {
        "model": "wéir",
        "n": "2",
        "many": ["a", "b"],
        "one": ["c"],
        "twice": ["x", "y"],
    }
    assert read.files == (File("file", "a.bin", BYTES), File("image", "a.bin", b""))


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{}"),
        ("", b""),
        ("multipart/form-data", b"--x\r\n\r\n--x--"),
        ("multipart/form-data; boundary=x", b"{}"),
    ],
)
def test_what_is_no_form(kind: str, body: bytes) -> None:
    request = Request("POST", "/", {"content-type": kind}, body)
    with pytest.raises(Refused, match="Could not parse multipart form"):
        decode_form(request)
