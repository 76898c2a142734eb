"""Values out of JSON that somebody else wrote: what has the wrong type counts as absent."""

from typing import Any

import orjson

from proxy.errors import GatewayError


def string(value: object) -> str | None:
    """The text, if there is one."""
    return value if isinstance(value, str) and value else None


def mapping(value: object) -> dict[str, Any]:
    """The object; an empty one where it is none."""
    return value if isinstance(value, dict) else {}


def objects(value: object) -> list[dict[str, Any]]:
    """The objects in a list; none where it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def parsed(text: object) -> dict[str, Any] | None:
    """The object that a text is the JSON of; None where it is none."""
    try:
        value = orjson.loads(text) if isinstance(text, str) else None
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def json_text(value: object) -> str:
    """`value` as JSON. Raises GatewayError `provider_malformed` where it is nested too deeply."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        raise GatewayError("provider_malformed", "The answer is nested too deeply.") from None
