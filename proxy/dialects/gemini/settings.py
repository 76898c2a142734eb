"""The `generationConfig` of a request: sampling, formats, thinking, modalities."""

from collections.abc import Iterator
from typing import Any, Final

from proxy.dialects.asking import Target
from proxy.dialects.gemini.family import Family, thinking_config
from proxy.dialects.gemini.schema import gemini_schema
from proxy.dialects.values import objects
from proxy.wire.request import Ask

_SAME: Final = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
_IMAGE: Final = {"aspect_ratio": "aspectRatio", "image_size": "imageSize"}
_IMAGE_VERTEX: Final = {
    "person_generation": "personGeneration",
    "image_output_options": "imageOutputOptions",
}
_DETAILS = {"low": "MEDIA_RESOLUTION_LOW", "high": "MEDIA_RESOLUTION_HIGH"}


def generation_config(ask: Ask, target: Target, family: Family, *, vertex: bool) -> dict[str, Any]:
    """The settings of `ask`; empty where the caller set nothing."""
    body = ask.body
    config = {ours: body[name] for name, ours in _SAME.items() if body.get(name) is not None}
    if ask.max_tokens is not None:
        config["maxOutputTokens"] = ask.max_tokens
    if stop := body.get("stop"):
        config["stopSequences"] = [stop] if isinstance(stop, str) else stop
    if ask.choices > 1:
        config["candidateCount"] = ask.choices
    if body.get("logprobs"):
        config["responseLogprobs"] = True
        if body.get("top_logprobs"):
            config["logprobs"] = body["top_logprobs"]
    config |= _format(body, family)
    config |= _media(body, vertex=vertex, shown=ask.media_prompt > 0)
    if thinking := thinking_config(ask, family, target.completion_max):
        config["thinkingConfig"] = thinking
    return config


def _format(body: dict[str, Any], family: Family) -> dict[str, Any]:
    wish = body.get("response_format")
    if not isinstance(wish, dict) or wish.get("type") not in ("json_object", "json_schema"):
        return {}
    if body.get("tools") and not family.mixes_json_and_tools:
        return {}
    config: dict[str, Any] = {"responseMimeType": "application/json"}
    said = wish.get("json_schema")
    schema = said.get("schema") if isinstance(said, dict) else None
    if wish["type"] == "json_schema" and isinstance(schema, dict):
        config["responseJsonSchema"] = gemini_schema(schema)
    return config


def _media(body: dict[str, Any], *, vertex: bool, shown: bool) -> dict[str, Any]:
    """What the answer is made of, and how closely the model looks at images, where there are."""
    config: dict[str, Any] = {}
    if isinstance(modalities := body.get("modalities"), list):
        names = [name.upper() for name in modalities if isinstance(name, str)]
        # Models that speak take no other modality beside it.
        config["responseModalities"] = ["AUDIO"] if "AUDIO" in names else names
    if isinstance(image := body.get("image_config"), dict):
        known = _IMAGE | (_IMAGE_VERTEX if vertex else {})
        if said := {ours: image[name] for name, ours in known.items() if image.get(name)}:
            config["imageConfig"] = said
    audio = body.get("audio")
    if isinstance(audio, dict) and isinstance(audio.get("voice"), str):
        voice = {"prebuiltVoiceConfig": {"voiceName": audio["voice"]}}
        config["speechConfig"] = {"voiceConfig": voice}
    if shown and (details := set(_details(body))):
        config["mediaResolution"] = _DETAILS["low" if details == {"low"} else "high"]
    return config


def _details(body: dict[str, Any]) -> Iterator[str]:
    """The details that images ask for; Gemini has one for all media."""
    for message in objects(body.get("messages")):
        content = message.get("content")
        for part in objects(content) if type(content) is list else ():
            image = part.get("image_url")
            detail = image.get("detail") if isinstance(image, dict) else None
            if detail in ("low", "high", "original"):
                yield detail
