"""Multipart forms as clients of many languages write them; what we write, others read."""

import email
import email.policy
import time
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.multipart import PARTS_MAX, Field, decode_form, encode_form, form_in
from proxy.errors import GatewayError

KIND = "multipart/form-data; boundary=b"
HEAD = b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n'
NAMES = st.text(
    st.characters(min_codepoint=32, max_codepoint=126, exclude_characters='%"\\'), min_size=1
)
FIELDS = st.builds(
    Field,
    name=NAMES,
    data=st.binary(),
    filename=st.none() | NAMES,
    mime=st.none() | st.sampled_from(("image/png", "audio/wav")),
)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (KIND, True),
        ("Multipart/Form-Data; charset=utf-8", True),
        ("multipart/form-data-not", False),
        ("application/json", False),
        ("", False),
    ],
)
def test_what_is_a_form(kind: str, expected: bool) -> None:
    headers = [(b"host", b"x"), (b"Content-Type", kind.encode())]
    assert form_in(headers) == (kind if expected else None)
    assert form_in([]) is None


@given(st.lists(FIELDS, min_size=1, max_size=8))
def test_what_is_written_is_read_again(fields: list[Field]) -> None:
    body, kind = encode_form(fields)
    assert decode_form(body, kind) == fields
    assert encode_form(fields) == (body, kind)


def test_it_is_a_form_for_others_too() -> None:
    body, told = encode_form([Field("a", b"1"), Field('b"\r\n', b"\x00\xff", "x.png", "image/png")])
    head = f"Content-Type: {told}\r\n\r\n".encode()
    read: Any = email.message_from_bytes(head + body, policy=email.policy.HTTP)
    first, second = read.iter_parts()
    assert first.get_param("name", header="content-disposition") == "a"
    assert second.get_filename() == "x.png"
    assert second.get_payload(decode=True) == b"\x00\xff"
    assert b'name="b%22%0D%0A"' in body


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
    head = (
        b"Content-Type: AUDIO/wav; a=b\r\nContent-Disposition: form-data; name=file; filename=a.wav"
    )
    body = b"--b\r\n" + head + b"\r\n\r\nRIFF\r\n--b--\r\nafter"
    (file,) = decode_form(body, 'multipart/form-data; boundary="b"')
    assert file == Field("file", b"RIFF", "a.wav", "audio/wav")


PART = HEAD + b"x\r\n"


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
        (b"--b\r\n" + b"A: b\r\n" * 99 + b"\r\nx\r\n--b--\r\n", KIND, "not a multipart"),
        (PART * (PARTS_MAX + 1) + b"--b--\r\n", KIND, "more than 64 parts"),
    ],
)
def test_what_is_none(body: bytes, kind: str, said: str) -> None:
    with pytest.raises(GatewayError, match=said) as refused:
        decode_form(body, kind)
    assert refused.value.kind == "invalid_request"


@given(
    body=st.lists(
        st.sampled_from([HEAD, PART, b"\r\n", b"--b", b"--", b"b", b"\n", b"name=", b":", b"\xff"])
    ),
    kind=st.sampled_from([KIND, f'{KIND}"', "multipart/form-data; boundary*=utf-8''b", "x"]),
)
def test_whatever_comes_is_read_or_refused(body: list[bytes], kind: str) -> None:
    refused = ""
    try:
        decode_form(b"".join(body), kind)
    except GatewayError as error:
        refused = error.kind
    assert refused in ("", "invalid_request")


@pytest.mark.parametrize("piece", [b"\r\n", b"\r", b"\r\n-", b"\r\n--", b"\r\n--c", b"--b"])
def test_hostile_bytes_take_no_longer_than_others(piece: bytes) -> None:
    body = HEAD + piece * (4_000_000 // len(piece)) + b"\r\n--b--\r\n"
    began_at = time.process_time()
    assert len(decode_form(body, KIND)) == 1
    assert time.process_time() - began_at < 1


def test_text_is_utf_8() -> None:
    assert Field("a", "wéir".encode()).text == "wéir"
    with pytest.raises(GatewayError, match="a: not valid"):
        _ = Field("a", b"\xff").text
