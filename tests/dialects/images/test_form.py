"""Forms: what is written is read again, by us and by somebody else's reader."""

import email
import email.policy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.images.form import PARTS_MAX, Field, boundary_in, decode_form, encode_form
from proxy.errors import GatewayError

NAMES = st.text(
    st.characters(min_codepoint=32, max_codepoint=126, exclude_characters='%"\\'), min_size=1
)
FIELDS = st.builds(
    Field,
    name=NAMES,
    data=st.binary(),
    filename=st.none() | NAMES,
    mime=st.none() | st.sampled_from(("image/png", "image/webp")),
)


@given(st.lists(FIELDS, min_size=1, max_size=8))
def test_what_is_written_is_read_again(fields: list[Field]) -> None:
    body, told = encode_form(fields)
    boundary = boundary_in([(b"content-type", told.encode())])
    assert boundary is not None
    assert decode_form(body, boundary) == fields
    assert encode_form(fields) == (body, told)


def test_it_is_a_form_for_others_too() -> None:
    body, told = encode_form([Field("a", b"1"), Field('b"\r\n', b"\x00\xff", "x.png", "image/png")])
    head = f"Content-Type: {told}\r\n\r\n".encode()
    read: Any = email.message_from_bytes(head + body, policy=email.policy.HTTP)
    first, second = read.iter_parts()
    assert first.get_param("name", header="content-disposition") == "a"
    assert second.get_filename() == "x.png"
    assert second.get_payload(decode=True) == b"\x00\xff"
    assert b'name="b%22%0D%0A"' in body


@pytest.mark.parametrize(
    ("told", "boundary"),
    [
        (b"multipart/form-data; boundary=abc", b"abc"),
        (b'Multipart/Form-Data; charset=utf-8; Boundary="a b"', b"a b"),
        (b"application/json", None),
        (b"multipart/form-data", None),
    ],
)
def test_the_boundary(told: bytes, boundary: bytes | None) -> None:
    assert boundary_in([(b"host", b"x"), (b"content-type", told)]) == boundary
    assert boundary_in([]) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nothing",
        b"--x",
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n',
        b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--",
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n--x--',
    ],
)
def test_what_is_no_form(body: bytes) -> None:
    with pytest.raises(GatewayError) as told:
        decode_form(body, b"x")
    assert told.value.kind == "invalid_request"


def test_a_form_has_so_many_parts() -> None:
    body, _ = encode_form([Field("a", b"")] * (PARTS_MAX - 1))
    boundary = body[2 : body.index(b"\r\n")]
    assert len(decode_form(body, boundary)) == PARTS_MAX - 1
    body, _ = encode_form([Field("a", b"")] * (PARTS_MAX + 1))
    with pytest.raises(GatewayError, match="parts"):
        decode_form(body, boundary)


def test_text_is_utf_8() -> None:
    assert Field("a", "wéir".encode()).text == "wéir"
    with pytest.raises(GatewayError, match="a: not valid"):
        _ = Field("a", b"\xff").text


def test_what_stands_around_the_parts_does_not_count() -> None:
    body = (
        b'before\r\n--x\r\ncontent-disposition: form-data; filename="q\\"q"; name="n"\r\n'
        b"content-type: IMAGE/PNG; a=b\r\n\r\n1\r\n--x--\r\nafter"
    )
    assert decode_form(body, b"x") == [Field("n", b"1", 'q"q', "image/png")]
