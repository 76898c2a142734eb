"""A recorded answer that a caller heard in chat's words, sent back, is the provider's own items
again: reasoning with what was encrypted, work of its tools, text, calls, in their order.
"""

import functools
import json
from collections import Counter
from typing import Any

import pytest

from proxy.dialects.chat.stream import Encoder, encode_answer
from proxy.dialects.responses.events import decode_answer, decoder
from proxy.dialects.responses.history import History
from proxy.dialects.responses.items import OPENAI
from proxy.providers import Quirks, known
from proxy.wire.events import Event
from proxy.wire.request import Head
from proxy.wire.slices import at_once
from tests.accepted.responses import responses_accepts
from tests.plain import ASK, BILL
from tests.recordings import Recording, index, load
from tests.truths.chat import events as data_of
from tests.truths.responses import XAI

pytestmark = pytest.mark.wire

Json = dict[str, Any]

HEAD = Head(id="gen-1-test", created=1, model="test/model", provider="Test")
REPLAYED = (
    "code_interpreter_call", "file_search_call", "mcp_call", "mcp_list_tools", "program",
    "shell_call", "shell_call_output", "tool_search_call", "tool_search_output", "web_search_call",
)  # fmt: skip

LOSSES = {
    "order": "text before reasoning, before work of a tool, or after a call",
    "messages": "that the text was in several messages",
    "parts": "that a message had several parts",
    "phase": "the `phase` of a message",
    "caller": "who called a function: the model, or a program of its own",
    "namespace": "in which set of tools a function was found",
    "summary": "a summary whose reasoning was not encrypted",
    "drawn": "the images that code drew",
    "image": "with which words and in which size an image was made",
    "store": "in which store a file was found",
    "sources": "of which text a source is",
}
"""What of a recorded answer does not come back. Each is shown below."""


def format_of(recording: Recording) -> str:
    return XAI if recording.row["provider"] == "xai" else OPENAI


def heard(recording: Recording) -> list[Event]:
    format_ = format_of(recording)
    if recording.row["kind"] != "sse":
        return decode_answer(recording.body, Quirks(), format_)
    stream = decoder(Quirks(), format_)
    return [*stream.feed(recording.body), *stream.end()]


def items_of(recording: Recording) -> list[Json]:
    """The recording's own items, as it told them when each was done."""
    if recording.row["kind"] != "sse":
        whole: list[Json] = json.loads(recording.body)["output"]
        return whole
    chunks = [json.loads(data) for data in data_of(recording.body) if data != b"[DONE]"]
    told = [chunk for chunk in chunks if chunk["type"] == "response.output_item.done"]
    told.sort(key=lambda chunk: chunk["output_index"])
    last: list[Json] = chunks[-1]["response"]["output"]
    return [chunk["item"] for chunk in told] or last


def message_of(events: list[Event]) -> Json:
    """The message that a caller keeps of a whole answer."""
    message: Json = json.loads(encode_answer(events, HEAD, ASK, BILL).body)["choices"][0]["message"]
    return message


def streamed_message_of(events: list[Event]) -> Json:
    """The same of a stream, by one who keeps every piece of the reasoning as it came."""
    encoder = Encoder(HEAD, ASK)
    details: list[Json] = []
    for event in events:
        if data := encoder.encode(event):
            delta = json.loads(data[6:])["choices"][0]["delta"]
            details += delta.get("reasoning_details") or []
    return message_of(events) | {"reasoning_details": details}


def known_again(item: Json, format_: str, lost: set[str]) -> Json | None:
    """What of a recorded item must come back."""
    match item["type"]:
        case "reasoning":
            open_ = [part["text"] for part in item.get("content") or []]
            if not item.get("encrypted_content") and not open_:
                lost |= {"summary"} if item["summary"] else set()
                return None
            if item.get("format", format_) != format_:
                return None  # of another provider, through OpenRouter
            told = {key: item[key] for key in ("type", "id", "summary")}
            told |= {"content": item["content"]} if open_ else {}
            sealed = item.get("encrypted_content")
            return told | ({"encrypted_content": sealed} if sealed else {})
        case "function_call":
            lost |= {name for name in ("caller", "namespace") if name in item}
            return {key: item[key] for key in ("type", "call_id", "name", "arguments")}
        case "image_generation_call":
            lost.add("image")
            return {key: item[key] for key in ("type", "id", "status", "result")}
    assert item["type"] in REPLAYED, item["type"]
    if results := item.get("results"):
        lost.add("store")
        own = [{k: v for k, v in one.items() if k != "vector_store_id"} for one in results]
        item = item | {"results": own}
    outputs = item.get("outputs") or []
    printed = [output for output in outputs if output["type"] != "image"]
    lost |= {"drawn"} if printed != outputs else set()
    return item | ({"outputs": printed} if outputs else {})


def expected(recording: Recording, lost: set[str]) -> list[Json]:
    before: list[Json] = []
    after: list[Json] = []
    texts: list[str] = []
    refused = ""
    messages = [item for item in items_of(recording) if item["type"] == "message"]
    for item in messages:
        lost |= {name for name in ("phase",) if name in item}
        lost |= {"parts"} if len(item["content"]) > 1 else set()
        texts += [part["text"] for part in item["content"] if part["type"] == "output_text"]
        cited = [part for part in item["content"] if part.get("annotations")]
        lost |= {"sources"} if cited else set()
        refused += "".join(part.get("refusal", "") for part in item["content"])
    lost |= {"messages"} if len(messages) > 1 else set()
    for item in items_of(recording):
        if item["type"] != "message" and (told := known_again(item, format_of(recording), lost)):
            (after if item["type"] == "function_call" else before).append(told)
    said: list[Json] = [{"role": "assistant", "content": "".join(texts)}] if any(texts) else []
    if refused:
        refusal = {"type": "refusal", "refusal": refused}
        head = {"type": "message", "role": "assistant", "status": "completed"}
        said = [{**head, "id": f"msg_{len(before)}", "content": [refusal]}]
    kinds = [rank(item) for item in items_of(recording)]
    lost |= {"order"} if kinds != sorted(kinds) else set()
    return before + said + after


def rank(item: Json) -> int:
    return {"message": 1, "function_call": 2}.get(item["type"], 0)


@functools.cache
def replayed() -> tuple[Counter[str], Counter[str]]:
    """How many recordings came back, of each provider, and how often each loss was met."""
    counts: Counter[str] = Counter()
    losses: Counter[str] = Counter()
    for row in index():
        if row["api"] != "responses" or row["status"] != 200:
            continue
        recording, lost = load(row), set[str]()
        wanted = expected(recording, lost)
        told = heard(recording)
        for message in (message_of(told), streamed_message_of(told)):
            made = at_once(History(known()["openai"], format_of(recording)).encode([message]))
            assert made == wanted, row["dir"]
            if row["provider"] != "xai" and "sources" not in json.dumps(made):
                # xAI's work has fields of its own, OpenAI's sources a type that its SDK lacks.
                responses_accepts({"model": "m", "input": made})
        counts[row["provider"]] += 1
        losses.update(lost)
    return counts, losses


def test_every_answer_comes_back() -> None:
    counts, _ = replayed()
    rows = [row for row in index() if row["api"] == "responses" and row["status"] == 200]
    assert counts == Counter(row["provider"] for row in rows)


@pytest.mark.parametrize("loss", LOSSES)
def test_each_loss_is_met(loss: str) -> None:
    _, losses = replayed()
    assert losses.keys() <= LOSSES.keys()
    # No recorded message has several parts.
    assert loss in losses or loss == "parts"
