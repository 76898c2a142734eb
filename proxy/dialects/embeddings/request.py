"""A caller's request for embeddings, decoded: OpenRouter's and OpenAI's `POST /embeddings`.

In the canonical body `input` is a list of texts, or of lists of tokens. Where an input has media in
it, `messages` stand in its place, one for each input, in the form of a chat: that is where
attachments are fetched and inlined. Contract: `createEmbeddings` in OpenRouter's API description.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, Final, Literal

from proxy.dialects.asked import (
    TOKENS_PER_INPUT_MAX,
    Common,
    decode,
    size_bytes,
    unknown_bytes,
)
from proxy.dialects.attached import mend
from proxy.dialects.chat.fields import wants_routing
from proxy.dialects.forms import Headers
from proxy.dialects.options import options_bytes
from proxy.dialects.parts import media_of, text_in
from proxy.dialects.values import mapping
from proxy.errors import GatewayError
from proxy.wire.events import Usage
from proxy.wire.request import Ask
from proxy.wire.tokens import BYTES_PER_TOKEN, TOKENS_PER_MEDIUM_MAX, likely_tokens

_DIMENSIONS_MAX: Final = 2**20

_Part = dict[str, Any]


class _Fields(Common):
    input: Any = None
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None
    input_type: str | None = None


def decode_request(body: bytes, headers: Headers = ()) -> Ask:
    """What the caller asks for.

    Raises GatewayError `invalid_request`, `invalid_image` or `not_supported`, each naming the
    field.
    """
    travelling, known = decode(body, headers, _Fields)
    if known.dimensions is not None and not 1 <= known.dimensions <= _DIMENSIONS_MAX:
        raise GatewayError(
            "invalid_request", f"dimensions: must be between 1 and {_DIMENSIONS_MAX}"
        )
    more = unknown_bytes(travelling, known) + options_bytes(known.options)
    inputs = _inputs(travelling.pop("input", None))
    contents = [one for one in inputs if isinstance(one, dict)]
    media = _media(contents)
    if media:
        travelling["messages"] = contents
    else:
        inputs = [text_in(one["content"]) if isinstance(one, dict) else one for one in inputs]
        travelling["input"] = inputs
    text_bytes = sum(map(_text_bytes, inputs))
    tokens = sum(len(one) for one in inputs if isinstance(one, list))
    kinds = Counter(part["type"] for part in media)
    heard = kinds["input_audio"]
    room = TOKENS_PER_MEDIUM_MAX * len(media) + TOKENS_PER_INPUT_MAX * len(inputs)
    return Ask(
        models=known.names,
        body=travelling,
        session_id=known.session_id,
        preferences=known.wishes,
        options=known.options,
        media_prompt=len(media) - heard,
        audio_prompt=heard,
        text_bytes=text_bytes + BYTES_PER_TOKEN * tokens,
        task="embeddings",
        told=wants_routing(headers),
        most=Usage(
            prompt_tokens=text_bytes + tokens + room + more,
            prompt_audio_tokens=TOKENS_PER_MEDIUM_MAX * (heard + kinds["video_url"]),
            prompt_image_tokens=TOKENS_PER_MEDIUM_MAX * (len(media) - heard),
            prompt_video_tokens=TOKENS_PER_MEDIUM_MAX * kinds["video_url"],
        ),
        likely=Usage(prompt_tokens=likely_tokens(text_bytes, len(media)) + tokens),
    )


_Input = str | list[int] | dict[str, Any]


def _inputs(said: object) -> list[Any]:
    """The inputs: texts, lists of tokens, or messages; all of one kind."""
    if isinstance(said, str):
        said = [said]
    if not isinstance(said, list) or not said:
        wrong = "input: must not be empty" if said == [] else "input: a text or a list is required"
        raise GatewayError("invalid_request", wrong)
    if _is_token(said[0]):
        return [_tokens(said, "input")]
    read = _READERS.get(type(said[0]))
    if read is None:
        raise GatewayError("invalid_request", "input[0]: must be a text, tokens or an object")
    for number, one in enumerate(said):
        if type(one) is not type(said[0]):
            raise GatewayError("invalid_request", f"input[{number}]: all must be of one kind")
    return [read(one, f"input[{number}]") for number, one in enumerate(said)]


def _is_token(value: object) -> bool:
    return type(value) is int and value >= 0


def _text(said: str, field: str) -> str:
    if not said:
        raise GatewayError("invalid_request", f"{field}: must not be empty")
    return said


def _tokens(said: list[Any], field: str) -> list[int]:
    if not said or not all(map(_is_token, said)):
        raise GatewayError("invalid_request", f"{field}: must be a list of tokens")
    return said


def _message(said: dict[str, Any], field: str) -> dict[str, Any]:
    """An input of several parts, as the message of a chat."""
    content = said.get("content")
    if not isinstance(content, list) or not content:
        raise GatewayError("invalid_request", f"{field}.content: a list is required")
    return {
        "role": "user",
        "content": [_part(one, f"{field}.content[{n}]") for n, one in enumerate(content)],
    }


_READERS: Final[dict[type, Callable[[Any, str], Any]]] = {
    str: _text,
    list: _tokens,
    dict: _message,
}


def _part(said: object, field: str) -> _Part:
    """A part in the words of a chat, which calls videos and files otherwise."""
    part = mapping(said)
    kind = part.get("type")
    told = mapping(part.get(kind)) if isinstance(kind, str) else {}
    data, form = told.get("data"), told.get("format")
    match kind:
        case "text":
            if isinstance(text := part.get("text"), str) and text:
                return {"type": "text", "text": text}
        case "image_url":
            return {"type": kind, "image_url": part.get("image_url")}
        case "input_audio":
            return {"type": kind, "input_audio": dict(told)}
        case "input_video" if isinstance(data, str):
            return {"type": "video_url", "video_url": {"url": _url(data, f"video/{form or 'mp4'}")}}
        case "input_file" if isinstance(data, str):
            name = {"filename": f"file.{form}"} if isinstance(form, str) and form else {}
            url = _url(data, "application/pdf")
            return {"type": "file", "file": {"file_data": url, **name}}
    raise GatewayError("invalid_request", f"{field}: nothing that can be embedded")


def _url(data: str, mime: str) -> str:
    """A URL as it is; else the data of one."""
    head = data[:8].lower()
    located = head.startswith(("data:", "http://", "https://", "gs://", "s3://"))
    return data if located else f"data:{mime};base64,{data}"


def _media(messages: list[dict[str, Any]]) -> list[_Part]:
    """The parts that are no text, their data in its plain form."""
    try:
        mend(messages)
    except GatewayError as error:
        said = error.message.replace("messages[", "input[", 1)
        raise GatewayError(error.kind, said) from None
    media = []
    for number, message in enumerate(messages):
        for place, part in enumerate(message["content"]):
            if part["type"] == "text":
                continue
            if media_of(part) is None:
                field = f"input[{number}].content[{place}]"
                raise GatewayError("invalid_request", f"{field}: there is no data in it")
            media.append(part)
    return media


def _text_bytes(one: _Input) -> int:
    if isinstance(one, dict):
        return size_bytes(text_in(one["content"]))
    return size_bytes(one) if isinstance(one, str) else 0
