"""What an endpoint that makes images can be told: OpenRouter's `supported_parameters` of them.

As far as providers document it; what is not here is sent as well where the provider may know it.
"""

from typing import Any, Final

from proxy.dialects.images.google import draws_only, knows
from proxy.dialects.images.request import IMAGES_MAX, REFERENCES_MAX
from proxy.dialects.images.sent import (
    DALL_E,
    GPT_FIRST,
    NOT_DALL_E,
    RATIOS_XAI,
    TIERS_XAI,
    streams,
)
from proxy.dialects.images.shape import RATIOS, TIERS
from proxy.providers import Provider

_GOOGLE: Final = ("gemini", "vertex")
_QUALITIES: Final = ("auto", "low", "medium", "high")
_BACKGROUNDS: Final = ("auto", "transparent", "opaque")
_FORMATS: Final = ("png", "jpeg", "webp")

Ability = dict[str, Any]


def shows(provider: Provider, model: str) -> bool:
    """Whether it shows images while it makes them."""
    return provider.dialect not in _GOOGLE and streams(model)


def abilities(provider: Provider, model: str) -> dict[str, Ability]:
    """The parameters that `model` of `provider` knows: each an enum, a range or a boolean."""
    return _of_google(model) if provider.dialect in _GOOGLE else _of_openai(provider, model)


def _of_google(model: str) -> dict[str, Ability]:
    known = knows(model)
    said = {"aspect_ratio": _enum(known.ratios)}
    if known.tiers:
        said["resolution"] = _enum(known.tiers)
    if known.images > 1:
        said["n"] = _range(1, known.images)
    if draws_only(model):
        return said | {"output_format": _enum(_FORMATS[:2]), "output_compression": _range(0, 100)}
    return said | {"seed": {"type": "boolean"}, "input_references": _range(0, REFERENCES_MAX)}


def _of_openai(provider: Provider, model: str) -> dict[str, Ability]:
    quirks, dall_e = provider.quirks, DALL_E.match(model)
    said = {
        "aspect_ratio": _enum(RATIOS),
        "resolution": _enum(tuple(TIERS)),
        "n": _range(1, IMAGES_MAX),
        "quality": _enum(_QUALITIES),
        "background": _enum(_BACKGROUNDS),
        "output_format": _enum(_FORMATS),
        "output_compression": _range(0, 100),
        "seed": {"type": "boolean"},
        "input_references": _range(0, REFERENCES_MAX),
    }
    lacks = set(quirks.image_omits)
    if quirks.image_shape == "ratio":
        said |= {"aspect_ratio": _enum(RATIOS_XAI), "resolution": _enum(TIERS_XAI)}
    if GPT_FIRST.match(model):
        said["aspect_ratio"] = _enum(("1:1", "2:3", "3:2"))
        lacks |= {"resolution"}
    if dall_e:
        lacks |= {*NOT_DALL_E, "resolution"}
        lacks |= {"n", "input_references"} if dall_e[1] == "3" else {"aspect_ratio", "quality"}
    if quirks.image_edits == "none":
        lacks |= {"input_references"}
    elif quirks.image_edits == "image_url" or dall_e:
        said["input_references"] = _range(0, 1)
    return {name: ability for name, ability in said.items() if name not in lacks}


def _enum(values: tuple[str, ...]) -> Ability:
    return {"type": "enum", "values": list(values)}


def _range(low: int, high: int) -> Ability:
    return {"type": "range", "min": low, "max": high}
