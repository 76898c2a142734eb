"""Lists by the page, and the list of models as Anthropic's SDKs read it.

Source: the SDK's types `ModelInfo` and `SyncPage`.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from proxy.api.rows import first_of
from proxy.errors import GatewayError
from proxy.routing.catalogue import Model

LIMIT_MAX: Final = 1000
ANTHROPIC: Final = "anthropic-version"
"""The header by which Anthropic's SDKs are known: they are answered in its form."""

_LIMIT_DEFAULT: Final = 20
_YEAR_9999_S: Final = 253_370_764_800


def whole(query: Mapping[str, str], name: str, *, default: int, low: int, high: int) -> int:
    """A whole number of a query. Raises GatewayError `invalid_request` for any other value."""
    text = query.get(name, str(default))
    # A number of thousands of digits is more than `int` takes.
    if not re.fullmatch("[0-9]{1,10}", text) or not low <= int(text) <= high:
        raise GatewayError(
            "invalid_request", f"{name}: must be a whole number from {low} to {high}"
        )
    return int(text)


def page_of(models: Sequence[Model], query: Mapping[str, str]) -> dict[str, Any]:
    """The body of its `GET /v1/models`: a page after one model, or before one.

    Raises GatewayError `invalid_request`, which names the parameter.
    """
    ids = [model.id for model in models]
    limit = whole(query, "limit", default=_LIMIT_DEFAULT, low=1, high=LIMIT_MAX)
    for name in ("after_id", "before_id"):
        if name in query and query[name] not in ids:
            raise GatewayError("invalid_request", f"{name}: no model of the list")
    begin = ids.index(query["after_id"]) + 1 if "after_id" in query else 0
    end = ids.index(query["before_id"]) if "before_id" in query else len(ids)
    span = models[begin:end]
    page = span[-limit:] if "before_id" in query else span[:limit]
    return {
        "data": [info_row(model) for model in page],
        "has_more": len(page) < len(span),
        "first_id": page[0].id if page else None,
        "last_id": page[-1].id if page else None,
    }


def info_row(model: Model) -> dict[str, Any]:
    """One model in Anthropic's form."""
    first = first_of(model)
    created = datetime.fromtimestamp(min(model.created or 0, _YEAR_9999_S), UTC)
    return {
        "type": "model",
        "id": model.id,
        "display_name": model.name,
        "created_at": f"{created:%Y-%m-%dT%H:%M:%SZ}",
        "lifecycle": "active",
        "max_input_tokens": model.context_length,
        "max_tokens": first.max_completion_tokens if first else None,
    }
