"""The list of models as an RSS feed, for whoever waits for new ones."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final
from urllib.parse import quote
from xml.sax.saxutils import escape

from proxy.routing.catalogue import Model
from proxy.wire.slices import Steps

MEDIA_TYPE: Final = "application/rss+xml"
ITEMS_PER_STEP: Final = 100  # about a millisecond

_YEAR_9999_S: Final = 253_370_764_800
_UNWRITABLE: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML can not say, escaped or not."""


def rss(models: Iterable[Model], base: str) -> Steps[bytes]:
    """RSS 2.0, in steps. `base` is the address that callers have for the API; each item leads to
    its model there.
    """
    home = _text(f"{base}/models")
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        '<rss version="2.0"><channel>',
        f"<title>Models</title><link>{home}</link>",
        "<description>The models that this gateway offers</description>",
    ]
    for number, model in enumerate(models):
        if number and number % ITEMS_PER_STEP == 0:
            yield
        lines.append(_item(model, base))
    lines.append("</channel></rss>")
    return "\n".join(lines).encode()


def _item(model: Model, base: str) -> str:
    link = _text(f"{base}/model/{quote(model.id, safe='/:~')}")
    told = [
        f"<title>{_text(model.name)}</title>",
        f"<link>{link}</link>",
        f"<description>{_text(model.description or '')}</description>",
        f'<guid isPermaLink="false">{_text(model.id)}</guid>',
    ]
    if model.created:
        at = datetime.fromtimestamp(min(model.created, _YEAR_9999_S), UTC)
        told.append(f"<pubDate>{format_datetime(at)}</pubDate>")
    return f"<item>{''.join(told)}</item>"


def _text(value: str) -> str:
    return escape(_UNWRITABLE.sub("", value))
