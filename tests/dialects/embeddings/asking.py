"""A caller's request for embeddings, as it is put to one provider."""

import json
from typing import Any

from proxy.dialects import INBOUND, outbound
from proxy.dialects.asking import Target
from proxy.providers import Provider, Quirks, known

PNG = "iVBORw0KGgoAAAANSUhEUg=="
DOT = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
TEXT = {"type": "text", "text": "a"}
SOUND = {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "wav"}}


def provider(slug: str = "", dialect: str = "openai", **quirks: Any) -> Provider:
    """A known provider, or one with these quirks."""
    if slug:
        return known()[slug]
    return Provider(
        slug="p", name="P", base_url="http://p.test", dialect=dialect, quirks=Quirks(**quirks)
    )


def sent(to: Provider, model: str = "m", task: str = "embeddings", **fields: Any) -> Any:
    """The body that it is sent."""
    ask = INBOUND[task].decode_request(json.dumps({"model": "x"} | fields).encode(), ())
    target = Target(to, model)
    return json.loads(outbound(to, model, ask).encode_request(ask, target).body)


def path(to: Provider, model: str = "m", task: str = "embeddings", **fields: Any) -> str:
    """Where it is sent to."""
    ask = INBOUND[task].decode_request(json.dumps({"model": "x"} | fields).encode(), ())
    return outbound(to, model, ask).path(Target(to, model), False)
