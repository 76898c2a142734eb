"""Requests to OpenAI's Responses API, refused in its own words where it would refuse them."""

from collections.abc import Iterable, Iterator
from itertools import takewhile
from typing import Any, Final

from proxy.upstream.fake.ask import (
    Ask,
    Function,
    JSONObject,
    Refused,
    Request,
    child,
    count_of,
    decode_object,
    names,
    rows,
)
from proxy.upstream.fake.seals import Seal

_KEYS: Final = names(
    "model input instructions max_output_tokens max_tool_calls tools tool_choice text reasoning"
    " include store stream stream_options parallel_tool_calls temperature top_p top_logprobs"
    " truncation metadata user previous_response_id service_tier prompt_cache_key background"
    " moderation safety_identifier prompt_cache_retention prompt_cache_options conversation prompt"
    " verbosity"
)
_PARTS: Final = {
    "assistant": ("output_text", "refusal"),
    "user": ("input_text", "input_image", "input_file", "input_audio"),
}
_KINDS: Final = {"input_image": "image", "input_file": "file", "input_audio": "recording"}
_TOKENS_MIN = 16


def decode_responses(request: Request, seal: Seal) -> Ask:
    """What `request` asks. Raises Refused in OpenAI's words."""
    body = decode_object(request.body, "We could not parse the JSON body of your request.")
    for key in body:
        if key not in _KEYS:
            raise Refused(f"Unknown parameter: '{key}'.", code="unknown_parameter")
    model, given = body.get("model"), body.get("input")
    if not isinstance(model, str):
        raise Refused("Missing required parameter: 'model'.", code="missing_required_parameter")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else rows(given)
    if not items:
        raise Refused("Missing required parameter: 'input'.", code="missing_required_parameter")
    limit = count_of(body.get("max_output_tokens"))
    if limit is not None and limit < _TOKENS_MIN:
        raise Refused(
            "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but"
            f" got {limit} instead.",
            code="integer_below_min_value",
        )
    _check_parts(items)
    if body.get("previous_response_id") is None:
        _check_calls(items)
    _check_thoughts(items, seal)
    choice, named = _choice(body.get("tool_choice"))
    wanted = child(child(body, "text"), "format")
    structured = wanted.get("type") in ("json_schema", "json_object")
    instructions = body.get("instructions")
    users = [_text(item) for item in items if item.get("role") == "user"]
    return Ask(
        model=model,
        body=body,
        stream=body.get("stream") is True,
        tokens_max=limit,
        texts=(*([instructions] if isinstance(instructions, str) else []), *map(_text, items)),
        said=next((text for text in reversed(users) if text), ""),
        results=_results(items),
        attachments=tuple(_attachments(items)),
        functions=tuple(_functions(body.get("tools"))),
        choice=choice,
        named=named,
        parallel=body.get("parallel_tool_calls") is not False,
        structured=structured,
        schema=wanted.get("schema"),
        thinks="reason" in model and child(body, "reasoning").get("effort") != "none",
    )


def _check_parts(items: list[JSONObject]) -> None:
    for at, item in enumerate(items):
        kind = "assistant" if item.get("role") == "assistant" else "user"
        for number, part in enumerate(rows(item.get("content"))):
            if "role" in item and part.get("type") not in _PARTS[kind]:
                known = " and ".join(f"'{name}'" for name in _PARTS[kind])
                raise Refused(
                    f"Invalid value: '{part.get('type')}'. Supported values are: {known}."
                    f" (input[{at}].content[{number}])",
                    code="invalid_value",
                )


def _check_calls(items: list[JSONObject]) -> None:
    calls = _ids(items, "function_call")
    outputs = _ids(items, "function_call_output")
    for call in outputs:
        if call not in calls:
            raise Refused(f"No tool call found for function call output with call_id {call}.")
    for call in calls:
        if call not in outputs:
            raise Refused(f"No tool output found for function call {call}.")


def _ids(items: Iterable[JSONObject], kind: str) -> list[str]:
    return [str(item.get("call_id")) for item in items if item.get("type") == kind]


def _check_thoughts(items: list[JSONObject], seal: Seal) -> None:
    """A thought is unchanged and stands before what came of it, a call of it behind it."""
    thought = ""
    for at, item in enumerate(items):
        kind, name = item.get("type"), str(item.get("id", ""))
        if kind == "reasoning":
            thought = name
            _check_sealed(item, seal)
            following = items[at + 1] if at + 1 < len(items) else {}
            if following.get("type") != "function_call" and following.get("role") != "assistant":
                raise Refused(
                    f"Item '{name}' of type 'reasoning' was provided without its required"
                    " following item."
                )
        elif kind == "function_call" and name.startswith("fc_rs"):
            needed = "rs_" + name[len("fc_rs") : -2]
            if needed != thought:
                raise Refused(
                    f"Item '{name}' of type 'function_call' was provided without its required"
                    f" 'reasoning' item: '{needed}'."
                )
        elif kind != "function_call":
            thought = ""


def _check_sealed(item: JSONObject, seal: Seal) -> None:
    content, name = item.get("encrypted_content"), str(item.get("id", ""))
    if content is None:
        raise Refused(
            f"Item with id '{name}' not found. Items are not persisted when `store` is set to"
            " false. Try again with `store` set to true, or remove this item from your input."
        )
    summary = "".join(str(part.get("text")) for part in rows(item.get("summary")))
    if not seal.holds(content, name, summary):
        raise Refused(
            f"The encrypted content for item {name} could not be verified.",
            code="invalid_encrypted_content",
        )


def _text(item: JSONObject) -> str:
    content = item.get("output" if item.get("type") == "function_call_output" else "content")
    if isinstance(content, str):
        return content
    return "".join(str(part["text"]) for part in rows(content) if "text" in part)


def _results(items: list[JSONObject]) -> str | None:
    found = list(takewhile(lambda i: i.get("type") == "function_call_output", reversed(items)))
    return "; ".join(_text(item) for item in reversed(found)) if found else None


def _attachments(items: list[JSONObject]) -> Iterator[str]:
    for item in items:
        for part in [*rows(item.get("content")), *rows(item.get("output"))]:
            if part.get("type") in _KINDS:
                yield _KINDS[part["type"]]


def _functions(tools: Any) -> Iterator[Function]:
    for at, tool in enumerate(rows(tools)):
        if tool.get("type") != "function":
            continue
        if not isinstance(tool.get("name"), str):
            raise Refused(
                f"Missing required parameter: 'tools[{at}].name'.",
                code="missing_required_parameter",
            )
        yield Function(tool["name"], tool.get("parameters"))


def _choice(choice: Any) -> tuple[str, bool]:
    if isinstance(choice, dict) and choice.get("type") == "function":
        return str(choice.get("name")), True
    return (choice if choice in ("none", "required") else "auto"), False
