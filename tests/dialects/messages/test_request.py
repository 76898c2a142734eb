"""A chat request in Anthropic's words: what its SDK would send, and what has no words there."""

import contextlib
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.asking import Target
from proxy.dialects.chat.request import decode_request
from proxy.dialects.chat.stream import encode_answer
from proxy.dialects.messages.events import decode_answer, decoder
from proxy.dialects.messages.request import EXPRESSES, encode_request, encode_vertex
from proxy.errors import GatewayError
from proxy.providers import Provider, Quirks
from proxy.wire.events import Event
from proxy.wire.request import Ask, Head, Thinking
from tests.accepted.asked import asked
from tests.accepted.messages import anthropic_accepts
from tests.plain import ASK, BILL
from tests.recordings import Recording, index, load
from tests.truths.chat import kind

Json = dict[str, Any]
PROVIDER = Provider(slug="anthropic", name="Anthropic", base_url="https://anthropic.invalid")
HEAD = Head(id="gen-1", created=1, model="m", provider="Anthropic")
OPUS, HAIKU, OLD = "claude-opus-5", "claude-haiku-4-5", "claude-3-5-haiku-20241022"
MODELS = (OPUS, "claude-opus-4-6", HAIKU, "claude-sonnet-4-20250514", OLD)

HI = {"role": "user", "content": "hi"}
TOLD = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
MARK = {"type": "ephemeral"}
TOOL = {"type": "function", "function": {"name": "f"}}
ENCODED_TOOL = {"name": "f", "input_schema": {"type": "object", "properties": {}}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
CLOSED = {**SCHEMA, "additionalProperties": False}
FORMAT = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": SCHEMA}}


def ask(*messages: Json, **fields: Any) -> Ask:
    own = {name: fields.pop(name) for name in Ask.__struct_fields__ if name in fields}
    body = {"messages": list(messages or [HI]), **fields}
    return Ask(models=("m",), body=body, **own)


def encoded(asked: Ask, model: str = HAIKU, completion_max: int | None = None) -> Json:
    body: Json = json.loads(encode_request(asked, Target(PROVIDER, model, completion_max)).body)
    anthropic_accepts(body)
    assert body.pop("model") == model
    return body


def turns_of(*messages: Json, accepted: bool) -> list[Json]:
    """The turns that go to a Claude; a field that its SDK no more has is not `accepted`."""
    body = json.loads(encode_request(ask(*messages), Target(PROVIDER, OPUS)).body)
    if accepted:
        anthropic_accepts(body)
    turns: list[Json] = body["messages"]
    return turns


def thinking(**said: Any) -> Thinking:
    return Thinking(wish={}, **said)


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, {}),
        ({"max_tokens": 5}, {"max_tokens": 5}),
        ({"stream": True}, {"stream": True}),
        ({"temperature": 1.5, "top_k": 3}, {"temperature": 1, "top_k": 3}),
        ({"stop": "END"}, {"stop_sequences": ["END"]}),
        ({"stop": ["a", "\n", "b"]}, {"stop_sequences": ["a", "b"]}),
        ({"stop": [" "]}, {}),
        ({"stop": []}, {}),
        ({"tools": [TOOL]}, {"tools": [ENCODED_TOOL]}),
        (
            {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False},
            {
                "tools": [ENCODED_TOOL],
                "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
            },
        ),
        ({"tool_choice": "required"}, {}),
        ({"tools": [], "tool_choice": "auto", "parallel_tool_calls": False}, {}),
        (
            {"response_format": FORMAT},
            {"output_config": {"format": {"type": "json_schema", "schema": CLOSED}}},
        ),
        ({"response_format": {"type": "text"}}, {}),
        ({"response_format": {"type": "json_schema"}}, {}),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": True}}}, {}),
        ({"user": "u"}, {"metadata": {"user_id": "u"}}),
        ({"metadata": {"user_id": "u", "more": "x"}}, {"metadata": {"user_id": "u"}}),
        ({"metadata": {"more": "x"}}, {}),
        ({"user": "u" * 300}, {}),
        ({"service_tier": "auto"}, {"service_tier": "auto"}),
        ({"service_tier": "priority"}, {"service_tier": "auto"}),
        ({"service_tier": "default"}, {"service_tier": "standard_only"}),
        ({"service_tier": "flex"}, {}),
        ({"speed": "fast"}, {}),
        ({"cache_control": MARK}, {"cache_control": MARK}),
        (
            {"thinking": thinking(max_tokens=2000), "temperature": 0.5},
            {"thinking": {"type": "enabled", "budget_tokens": 2000}},
        ),
        (
            {"reasoning_effort": "high", "max_tokens": 2000},
            {"thinking": {"type": "enabled", "budget_tokens": 1600}, "max_tokens": 2000},
        ),
        ({"container": "c", "inference_geo": "us"}, {"container": "c", "inference_geo": "us"}),
        (
            {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
            {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        ),
    ],
)
def test_a_request(fields: Json, wanted: Json) -> None:
    assert encoded(ask(**fields)) == {"max_tokens": 64_000, "messages": TOLD, **wanted}


def test_a_request_to_a_model_that_adapts() -> None:
    wanted = {
        "max_tokens": 128_000,
        "messages": TOLD,
        "thinking": {"type": "adaptive", "display": "summarized"},
        "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": CLOSED}},
    }
    fields = {"response_format": FORMAT, "temperature": 0.1}
    assert encoded(ask(thinking=thinking(effort="high"), **fields), OPUS) == wanted


def test_words_of_anthropics_own_go_before_ours() -> None:
    own = {"thinking": {"type": "disabled"}, "output_config": {"effort": "max"}}
    asked = Ask(models=("m",), body={"messages": [HI], **own}, thinking=thinking(effort="low"))
    assert encoded(asked, OPUS)["thinking"] == {"type": "disabled"}
    wanted = {"type": "enabled", "budget_tokens": 1024}
    asked = Ask(models=("m",), body={"messages": [HI], "thinking": wanted, "temperature": 0.5})
    assert encoded(asked)["thinking"] == wanted
    assert "temperature" not in encoded(asked)


@pytest.mark.parametrize(
    ("said", "completion_max", "wanted"),
    [
        (None, None, 64_000),
        (None, 5000, 5000),
        (100, 5000, 100),
        (9000, 5000, 5000),
        (200_000, None, 200_000),
    ],
)
def test_an_answer_has_a_limit(said: int | None, completion_max: int | None, wanted: int) -> None:
    assert encoded(ask(max_tokens=said), HAIKU, completion_max)["max_tokens"] == wanted


def test_a_budget_is_not_sent_where_the_last_turn_has_no_thoughts() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = (
        HI,
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "4"},
    )
    body = encoded(ask(*messages, thinking=thinking(effort="high"), temperature=0.5))
    assert "thinking" not in body
    assert body["temperature"] == 0.5


def test_the_headers() -> None:
    target = Target(PROVIDER, HAIKU)
    assert encode_request(ask(), target).headers == {"anthropic-version": "2023-06-01"}
    tools = [{"type": "computer_20251124", "name": "computer"}]
    asked = ask(betas=("a", "b"), tools=tools, mcp_servers=[], context_management={"edits": []})
    assert encode_request(asked, target).headers == {
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "a,b,context-management-2025-06-27,mcp-client-2025-11-20,"
        "computer-use-2025-11-24",
    }


def test_strict_tools_go_with_the_beta_that_the_caller_names_for_them() -> None:
    beta = "structured-outputs-2025-11-13"
    strict = {"type": "function", "function": {"name": "f", "parameters": SCHEMA, "strict": True}}
    said = {"model": "m", "messages": [HI], "tools": [strict]}
    asked = decode_request(json.dumps(said).encode(), [(b"x-anthropic-beta", beta.encode())])
    sent = encode_request(asked, Target(PROVIDER, OPUS))
    assert sent.headers["anthropic-beta"] == beta
    assert json.loads(sent.body)["tools"] == [{"name": "f", "input_schema": CLOSED, "strict": True}]


def test_thoughts_that_may_be_bound_need_a_mark() -> None:
    detail = {
        "type": "reasoning.text",
        "text": "t",
        "signature": "s",
        "format": "anthropic-claude-v1",
    }
    thought = {"role": "assistant", "content": "so", "reasoning_details": [detail]}
    asked, model = ask(HI, thought, HI, thinking=thinking(effort="high")), "claude-opus-5-5"
    assert "block_binding" in encoded(asked, model)["thinking"]
    sent = encode_request(asked, Target(PROVIDER, model))
    assert sent.headers["anthropic-beta"] == "thinking-binding-controls-2026-08-01"
    on_vertex = json.loads(encode_vertex(asked, Target(PROVIDER, model)).body)
    assert "block_binding" not in on_vertex["thinking"]


def test_vertex_has_the_headers_in_its_body_and_the_model_in_its_path() -> None:
    asked = ask(stream=True, betas=("a",))
    sent = encode_vertex(asked, Target(PROVIDER, "claude-haiku-4-5@20251001"))
    assert sent.headers == {}
    assert json.loads(sent.body) == {
        "anthropic_version": "vertex-2023-10-16",
        "anthropic_beta": ["a"],
        "max_tokens": 64_000,
        "messages": TOLD,
        "stream": True,
    }
    plain = json.loads(encode_vertex(ask(), Target(PROVIDER, HAIKU)).body)
    assert plain.keys() == {"anthropic_version", "max_tokens", "messages"}


def test_vertex_places_no_mark_by_itself() -> None:
    sent = json.loads(encode_vertex(ask(cache_control=MARK), Target(PROVIDER, HAIKU)).body)
    assert "cache_control" not in sent
    assert sent["messages"][-1]["content"][-1]["cache_control"] == MARK


def test_the_last_four_marks_are_kept() -> None:
    def marked(text: str) -> Json:
        return {"type": "text", "text": text, "cache_control": MARK}

    messages = (
        {"role": "system", "content": [marked("a"), marked("b")]},
        {"role": "user", "content": [marked("c"), marked("d")]},
    )
    tools = [{**TOOL, "cache_control": MARK}]

    def marks(**fields: Any) -> list[bool]:
        asked = ask(*messages, tools=tools, **fields)
        body = encoded(asked)
        assert encoded(asked) == body, "nothing of the caller's was changed"
        blocks = [*body["tools"], *body["system"], *body["messages"][0]["content"]]
        return ["cache_control" in block for block in blocks]

    assert marks() == [False, True, True, True, True]
    assert marks(cache_control=MARK) == [False, False, True, True, True]


def test_what_json_has_no_words_for() -> None:
    with pytest.raises(GatewayError) as caught:
        encode_request(ask(container=2**70, user="\ud800"), Target(PROVIDER, HAIKU))
    assert caught.value.kind == "invalid_request"


ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 9) | st.sampled_from(["", "text", "tool", "f"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "text",
                    "format",
                    "index",
                    "signature",
                    "function",
                    "name",
                    "arguments",
                    "id",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
NAMES = ["content", "name", "tool_calls", "tool_call_id", "reasoning_details", "function_call"]
PLACES = ["tools", "tool_choice", "response_format", "thinking", "output_config", "stop", "user"]
MESSAGES = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool"])},
    optional=dict.fromkeys(NAMES, ODD),
)


@given(
    st.lists(MESSAGES, min_size=1, max_size=4),
    st.dictionaries(st.sampled_from(PLACES), ODD, max_size=3),
)
def test_whatever_callers_send_is_sent_on_or_refused(messages: list[Json], more: Json) -> None:
    asked = json.dumps({"model": "m", "messages": messages, **more}).encode()
    for model in (OPUS, HAIKU):
        with contextlib.suppress(GatewayError):
            encode_request(decode_request(asked), Target(PROVIDER, model))


# What Anthropic has no words for: dropped, or refused where leaving it out would be a lie.

PARAMETERS: Json = {
    "seed": 7,
    "frequency_penalty": 0.5,
    "presence_penalty": 0.5,
    "repetition_penalty": 1.1,
    "min_p": 0.1,
    "top_a": 0.1,
    "logit_bias": {"5": 1},
    "logprobs": True,
    "top_logprobs": 3,
    "n": 2,
    "modalities": ["text", "audio"],
    "audio": {"voice": "alloy", "format": "wav"},
    "prediction": {"type": "content", "content": "x"},
    "prompt_cache_key": "k",
    "web_search_options": {},
    "response_format": {"type": "json_object"},
    "functions": [{"name": "f"}],
}


def dropped(name: str) -> Callable[[], None]:
    def check() -> None:
        asked = ask(**{name: PARAMETERS[name]})
        assert encoded(asked) == encoded(ask())
        assert name not in EXPRESSES - {"response_format"}

    return check


def refused(part: Json) -> Callable[[], None]:
    def check() -> None:
        with pytest.raises(GatewayError) as caught:
            encoded(ask({"role": "user", "content": [part]}))
        assert caught.value.kind == "provider_unfit"

    return check


def said_of_assistant(**message: Any) -> Callable[[], None]:
    def check() -> None:
        known = {"role": "assistant", "content": "so"}
        assert encoded(ask(HI, {**known, **message}, HI)) == encoded(ask(HI, known, HI))

    return check


def custom_tool() -> None:
    with pytest.raises(GatewayError) as caught:
        encoded(ask(tools=[{"type": "custom", "custom": {"name": "f"}}]))
    assert caught.value.kind == "provider_unfit"


def schema_for_an_older_model() -> None:
    assert encoded(ask(response_format=FORMAT), OLD) == encoded(ask(), OLD)


def choice_among_some() -> None:
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [TOOL]}}
    assert encoded(ask(tools=[TOOL], tool_choice=choice))["tool_choice"] == {"type": "auto"}


def foreign_thoughts() -> None:
    detail = {"type": "reasoning.encrypted", "data": "x", "format": "openai-responses-v1"}
    said_of_assistant(reasoning="hm", reasoning_details=[detail])()


def no_thoughts_after_a_forced_call() -> None:
    asked = ask(tools=[TOOL], tool_choice="required", thinking=thinking(effort="high"))
    assert "thinking" not in encoded(asked)


def sampling_of_the_newest() -> None:
    assert encoded(ask(temperature=0.1, top_p=0.5, top_k=4), OPUS) == encoded(ask(), OPUS)


LOSSES: dict[str, Callable[[], None]] = {
    **{name: dropped(name) for name in PARAMETERS},
    "audio in": refused({"type": "input_audio", "input_audio": {"data": "eA==", "format": "mp3"}}),
    "video in": refused({"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}),
    "tools that take free text": custom_tool,
    "a choice among some of the tools": choice_among_some,
    "a schema for models before Claude 4.1": schema_for_an_older_model,
    "images and audio that a model made": said_of_assistant(
        images=[{"type": "image_url", "image_url": {"url": "data:image/png;base64,eA=="}}],
        audio={"id": "a"},
    ),
    "annotations of an earlier answer": said_of_assistant(annotations=[{"type": "url_citation"}]),
    "thoughts of other models": foreign_thoughts,
    "a budget with a forced call": no_thoughts_after_a_forced_call,
    "sampling of models since Claude Opus 4.7": sampling_of_the_newest,
}
"""What is lost, each with its proof. The places of text between server tools are lost too, and the
citations of text that is sent back: see the round trip below."""


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss(loss: str) -> None:
    LOSSES[loss]()


def test_what_is_expressed_makes_a_difference() -> None:
    values: Json = {
        "tools": [TOOL],
        "tool_choice": "none",
        "parallel_tool_calls": False,
        "response_format": FORMAT,
        "temperature": 0.5,
        "top_p": 0.5,
        "top_k": 5,
        "stop": "x",
        "max_tokens": 5,
        "reasoning_effort": "high",
        "verbosity": "low",
        "user": "u",
        "service_tier": "auto",
        "cache_control": MARK,
    }
    same = {"reasoning", "include_reasoning", "max_completion_tokens", "structured_outputs"}
    assert values.keys() | same == EXPRESSES
    plain = {"tools": [TOOL, TOOL]}
    for name, value in values.items():
        told = encoded(ask(**{**plain, name: value}), "claude-opus-4-6")
        assert told != encoded(ask(**plain), "claude-opus-4-6"), name


# Recorded traffic.


@pytest.mark.wire
def test_every_recorded_chat_is_one_that_anthropic_takes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    counts: Counter[str] = Counter()
    for _, recorded in asked():
        for model in MODELS:
            counts["not_supported" if recorded is None else taken(recorded, model)] += 1
    with capsys.disabled():
        print(f"\n\nrecorded chats as Anthropic's Messages: {dict(counts)}")
    assert counts["taken"] > 1000
    assert counts.keys() <= {"taken", "not_supported", "provider_unfit"}
    assert counts["not_supported"] == 6 * len(MODELS), "OpenRouter's own tools"
    assert counts["provider_unfit"] <= 5 * len(MODELS), "audio and video"


def taken(recorded: Ask, model: str) -> str:
    try:
        encoded(recorded, model)
    except GatewayError as error:
        return error.kind
    return "taken"


def recorded_answers() -> list[Recording]:
    rows = (row for row in index() if row["api"] == "messages")
    return [recording for row in rows if kind(recording := load(row)) != "error"]


def events_of(recording: Recording) -> list[Event]:
    if kind(recording) == "answer":
        return decode_answer(recording.body, Quirks())
    reading = decoder(Quirks())
    return [*reading.feed(recording.body), *reading.end()]


def blocks_said(recording: Recording) -> list[Json]:
    """The blocks of a recorded answer, by Anthropic's own rules of putting a stream together."""
    if kind(recording) == "answer":
        blocks: list[Json] = json.loads(recording.body)["content"]
        return blocks
    found: dict[int, Json] = {}
    for line in recording.body.decode().splitlines():
        event = json.loads(line[5:]) if line.startswith("data:") else {}
        if event.get("type") == "content_block_start":
            found[event["index"]] = event["content_block"]
        elif event.get("type") == "content_block_delta":
            said, delta = found[event["index"]], event["delta"]
            for name in ("text", "thinking", "signature"):
                if name in delta:
                    said[name] = said.get(name, "") + delta[name]
            if "partial_json" in delta:
                said["given"] = said.get("given", "") + delta["partial_json"]
    for block in found.values():
        if given := block.pop("given", ""):
            block["input"] = json.loads(given)
    return [found[number] for number in sorted(found)]


def sorted_blocks(blocks: list[Json]) -> list[Json]:
    """The blocks as they come back: thoughts, what server tools did, text in one, calls."""
    results = {b["tool_use_id"]: b for b in blocks if b["type"].endswith("_tool_result")}
    unnamed = list(results.values()) if len(results) == 1 else []
    first: list[Json] = []
    for block in blocks:
        if block["type"] in ("thinking", "redacted_thinking"):
            first.append(block)
        elif block["type"] in ("server_tool_use", "mcp_tool_use"):
            result = results.get(block["id"]) or next(iter(unnamed), None)
            first += [block, result] if result else [block]
    text = "".join(block["text"] for block in blocks if block["type"] == "text")
    calls = [
        {key: block[key] for key in ("type", "id", "name", "input")}
        for block in blocks
        if block["type"] == "tool_use"
    ]
    said = [trimmed({"type": "text", "text": text})] if text.strip() else []
    while not said and not calls and first and "thinking" in first[-1]["type"]:
        first.pop()  # thoughts alone are a 400
    return [*first, *said, *calls]


def trimmed(block: Json) -> Json:
    return {**block, "text": block["text"].rstrip()} if block["type"] == "text" else block


@pytest.mark.wire
@pytest.mark.parametrize("again", [False, True])
def test_an_answer_that_is_sent_back_has_its_own_blocks_again(again: bool) -> None:
    """With `again` the user goes on behind it, else it is what the model is to go on with."""
    exact, signed = 0, 0
    for recording in recorded_answers():
        answer = json.loads(encode_answer(events_of(recording), HEAD, ASK, BILL).body)
        message = {**answer["choices"][0]["message"], "refusal": None}
        blocks = blocks_said(recording)
        wanted = sorted_blocks(blocks)
        calls = [call["id"] for call in message.get("tool_calls", ())]
        more = [{"role": "tool", "tool_call_id": id_, "content": "4"} for id_ in calls]
        old = b'"abort_reason"' in recording.body
        turns = turns_of(HI, message, *more, *([HI] if again else []), accepted=not old)
        told = turns[1]["content"] if wanted else []
        assert [trimmed(block) for block in told] == wanted, recording.row["dir"]
        exact += told == blocks
        signed += any("signature" in block for block in told)
        given = [block.get("tool_use_id") for turn in turns[2:] for block in turn["content"]]
        assert [id_ for id_ in given if id_] == calls
    assert exact > 60
    assert signed > 20
