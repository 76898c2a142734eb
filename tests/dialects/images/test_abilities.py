"""What an endpoint that makes images is said to know."""

import pytest
from openrouter.components import ImageEndpoint

from proxy.dialects.images.abilities import abilities, shows
from proxy.providers import Provider, Quirks, known

NONE = Provider(slug="p0", name="P0", base_url="http://p", quirks=Quirks(image_edits="none"))
GOOGLE = known()["google-ai-studio"]
EVERYTHING = {
    "aspect_ratio", "resolution", "n", "quality", "background", "output_format",
    "output_compression", "seed", "input_references",
}  # fmt: skip


@pytest.mark.parametrize(
    ("provider", "model", "lacks"),
    [
        (known()["openai"], "gpt-image-1", {"resolution", "seed"}),
        (known()["openai"], "gpt-image-2", {"seed"}),
        (known()["openai"], "dall-e-3", {
            "resolution", "seed", "background", "output_format", "output_compression", "n",
            "input_references"}),
        (known()["openai"], "dall-e-2", {
            "resolution", "seed", "background", "output_format", "output_compression",
            "aspect_ratio", "quality"}),
        (known()["xai"], "grok-imagine-image", {
            "background", "output_format", "output_compression", "seed"}),
        (known()["together"], "flux", {"background", "quality", "output_compression"}),
        (NONE, "flux", {"input_references"}),
        (GOOGLE, "gemini-2.5-flash-image", {
            "n", "quality", "background", "output_format", "output_compression", "resolution"}),
        (GOOGLE, "gemini-3-pro-image", {
            "n", "quality", "background", "output_format", "output_compression"}),
        (GOOGLE, "imagen-4.0-generate-001", {"quality", "background", "seed", "input_references"}),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)  # fmt: skip
def test_what_is_known(provider: Provider, model: str, lacks: set[str]) -> None:
    said = abilities(provider, model)
    assert set(said) == EVERYTHING - lacks
    ImageEndpoint.model_validate({
        "provider_name": "p", "provider_slug": "p", "provider_tag": "p", "pricing": [],
        "allowed_passthrough_parameters": [], "supports_streaming": False,
        "supported_parameters": said,
    })  # fmt: skip


def test_the_details() -> None:
    assert abilities(GOOGLE, "imagen-4")["n"] == {"type": "range", "min": 1, "max": 4}
    assert abilities(known()["xai"], "grok")["resolution"]["values"] == ["1K", "2K"]
    assert abilities(known()["together"], "flux")["input_references"]["max"] == 1
    assert abilities(known()["openai"], "dall-e-2")["input_references"]["max"] == 1


def test_who_shows_images_while_it_makes_them() -> None:
    assert shows(known()["openai"], "gpt-image-1")
    assert not shows(known()["openai"], "dall-e-3")
    assert not shows(GOOGLE, "gemini-2.5-flash-image")
