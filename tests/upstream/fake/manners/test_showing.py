"""Pictures and sounds among what Gemini says, whole and streamed."""

from base64 import b64decode
from typing import Any

import pytest

from proxy.upstream.fake.media import tone
from proxy.upstream.fake.scenario import Answer, Rule
from tests.upstream.fake.tasking import VERTEX, lines, post, whole

Data = dict[str, Any]
PLACES = ("/v1beta/models", f"{VERTEX}/google/models")
ONE = Answer(tokens=1)


def asking(
    place: str, *kinds: str, text: str = "a weir", model: str = "g", stream: bool = False
) -> Any:
    contents = [{"role": "user", "parts": [{"text": text}]}]
    body: Data = {"contents": contents}
    if kinds:
        body["generationConfig"] = {"responseModalities": list(kinds)}
    verb = "streamGenerateContent" if stream else "generateContent"
    return post(f"{place}/{model}:{verb}", body, query="alt=sse")


def parts_of(*chunks: Data) -> list[Data]:
    return [part for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"]]


def counts_of(said: Data) -> tuple[int, dict[str, int]]:
    usage = said["usageMetadata"]
    details = {row["modality"]: row["tokenCount"] for row in usage["candidatesTokensDetails"]}
    assert usage["totalTokenCount"] == usage["promptTokenCount"] + usage["candidatesTokenCount"]
    return usage["candidatesTokenCount"], details


@pytest.mark.parametrize("place", PLACES)
def test_a_text_and_a_picture(place: str) -> None:
    said = whole(asking(place, "TEXT", "IMAGE"), answer=ONE)
    text, picture = parts_of(said)
    assert text["text"] == "Water"
    assert picture["inlineData"]["mimeType"] == "image/png"
    assert b64decode(picture["inlineData"]["data"]).startswith(b"\x89PNG")
    assert counts_of(said) == (1291, {"TEXT": 1, "IMAGE": 1290})
    chunks = lines(asking(place, "Text", "Image", stream=True), answer=ONE)
    assert [part for part in parts_of(*chunks) if "inlineData" in part] == [picture]
    assert counts_of(chunks[-1]) == counts_of(said)


@pytest.mark.parametrize("place", PLACES)
def test_a_model_for_pictures_makes_them_unasked(place: str) -> None:
    said = whole(asking(place, model="gemini-image"), answer=ONE)
    assert counts_of(said) == (1291, {"TEXT": 1, "IMAGE": 1290})
    alone = whole(asking(place, "IMAGE", model="gemini-image"), answer=ONE)
    assert counts_of(alone) == (1290, {"IMAGE": 1290})
    assert len(parts_of(alone)) == 1


@pytest.mark.parametrize("place", PLACES)
def test_sounds(place: str) -> None:
    chunks = lines(asking(place, "AUDIO", text="one two three", stream=True))
    sounds = [part["inlineData"] for part in parts_of(*chunks) if "inlineData" in part]
    assert {sound["mimeType"] for sound in sounds} == {"audio/L16;codec=pcm;rate=24000"}
    assert [b64decode(sound["data"]) for sound in sounds] == [tone()] * 3
    assert counts_of(chunks[-1]) == (18, {"AUDIO": 18})
    assert all(not part.get("text") for part in parts_of(*chunks))


@pytest.mark.parametrize("place", PLACES)
def test_what_is_forbidden_or_mute_shows_nothing(place: str) -> None:
    said = whole(asking(place, "IMAGE", text="forbidden"))
    assert said["candidates"][0]["finishReason"] == "IMAGE_SAFETY"
    assert parts_of(said) == []
    mute = whole(asking(place, "IMAGE"), Rule(fault="no-content"))
    assert parts_of(mute) == []
