"""What a model thinks, told as items of type `reasoning`.

A summary and a text have words of their own and grow while they come. What is encrypted ends its
item. All that must be seen again unchanged and has no field is sealed (`sealing`).
"""

from proxy.dialects.responses.answer import Json
from proxy.dialects.responses.items import server_item
from proxy.dialects.responses.sealing import grow, responses_format, thought
from proxy.dialects.responses.telling import Teller
from proxy.dialects.values import string
from proxy.wire.events import Reasoning

_TEXTS = {"reasoning.text": ("thought", "text"), "reasoning.summary": ("summary", "summary")}


def tell(event: Reasoning, teller: Teller) -> None:
    """A piece of the reasoning, whose text may be in none of its details."""
    if event.text and not any(detail.get("type") in _TEXTS for detail in event.details):
        plain = {"type": "reasoning.text", "text": event.text, "format": "unknown", "index": 0}
        _tell(plain, teller)
    for detail in event.details:
        _tell(detail, teller)


def _tell(detail: Json, teller: Teller) -> None:
    kind = str(detail.get("type"))
    if kind in _TEXTS:
        _grow(detail, teller)
    elif not responses_format(detail.get("format")):
        teller.add_whole(_item(teller) | thought([detail]))
    elif kind == "reasoning.encrypted":
        _encrypted(detail, teller)
    elif (item := server_item(detail, [])) is not None:
        teller.add_whole({"id": teller.id("call")} | item)


def _item(teller: Teller, id_: str | None = None) -> Json:
    """The beginning of an item."""
    head = {"id": id_ or teller.id("rs"), "type": "reasoning", "status": "in_progress"}
    return {**head, "summary": []}


def _grow(detail: Json, teller: Teller) -> None:
    """A piece of a text, or what follows it: a signature, and maybe only then its format. Where
    each text has a signature of its own, each is an item.
    """
    kind, format_, index = detail["type"], detail.get("format"), detail.get("index")
    name, field = _TEXTS[kind]
    id_ = string(detail.get("id"))
    ours = responses_format(format_)
    teller.enter((format_, id_) if ours else (kind, index), lambda: _item(teller, id_))
    grow(teller.details, detail)
    if text := string(detail.get(field)):
        teller.enter_text(name, (kind, index))
        teller.grow(name, text)


def _encrypted(detail: Json, teller: Teller) -> None:
    """What OpenAI and its like encrypted: of the item that grows, if that bears no other id."""
    id_, item = string(detail.get("id")), teller.growing
    fields = {"encrypted_content": detail.get("data"), "format": detail.get("format")}
    if item is not None and item.said.get("type") == "reasoning" and id_ in (None, item.id):
        item.said |= fields
        teller.close()
    else:
        teller.add_whole(_item(teller, id_) | fields)
