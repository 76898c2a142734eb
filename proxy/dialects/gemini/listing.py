"""The list of models at AI Studio.

Source: Google's reference "Models", `GET /v1beta/models`. Only models that answer with
`generateContent` are of use here.
"""

from typing import Any

from proxy.dialects.listing import ROWS_MAX
from proxy.dialects.reading import parse
from proxy.dialects.values import objects, string
from proxy.errors import GatewayError
from proxy.wire.listing import Listing

_COUNT_MAX = 10**11


def decode_listing(body: bytes) -> tuple[Listing, ...]:
    """The chat models that `body` lists, in its order, each name once.

    Raises GatewayError of kind `provider_malformed` where it is no list of models at all.
    """
    models = parse(body).get("models", [])
    if not isinstance(models, list):
        raise GatewayError("provider_malformed", "the answer has no list of models")
    rows: dict[str, Listing] = {}
    for raw in objects(models[:ROWS_MAX]):
        if (row := _row(raw)) is not None:
            rows.setdefault(row.model, row)
    return tuple(rows.values())


def _row(raw: dict[str, Any]) -> Listing | None:
    name = (string(raw.get("name")) or "").removeprefix("models/")
    methods = raw.get("supportedGenerationMethods")
    if not name or not isinstance(methods, list) or "generateContent" not in methods:
        return None
    return Listing(
        model=name,
        name=string(raw.get("displayName")),
        description=string(raw.get("description")),
        context_length=_count(raw.get("inputTokenLimit")),
        max_completion_tokens=_count(raw.get("outputTokenLimit")),
    )


def _count(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 < value <= _COUNT_MAX else None
