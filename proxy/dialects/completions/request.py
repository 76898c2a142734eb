"""Text completions, the request: from callers, and to providers of dialect `openai` that have them.

A request is kept twice: as a chat of one user's message, for whoever knows nothing else, and in its
own form (`Ask.native`). OpenRouter's API reference has no page for it; the fields are OpenAI's
("Create completion") and those of OpenRouter's chat.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from proxy.dialects.asking import Encoded, Target, encode_json, inexpressible
from proxy.dialects.bodies import decode_object
from proxy.dialects.chat.fields import CHOICES_MAX, fitted
from proxy.dialects.chat.request import ask_of
from proxy.errors import GatewayError
from proxy.providers import Provider
from proxy.wire.events import Usage
from proxy.wire.request import Ask
from proxy.wire.tokens import BYTES_PER_TOKEN

PROMPTS_MAX: Final = 2048  # choices of one request in all; OpenAI's limit on inputs of embeddings
MAX_TOKENS: Final = 16  # OpenAI's default, which is said where what is held depends on it

_OWN: Final = ("prompt", "suffix", "echo", "best_of", "logprobs")
_CHATS: Final = ("messages", "tools", "functions", "modalities", "audio")
_UNSAID: Final = (
    "messages", "logprobs", "top_logprobs", "max_completion_tokens", "reasoning_effort",
    "cache_control",
)  # fmt: skip
"""What of the chat form has other words here, or none."""


class _Fields(msgspec.Struct):
    """What only a text completion has, for its types."""

    suffix: str | None = None
    echo: bool | None = None
    best_of: int | None = None
    logprobs: int | None = None
    n: int | None = None
    max_tokens: int | None = None
    stream: bool | None = None


def decode_request(body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> Ask:
    """What the caller asks for. `headers` are those of its request, names in lower case.

    Raises GatewayError `invalid_request` or `not_supported`, each naming the field.
    """
    fields = decode_object(body)
    known = fitted(fields, _Fields)
    prompts = _prompts(fields.get("prompt"))
    _check(fields, known, len(prompts))
    ask = ask_of(_chat(fields, known, prompts), len(body), headers)
    native = _native(fields, known, ask, prompts)
    several = (known.best_of or 0) > (known.n or 1)
    return replace(
        ask,
        choices=ask.choices * len(prompts),
        max_tokens=native.get("max_tokens"),
        task="completion",
        words="completions",
        native=native,
        most=_most(ask, native, len(prompts)) if several else None,
    )


def _prompts(prompt: Any) -> list[str | list[int]]:
    """Each prompt for itself; tokens are numbers. Raises GatewayError."""
    if prompt is None:
        raise GatewayError("invalid_request", "prompt: required")
    if isinstance(prompt, str):
        return [prompt]
    if prompt == [] or (isinstance(prompt, list) and [] in prompt):
        raise GatewayError("invalid_request", "prompt: must not be empty")
    if isinstance(prompt, list):
        if all(isinstance(one, str) for one in prompt):
            return prompt
        lists: list[Any] = prompt if isinstance(prompt[0], list) else [prompt]
        if all(_are_tokens(one) for one in lists):
            return lists
    expected = "a text, a list of texts, a list of tokens or a list of such lists"
    raise GatewayError("invalid_request", f"prompt: expected {expected}")


def _are_tokens(value: Any) -> bool:
    return isinstance(value, list) and all(type(one) is int and one >= 0 for one in value)


def _check(fields: dict[str, Any], known: _Fields, prompts: int) -> None:
    for name in _CHATS:
        if fields.get(name):
            raise GatewayError("invalid_request", f"{name}: only /chat/completions has it")
    bounds = (("best_of", known.best_of, 20), ("logprobs", known.logprobs, 20))
    for name, value, high in bounds:
        low = 1 if name == "best_of" else 0
        if value is not None and not low <= value <= high:
            raise GatewayError("invalid_request", f"{name}: must be between {low} and {high}")
    choices = known.n or 1
    if known.best_of is not None and known.best_of < choices:
        raise GatewayError("invalid_request", "best_of: must not be less than n")
    if known.stream and (known.best_of or 1) > choices:
        raise GatewayError("invalid_request", "best_of: the best can not be known while it streams")
    if known.max_tokens == 0 and not _weighs(fields, known):
        # Nothing would come, which nobody pays for.
        raise GatewayError("invalid_request", "max_tokens: 0 is for an echo with its logprobs")
    if 0 < choices <= CHOICES_MAX and choices * prompts > PROMPTS_MAX:
        raise GatewayError("invalid_request", f"prompt: at most {PROMPTS_MAX} choices in all")


def _weighs(fields: dict[str, Any], known: _Fields) -> bool:
    return known.echo is True and (known.logprobs is not None or _are_told(fields["prompt"]))


def _are_told(prompt: Any) -> bool:
    """Whether a prompt, which was checked, is told as tokens."""
    return isinstance(prompt, list) and not isinstance(prompt[0], str)


def _chat(fields: dict[str, Any], known: _Fields, prompts: list[str | list[int]]) -> dict[str, Any]:
    """The same as a chat; what has no text there stands in for its size."""
    texts = [one if isinstance(one, str) else "." * BYTES_PER_TOKEN * len(one) for one in prompts]
    chat = {name: value for name, value in fields.items() if name not in _OWN}
    if known.max_tokens == 0:
        del chat["max_tokens"]
    if known.logprobs is not None:
        chat["logprobs"] = True
        if known.logprobs:
            chat["top_logprobs"] = known.logprobs
    return chat | {"messages": [{"role": "user", "content": text} for text in texts]}


def _native(
    fields: dict[str, Any], known: _Fields, ask: Ask, prompts: list[str | list[int]]
) -> dict[str, Any]:
    """The request in its own form, without what is the gateway's."""
    prompt = prompts[0] if len(prompts) == 1 else prompts
    native: dict[str, Any] = {"prompt": prompt}
    native |= {name: value for name, value in ask.body.items() if name not in _UNSAID}
    native |= {name: fields[name] for name in _OWN[1:] if fields.get(name) is not None}
    limit = 0 if known.max_tokens == 0 else ask.max_tokens
    if limit is None and (known.best_of or 0) > (known.n or 1):
        limit = MAX_TOKENS
    return native if limit is None else native | {"max_tokens": limit}


def _most(ask: Ask, native: dict[str, Any], prompts: int) -> Usage:
    """What it can use where more is made than is shown."""
    made = native["max_tokens"] * native["best_of"] * prompts
    return Usage(prompt_tokens=ask.text_bytes, completion_tokens=made)


def echoes(ask: Ask) -> bool:
    """Whether the gateway shows the prompt before the answer. Only the provider knows the text of
    tokens, and how likely the prompt was.
    """
    native = ask.native or {}
    return native.get("echo") is True and bool(texts_of(ask)) and "logprobs" not in native


def texts_of(ask: Ask) -> list[str]:
    """The prompts, where they are texts."""
    prompt = (ask.native or {})["prompt"]
    if isinstance(prompt, str):
        return [prompt]
    return [one for one in prompt if isinstance(one, str)]


def check_chat(ask: Ask, provider: Provider) -> None:
    """Raises GatewayError `provider_unfit` for what can not be asked of a model that only chats."""
    native = ask.native or {}
    prompt = native.get("prompt")
    unsayable = (
        ("a suffix", "suffix" in native),
        ("tokens for a text", _are_told(prompt)),
        ("several prompts at once", isinstance(prompt, list)),
        ("a prompt to weigh", native.get("echo") is True and not echoes(ask)),
    )
    for what, wanted in unsayable:
        if wanted:
            raise inexpressible(provider, what)


def encode_request(ask: Ask, target: Target) -> Encoded:
    """The request as this provider takes it.

    Raises GatewayError `provider_unfit` for a suffix or a list of prompts that it does not take.
    """
    provider, quirks = target.provider, target.provider.quirks
    native = ask.native or {}
    if "suffix" in native and not quirks.suffix:
        raise inexpressible(provider, "a suffix")
    if isinstance(native["prompt"], list) and not quirks.prompt_lists:
        raise inexpressible(provider, "several prompts, or tokens for a text")
    body = {"model": target.model} | native
    if echoes(ask):
        del body["echo"]
    if quirks.seed != "seed" and "seed" in body:
        body[quirks.seed] = body.pop("seed")
    if quirks.reasoning_control == "object" and ask.thinking is not None:
        body["reasoning"] = ask.thinking.wish
    if target.tier is not None:
        body["service_tier"] = target.tier
    for name in quirks.omits:
        body.pop(name, None)
    if ask.stream:
        body["stream"] = True
        if quirks.usage_option:
            body["stream_options"] = {"include_usage": True}
    return Encoded(encode_json(body))
