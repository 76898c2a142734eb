"""Parameters are said as each provider takes them, by the flags of its row."""

import json
from typing import Any

import msgspec
import pytest

from proxy.dialects.asking import Target
from proxy.dialects.chat.request import decode_request, encode_request
from proxy.errors import GatewayError
from proxy.providers import Provider, Quirks, known

Json = dict[str, Any]

HELLO = {"role": "user", "content": "hello"}
FORCED = {"type": "function", "function": {"name": "f"}}
SCHEMA = {"type": "object"}
FORM = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
OFF, ON = {"type": "disabled"}, {"type": "enabled"}


def sent(provider: Provider, **fields: Any) -> Json:
    """What a provider is sent beside the model, and the messages unless they are others."""
    asked = {"model": "a/b", "messages": [HELLO], **fields}
    ask = decode_request(msgspec.json.encode(asked))
    body: Json = json.loads(encode_request(ask, Target(provider, "m")).body)
    assert body.pop("model") == "m"
    if body["messages"] == [HELLO]:
        del body["messages"]
    return body


def to(**quirks: Any) -> Provider:
    return Provider(slug="p", name="P", base_url="http://p.test", quirks=Quirks(**quirks))


# What the row of every provider makes of an effort: none, minimal and xhigh.
EFFORTS: dict[str, tuple[Json, Json, Json]] = {
    "openai": (
        {"reasoning_effort": "none"},
        {"reasoning_effort": "minimal"},
        {"reasoning_effort": "xhigh"},
    ),
    "mistral": (
        {"reasoning_effort": "none"},
        {"reasoning_effort": "high"},
        {"reasoning_effort": "high"},
    ),
    "deepseek": (
        {"thinking": OFF},
        {"thinking": ON, "reasoning_effort": "minimal"},
        {"thinking": ON, "reasoning_effort": "xhigh"},
    ),
    "moonshotai": (
        {"thinking": OFF},
        {"thinking": ON, "reasoning_effort": "low"},
        {"thinking": ON, "reasoning_effort": "high"},
    ),
    "z-ai": (
        {"thinking": OFF, "reasoning_effort": "none"},
        {"thinking": ON, "reasoning_effort": "minimal"},
        {"thinking": ON, "reasoning_effort": "xhigh"},
    ),
    "meta": (
        {},
        {"reasoning_effort": "minimal"},
        {"reasoning_effort": "xhigh"},
    ),
    "perplexity": (
        {"reasoning_effort": "minimal"},
        {"reasoning_effort": "minimal"},
        {"reasoning_effort": "high"},
    ),
    "fireworks": (
        {"reasoning_effort": "none"},
        {"reasoning_effort": "low"},
        {"reasoning_effort": "xhigh"},
    ),
    "together": (
        {"reasoning": {"enabled": False}},
        {"reasoning": {"enabled": True}, "reasoning_effort": "low"},
        {"reasoning": {"enabled": True}, "reasoning_effort": "high"},
    ),
    "nvidia": (
        {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}},
        {
            "chat_template_kwargs": {"enable_thinking": True, "thinking": True},
            "reasoning_effort": "low",
        },
        {
            "chat_template_kwargs": {"enable_thinking": True, "thinking": True},
            "reasoning_effort": "high",
        },
    ),
    "openrouter": (
        {"reasoning": {"effort": "none"}},
        {"reasoning": {"effort": "minimal"}},
        {"reasoning": {"effort": "xhigh"}},
    ),
    "llamacpp": (
        {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}},
        {"chat_template_kwargs": {"enable_thinking": True, "thinking": True}},
        {"chat_template_kwargs": {"enable_thinking": True, "thinking": True}},
    ),
}
EFFORTS["vllm"] = EFFORTS["nvidia"]
EFFORTS |= dict.fromkeys(
    ("xai", "cerebras", "groq", "deepinfra", "huggingface", "lmstudio"),
    (
        {"reasoning_effort": "none"},
        {"reasoning_effort": "low"},
        {"reasoning_effort": "high"},
    ),
)
EFFORTS["ollama"] = (*EFFORTS["xai"][:2], {"reasoning_effort": "high"})


@pytest.mark.parametrize(("slug", "said"), EFFORTS.items(), ids=EFFORTS)
def test_every_provider_is_told_how_much_to_think(slug: str, said: tuple[Json, ...]) -> None:
    for effort, expected in zip(("none", "minimal", "xhigh"), said, strict=True):
        if (slug, effort) == ("meta", "none"):
            continue  # its models always think
        assert sent(known()[slug], reasoning={"effort": effort}) == expected
        if slug != "openrouter":
            assert sent(known()[slug], reasoning_effort=effort) == expected
    assert sent(known()[slug]) == {}


def test_no_provider_of_the_dialect_is_left_out() -> None:
    spoken = {slug for slug, row in known().items() if row.dialect == "openai"}
    assert EFFORTS.keys() == spoken - {"voyage"}, "which has no model that chats"


def test_without_a_control_an_effort_is_the_callers_own() -> None:
    assert sent(to(), reasoning_effort="low") == {"reasoning_effort": "low"}
    assert sent(to(), reasoning={"effort": "low"}) == {}


def test_the_callers_own_words_for_thinking_hold() -> None:
    own = {"type": "enabled", "clear_thinking": False}
    body = sent(to(reasoning_switch="thinking"), thinking=own, reasoning={"effort": "none"})
    assert body == {"thinking": own}
    body = sent(
        to(reasoning_switch="template"),
        chat_template_kwargs={"thinking": True, "x": 1},
        reasoning={"effort": "none"},
    )
    assert body["chat_template_kwargs"] == {"enable_thinking": False, "thinking": True, "x": 1}
    body = sent(to(reasoning_switch="template"), chat_template_kwargs=7, reasoning_effort="low")
    assert body["chat_template_kwargs"] == {"enable_thinking": True, "thinking": True}


@pytest.mark.parametrize("choice", ["required", "any", FORCED])
@pytest.mark.parametrize("slug", ["deepseek", "moonshotai"])
def test_a_forced_call_is_made_without_thinking(slug: str, choice: object) -> None:
    told = {"tools": [FORCED], "tool_choice": choice}
    assert sent(known()[slug], **told) == told | {"thinking": OFF}
    assert sent(known()[slug], **told, reasoning={"effort": "high"}) == told | {"thinking": OFF}
    free = told | {"tool_choice": "auto"}
    assert sent(known()[slug], **free) == free
    assert sent(known()["z-ai"], **told) == told


# Forms of an answer.


def test_a_schema_is_told_in_words_where_it_can_not_be_sent() -> None:
    body = sent(known()["deepseek"], response_format=FORM)
    assert body["response_format"] == {"type": "json_object"}
    told, hello = body["messages"]
    assert hello == HELLO
    assert told["role"] == "system"
    assert told["content"].endswith('JSON that fits this JSON schema: {"type":"object"}.')
    bare = sent(known()["deepseek"], response_format={"type": "json_schema"})
    assert bare["messages"][0]["content"] == "Answer with nothing but JSON."


@pytest.mark.parametrize("form", [FORM, {"type": "json_object"}, {"type": "text"}])
def test_other_forms_stay_as_they_are(form: Json) -> None:
    assert sent(to(), response_format=form) == {"response_format": form}
    if form != FORM:
        assert sent(to(json_schema=False), response_format=form) == {"response_format": form}


# Names.


def test_a_parameter_has_the_name_that_a_provider_knows() -> None:
    assert sent(known()["mistral"], seed=7) == {"random_seed": 7}
    assert sent(known()["groq"], seed=7) == {"seed": 7}
    assert sent(known()["mistral"], max_completion_tokens=7) == {"max_tokens": 7}


def test_what_a_provider_refuses_is_left_out() -> None:
    asked = {"logit_bias": {"1": 2}, "logprobs": True, "top_logprobs": 2, "temperature": 1}
    assert sent(known()["groq"], **asked) == {"temperature": 1}
    assert sent(to(), **asked) == asked
    assert sent(known()["meta"], tool_choice="required", stop="x", seed=1) == {"seed": 1}


LOGPROBS: list[tuple[str, Json, Json]] = [
    ("together", {"logprobs": True, "top_logprobs": 3}, {"logprobs": 3}),
    ("together", {"logprobs": True}, {"logprobs": 1}),
    ("together", {"logprobs": 2}, {"logprobs": 2}),
    ("together", {"logprobs": False}, {"logprobs": False}),
    ("openai", {"logprobs": 2}, {"logprobs": True, "top_logprobs": 2}),
    ("openai", {"logprobs": 2, "top_logprobs": 1}, {"logprobs": True, "top_logprobs": 1}),
    ("openai", {"logprobs": 0}, {"logprobs": False}),
    ("openai", {"logprobs": True}, {"logprobs": True}),
]


@pytest.mark.parametrize(("slug", "asked", "expected"), LOGPROBS, ids=str)
def test_logprobs_in_each_form(slug: str, asked: Json, expected: Json) -> None:
    assert sent(known()[slug], **asked) == expected


def test_marks_on_tools_stay_where_they_are_understood() -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    marked = tool | {"cache_control": {"type": "ephemeral"}}
    assert sent(to(), tools=[marked, tool])["tools"] == [tool, tool]
    assert sent(to(cache_marks=True), tools=[marked])["tools"] == [marked]


def test_without_tools_there_is_no_choice_among_them() -> None:
    assert sent(to(), tool_choice="auto", parallel_tool_calls=False) == {}
    assert sent(to(), tools=[], tool_choice="none") == {}


def test_what_means_something_to_openrouter_alone_is_left_out() -> None:
    ours = {"structured_outputs": True, "image_config": {"aspect_ratio": "1:1"}}
    assert sent(to(), **ours) == {}
    assert sent(to(reasoning_control="object"), **ours) == ours
    choice = {"structured_outputs": {"choice": ["a", "b"]}}
    assert sent(to(), **choice) == choice, "vLLM's own"


@pytest.mark.parametrize(
    ("levels", "effort", "said"),
    [
        ({"m": ("low", "high")}, "minimal", "low"),
        ({"x": ("low", "high")}, "minimal", "minimal"),
        ({"m": ("none", "high")}, "minimal", "high"),
        ({"m": ("none",)}, "none", "none"),
        ({"m": ("none",)}, "high", None),
        ({"m": ()}, "high", None),
        ({"x": (), "mm": ()}, "max", "max"),
        ({"m": ("low",), ".*": ("high",)}, "high", "low"),
    ],
)
def test_a_model_may_know_other_efforts(
    levels: dict[str, tuple[str, ...]], effort: str, said: str | None
) -> None:
    told = sent(to(reasoning_control="effort", efforts_of=levels), reasoning={"effort": effort})
    assert told == ({"reasoning_effort": said} if said else {})


@pytest.mark.parametrize(
    "fields", [{"reasoning_effort": "none"}, {"reasoning": {"enabled": False}}]
)
def test_what_always_thinks_can_not_be_told_not_to(fields: Json) -> None:
    efforts = {"m": ("low", "high")}
    for provider in (to(reasoning_control="effort", efforts_of=efforts), known()["meta"]):
        with pytest.raises(GatewayError, match="reasoning: is mandatory for this model"):
            sent(provider, **fields)
    newest = sent(known()["meta"], model="~meta/llama-latest", **fields)
    assert newest == {"reasoning_effort": "minimal"}, "who asked for whichever is the newest"
    switched = to(reasoning_control="effort", reasoning_switch="thinking", efforts_of=efforts)
    assert sent(switched, **fields) == {"thinking": OFF}
    silent = to(reasoning_control="effort", efforts_of=efforts, thinks_when_forced=False)
    assert sent(silent, tool_choice="required", tools=[FORCED])["reasoning_effort"] == "low"


@pytest.mark.parametrize(
    ("thinkers", "fields", "kept"),
    [
        (None, {}, True),
        ("m", {}, False),
        ("x", {}, True),
        ("x", {"reasoning_effort": "low"}, False),
        ("m", {"reasoning_effort": "none"}, True),
    ],
)
def test_what_a_model_refuses_while_it_thinks_is_left_out(
    thinkers: str | None, fields: Json, kept: bool
) -> None:
    provider = to(reasoning_control="effort", thinkers=thinkers, thinking_omits=("temperature",))
    told = sent(provider, **fields, temperature=0.5)
    assert told == fields | ({"temperature": 0.5} if kept else {})


@pytest.mark.parametrize(
    ("fields", "plain"),
    [
        ({"metadata": {"a": "b"}}, {}),
        ({"metadata": {"a": "b"}, "store": False}, {"store": False}),
        ({"metadata": {"a": "b"}, "store": True}, {"metadata": {"a": "b"}, "store": True}),
        ({"verbosity": "max"}, {"verbosity": "high"}),
        ({"verbosity": "xhigh"}, {"verbosity": "high"}),
        ({"verbosity": "low"}, {"verbosity": "low"}),
        ({"prompt_cache_options": {"mode": "explicit"}}, {}),
        ({"prompt_cache_key": "k"}, {"prompt_cache_key": "k"}),
        ({"image_config": {"quality": "high"}}, {}),
    ],
    ids=str,
)
def test_what_means_something_to_openrouter_alone(fields: Json, plain: Json) -> None:
    assert sent(to(), **fields) == plain
    assert sent(to(reasoning_control="object"), **fields) == fields
