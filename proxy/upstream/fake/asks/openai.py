"""Requests to what OpenAI, Azure and those like them offer beside chat and Responses."""

import re
from collections.abc import Iterator
from typing import Any, Final

from proxy.upstream.fake.ask import (
    Ask,
    JSONObject,
    Refused,
    Request,
    child,
    count_of,
    decode_object,
    names,
    rows,
    strings,
)
from proxy.upstream.fake.forms import File, decode_form

SPEECH_FORMATS: Final = ("mp3", "opus", "aac", "flac", "wav", "pcm")
TEXT_FORMATS: Final = ("json", "text", "srt", "verbose_json", "vtt")
FORBIDDEN = "forbidden"
"""The word in a prompt that the filters for pictures do not let pass."""

_COMPLETION_TOKENS = 16  # OpenAI's default
_INPUTS_MAX = 2048
_SPEECH_CHARS_MAX = 4096
_IMAGES_MAX = 10
_IMAGE: Final = names(
    "model prompt n size quality background moderation output_format output_compression"
    " partial_images stream user image mask input_fidelity"
)
_DALL_E: Final = names("model prompt n size quality response_format style user image mask")


def opened(request: Request, operation: str) -> JSONObject:
    """The body of `request` with its model, which the path of an Azure deployment names.

    Raises Refused in OpenAI's or Azure's words.
    """
    body = decode_object(request.body, "We could not parse the JSON body of your request.")
    return _named(request, operation, body)


def _opened_form(request: Request, operation: str) -> tuple[JSONObject, tuple[File, ...]]:
    form = decode_form(request)
    return _named(request, operation, form.fields), form.files


def _named(request: Request, operation: str, body: JSONObject) -> JSONObject:
    deployment = re.search(rf"/openai/deployments/(.+)/{operation}$", request.path)
    if deployment and "api-version=" not in request.query:
        raise Refused("Resource not found", kind="unknown-model")
    model = deployment[1] if deployment else body.get("model")
    if not isinstance(model, str) or not model:
        raise Refused("you must provide a model parameter")
    return body | {"model": model}


def _missing(name: str) -> Refused:
    message = f"Missing required parameter: '{name}'."
    return Refused(message, code="missing_required_parameter")


def texts_of(given: Any, name: str) -> tuple[str, ...]:
    """Each of the inputs in `given` as a text: a text, a list of them, tokens or lists of tokens,
    whose texts have a word for each token. Raises Refused where there is none.
    """
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, list) or not given:
        raise _missing(name)
    if all(count_of(token) is not None for token in given):
        given = [given]
    texts = tuple(_text(one) for one in given)
    if len(texts) > _INPUTS_MAX or not all(texts):
        raise Refused(f"'$.{name}' is invalid. Please check the API reference.")
    return texts


def _text(one: Any) -> str:
    if isinstance(one, list):
        return " ".join(str(token) for token in one)
    return one if isinstance(one, str) else ""


def decode_completion(request: Request) -> Ask:
    """What a request for a completion asks. Raises Refused in OpenAI's words."""
    body = opened(request, "completions")
    prompts = texts_of(body.get("prompt", "<|endoftext|>"), "prompt")
    if "messages" in body:
        raise Refused("Unrecognized request argument supplied: messages")
    limit = count_of(body.get("max_tokens"))
    return Ask(
        model=body["model"],
        task="completion",
        body=body | {"prompts": prompts},
        stream=body.get("stream") is True,
        choices=len(prompts) * (count_of(body.get("n")) or 1),
        tokens_max=_COMPLETION_TOKENS if limit is None else limit,
        texts=(*prompts, *strings(body.get("suffix"))),
        said=prompts[-1],
        stop=strings(body.get("stop")),
    )


def decode_embeddings(request: Request) -> Ask:
    """What a request for embeddings asks. Raises Refused in OpenAI's words."""
    body = opened(request, "embeddings")
    packing = body.get("encoding_format", "base64_int8" if "pplx" in body["model"] else "float")
    if packing not in ("float", "base64", "base64_int8"):
        raise Refused(f"Invalid value: '{packing}'. Supported values are: 'float' and 'base64'.")
    dimensions = body.get("dimensions", body.get("output_dimension", 1))
    if (count_of(dimensions) or 0) < 1:
        raise Refused("'dimensions' must be a whole number above 0.")
    texts = texts_of(body.get("input"), "input")
    body = body | {"encoding_format": packing}
    return Ask(model=body["model"], task="embeddings", body=body, texts=texts)


def decode_rerank(request: Request) -> Ask:
    """What a request to rank documents asks: the query is the first text, they are the others."""
    body = opened(request, "rerank")
    query = body.get("query")
    if not isinstance(query, str) or not query:
        raise _missing("query")
    return Ask(
        model=body["model"],
        task="rerank",
        body=body | {"voyage": "voyage" in request.path + body["model"] or "top_k" in body},
        texts=(query, *documents_of(body.get("documents"))),
    )


def documents_of(given: Any) -> Iterator[str]:
    """The texts of documents, which are texts or objects with one. Raises Refused without any."""
    if not isinstance(given, list) or not given:
        raise Refused("documents: list of documents must not be empty")
    for document in given:
        text = document.get("text") if isinstance(document, dict) else document
        yield text if isinstance(text, str) else str(document)


def decode_image(request: Request) -> Ask:
    """What a request for pictures asks: to make some, or to change those that it has, in a form or
    (xAI) in its JSON.
    """
    files: tuple[File, ...] = ()
    if "multipart" in request.headers.get("content-type", ""):
        body, files = _opened_form(request, "images/edits")
    else:
        body = opened(request, "images(?:/edits|/generations)")
    shown = [file for file in files if file.field == "image"] or _shown(body)
    if request.path.endswith("/edits") and not shown:
        raise _missing("image")
    older, known = "dall-e" in body["model"], _IMAGE if "gpt-image" in body["model"] else None
    for key in body:
        if key not in (_DALL_E if older else known or body):
            raise Refused(f"Unknown parameter: '{key}'.", code="unknown_parameter")
    prompt, count = body.get("prompt"), _number(body.get("n", 1))
    if not isinstance(prompt, str) or not prompt:
        raise _missing("prompt")
    if not 1 <= count <= _IMAGES_MAX:
        raise Refused("Invalid 'n': integer out of range.", code="integer_out_of_range")
    if FORBIDDEN in prompt.lower():
        raise Refused("", kind="moderated")
    return Ask(
        model=body["model"],
        task="image",
        body=body | {"n": count, "edits": request.path.endswith("/edits"), "older": older},
        stream=not older and body.get("stream") in (True, "true"),
        texts=(prompt,),
        said=prompt,
        attachments=("image",) * len(shown),
    )


def _shown(body: JSONObject) -> list[Any]:
    """The pictures in JSON: of xAI, of DeepInfra and of Together."""
    alone = (body.get(name) for name in ("image", "image_url"))
    several = (rows(body.get(name)) for name in ("images", "input_references"))
    return [*(one for one in alone if one), *(one for found in several for one in found)]


def _number(value: Any) -> int:
    """A whole number as JSON has it, or a form; 0 where it is none."""
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    return count_of(value) or 0


def decode_speech(request: Request) -> Ask:
    """What a request to speak asks. Its answer always comes piece by piece."""
    body = opened(request, "audio/speech")
    said, wanted = body.get("input"), body.get("response_format", "mp3")
    if not isinstance(said, str) or not said:
        raise _missing("input")
    if not isinstance(body.get("voice"), (str, dict)):
        raise _missing("voice")
    if len(said) > _SPEECH_CHARS_MAX:
        raise Refused("String should have at most 4096 characters", code="string_too_long")
    if wanted not in SPEECH_FORMATS:
        raise Refused(_unsupported(wanted, SPEECH_FORMATS))
    body = body | {"response_format": wanted}
    return Ask(model=body["model"], task="speech", body=body, stream=True, texts=(said,), said=said)


def decode_transcription(request: Request) -> Ask:
    """What a request to write down a recording asks. The recording itself is in `body`."""
    body, files = _opened_form(request, "audio/transcriptions")
    recording = next((file.data for file in files if file.field == "file"), b"")
    if not recording:
        raise _missing("file")
    newer, wanted = "whisper" not in body["model"], body.get("response_format", "json")
    if wanted not in (TEXT_FORMATS[:2] if newer else TEXT_FORMATS):
        raise Refused(_unsupported(wanted, TEXT_FORMATS), code="unsupported_value")
    return Ask(
        model=body["model"],
        task="transcription",
        body=body | {"recording": recording, "newer": newer, "response_format": wanted},
        stream=newer and body.get("stream") == "true",
        texts=strings(body.get("prompt")),
    )


def _unsupported(value: Any, known: tuple[str, ...]) -> str:
    listed = ", ".join(f"'{name}'" for name in known)
    return f"Invalid value: '{value}'. Supported values are: {listed}."


def option(body: JSONObject, place: str, name: str) -> bool:
    """Whether an option inside an object of `body` is switched on."""
    return child(body, place).get(name) is True
