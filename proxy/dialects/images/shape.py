"""How large an image is to be, and of which proportions: in pixels, or by a tier and a ratio.

Callers say it as OpenRouter's Image API has it; each provider knows a part of that, and is told the
nearest thing that it knows, as that API promises ("Providers clamp to their supported subset").
"""

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from proxy.errors import GatewayError

TIERS: Final[Mapping[str, int]] = {"512": 512, "1K": 1024, "2K": 2048, "4K": 4096}
"""OpenRouter's tiers of resolution, with the side of a square of each, in pixels."""

RATIOS: Final = (
    "1:1", "1:2", "1:4", "1:8", "2:1", "2:3", "3:2", "3:4", "4:1", "4:3", "4:5", "5:4", "8:1",
    "9:16", "16:9", "9:19.5", "19.5:9", "9:20", "20:9", "9:21", "21:9",
)  # fmt: skip
"""OpenRouter's aspect ratios, width first."""

SIDE_MAX: Final = 16_384  # of pixels; nobody makes larger ones
_STEP: Final = 16  # pixels; sides of most models are its multiples
_SLACK: Final = 0.06  # how far, as a logarithm, pixels may be from the ratio beside them
_UPWARDS: Final = 1.05  # so that 3840x2160 is 4K, as everybody calls it
_SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")


class Shape(NamedTuple):
    """What the caller said of it: `pixels` are width and height, and hold where they are there."""

    pixels: tuple[int, int] | None = None
    ratio: str | None = None
    tier: str | None = None

    @property
    def said(self) -> bool:
        """Whether it says anything."""
        return self != Shape()

    @property
    def area(self) -> int:
        """Its pixels in all; those of a square of its tier where only that is known."""
        if self.pixels is not None:
            return self.pixels[0] * self.pixels[1]
        return TIERS[self.tier or "1K"] ** 2


def shape_in(body: Mapping[str, Any]) -> Shape:
    """The shape in the fields `size`, `aspect_ratio` and `resolution`, whose types are checked.

    Raises GatewayError `invalid_request` for what is none, and for pixels that contradict the rest.
    """
    ratio, tier, size = (body.get(name) for name in ("aspect_ratio", "resolution", "size"))
    ratio, size = (None if value == "auto" else value for value in (ratio, size))
    if ratio is not None and ratio not in RATIOS:
        raise GatewayError("invalid_request", "aspect_ratio: none of the values it can have")
    if tier is not None and tier not in TIERS:
        raise GatewayError("invalid_request", "resolution: none of the values it can have")
    if size is None:
        return Shape(None, ratio, tier)
    if size in TIERS:
        if tier not in (None, size):
            raise GatewayError("invalid_request", "resolution: differs from size")
        return Shape(None, ratio, size)
    return _of_pixels(size, ratio, tier)


def _of_pixels(size: str, ratio: str | None, tier: str | None) -> Shape:
    found = _SIZE.fullmatch(size)
    if found is None or max(pixels := (int(found[1]), int(found[2]))) > SIDE_MAX:
        raise GatewayError("invalid_request", "size: expected a tier (2K) or pixels (1024x1024)")
    shape = Shape(pixels)
    if ratio is not None and abs(_slant(ratio) - math.log(pixels[0] / pixels[1])) > _SLACK:
        raise GatewayError("invalid_request", "aspect_ratio: differs from size")
    if tier is not None and tier_of(shape) != tier:
        raise GatewayError("invalid_request", "resolution: differs from size")
    return shape


def ratio_of(shape: Shape, known: Iterable[str]) -> str | None:
    """The ratio among `known` that is nearest to it; None where it says nothing of that."""
    if shape.pixels is not None:
        slant = math.log(shape.pixels[0] / shape.pixels[1])
    elif shape.ratio is not None:
        slant = _slant(shape.ratio)
    else:
        return None
    return min(known, key=lambda one: abs(_slant(one) - slant))


def tier_of(shape: Shape, known: Iterable[str] = tuple(TIERS)) -> str | None:
    """The tier among `known` that is nearest to it; None where it says nothing of that."""
    known = tuple(known)
    if not known or (shape.pixels is None and shape.tier is None):
        return None
    side = math.sqrt(shape.area) * _UPWARDS
    return min(known, key=lambda one: abs(math.log(side / TIERS[one])))


def pixels_of(shape: Shape, known: Iterable[tuple[int, int]] = ()) -> tuple[int, int] | None:
    """Width and height: what the caller said, else the nearest of `known`, else as many pixels as
    its tier has in its ratio. None where it says nothing.
    """
    if shape.pixels is not None or not shape.said:
        return shape.pixels
    slant = _slant(shape.ratio or "1:1")
    if known := tuple(known):
        return min(known, key=lambda one: abs(math.log(one[0] / one[1]) - slant))
    side, stretch = math.sqrt(shape.area), math.exp(slant / 2)
    return _stepped(side * stretch), _stepped(side / stretch)


def _stepped(side: float) -> int:
    return max(_STEP, round(side / _STEP) * _STEP)


def _slant(ratio: str) -> float:
    """The logarithm of a ratio: equally far from the square to both sides."""
    width, _, height = ratio.partition(":")
    return math.log(float(width) / float(height))
