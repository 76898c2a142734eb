"""Which dialect a request goes out in, and that every one of the table can be configured."""

import json
import re
from time import process_time
from typing import Any, get_args

import pytest
from msgspec.structs import replace

from proxy.dialects import OUTBOUND, counts, expressible, outbound, tasks_of
from proxy.dialects.asking import Target
from proxy.dialects.providing import VERTEX_CLAUDE
from proxy.errors import GatewayError
from proxy.providers import DIALECTS, Provider, Quirks, known
from proxy.wire.listing import PARAMETERS
from proxy.wire.request import Ask, Task, Words

OPTIONS = {"project": "p", "location": "eu", "api_version": "2024-12-01-preview", "region": "r"}


def provider(dialect: str, **more: Any) -> Provider:
    return Provider(
        slug="acme", name="Acme", base_url="http://a.test", dialect=dialect, options=OPTIONS, **more
    )


def ask(**body: Any) -> Ask:
    return Ask(models=("a/b",), body={"messages": []} | body, choices=body.get("n", 1))


def test_what_can_be_configured_can_be_spoken() -> None:
    assert OUTBOUND.keys() == DIALECTS.keys()
    assert {row.dialect for row in known().values()} <= OUTBOUND.keys()


PATHS = [
    ("openai", "gpt-9", "/chat/completions", "/chat/completions"),
    ("responses", "gpt-9", "/responses", "/responses"),
    ("anthropic", "claude-9", "/v1/messages", "/v1/messages"),
    ("gemini", "g-9", "/v1beta/models/g-9:generateContent",
     "/v1beta/models/g-9:streamGenerateContent?alt=sse"),
    ("vertex", "g-9", "/v1/projects/p/locations/eu/publishers/google/models/g-9:generateContent",
     "/v1/projects/p/locations/eu/publishers/google/models/g-9:streamGenerateContent?alt=sse"),
    ("vertex", "claude-9", "/v1/projects/p/locations/eu/publishers/anthropic/models/"
     "claude-9:rawPredict", "/v1/projects/p/locations/eu/publishers/anthropic/models/"
     "claude-9:streamRawPredict"),
    ("cohere", "command-9", "/v2/chat", "/v2/chat"),
    ("bedrock", "us.x.y-v1:0", "/model/us.x.y-v1%3A0/converse",
     "/model/us.x.y-v1%3A0/converse-stream"),
    ("azure", "my gpt", *["/openai/deployments/my%20gpt/chat/completions"
                          "?api-version=2024-12-01-preview"] * 2),
]  # fmt: skip


@pytest.mark.parametrize(("dialect", "model", "whole", "streamed"), PATHS)
def test_where_a_request_goes(dialect: str, model: str, whole: str, streamed: str) -> None:
    acme = provider(dialect)
    words, target = outbound(acme, model, ask()), Target(acme, model)
    assert (words.path(target, False), words.path(target, True)) == (whole, streamed)


@pytest.mark.parametrize(
    ("dialect", "model", "path"),
    [
        ("openai", "gpt-9", ("response_format", "json_schema", "schema")),
        ("responses", "gpt-9", ("text", "format", "schema")),
        ("anthropic", "claude-opus-5", ("output_config", "format", "schema")),
        ("gemini", "gemini-9", ("generationConfig", "responseJsonSchema")),
        ("vertex", "gemini-9", ("generationConfig", "responseJsonSchema")),
        ("cohere", "command-9", ("response_format", "json_schema")),
        ("azure", "my gpt", ("response_format", "json_schema", "schema")),
    ],
)
def test_a_schema_is_said_in_every_providers_own_words(
    dialect: str, model: str, path: tuple[str, ...]
) -> None:
    schema = {
        "type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"],
        "additionalProperties": False,
    }  # fmt: skip
    form = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": schema}}
    asked = ask(messages=[{"role": "user", "content": "hi"}], response_format=form)
    acme = provider(dialect)
    said = json.loads(outbound(acme, model, asked).encode_request(asked, Target(acme, model)).body)
    holder = said
    for name in path[:-1]:
        holder = holder[name]
    assert holder[path[-1]] == schema
    if "json_schema" in path[:-1] or dialect == "responses":
        assert holder["strict"] is True


@pytest.mark.parametrize("dialect", OUTBOUND)
@pytest.mark.parametrize("form", ["grammar", "python", "text", None])
def test_a_form_that_a_provider_has_no_words_for_is_not_left_out(dialect: str, form: str) -> None:
    wish = {"response_format": {"type": form, "grammar": "root ::= x"} if form else {}}
    asked = ask(messages=[{"role": "user", "content": "hi"}], **wish)
    acme = provider(dialect)
    row, target = outbound(acme, "m", asked), Target(acme, "m")
    if form in ("text", None):
        assert row.encode_request(asked, target)
    elif dialect in ("openai", "azure"):
        assert json.loads(row.encode_request(asked, target).body)["response_format"]["type"] == form
    else:
        with pytest.raises(GatewayError, match="can not be sent this response_format"):
            row.encode_request(asked, target)


@pytest.mark.parametrize("dialect", OUTBOUND)
@pytest.mark.parametrize(
    "choice",
    [
        "sometimes", {"type": "mcp"}, {"function": "f"}, {}, 7, {"function": {}},
        {"type": "tool"}, {"type": "allowed_tools", "allowed_tools": {"mode": "sometimes"}},
    ],
)  # fmt: skip
def test_a_choice_that_is_none_is_not_left_out(dialect: str, choice: object) -> None:
    """Where it can not be passed on as it is, for the provider to refuse it."""
    function = {"name": "f", "parameters": {"type": "object", "properties": {}}}
    asked = ask(
        messages=[{"role": "user", "content": "hi"}],
        tools=[{"type": "function", "function": function}],
        tool_choice=choice,
    )
    acme = provider(dialect)
    row, target = outbound(acme, "m", asked), Target(acme, "m")
    if dialect in ("openai", "azure", "responses"):
        assert json.loads(row.encode_request(asked, target).body)["tool_choice"] == choice
    else:
        with pytest.raises(GatewayError, match="can not be sent this tool_choice"):
            row.encode_request(asked, target)


@pytest.mark.parametrize(
    "dialect", [name for name in OUTBOUND if name not in ("openai", "azure", "responses")]
)
@pytest.mark.parametrize(
    ("choice", "same"),
    [
        *(({"type": word}, word) for word in ("none", "auto", "required", "any")),
        ({"type": "tool", "name": "f"}, {"type": "function", "function": {"name": "f"}}),
        ({"function": {"name": "f"}}, {"type": "function", "function": {"name": "f"}}),
        ({"type": "allowed_tools", "allowed_tools": {"mode": "none", "tools": []}}, "none"),
    ],
)
def test_a_choice_in_another_form_is_the_same_choice(
    dialect: str, choice: object, same: object
) -> None:
    acme, function = provider(dialect), {"name": "f", "parameters": {"type": "object"}}

    def said(choice: object) -> object:
        asked = ask(
            messages=[{"role": "user", "content": "hi"}],
            tools=[{"type": "function", "function": function}],
            tool_choice=choice,
        )
        body: dict[str, Any] = json.loads(
            outbound(acme, "m", asked).encode_request(asked, Target(acme, "m")).body
        )
        if body.get("tool_choice") == {"type": "auto"}:  # which is how it is where it is unsaid
            del body["tool_choice"]
        return body

    assert said(choice) == said(same)
    assert said("none") != said("auto") != said("required") != said("none")


@pytest.mark.parametrize("dialect", OUTBOUND)
def test_parameters_have_openrouters_names(dialect: str) -> None:
    expresses = OUTBOUND[dialect].expresses
    assert expresses is None or len(expresses.intersection(PARAMETERS)) > 8


@pytest.mark.parametrize(
    ("model", "body", "path"),
    [
        ("o3-mini", {}, "/responses"),
        ("gpt-5.2", {"tools": []}, "/responses"),
        ("gpt-5.2", {"stop": ["x"], "presence_penalty": 1}, "/responses"),
        ("gpt-5.2", {"seed": 1}, "/chat/completions"),
        ("gpt-5.2", {"n": 2}, "/chat/completions"),
        ("gpt-4o", {}, "/chat/completions"),
        ("a-gpt-5", {}, "/chat/completions"),
    ],
)
def test_reasoning_models_are_asked_over_responses(
    model: str, body: dict[str, Any], path: str
) -> None:
    openai = known()["openai"]
    words = outbound(openai, model, ask(**body))
    assert words.path(Target(openai, model), True) == path
    assert outbound(openai, "o3").path(Target(openai, "o3"), True) == "/responses"


def test_what_a_provider_refuses_it_can_not_be_told_of() -> None:
    assert expressible(provider("openai"), "m") is None
    assert expressible(provider("openai", quirks=Quirks(omits=("user",))), "m") is None

    few = provider("openai", quirks=Quirks(omits=("stop", "user"), json_schema=False))
    assert expressible(few, "m") == frozenset(PARAMETERS) - {"stop", "structured_outputs"}

    cohere = provider("cohere", quirks=Quirks(omits=("seed",)))
    everything = OUTBOUND["cohere"].expresses
    assert everything is not None
    assert expressible(cohere, "m") == everything - {"seed"}


def test_what_a_reasoning_model_is_told_over_chat_it_can_be_told_of() -> None:
    openai = known()["openai"]
    told = expressible(openai, "o3")
    assert told is not None
    assert {"seed", "prediction", "tools", "reasoning"} < told
    assert told.isdisjoint({"stop", "top_k", "logit_bias"})
    plain = expressible(openai, "gpt-4o")
    assert plain is not None
    assert "stop" in plain
    assert "top_k" not in plain


# Callers and providers of the same format.

SPOKEN = [row.words for row in OUTBOUND.values() if row.words is not None]


@pytest.mark.parametrize("dialect", OUTBOUND)
@pytest.mark.parametrize("words", get_args(Words))
@pytest.mark.parametrize("native", [{"model": "m"}, None])
def test_who_speaks_as_its_provider_does_is_carried_as_it_is(
    dialect: str, words: Words, native: dict[str, Any] | None
) -> None:
    row = OUTBOUND[dialect]
    asked = replace(ask(), words=words, native=native)
    carried = native is not None and row.words == words and row.same is not None
    assert outbound(provider(dialect), "m-9", asked) is (row.same if carried else row)


def test_there_are_such() -> None:
    assert {"messages", "responses"} <= set(SPOKEN)


@pytest.mark.parametrize("model", ["gpt-4o", "o3-mini"])
def test_a_caller_of_responses_is_carried_to_who_has_them_beside_chat(model: str) -> None:
    openai = known()["openai"]
    asked = replace(ask(), words="responses", native={"model": "m"})
    assert outbound(openai, model, asked) is OUTBOUND["responses"].same
    translated = replace(asked, native=None)  # a file of it has been fetched for this provider
    usual = OUTBOUND["responses" if model == "o3-mini" else "openai"]
    assert outbound(openai, model, translated) is usual


def test_claude_on_vertex_has_its_own_words_too() -> None:
    asked = replace(ask(), words="messages", native={"model": "m"})
    vertex = provider("vertex")
    assert outbound(vertex, "claude-9", asked) is (VERTEX_CLAUDE.same or VERTEX_CLAUDE)
    assert outbound(vertex, "g-9", asked) is OUTBOUND["vertex"]


@pytest.mark.parametrize("dialect", [*OUTBOUND, "claude on vertex"])
@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"mcp_servers": [{"name": "n"}]}, "`mcp_servers`"),
        ({"container": "c"}, "`container`"),
        ({"inference_geo": "us"}, "`inference_geo`"),
        ({"tools": [{"type": "bash_20250124", "name": "bash"}]}, "a tool of type bash_20250124"),
        ({"mcp_servers": [], "tools": [{"type": "function", "function": {"name": "f"}}]}, None),
    ],
)
def test_what_only_claude_has_words_for_is_refused_by_others(
    dialect: str, fields: dict[str, Any], refused: str | None
) -> None:
    """When the request is written: the endpoints before and behind it may be asked."""
    body = {"messages": [{"role": "user", "content": "x"}], **fields}
    asked = replace(ask(), words="messages", body=body)
    claude = dialect == "claude on vertex"
    target = Target(provider("vertex" if claude else dialect), "claude-9" if claude else "m-9")
    row = outbound(target.provider, target.model, asked)
    if refused is None or row.words == "messages":
        assert row.encode_request(asked, target).body
        return
    with pytest.raises(GatewayError, match=re.escape(refused)) as raised:
        row.encode_request(asked, target)
    assert raised.value.kind == "provider_unfit"


def test_who_counts() -> None:
    counting = {dialect for dialect in OUTBOUND if counts(provider(dialect), "m")}
    assert counting == {"anthropic", "bedrock", "gemini", "vertex"}
    assert not counts(replace(provider("anthropic"), tasks=()), "m")


def test_what_a_provider_does_not_do_is_refused_by_it() -> None:
    for task in sorted(set(get_args(Task)) - tasks_of(provider("bedrock"))):
        with pytest.raises(GatewayError) as raised:
            outbound(provider("bedrock"), "m", replace(ask(), task=task))
        assert raised.value.kind == "provider_unfit"
        assert task in raised.value.message


@pytest.mark.parametrize("dialect", OUTBOUND)
@pytest.mark.parametrize("one_id", [True, False])
@pytest.mark.parametrize("backwards", [True, False])
def test_many_calls_do_not_hold_the_loop(dialect: str, one_id: bool, backwards: bool) -> None:
    """Ids that came twice, and results in any order, once took minutes of such a history."""
    ids = ["x" if one_id else f"x{number}" for number in range(8000)]
    calls = [
        {"id": id_, "type": "function", "function": {"name": "f", "arguments": "{}"}} for id_ in ids
    ]
    results = [{"role": "tool", "tool_call_id": id_, "content": "y"} for id_ in ids]
    asked = ask(
        messages=[
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": None, "tool_calls": calls},
            *(reversed(results) if backwards else results),
        ]
    )
    began_s = process_time()
    target = Target(provider(dialect), "m-9")
    assert OUTBOUND[dialect].encode_request(asked, target).body
    assert process_time() - began_s < 2.0
