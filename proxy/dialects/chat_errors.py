"""Errors of chat completions: what providers answer, and OpenRouter's envelope for callers.

Providers of dialect `openai` agree on nothing here: an `error` object, an `error` string, a flat
object, `detail` as text or as a list, HTML. All become one GatewayError. What they say is shown to
the caller, without anything that looks like a credential, except where it is about our own key.
"""

import re
from collections.abc import Iterable
from functools import partial
from typing import Any

import orjson

from proxy.dialects.compat import objects
from proxy.errors import GatewayError
from proxy.wire.events import Failed
from proxy.wire.request import Head

RAW_CHARS_MAX = 2000
MESSAGE_CHARS_MAX = 500

# It begins a word, or follows an escape of JSON text, whose last letter would hide that.
_SECRET = re.compile(
    r"(?:(?<![A-Za-z0-9])|(?<=\\[nrtbf])|(?<=\\u[0-9A-Fa-f]{4}))"
    r"(?:Bearer\s+\S+|(?:sk|pk|rk|gsk|xai|csk|hf|nvapi|pplx|tgp|fw|key|org|proj|user|team|req)"
    r"[-_][A-Za-z0-9*_.-]{6,})"
)
_URL = re.compile(
    r"(?i)https?:\\?/\\?/(?P<user>[^\s/\\?#@\"'<>]*@)?"
    r"(?P<host>\[[^\[\]\s/]*\]|\w[^\s/\\?#:\"'<>()\[\]{},;`]*)(?::\d+)?"
    r"(?:[/?#\\](?:(?!https?:)[^\s\"'<>`])*)?"
)
# A host without a dot, an IP address in whatever writing, or a name that only a private net knows.
_PRIVATE_HOST = re.compile(
    r"(?i)[^.]*|\[.*|(?:.*\.)?(?:\d+|0x[0-9a-f]*|internal|local|localhost|svc)"
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u2028\u2029]")
_BAD_KEY = re.compile(r"(?i)(incorrect|invalid|wrong|missing|bad)\s+(x-)?api[\s_-]?key|api key not")

_BY_STATUS = {
    401: "provider_credential",
    402: "provider_credential",
    403: "provider_credential",
    404: "provider_lacks_model",
    408: "provider_timeout",
    429: "provider_rate_limited",
    503: "provider_overloaded",
    504: "provider_timeout",
    524: "provider_timeout",
    529: "provider_overloaded",
}
_PASSED_ON = (413, 422)  # statuses that tell the caller more than 400


def scrub(
    text: str,
    *,
    secrets: Iterable[str] = (),
    hosts: Iterable[str] = (),
    chars_max: int = RAW_CHARS_MAX,
) -> str:
    """A provider's text as a caller may see it: no secret, no address of `hosts` or of a private
    net, no control character, no novel.
    """
    for secret in filter(None, secrets):
        text = text.replace(secret, "[hidden]")
    text = _URL.sub(_shown, text)
    for host in filter(None, hosts):
        text = re.sub(rf"(?i)(?<![\w-]){re.escape(host)}(?![\w-])", "[hidden]", text)
    return _CONTROL.sub(" ", _SECRET.sub("[hidden]", text))[:chars_max]


def _shown(url: re.Match[str]) -> str:
    private = url["user"] or _PRIVATE_HOST.fullmatch(url["host"].rstrip("."))
    return "[hidden]" if private else url[0]


def decode_error(
    status: int,
    body: bytes,
    *,
    provider: str,
    secrets: Iterable[str] = (),
    hosts: Iterable[str] = (),
    retry_after: str | None = None,
) -> GatewayError:
    """A provider's refusal as ours; `provider` is its display name, `secrets` our keys at it,
    `hosts` where we reach it.
    """
    text = body.decode("utf-8", "replace")
    message, code = _message(text)
    return provider_error(
        Failed(status=status, message=message, code=code, raw=text),
        provider=provider,
        secrets=secrets,
        hosts=hosts,
        retry_after=retry_after,
    )


def provider_error(
    failed: Failed,
    *,
    provider: str,
    secrets: Iterable[str] = (),
    hosts: Iterable[str] = (),
    retry_after: str | None = None,
) -> GatewayError:
    """The same for a failure inside an answer; without a status it counts as a 502."""
    status = failed.status or 502
    metadata: dict[str, Any] = {"provider_name": provider, "is_byok": False}
    if status in (401, 402, 403) or (status == 400 and _BAD_KEY.search(failed.message)):
        # The text is about our key, or has parts of it: nobody's business but the operator's, who
        # finds the provider and its status in the log.
        return GatewayError(
            "provider_credential",
            f"Provider returned error: {provider} refused the gateway's credentials",
            metadata=metadata,
        )
    shown = partial(scrub, secrets=tuple(secrets), hosts=tuple(hosts))
    metadata["raw"] = shown(failed.raw or failed.message)
    if failed.code:
        metadata["provider_code"] = shown(failed.code, chars_max=100)
    said = shown(failed.message, chars_max=MESSAGE_CHARS_MAX).strip()
    if 300 <= status < 400:
        said = f"it redirected the request (status {status}), which is not followed"
    headers = {}
    if retry_after is not None and re.fullmatch(r"\d{1,6}", retry_after.strip()):
        headers["Retry-After"] = retry_after.strip()
    if 400 <= status < 500:
        kind = _BY_STATUS.get(status, "provider_rejected")
    else:
        kind = _BY_STATUS.get(status, "provider_unavailable")
    if not said.startswith("Provider returned error"):  # OpenRouter's own words, as a provider
        said = f"Provider returned error: {said}" if said else "Provider returned error"
    return GatewayError(
        kind,
        said,
        status=status if status in _PASSED_ON else None,
        metadata=metadata,
        headers=headers,
    )


def failure(chunk: dict[str, Any]) -> Failed | None:
    """The error in a chunk or an answer that came with a status of success, if there is one.

    It may stand at the top (OpenAI, Groq, OpenRouter) or in a choice (OpenRouter's older form).
    """
    error = chunk.get("error")
    if not error:
        nested = (choice.get("error") for choice in objects(chunk.get("choices")))
        error = next((e for e in nested if e), None)
    if not error:
        return None
    try:
        raw = orjson.dumps(error).decode()  # never what else stands there: the answer
    except orjson.JSONEncodeError:  # too deep
        raw = ""
    if not isinstance(error, dict):
        return Failed(None, _text(error), None, raw)
    code = error.get("code")
    status = next(
        (s for s in (error.get("status_code"), code) if isinstance(s, int) and 400 <= s < 600), None
    )
    return Failed(status, _text(error), _word(code), raw)


def _message(text: str) -> tuple[str, str | None]:
    """What a provider says went wrong, and its code for it."""
    try:
        body = orjson.loads(text)
    except orjson.JSONDecodeError:
        title = re.search(r"(?is)<title>(.*?)</title>", text)
        return (title.group(1) if title else text).strip(), None
    if isinstance(body, list) and body:  # Google's compatible endpoint wraps its errors in a list
        body = body[0]
    if not isinstance(body, dict):
        return _text(body), None
    error = body.get("error")
    found = error if isinstance(error, dict) else body
    codes = (_word(found.get(name)) for name in ("code", "type", "reason"))
    return _text(error) or _text(body), next(filter(None, codes), None)


def _word(said: object) -> str | None:
    return str(said) if isinstance(said, str | int) else None


def _text(said: object, depth_max: int = 4) -> str:
    if isinstance(said, str):
        return said
    if depth_max and isinstance(said, list):  # Mistral: one entry for each thing wrong
        return "; ".join(filter(None, (_text(entry, depth_max - 1) for entry in said)))
    if depth_max and isinstance(said, dict):
        place = said.get("loc")
        where = ".".join(filter(None, map(_word, place))) if isinstance(place, list) else ""
        told = said.get("msg") or said.get("message") or said.get("detail")
        text = _text(told, depth_max - 1)
        return f"{where}: {text}" if where else text
    return ""


def envelope(error: GatewayError) -> dict[str, Any]:
    """OpenRouter's error object; `error_type` is always there for clients that switch on it."""
    metadata = {**error.metadata, "error_type": error.error_type}
    return {"error": {"message": error.message, "code": error.status, "metadata": metadata}}


def encode_error(error: GatewayError) -> bytes:
    """The body of an answer that failed before anything of it was sent."""
    return orjson.dumps(envelope(error), default=str)


def encode_failed_event(error: GatewayError, head: Head) -> dict[str, Any]:
    """The event that ends a stream which failed after its head was sent (contract, 2.4)."""
    delta = {"content": "", "role": "assistant"}
    choice = {
        "index": 0,
        "delta": delta,
        "finish_reason": "error",
        "native_finish_reason": None,
    }
    return {
        "id": head.id,
        "object": "chat.completion.chunk",
        "created": head.created,
        "model": head.model,
        "provider": head.provider,
        **envelope(error),
        "choices": [choice],
    }
