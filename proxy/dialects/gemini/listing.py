"""The list of models at AI Studio.

Source: Google's reference "Models", `GET /v1beta/models`. What a model can be asked for tells what
it is for; those that only draw or speak are told by their names.
"""

import re
from typing import Any, Final

from proxy.dialects.listing import ROWS_MAX
from proxy.dialects.prices import count
from proxy.dialects.reading import parse
from proxy.dialects.values import objects, string
from proxy.errors import GatewayError
from proxy.wire.listing import Listing

_METHODS: Final = (("generateContent", None), ("embedContent", ("embeddings",)))
_IMAGEN: Final = re.compile(r"imagen-")
"""Models of `predict` that are served here; the others are of other media."""


def decode_listing(body: bytes) -> tuple[Listing, ...]:
    """The models that `body` lists, in its order, each name once.

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
    if not name or not isinstance(methods, list):
        return None
    known = [outputs for method, outputs in _METHODS if method in methods]
    if "predict" in methods and _IMAGEN.match(name):
        known.append(("image",))
    if not known:
        return None
    return Listing(
        model=name,
        name=string(raw.get("displayName")),
        description=string(raw.get("description")),
        context_length=count(raw.get("inputTokenLimit")),
        max_completion_tokens=count(raw.get("outputTokenLimit")),
        output_modalities=known[0],
    )
