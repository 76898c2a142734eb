"""A text completion is checked, kept in two forms, and put as each provider takes it."""

from typing import Any

import msgspec
import orjson
import pytest

from proxy.dialects import outbound
from proxy.dialects.asking import Target
from proxy.dialects.completions.request import decode_request, echoes, encode_request, texts_of
from proxy.errors import GatewayError
from proxy.providers import Provider, Quirks, known
from proxy.wire.events import Usage
from proxy.wire.request import Ask


def decode(**fields: Any) -> Ask:
    return decode_request(orjson.dumps({"model": "a/b", "prompt": "Once"} | fields))


def sent(ask: Ask, provider: Provider | None = None, model: str = "m") -> dict[str, Any]:
    provider = provider or acme()
    words = outbound(provider, model, ask)
    body: dict[str, Any] = orjson.loads(words.encode_request(ask, Target(provider, model)).body)
    return body


def acme(**quirks: Any) -> Provider:
    return Provider(slug="acme", name="Acme", base_url="http://a.test", quirks=Quirks(**quirks))


def chatty(**quirks: Any) -> Provider:
    return acme(completes=False, **quirks)


def test_both_forms_of_a_request() -> None:
    ask = decode(
        max_completion_tokens=9,
        temperature=0.5,
        logprobs=2,
        suffix="end",
        best_of=None,
        user="u",
        vendor={"x": 1},
        provider={"order": []},
        reasoning={"effort": "low"},
        service_tier="priority",
        cache_control={"type": "ephemeral"},
    )
    both = {"temperature": 0.5, "user": "u", "vendor": {"x": 1}}
    assert (ask.task, ask.words, ask.models, ask.max_tokens) == (
        "completion", "completions", ("a/b",), 9,
    )  # fmt: skip
    assert ask.body == both | {
        "messages": [{"role": "user", "content": "Once"}],
        "max_completion_tokens": 9,
        "logprobs": True,
        "top_logprobs": 2,
        "cache_control": {"type": "ephemeral"},
    }
    assert ask.native == both | {
        "prompt": "Once", "max_tokens": 9, "logprobs": 2, "suffix": "end"
    }  # fmt: skip
    assert ask.thinking is not None
    assert ask.most is None


@pytest.mark.parametrize(
    ("prompt", "native", "texts", "choices"),
    [
        ("a", "a", ["a"], 2),
        (["a"], "a", ["a"], 2),
        (["a", "b"], ["a", "b"], ["a", "b"], 4),
        ([7, 8], [7, 8], ["........"], 2),
        ([[7, 8]], [7, 8], ["........"], 2),
        ([[7], [8, 9]], [[7], [8, 9]], ["....", "........"], 4),
    ],
)
def test_every_form_of_a_prompt(prompt: Any, native: Any, texts: list[str], choices: int) -> None:
    ask = decode(prompt=prompt, n=2, max_tokens=3)
    assert ask.native is not None
    assert ask.native["prompt"] == native
    assert [message["content"] for message in ask.body["messages"]] == texts
    assert (ask.choices, ask.max_tokens) == (choices, 3)
    assert texts_of(ask) == (texts if isinstance(prompt, str) or "a" in prompt else [])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"prompt": None}, "prompt: required"),
        ({"prompt": []}, "prompt: must not be empty"),
        ({"prompt": [[1], []]}, "prompt: must not be empty"),
        *(
            ({"prompt": prompt}, "prompt: expected a text, a list of texts, a list of tokens or a "
             "list of such lists")
            for prompt in (1, {"a": 1}, ["a", 1], [1, "a"], [[1], 2], [True], [-1], [1.5], [["a"]])
        ),
        ({"echo": 1}, "echo: expected true or false, got a number"),
        ({"suffix": 1}, "suffix: expected a string, got a number"),
        ({"logprobs": True}, "logprobs: expected a whole number, got a boolean"),
        ({"logprobs": 21}, "logprobs: must be between 0 and 20"),
        ({"best_of": 0}, "best_of: must be between 1 and 20"),
        ({"best_of": 2, "n": 3}, "best_of: must not be less than n"),
        ({"best_of": 2, "stream": True}, "best_of: the best can not be known while it streams"),
        ({"n": 0}, "n: must be between 1 and 128"),
        ({"n": 128, "prompt": ["a"] * 17}, "prompt: at most 2048 choices in all"),
        ({"n": 129, "prompt": ["a"] * 17}, "n: must be between 1 and 128"),
        *(
            ({"max_tokens": 0} | more, "max_tokens: 0 is for an echo with its logprobs")
            for more in ({}, {"echo": True}, {"logprobs": 1}, {"echo": False, "prompt": [1]})
        ),
        ({"max_tokens": -1}, "max_tokens: must be between 1 and 2147483648"),
        ({"messages": [{"role": "user", "content": "x"}]},
         "messages: only /chat/completions has it"),
        ({"tools": [{"type": "function"}]}, "tools: only /chat/completions has it"),
        ({"model": None}, "No models provided"),
        ({"temperature": 3}, "temperature: must be between 0 and 2"),
    ],
)  # fmt: skip
def test_what_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(GatewayError) as caught:
        decode(**fields)
    assert (caught.value.kind, caught.value.message) == ("invalid_request", message)


def test_what_is_not_built_is_refused() -> None:
    with pytest.raises(GatewayError, match=r"plugins: not supported yet"):
        decode(plugins=[{"id": "web"}])


def test_wishes_of_who_answers_are_those_of_a_chat() -> None:
    asked = decode(provider={"sort": "price", "options": {"P0": {"x": 1}}}, service_tier="fast")
    assert (asked.preferences.sort, asked.tier) == ("price", "priority")
    assert asked.options == {"p0": {"x": 1}}


def test_more_is_held_than_is_shown_where_the_best_is_chosen() -> None:
    ask = decode(prompt=["a", "b"], n=2, best_of=3)
    assert ask.native is not None
    assert (ask.native["max_tokens"], ask.max_tokens) == (16, 16)
    assert ask.most == Usage(prompt_tokens=ask.text_bytes, completion_tokens=16 * 3 * 2)
    assert decode(n=2, best_of=2).most is None
    assert decode(best_of=2, max_tokens=5).most == Usage(
        prompt_tokens=len(b'{"model":"a/b","prompt":"Once","best_of":2,"max_tokens":5}'),
        completion_tokens=10,
    )


def test_a_prompt_may_be_weighed_without_an_answer() -> None:
    ask = decode(max_tokens=0, echo=True, logprobs=1)
    assert (ask.max_tokens, "max_tokens" in ask.body) == (0, False)
    assert sent(ask) == {
        "model": "m", "prompt": "Once", "max_tokens": 0, "echo": True, "logprobs": 1
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "ours"),
    [
        ({"echo": True}, True),
        ({"echo": True, "prompt": ["a", "b"]}, True),
        ({"echo": False}, False),
        ({}, False),
        ({"echo": True, "logprobs": 0}, False),
        ({"echo": True, "prompt": [1]}, False),
    ],
)
def test_who_shows_the_prompt(fields: dict[str, Any], ours: bool) -> None:
    ask = decode(**fields)
    assert echoes(ask) is ours
    assert sent(ask).get("echo") is (None if ours else fields.get("echo"))


def test_a_stream_asks_for_its_usage_where_that_is_known() -> None:
    ask = decode(stream=True, stream_options={"include_usage": False})
    assert sent(ask) == {
        "model": "m", "prompt": "Once", "stream": True, "stream_options": {"include_usage": True},
    }  # fmt: skip
    assert sent(ask, acme(usage_option=False)) == {"model": "m", "prompt": "Once", "stream": True}


def test_flags_of_the_row() -> None:
    ask = decode(seed=1, top_k=2, reasoning={"effort": "low"}, suffix="end")
    row = acme(seed="random_seed", omits=("top_k",), reasoning_control="object", suffix=True)
    assert sent(ask, row) == {
        "model": "m", "prompt": "Once", "random_seed": 1, "reasoning": {"effort": "low"},
        "suffix": "end",
    }  # fmt: skip


def refusal(ask: Ask, provider: Provider) -> str:
    with pytest.raises(GatewayError) as caught:
        sent(ask, provider)
    assert caught.value.kind == "provider_unfit"
    return caught.value.message


@pytest.mark.parametrize(
    ("fields", "provider", "what"),
    [
        ({"suffix": "x"}, acme(), "a suffix"),
        ({"prompt": ["a", "b"]}, acme(prompt_lists=False), "several prompts, or tokens for a text"),
        ({"prompt": [1]}, acme(prompt_lists=False), "several prompts, or tokens for a text"),
        ({"suffix": "x"}, chatty(suffix=True), "a suffix"),
        ({"prompt": ["a", "b"]}, chatty(), "several prompts at once"),
        ({"prompt": [1]}, chatty(), "tokens for a text"),
        ({"echo": True, "logprobs": 1}, chatty(), "a prompt to weigh"),
        ({"echo": True, "prompt": [1], "max_tokens": 0}, chatty(), "tokens for a text"),
    ],
)
def test_what_a_provider_lacks(fields: dict[str, Any], provider: Provider, what: str) -> None:
    assert refusal(decode(**fields), provider) == f"Acme can not be sent {what}."


def test_who_only_chats_is_asked_so() -> None:
    ask = decode(echo=True, best_of=2, n=2, max_tokens=4, logprobs=0)
    ask = msgspec.structs.replace(ask, native={**(ask.native or {}), "echo": False})
    assert sent(ask, chatty()) == {
        "model": "m", "messages": [{"role": "user", "content": "Once"}],
        "n": 2, "max_tokens": 4, "logprobs": True,
    }  # fmt: skip


PATHS = [
    ("openai", "gpt-3.5-turbo-instruct", "/completions"),
    ("openai", "davinci-002", "/completions"),
    ("openai", "ft:davinci-002:acme", "/completions"),
    ("openai", "gpt-4o", "/chat/completions"),
    ("openai", "gpt-5", "/responses"),
    ("azure", "my-gpt-35-turbo-instruct",
     "/openai/deployments/my-gpt-35-turbo-instruct/completions?api-version=2024-12-01-preview"),
    ("azure", "gpt", "/openai/deployments/gpt/chat/completions?api-version=2024-12-01-preview"),
    ("mistral", "codestral-latest", "/fim/completions"),
    ("mistral", "mistral-small", "/chat/completions"),
    ("groq", "llama", "/chat/completions"),
    ("vllm", "llama", "/completions"),
    ("anthropic", "claude", "/v1/messages"),
]  # fmt: skip


@pytest.mark.parametrize(("slug", "model", "path"), PATHS)
def test_where_a_text_is_continued(slug: str, model: str, path: str) -> None:
    row = known()[slug]
    assert outbound(row, model, decode()).path(Target(row, model), False) == path


def test_what_json_can_not_say_from_here() -> None:
    ask = decode()
    ask = msgspec.structs.replace(ask, native={"prompt": "a", "x": {1, "a"}, "y": object()})
    with pytest.raises(GatewayError, match="can not be sent"):
        encode_request(ask, Target(acme(), "m"))


@pytest.mark.parametrize("asked", [None, "flex", "priority"])
def test_an_endpoint_of_a_service_tier_is_told_of_it(asked: str | None) -> None:
    provider = acme()
    ask = decode() if asked is None else decode(service_tier=asked)
    target = Target(provider, "m", tier="priority")
    body = orjson.loads(outbound(provider, "m", ask).encode_request(ask, target).body)
    assert body["service_tier"] == "priority"
