"""Recorded answers, told again in the words of Messages and Responses, as official SDKs hear them.

A provider on loopback serves the recordings, as for `test_replay`; the SDKs `anthropic` and
`openai` ask a running gateway for each, streamed and whole. What their objects hold must be what
the recording says. An ordinary run takes a share of the recordings; this goes through all:

    WEIR_ROUNDS=1 pytest tests/test_retold.py -s

Known losses: Messages has no words for images, sound and the free text that custom tools take, and
there a whole answer has no arguments of a call that were cut short. Answers that broke are
`test_replay`'s.
"""

import asyncio
import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import anthropic
import openai
import pytest
from anthropic.types import ContentBlock, Message
from jiter import from_json
from openai.types.responses import Response, ResponseOutputItem, ResponseReasoningItem

from tests.recordings import Recording, load
from tests.running import serving, weir
from tests.test_replay import AT_ONCE, Replay, configuration
from tests.truths.chat import PAIRS, Json, Truth, Voice, chats, kind
from tests.truths.dialects import DIALECTS, truth_of

LONG: Final = "WEIR_ROUNDS" in os.environ
SHARE: Final = 6
"""One recording in so many is told in an ordinary run, of each API, caller and form."""

HELLO: Final = "hello"
STOPS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
}
OWN_STOPS: Final = {*STOPS.values(), "stop_sequence", "pause_turn"}
SEALS: Final = ("openrouter.reasoning:", "weir.v1.")
"""How the thoughts of providers of other formats begin, which `tests/dialects` reads."""

OWN: Final = "-responses-v1"
"""How the formats of thoughts end that are items of Responses as they are."""

MADE_UP: Final = "call_0_0"
"""The id of a call to which its provider gave none, in OpenRouter's chat; others have their own."""

INCOMPLETE: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}


class Told(NamedTuple):
    """An answer in the words of a caller's format. `calls` are `(id, name, arguments)`, `kept` the
    signatures and encrypted thoughts of a provider of that format, `pictures` base64.
    """

    text: str
    refusal: str
    thought: str
    kept: list[str]
    pictures: list[str]
    calls: list[tuple[str, str, Any]]
    stop: str | None
    counts: dict[str, int] | None


class Caller(NamedTuple):
    """An SDK: how it asks, and what a recording should be to it."""

    ask: Callable[[Any, str, bool], Awaitable[Told]]
    wanted: Callable[[Voice, Json | None, bool], Told]


class Question(NamedTuple):
    """One question: the number of a recording, who asks for it, and in which form."""

    number: int
    caller: str
    stream: bool


# Messages.


async def ask_messages(client: anthropic.AsyncAnthropic, model: str, stream: bool) -> Told:
    asked: Json = {
        "model": model,
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": HELLO}],
    }
    if not stream:
        return heard_message(await client.messages.create(**asked))
    text = thought = ""
    async with client.messages.stream(**asked) as events:
        async for event in events:
            if event.type == "text":
                text += event.text
            elif event.type == "thinking":
                thought += event.thinking
        told = heard_message(await events.get_final_message())
    assert (told.text, told.thought) == (text, thought), "the pieces are the whole"
    return told


def heard_message(message: Message) -> Told:
    """What an SDK's message holds."""
    blocks, usage = message.content, message.usage
    assert message.type == "message"
    assert message.role == "assistant"
    return Told(
        text="".join(block.text for block in blocks if block.type == "text"),
        refusal="",
        thought="".join(block.thinking for block in blocks if block.type == "thinking"),
        kept=[one for one in map(_kept, blocks) if one and not one.startswith(SEALS)],
        pictures=[],
        calls=[(one.id, one.name, one.input) for one in blocks if one.type == "tool_use"],
        stop=message.stop_reason,
        counts={
            "input": usage.input_tokens,
            "output": usage.output_tokens,
            "read": usage.cache_read_input_tokens or 0,
            "written": usage.cache_creation_input_tokens or 0,
            "thought": (
                usage.output_tokens_details.thinking_tokens if usage.output_tokens_details else 0
            ),
        },
    )


def _kept(block: ContentBlock) -> str:
    if block.type == "thinking":
        return block.signature
    return block.data if block.type == "redacted_thinking" else ""


def message_of(voice: Voice, usage: Json | None, stream: bool) -> Told:
    """A message for what was said: what was refused is its text, unless Anthropic's own said so."""
    stop = voice.native if voice.native in OWN_STOPS else STOPS.get(voice.finish or "stop")
    if voice.refusal and voice.finish == "stop":
        stop = "refusal"
    own = voice.native == "refusal"
    counts = None
    if usage is not None:
        cache = usage["prompt_tokens_details"]
        read, written = cache["cached_tokens"], cache["cache_write_tokens"]
        counts = {
            "input": max(0, usage["prompt_tokens"] - read - written),  # one was cached twice
            "output": usage["completion_tokens"],
            "read": read,
            "written": written,
            "thought": usage["completion_tokens_details"]["reasoning_tokens"],
        }
    return Told(
        text=voice.text + ("" if own else voice.refusal),
        refusal="",
        thought=thought_of(voice),
        kept=[
            told
            for one in voice.details
            if one.get("format") == "anthropic-claude-v1"
            and (told := one.get("signature") or one.get("data"))
        ],
        pictures=[],
        calls=[(id_, name, _object(given, stream)) for id_, _, name, given in voice.calls],
        stop=stop,
        counts=counts,
    )


def _object(given: str, stream: bool) -> Any:
    """The arguments of a call; of those that were cut, a stream tells what came."""
    try:
        return json.loads(given or "{}")
    except ValueError:
        return from_json(given.encode(), partial_mode=True) if stream else {}


def thought_of(voice: Voice) -> str:
    """What was thought; one recording has it in its details alone."""
    told = (one.get("text") or one.get("summary") or "" for one in voice.details)
    return voice.reasoning or "".join(told)


# Responses.


async def ask_responses(client: openai.AsyncOpenAI, model: str, stream: bool) -> Told:
    if not stream:
        return heard_response(await client.responses.create(model=model, input=HELLO))
    text, kept, ended = "", [], []
    async for event in await client.responses.create(model=model, input=HELLO, stream=True):
        if event.type == "response.output_text.delta":
            text += event.delta
        elif event.type == "response.output_item.done" and event.item.type == "reasoning":
            kept.append(_encrypted(event.item))  # OpenAI encrypts them anew for its last event
        elif event.type == "response.completed" or event.type == "response.incomplete":
            ended.append(event.response)
    (response,) = ended
    told = heard_response(response)
    assert told.text == text, "the pieces are the whole"
    return told._replace(kept=[one for one in kept if one])


def heard_response(response: Response) -> Told:
    """What an SDK's response holds."""
    said = [part for item in response.output if item.type == "message" for part in item.content]
    thoughts = [item for item in response.output if item.type == "reasoning"]
    calls: list[tuple[str, str, Any]] = []
    for item in response.output:
        if item.type == "function_call":
            calls.append((item.call_id, item.name, item.arguments))
        elif item.type == "custom_tool_call":
            calls.append((item.call_id, item.name, item.input))
    assert response.object == "response"
    assert response.usage is not None
    usage, cut = response.usage, response.incomplete_details
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    return Told(
        text=response.output_text,
        refusal="".join(part.refusal for part in said if part.type == "refusal"),
        kept=[kept for one in thoughts if (kept := _encrypted(one))],
        pictures=[told for item in response.output for told in _pictures(item)],
        thought="".join(
            part.text for one in thoughts for part in (*(one.content or ()), *one.summary)
        ),
        calls=calls,
        stop=cut.reason if cut else response.status,
        counts={
            "input": usage.input_tokens,
            "output": usage.output_tokens,
            "read": usage.input_tokens_details.cached_tokens,
            "thought": usage.output_tokens_details.reasoning_tokens,
        },
    )


def _encrypted(thought: ResponseReasoningItem) -> str:
    """What OpenAI or its like encrypted; OpenRouter says beside it if it was another."""
    format_, told = getattr(thought, "format", OWN), thought.encrypted_content or ""
    return told if str(format_).endswith(OWN) and not told.startswith(SEALS) else ""


def _pictures(item: ResponseOutputItem) -> list[str]:
    if item.type == "image_generation_call":
        return [item.result or ""]
    if item.type == "code_interpreter_call":
        urls = [one.url for one in item.outputs or () if one.type == "image"]
        return [url.partition("base64,")[2] for url in urls]
    return []


def response_of(voice: Voice, usage: Json | None, stream: bool) -> Told:
    """A response for what was said; what was spoken is its text."""
    counts = None
    if usage is not None:
        counts = {
            "input": usage["prompt_tokens"],
            "output": usage["completion_tokens"],
            "read": usage["prompt_tokens_details"]["cached_tokens"],
            "thought": usage["completion_tokens_details"]["reasoning_tokens"],
        }
    stop = INCOMPLETE.get(voice.finish or "", "completed")
    none = "{}" if stop == "completed" else ""
    return Told(
        text=voice.text + voice.audio.get("transcript", ""),
        refusal=voice.refusal,
        thought=thought_of(voice),
        kept=[
            one["data"]
            for one in voice.details
            if one["type"] == "reasoning.encrypted" and one["format"].endswith(OWN)
        ],
        pictures=[one["image_url"]["url"].partition("base64,")[2] for one in voice.images],
        calls=[(id_, name, given or none) for id_, _, name, given in voice.calls],
        stop=stop,
        counts=counts,
    )


CALLERS: Final = {
    "messages": Caller(ask_messages, message_of),
    "responses": Caller(ask_responses, response_of),
}


def answers() -> list[tuple[Recording, Truth]]:
    """The recordings that are answers and did not break, and what they say."""
    recordings = [load(row) for api, provider in PAIRS for row in chats(provider, api)]
    known = [(one, truth_of(one)) for one in recordings if kind(one) != "error"]
    return [(one, truth) for one, truth in known if truth.error is None]


def lost(truth: Truth, caller: str) -> bool:
    """Whether a caller's format has no words for it."""
    calls = [call for voice in truth.voices.values() for call in voice.calls]
    return caller == "messages" and any(type_ == "custom" for _, type_, *_ in calls)


def chosen(known: Iterable[tuple[Recording, Truth]]) -> list[Question]:
    """What is asked for: of each API, caller and form, all or a share that is the same each time.

    Recordings that came streamed and those that came whole take turns, each on its own.
    """
    seen: Counter[tuple[str, str]] = Counter()
    questions = []
    for number, (recording, truth) in enumerate(known):
        place = (recording.row["api"], kind(recording))
        ways = [(caller, stream) for caller in CALLERS for stream in (True, False)]
        for turn, (caller, stream) in enumerate(ways):
            due = LONG or (seen[place] + turn) % SHARE == 0
            if due and not lost(truth, caller):
                questions.append(Question(number, caller, stream))
        seen[place] += 1
    return questions


def model_of(question: Question) -> str:
    """Its model in the configuration: there are two for each recording."""
    return f"test/{'s' if question.stream else 'w'}{question.number}"


@asynccontextmanager
async def clients(url: str, key: str) -> AsyncIterator[dict[str, Any]]:
    """The SDKs, by the names of their formats."""
    options: Json = {"api_key": key, "max_retries": 0, "timeout": 60}
    async with (
        anthropic.AsyncAnthropic(base_url=f"{url}/api", **options) as messages,
        openai.AsyncOpenAI(base_url=f"{url}/api/v1", **options) as responses,
    ):
        yield {"messages": messages, "responses": responses}


def check(told: Told, wanted: Told) -> None:
    """Whether the SDK holds what was said; where nothing was counted, that something is."""
    assert told.counts is not None
    if [call[0] for call in wanted.calls] == [MADE_UP]:
        ((id_, *_),) = told.calls
        assert id_
        wanted = wanted._replace(calls=[(id_, *call[1:]) for call in wanted.calls])
    if wanted.counts is None:
        assert told.counts["input"] > 0
        wanted = wanted._replace(counts=told.counts)
    for name, value in wanted._asdict().items():
        assert getattr(told, name) == value, name


def table(told: Counter[tuple[str, str, bool]]) -> str:
    """How many were told, of each API, to each caller."""
    columns = [(caller, stream) for caller in CALLERS for stream in (True, False)]
    names = "".join(f"{f'{one}, whole' if not s else one:>18}" for one, s in columns)
    lines = [f"{'API':16}{names}"]
    lines += [
        f"{api:16}" + "".join(f"{told[api, *column]:18}" for column in columns) for api in DIALECTS
    ]
    return "\n".join([*lines, f"{'all':16}{told.total():72}"])


@pytest.mark.wire
@pytest.mark.sdk
async def test_recordings_in_the_words_of_other_callers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))  # of which a client would read all
    known = answers()
    recordings = [recording for recording, _ in known]
    questions, replay = chosen(known), Replay(recordings)
    told: Counter[tuple[str, str, bool]] = Counter()
    gate = asyncio.Semaphore(AT_ONCE)

    async def tell(sdks: dict[str, Any], question: Question) -> None:
        number, caller, stream = question
        recording, truth = known[number]
        (voice,) = truth.voices.values()
        try:
            async with gate:
                heard = await CALLERS[caller].ask(sdks[caller], model_of(question), stream)
            check(heard, CALLERS[caller].wanted(voice, truth.usage, stream))
        except Exception as error:
            error.add_note(f"in the recording {recording.row['dir']}, {caller=}, {stream=}")
            raise
        told[recording.row["api"], caller, stream] += 1

    async with (
        serving(replay) as url,
        weir(tmp_path, configuration(tmp_path, url, recordings)) as running,
        clients(running.url, running.key) as sdks,
        asyncio.TaskGroup() as group,
    ):
        for question in questions:
            group.create_task(tell(sdks, question))
    assert replay.faults == []
    with capsys.disabled():
        print(f"\n\nrecordings told to official SDKs\n{table(told)}")
    assert told.total() == len(questions)
    assert len(told) == len(DIALECTS) * len(CALLERS) * 2, "each dialect, to each caller, both ways"
