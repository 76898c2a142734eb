"""Images of Google: what Gemini and Imagen are asked, and what they answer."""

import base64
from typing import Any

import orjson
import pytest

from proxy.dialects.asking import Target
from proxy.dialects.images import google
from proxy.dialects.images.request import decode_request
from proxy.errors import GatewayError
from proxy.providers import Provider, Quirks, known
from proxy.wire.events import Attachments, Event, Failed, Started, Usage, UsageReport
from proxy.wire.request import Ask

DATA = base64.b64encode(b"\x89PNG\r\n\x1a\n and more").decode()
PNG = f"data:image/png;base64,{DATA}"
GEMINI, PRO, FLASH = "gemini-2.5-flash-image", "gemini-3-pro-image", "gemini-3.1-flash-image"
IMAGEN = "imagen-4.0-generate-001"
VERTEX = Provider(
    slug="google-vertex", name="Vertex", base_url="http://v", dialect="vertex",
    options={"project": "p", "location": "global"},
)  # fmt: skip


def asked(**more: Any) -> Ask:
    return decode_request(orjson.dumps({"model": "m", "prompt": "a weir"} | more))


def target(model: str, provider: Provider | None = None) -> Target:
    return Target(provider or known()["google-ai-studio"], model)


def body_of(ask: Ask, model: str) -> dict[str, Any]:
    said = orjson.loads(google.encode_request(ask, target(model)).body)
    assert said == orjson.loads(google.encode_vertex(ask, target(model, VERTEX)).body)
    return dict(said)


def test_the_paths() -> None:
    assert google.path(target(GEMINI), True) == f"/v1beta/models/{GEMINI}:generateContent"
    assert google.path(target(IMAGEN), True) == f"/v1beta/models/{IMAGEN}:predict"
    start = "/v1/projects/p/locations/global/publishers/google/models"
    assert google.vertex_path(target(PRO, VERTEX), True) == f"{start}/{PRO}:generateContent"
    assert google.vertex_path(target(IMAGEN, VERTEX), False) == f"{start}/{IMAGEN}:predict"


def test_gemini_is_asked_for_an_image_beside_text() -> None:
    reference = {"type": "image_url", "image_url": {"url": PNG}}
    body = body_of(asked(input_references=[reference], seed=3, quality="high"), GEMINI)
    inline = {"inlineData": {"mimeType": "image/png", "data": DATA}}
    assert body["contents"] == [{"role": "user", "parts": [{"text": "a weir"}, inline]}]
    assert body["generationConfig"] == {"seed": 3, "responseModalities": ["TEXT", "IMAGE"]}


@pytest.mark.parametrize(
    ("model", "said", "config"),
    [
        (GEMINI, {"aspect_ratio": "20:9", "resolution": "4K"}, {"aspectRatio": "21:9"}),
        (PRO, {"aspect_ratio": "1:8", "resolution": "512"},
         {"aspectRatio": "9:16", "imageSize": "1K"}),
        (FLASH, {"aspect_ratio": "1:8", "resolution": "512"},
         {"aspectRatio": "1:8", "imageSize": "512"}),
        (PRO, {"size": "3840x2160"}, {"aspectRatio": "16:9", "imageSize": "4K"}),
    ],
)  # fmt: skip
def test_gemini_is_told_the_nearest_size(
    model: str, said: dict[str, Any], config: dict[str, Any]
) -> None:
    assert body_of(asked(**said), model)["generationConfig"]["imageConfig"] == config


def test_imagen_is_asked_for_a_prediction() -> None:
    said = {"n": 4, "size": "2K", "aspect_ratio": "16:9", "output_format": "jpeg"}
    options = {"google-ai-studio": {"personGeneration": "dont_allow"}}
    body = asked(**said, output_compression=70, provider={"options": options})
    encoded = orjson.loads(google.encode_request(body, target(IMAGEN)).body)
    assert encoded == {
        "instances": [{"prompt": "a weir"}],
        "parameters": {
            "sampleCount": 4, "includeRaiReason": True, "aspectRatio": "16:9",
            "sampleImageSize": "2K", "personGeneration": "dont_allow",
            "outputOptions": {"mimeType": "image/jpeg", "compressionQuality": 70},
        },
    }  # fmt: skip
    plain = body_of(asked(output_format="png", output_compression=70, size="2K"), "imagen-4-fast")
    assert plain["parameters"] == {
        "sampleCount": 1, "includeRaiReason": True, "outputOptions": {"mimeType": "image/png"},
    }  # fmt: skip


def test_imagen_is_told_nothing_that_nobody_said() -> None:
    said = {"sampleCount": 1, "includeRaiReason": True}
    assert body_of(asked(), IMAGEN)["parameters"] == said


def test_options_of_gemini() -> None:
    ask = asked(provider={"options": {"google-ai-studio": {"safetySettings": []}}})
    body = orjson.loads(google.encode_request(ask, target(GEMINI)).body)
    assert body["safetySettings"] == []
    assert body["contents"]


REFERENCE = {"type": "image_url", "image_url": {"url": PNG}}


@pytest.mark.parametrize(
    ("more", "model"),
    [
        ({"n": 2}, GEMINI),
        ({"n": 5}, IMAGEN),
        ({"input_references": [REFERENCE]}, IMAGEN),
        ({"input_references": [REFERENCE], "mask": PNG}, GEMINI),
    ],
    ids=range(4),
)
def test_what_google_can_not_be_asked_is_for_another(more: dict[str, Any], model: str) -> None:
    with pytest.raises(GatewayError) as told:
        google.encode_request(asked(**more), target(model))
    assert told.value.kind == "provider_unfit"


def decoded(answer: dict[str, Any]) -> list[Event]:
    return google.decode_answer(orjson.dumps(answer), Quirks())


def parts(*said: dict[str, Any], finish: str = "STOP", **more: Any) -> list[Event]:
    candidate = {"content": {"role": "model", "parts": list(said)}, "finishReason": finish}
    return decoded({"responseId": "r", "candidates": [candidate]} | more)


def inline(data: str = DATA, **more: Any) -> dict[str, Any]:
    return {"inlineData": {"mimeType": "image/png", "data": data}} | more


METADATA = {
    "promptTokenCount": 7, "candidatesTokenCount": 1290, "totalTokenCount": 1297,
    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}],
}  # fmt: skip


def test_an_image_of_gemini() -> None:
    events = parts({"text": "Here."}, inline(thoughtSignature="s"), usageMetadata=METADATA)
    begun, made, report, *_ = events
    assert isinstance(begun, Started)
    assert begun.upstream_id == "r"
    assert made == Attachments(0, "images", ({"type": "image_url", "image_url": {"url": PNG}},))
    assert report == UsageReport(
        Usage(prompt_tokens=7, completion_tokens=1290, completion_image_tokens=1290, images=1)
    )


def test_images_made_while_thinking_are_no_answer() -> None:
    made = parts(inline("AAAA", thought=True), {"text": "hm", "thought": True}, inline())[1]
    assert isinstance(made, Attachments)
    assert len(made.items) == 1


def test_several_images_come_as_one_answer() -> None:
    report = parts(inline(), inline("AAAA"))[2]
    assert report == UsageReport(
        Usage(completion_tokens=2580, completion_image_tokens=2580, images=2, estimated=True)
    )


@pytest.mark.parametrize(
    ("events", "status", "said"),
    [
        (parts({"text": "I can not."}), None, "no image"),
        (parts(finish="IMAGE_SAFETY"), 400, "IMAGE_SAFETY"),
        (parts(finish="IMAGE_OTHER"), None, "IMAGE_OTHER"),
        (decoded({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}), 400, "PROHIBITED"),
        (decoded({"error": {"code": 503, "message": "later"}}), 503, "later"),
        (decoded({}), None, "no image"),
        (decoded({"predictions": [{"raiFilteredReason": "children"}]}), 400, "children"),
        (decoded({"predictions": [{}]}), None, "no image"),
    ],
    ids=range(8),
)
def test_no_image_is_a_failure(events: list[Event], status: int | None, said: str) -> None:
    (failed,) = events
    assert isinstance(failed, Failed)
    assert failed.status == status
    assert said in failed.message


def test_images_of_imagen() -> None:
    rows = [
        {"mimeType": "image/png", "bytesBase64Encoded": DATA},
        {"raiFilteredReason": "children"},
        {"mimeType": "image/png", "bytesBase64Encoded": DATA},
    ]
    _, made, report, *_ = decoded({"predictions": rows})
    assert isinstance(made, Attachments)
    assert len(made.items) == 2
    assert report == UsageReport(Usage(images=2, estimated=True))
