"""Multipart forms as clients of many languages write them."""

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.images.form import Field, encode_form
from proxy.dialects.transcription.form import PARTS_MAX, decode_form, is_form
from proxy.errors import GatewayError

KIND = "multipart/form-data; boundary=b"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (KIND, True),
        ("Multipart/Form-Data", True),
        ("application/json", False),
        ("", False),
    ],
)
def test_what_is_a_form(kind: str, expected: bool) -> None:
    assert is_form(kind) is expected


@given(st.lists(st.tuples(st.sampled_from(["file", "a", "b[]"]), st.binary(max_size=200))))
def test_what_is_written_is_read(parts: list[tuple[str, bytes]]) -> None:
    fields = [Field(name, data) for name, data in parts]
    fields += [Field("file", b"\r\n--", "a b.wav", "audio/wav")]
    body, kind = encode_form(fields)
    assert decode_form(body, kind) == fields


def test_forms_of_another_library() -> None:
    files = [("file", ("süß.wav", b"RIFF", "audio/wav")), ("other", ("x", b"", None))]
    request = httpx.Request("POST", "http://a", data={"model": "m"}, files=files)
    request.read()
    model, file, other = decode_form(request.content, request.headers["content-type"])
    assert (model.name, model.text, model.filename) == ("model", "m", None)
    assert (file.name, file.data, file.mime) == ("file", b"RIFF", "audio/wav")
    assert (file.filename or "").endswith(".wav")
    assert (other.name, other.data) == ("other", b"")


def test_names_without_quotes() -> None:
    """As .NET's own client writes them."""
    head = b"Content-Type: audio/wav\r\nContent-Disposition: form-data; name=file; filename=a.wav"
    body = b"--b\r\n" + head + b"\r\n\r\nRIFF\r\n--b--\r\n"
    (file,) = decode_form(body, 'multipart/form-data; boundary="b"')
    assert file == Field("file", b"RIFF", "a.wav", "audio/wav")


PART = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n'


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (b"", "multipart/form-data", "boundary is missing"),
        (b"", KIND, "not a whole"),
        (b"{}", KIND, "not a multipart"),
        (PART, KIND, "not a whole"),
        (PART, f"multipart/form-data; boundary={'b' * 300}", "not a multipart"),
        (b"--b\r\nA: b\r\n\r\nx\r\n--b--\r\n", KIND, "no name"),
        (b"--b\r\nA: " + b"b" * 9000 + b"\r\n\r\nx\r\n--b--\r\n", KIND, "not a multipart"),
        (PART * (PARTS_MAX + 1) + b"--b--\r\n", KIND, "more than 64 parts"),
    ],
)
def test_what_is_none(body: bytes, kind: str, said: str) -> None:
    with pytest.raises(GatewayError, match=said) as refused:
        decode_form(body, kind)
    assert refused.value.kind == "invalid_request"
