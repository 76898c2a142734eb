"""Reasoning of any provider as an item of Responses, and back, without loss.

Items have OpenAI's fields only: a summary, a text, `encrypted_content`. What OpenAI or xAI thought
fits as it is. What others need to see again (Anthropic's signatures, Gemini's thought signatures,
each with the index or the call that it belongs to) does not, and many clients send back nothing
but the fields they know; so the `reasoning_details` themselves are sealed into `encrypted_content`:
a mark, then their JSON as base64. It is no secret: whoever sends it could send the details as well.
OpenRouter's own additions `format` and `signature` (its OutputReasoningItem) stand beside it, and
are understood where a conversation began elsewhere.
"""

import base64
import contextlib
from typing import Any, Final

import orjson

from proxy.dialects.responses.items import OPENAI
from proxy.dialects.values import json_text, objects, string

SEAL: Final = "weir.v1."

_PLAIN: Final = frozenset(("type", "text", "summary", "format", "index"))
_GROWING: Final = {"reasoning.text": "text", "reasoning.summary": "summary"}


def responses_format(format_: object) -> bool:
    """Whether reasoning of that `format` has the form of an item already."""
    return isinstance(format_, str) and format_.endswith("-responses-v1")


def sealed(details: list[dict[str, Any]]) -> str:
    """The details as `encrypted_content`."""
    return SEAL + base64.urlsafe_b64encode(json_text(details).encode()).decode()


def unsealed(content: str) -> list[dict[str, Any]]:
    """The details in what `sealed` made. Raises ValueError for what is broken."""
    try:
        said = orjson.loads(_inside(content))
    except ValueError:
        raise ValueError("the sealed reasoning is broken") from None
    return objects(said)


def seals_in(items: list[Any]) -> bytes:
    """What stands in all seals of a conversation, as far as they are whole: what is in them has not
    been counted with the body that they came in.
    """
    found = (item.get("encrypted_content") for item in objects(items))
    texts = []
    for content in found:
        if isinstance(content, str) and content.startswith(SEAL):
            with contextlib.suppress(ValueError):  # told when it is its turn
                texts.append(_inside(content))
    return b"".join(texts)


def _inside(content: str) -> bytes:
    return base64.urlsafe_b64decode(content.removeprefix(SEAL))


def grow(details: list[dict[str, Any]], detail: dict[str, Any]) -> None:
    """Adds a detail; texts that a stream tells in pieces of one index become one again, the
    signature with it.
    """
    key = _GROWING.get(str(detail.get("type")))
    last = details[-1] if details else {}
    same = all(last.get(name) == detail.get(name) for name in ("type", "index"))
    if key is None or not same or not isinstance(detail.get("index"), int):
        details.append(dict(detail))
        return
    joined = last | {name: value for name, value in detail.items() if value is not None}
    texts = (last.get(key), detail.get(key))
    joined[key] = "".join(text for text in texts if isinstance(text, str))
    details[-1] = joined


def thought(details: list[dict[str, Any]]) -> dict[str, Any]:
    """What an item has beside its texts, for the details of one: OpenRouter's own fields, and the
    seal, where there is anything else that must be seen again unchanged.
    """
    fields: dict[str, Any] = {}
    fits = all(responses_format(detail.get("format")) for detail in details)
    told = {name for detail in details for name in detail if detail[name] is not None}
    if not fits and told - _PLAIN:
        fields["encrypted_content"] = sealed(details)
    for name in ("signature", "format"):
        found = [string(detail.get(name)) for detail in details]
        if said := next(filter(None, found), None):
            fields[name] = said
    return fields


def details_of(item: dict[str, Any], index: int) -> list[dict[str, Any]]:
    """The details that an item of type `reasoning` tells; those that get a number get it from
    `index` on. Raises ValueError for a broken seal.
    """
    data, format_ = string(item.get("encrypted_content")), string(item.get("format"))
    if data is not None and data.startswith(SEAL):
        return unsealed(data)
    id_, signature = string(item.get("id")), string(item.get("signature"))
    texts = [("text", part.get("text")) for part in objects(item.get("content"))]
    texts += [("summary", part.get("text")) for part in objects(item.get("summary"))]
    details: list[dict[str, Any]] = []
    known = format_ or (OPENAI if data or any(kind == "summary" for kind, _ in texts) else None)
    for kind, text in texts:
        if isinstance(text, str):
            details.append({"type": f"reasoning.{kind}", kind: text, "format": known or "unknown"})
            if kind == "text" and id_ and responses_format(known):
                details[-1]["id"] = id_
    if signature:
        if not details:
            details.append({"type": "reasoning.text", "format": known or "unknown"})
        details[-1]["signature"] = signature
    if data:
        encrypted = {"type": "reasoning.encrypted", "data": data, "format": known}
        details.append(encrypted | ({"id": id_} if id_ else {}))
    return [detail | {"index": number} for number, detail in enumerate(details, index)]
