"""Requests in the form of `multipart/form-data`, read as tolerantly as providers do."""

from email.parser import BytesParser
from email.policy import HTTP
from typing import NamedTuple

from proxy.upstream.fake.ask import JSONObject, Refused, Request


class File(NamedTuple):
    """A file of a form: the field it is in, what it is called and what is in it."""

    field: str
    name: str
    data: bytes


class Form(NamedTuple):
    """The fields of a form, those with `[]` behind their name or that come again as lists."""

    fields: JSONObject
    files: tuple[File, ...]


def decode_form(request: Request) -> Form:
    """The form in the body of `request`. Raises Refused where there is none."""
    content_type = request.headers.get("content-type", "")
    opening = b"Content-Type: " + content_type.encode("latin-1") + b"\r\n\r\n"
    message = BytesParser(policy=HTTP).parsebytes(opening + request.body)
    if not content_type.startswith("multipart/form-data") or not message.is_multipart():
        raise Refused("Could not parse multipart form")
    fields: JSONObject = {}
    files = []
    for part in message.iter_parts():
        field = str(part.get_param("name", "", "content-disposition"))
        content = part.get_payload(decode=True)
        data = content if isinstance(content, bytes) else b""
        name = part.get_filename()
        if name is not None:
            files.append(File(field.removesuffix("[]"), name, data))
        else:
            _add(fields, field, data.decode("utf-8", "replace"))
    return Form(fields, tuple(files))


def _add(fields: JSONObject, field: str, value: str) -> None:
    key = field.removesuffix("[]")
    if key == field and key not in fields:
        fields[key] = value
        return
    before = fields.get(key, [])
    fields[key] = [*(before if isinstance(before, list) else [before]), value]
