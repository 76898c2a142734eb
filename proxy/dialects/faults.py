"""What providers answer when something is wrong, in whatever form, as one GatewayError.

They agree on nothing: an `error` object or string, a flat object, `detail` as text or as a list,
a list around it all, a header, HTML. What they say is shown to the caller, without anything that
looks like a credential or names an organisation, except where it is about our own key.
"""

import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final

import orjson

from proxy.errors import GatewayError
from proxy.wire.events import Failed
from proxy.wire.spellings import anyhow

RAW_CHARS_MAX = 2000
MESSAGE_CHARS_MAX = 500

# It begins a word, or follows an escape of JSON text, whose last letter would hide that.
_SECRET = re.compile(
    r"(?:(?<![A-Za-z0-9])|(?<=\\[nrtbf])|(?<=\\u[0-9A-Fa-f]{4}))"
    r"(?:Bearer\s+\S+|(?:sk|pk|rk|gsk|xai|csk|hf|nvapi|pplx|tgp|fw|key|org|proj|user|team|req)"
    r"[-_][A-Za-z0-9*_.-]{6,}"
    r"|A[KS]IA[A-Z0-9]{12,}|AIza[\w-]{20,}|ya29\.[\w.-]+|eyJ[\w-]+\.[\w-]+\.[\w-]*"
    r"|(?:IQoJ|FwoG)[\w/+=\\%-]{20,}|arn:aws[\w-]*:[\w:./-]+|projects/[\w.:-]+)"
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
# Our key, or our account, in a 400: only where the message begins with it. What stands further in
# may be the caller's own words, and it must not be in a caller's power to have our keys rest.
_OURS = re.compile(
    r"(?i)\W*(?:(?:incorrect|invalid|wrong|missing|bad)\s+(?:x-)?api[\s_-]?key"
    r"|api key (?:not|expired)|your credit balance is too low"
    r"|you have reached your specified (?:\w+ ){0,2}usage limits"
    r"|(?:this|your) organization has been disabled)"
)

# Bedrock's 400 for a model that is not in its region, or there only behind a profile.
_LACKING = re.compile(
    r"(?i)the provided model identifier is invalid|invocation of model id \S+ with on-demand"
)

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
_BY_WORDS: Final = (
    (
        "provider_context_length",
        re.compile(
            r"(?i)context_length_exceeded|context.?(length|window|limit)|prompt is too long"
            r"|too many (input )?tokens|input.{0,40}too long|token count.{0,40}exceeds"
        ),
    ),
    (
        "provider_moderated",
        re.compile(
            r"(?i)content_(policy_violation|filter)|content (management )?policy"
            r"|moderation_blocked"
        ),
    ),
)
"""Refusals that clients act on, by what providers write."""

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
        text = re.sub(anyhow(secret), "[hidden]", text)
    text = _URL.sub(_shown, text)
    for host in filter(None, hosts):
        text = re.sub(rf"(?i)(?<![\w-]){re.escape(host)}(?![\w-])", "[hidden]", text)
    return _CONTROL.sub(" ", _SECRET.sub("[hidden]", text))[:chars_max]


def _shown(url: re.Match[str]) -> str:
    private = url["user"] or _PRIVATE_HOST.fullmatch(url["host"].rstrip("."))
    return "[hidden]" if private else url[0]


def decode_refusal(status: int, body: bytes, headers: Mapping[str, str]) -> Failed:
    """A provider's refusal, whatever its form. `headers` are those of its answer, which tell how
    long to wait and, at AWS, what happened.
    """
    text = body.decode("utf-8", "replace")
    said = _decoded(text)
    kind = headers.get("x-amzn-errortype", "").partition(":")[0]
    return Failed(
        status=status,
        message=_message(said, text),
        code=kind or _code(said),
        raw=text,
        retry_after=headers.get("Retry-After") or _retry_delay(said),
    )


def provider_error(
    failed: Failed, *, provider: str, secrets: Iterable[str] = (), hosts: Iterable[str] = ()
) -> GatewayError:
    """A refusal, or a failure inside an answer, which without a status counts as a 502. `provider`
    is its display name, `secrets` our keys at it, `hosts` where we reach it.
    """
    status = failed.status or 502
    metadata: dict[str, Any] = {"provider_name": provider, "is_byok": False}
    if status in (401, 402, 403) or (status == 400 and _OURS.match(failed.message)):
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
    if failed.retry_after is not None and re.fullmatch(r"\d{1,6}", failed.retry_after.strip()):
        headers["Retry-After"] = failed.retry_after.strip()
    if not said.startswith("Provider returned error"):  # OpenRouter's own words, as a provider
        said = f"Provider returned error: {said}" if said else "Provider returned error"
    return GatewayError(
        _kind(status, failed),
        said,
        status=status if status in _PASSED_ON else None,
        metadata=metadata,
        headers=headers,
    )


def _kind(status: int, failed: Failed) -> str:
    if status == 400 and (_LACKING.match(failed.message) or failed.code == "model_not_found"):
        return "provider_lacks_model"
    if status in (400, 413, 422):
        text = f"{failed.code} {failed.message}"
        found = (kind for kind, words in _BY_WORDS if words.search(text))
        return next(found, "provider_rejected")
    default = "provider_rejected" if 400 <= status < 500 else "provider_unavailable"
    return _BY_STATUS.get(status, default)


def _decoded(text: str) -> Any:
    """The JSON in a refusal; None where it is none."""
    try:
        body = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return body[0] if isinstance(body, list) and body else body  # Google wraps it in a list


def _message(body: Any, text: str) -> str:
    """What a provider says went wrong."""
    if body is None:
        title = re.search(r"(?is)<title>(.*?)</title>", text)
        return (title.group(1) if title else text).strip()
    return (isinstance(body, dict) and text_of(body.get("error"))) or text_of(body)


def _code(body: Any) -> str | None:
    """Its own code for it: a word before a number."""
    error = body.get("error") if isinstance(body, dict) else None
    found = error if isinstance(error, dict) else body
    if not isinstance(found, dict):
        return None
    said = [found.get(name) for name in ("code", "status", "type", "reason")]
    words = [value for value in said if isinstance(value, str) and value]
    return next(iter(words), None) or word_of(found.get("code"))


def _retry_delay(body: Any) -> str | None:
    """How long Google's `RetryInfo` says to wait, in whole seconds, upwards."""
    error = body.get("error") if isinstance(body, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str) and (found := re.fullmatch(r"(\d{1,6})(\.\d+)?s", delay)):
            return str(int(found[1]) + (found[2] is not None))
    return None


def word_of(said: object) -> str | None:
    """A code as text, if it is one."""
    return str(said) if isinstance(said, str | int) else None


def text_of(said: object, depth_max: int = 4) -> str:
    """The text in whatever a provider said, however it wrapped it."""
    if isinstance(said, str):
        return said
    if depth_max and isinstance(said, list):  # Mistral: one entry for each thing wrong
        return "; ".join(filter(None, (text_of(entry, depth_max - 1) for entry in said)))
    if depth_max and isinstance(said, dict):
        place = said.get("loc")
        where = ".".join(filter(None, map(word_of, place))) if isinstance(place, list) else ""
        told = said.get("msg") or said.get("message") or said.get("detail")
        text = text_of(told, depth_max - 1)
        return f"{where}: {text}" if where else text
    return ""
