"""Whole answers for callers: OpenRouter's form, which OpenAI's SDK reads too."""

from typing import Any

import openai.types
import orjson
import pytest
from openrouter.components import ImageGenerationResponse

from proxy.dialects.forms import Bill
from proxy.dialects.images.answer import encode_answer, encode_image
from proxy.money import Cost
from proxy.wire.events import Attachments, Started, Text, Usage
from proxy.wire.request import Ask, Head

HEAD = Head(id="gen-1", created=1_750_000_000, model="test/image", provider="P0")
DATA = "iVBORw0KGgoAAAA"
PNG = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{DATA}"}}
URL = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
COST = Cost(total_nano=40_000_000, charge_nano=42_000_000, prompt_nano=0, completion_nano=0)
BILL = Bill(Usage(prompt_tokens=5, completion_tokens=272, images=1), COST, {"strategy": "x"})


def asked(**body: Any) -> Ask:
    return Ask(models=("m",), body=body, task="image")


def test_the_shape() -> None:
    events = [Started(), Text(0, "Here."), Attachments(0, "images", (PNG, PNG))]
    answer = orjson.loads(encode_answer(events, HEAD, asked(), BILL).body)
    assert answer["created"] == HEAD.created
    assert answer["data"] == [{"b64_json": DATA, "media_type": "image/png"}] * 2
    assert answer["usage"]["cost"] == 0.042
    assert answer["usage"]["input_tokens"] == answer["usage"]["prompt_tokens"] == 5
    assert answer["openrouter_metadata"] == {"strategy": "x"}
    openai.types.ImagesResponse.model_validate(answer | {"usage": None})
    ImageGenerationResponse.model_validate(answer)
    plain = orjson.loads(encode_answer(events, HEAD, asked(), Bill(Usage())).body)
    assert "openrouter_metadata" not in plain


@pytest.mark.parametrize(
    ("image", "as_url", "row"),
    [
        (PNG, True, {"url": f"data:image/png;base64,{DATA}", "media_type": "image/png"}),
        (URL, False, {"url": "https://example.com/a.png", "media_type": "image/png"}),
        (
            PNG | {"revised_prompt": "better"},
            False,
            {"b64_json": DATA, "media_type": "image/png", "revised_prompt": "better"},
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://example.com/a"}},
            False,
            {"url": "https://example.com/a"},
        ),
    ],
)
def test_one_image(image: dict[str, Any], as_url: bool, row: dict[str, Any]) -> None:
    assert encode_image(image, as_url) == row
