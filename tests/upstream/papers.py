"""Small PDFs, written out by hand, as the text engine is given them."""

import zlib
from io import BytesIO
from typing import Any

from pypdf import PdfReader, PdfWriter


def pdf(*pages: str, stream: bytes | None = None, more: str = "") -> bytes:
    """A PDF with a line of text on each page; `stream` is the content of all pages instead, with
    `more` in its dictionary.
    """
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for number, text in enumerate(pages):
        resources = "<< /Font << /F1 3 0 R >> >>"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources {resources}"
            f" /Contents {5 + 2 * number} 0 R >>".encode()
        )
        content = stream or f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode("latin-1")
        head = f"<< /Length {len(content)} {more} >>\nstream\n".encode()
        objects.append(head + content + b"\nendstream")
    return _file(objects)


def _file(objects: list[bytes]) -> bytes:
    data, places = bytearray(b"%PDF-1.4\n"), []
    for number, content in enumerate(objects, 1):
        places.append(len(data))
        data += f"{number} 0 obj\n".encode() + content + b"\nendobj\n"
    start = len(data)
    data += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    data += b"".join(f"{place:010d} 00000 n \n".encode() for place in places)
    data += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\n".encode()
    return bytes(data + f"startxref\n{start}\n%%EOF\n".encode())


def locked(data: bytes, **words: Any) -> bytes:
    """The same PDF, encrypted."""
    writer = PdfWriter(clone_from=PdfReader(BytesIO(data)))
    writer.encrypt(algorithm="RC4-128", **words)
    out = BytesIO()
    writer.write(out)
    return out.getvalue()


def bomb(size_bytes: int = 300_000_000) -> bytes:
    """A PDF of some kilobytes whose only page unpacks to so much."""
    packer = zlib.compressobj(9)
    piece = b"BT /F1 12 Tf (bomb) Tj ET\n" * 40_000
    packed = b"".join(packer.compress(piece) for _ in range(size_bytes // len(piece)))
    return pdf("", stream=packed + packer.flush(), more="/Filter /FlateDecode")
