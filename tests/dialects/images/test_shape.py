"""Sizes, ratios and tiers: what a caller says, and the nearest that a provider knows."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.images.shape import (
    RATIOS,
    SIDE_MAX,
    TIERS,
    Shape,
    pixels_of,
    ratio_of,
    shape_in,
    tier_of,
)
from proxy.errors import GatewayError

SIDES = st.integers(min_value=1, max_value=SIDE_MAX)

SAID = [
    ({}, Shape()),
    ({"size": "auto", "aspect_ratio": "auto"}, Shape()),
    ({"size": "2K"}, Shape(tier="2K")),
    ({"size": "2K", "resolution": "2K", "aspect_ratio": "3:2"}, Shape(None, "3:2", "2K")),
    ({"resolution": "512"}, Shape(tier="512")),
    ({"size": "1536x1024"}, Shape((1536, 1024))),
    ({"size": "1536x1024", "aspect_ratio": "3:2", "resolution": "1K"}, Shape((1536, 1024))),
]
REFUSED = [
    ({"aspect_ratio": "7:5"}, "aspect_ratio"),
    ({"resolution": "8K"}, "resolution"),
    ({"size": "8K"}, "size"),
    ({"size": "0x10"}, "size"),
    ({"size": "99999x10"}, "size"),
    ({"size": "2K", "resolution": "4K"}, "resolution"),
    ({"size": "1024x1024", "aspect_ratio": "16:9"}, "aspect_ratio"),
    ({"size": "1024x1024", "resolution": "4K"}, "resolution"),
]


@pytest.mark.parametrize(("body", "shape"), SAID, ids=str)
def test_what_is_said(body: dict[str, str], shape: Shape) -> None:
    assert shape_in(body) == shape


@pytest.mark.parametrize(("body", "field"), REFUSED, ids=str)
def test_what_is_refused(body: dict[str, str], field: str) -> None:
    with pytest.raises(GatewayError) as told:
        shape_in(body)
    assert told.value.kind == "invalid_request"
    assert told.value.message.startswith(f"{field}: ")


def test_the_area_is_that_of_the_pixels_or_of_the_tier() -> None:
    assert Shape((10, 20)).area == 200
    assert Shape(tier="4K").area == 4096**2
    assert Shape().area == 1024**2


def test_nothing_said_is_nothing_told() -> None:
    assert (ratio_of(Shape(), RATIOS), tier_of(Shape()), pixels_of(Shape())) == (None, None, None)
    assert tier_of(Shape(tier="4K"), ()) is None


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("tier", TIERS)
def test_a_tier_and_a_ratio_as_pixels_are_that_again(tier: str, ratio: str) -> None:
    pixels = pixels_of(Shape(None, ratio, tier))
    assert pixels is not None
    assert all(side % 16 == 0 for side in pixels)
    again = Shape(pixels)
    assert tier_of(again) == tier
    assert abs(math.log(again.area / TIERS[tier] ** 2)) < 0.1
    width, height = map(float, ratio.split(":"))
    assert abs(math.log(pixels[0] / pixels[1] / (width / height))) < 0.05


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        (Shape(None, "16:9"), (1536, 1024)),
        (Shape(None, "9:21"), (1024, 1536)),
        (Shape(tier="4K"), (1024, 1024)),
        (Shape((17, 4)), (17, 4)),
    ],
    ids=str,
)
def test_a_model_of_few_sizes_is_told_the_nearest(shape: Shape, told: tuple[int, int]) -> None:
    assert pixels_of(shape, [(1024, 1024), (1536, 1024), (1024, 1536)]) == told


@given(SIDES, SIDES)
def test_any_pixels_have_a_ratio_and_a_tier(width: int, height: int) -> None:
    shape = shape_in({"size": f"{width}x{height}"})
    assert ratio_of(shape, RATIOS) in RATIOS
    assert tier_of(shape) in TIERS
    assert pixels_of(shape, [(1, 1)]) == (width, height)
