"""What AWS adds to HTTP, checked and made by hand: request signatures and binary event streams.

Both are public: "Signature Version 4" and "Amazon event stream encoding".
"""

import hashlib
import hmac
import re
import struct
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl, quote
from zlib import crc32

from proxy.upstream.fake.ask import Request

_AUTHORIZATION: Final = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<access>[^/,]+)/(?P<scope>(?P<day>\d{8})/(?P<region>[^/]+)"
    r"/(?P<service>[^/]+)/aws4_request), ?SignedHeaders=(?P<headers>[a-z0-9;-]+), ?"
    r"Signature=(?P<signature>[0-9a-f]{64})"
)
_TEXT_HEADER = 7


def is_signed(request: Request) -> bool:
    """Whether `request` has a signature that is at least well formed, with what it needs."""
    found = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    return bool(found and "x-amz-date" in request.headers and "host" in found["headers"])


def is_signed_by(request: Request, access: str, secret: str) -> bool:
    """Whether the signature of `request` is that of this key."""
    found = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    if not found or found["access"] != access or not is_signed(request):
        return False
    names = found["headers"].split(";")
    path = quote(request.raw_path or quote(request.path), safe="/-_.~")
    pairs = sorted(parse_qsl(request.query, keep_blank_values=True))
    canonical = "\n".join(
        (
            request.method,
            path,
            "&".join(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in pairs),
            *(f"{name}:{' '.join(request.headers.get(name, '').split())}" for name in names),
            "",
            found["headers"],
            hashlib.sha256(request.body).hexdigest(),
        )
    )
    text = "\n".join(
        (
            "AWS4-HMAC-SHA256",
            request.headers["x-amz-date"],
            found["scope"],
            hashlib.sha256(canonical.encode()).hexdigest(),
        )
    )
    key = f"AWS4{secret}".encode()
    for part in (found["day"], found["region"], found["service"], "aws4_request", text):
        key = hmac.digest(key, part.encode(), hashlib.sha256)
    return hmac.compare_digest(key.hex(), found["signature"])


def encode_frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message of an event stream, with both its checksums."""
    block = b"".join(_header(name, value) for name, value in headers.items())
    message = prelude(16 + len(block) + len(payload), len(block)) + block + payload
    return message + struct.pack(">I", crc32(message))


def prelude(total_length: int, headers_length: int) -> bytes:
    """The opening of a message: its length, that of its headers, and the checksum of these."""
    lengths = struct.pack(">II", total_length, headers_length)
    return lengths + struct.pack(">I", crc32(lengths))


def _header(name: str, value: str) -> bytes:
    text = value.encode()
    opening = struct.pack(">B", len(name)) + name.encode()
    return opening + struct.pack(">BH", _TEXT_HEADER, len(text)) + text
