"""Whatever callers ask and providers answer, it is read or refused, and never a bug of ours."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects import INBOUND
from proxy.dialects.forms import Bill
from proxy.dialects.tasks import TASKS
from proxy.errors import GatewayError
from proxy.providers import Quirks
from proxy.wire.events import Ended, Event, Failed, Usage
from proxy.wire.request import Head
from tests.dialects.embeddings.asking import provider, sent

HEAD = Head(id="gen-1", created=7, model="a/b", provider="Acme")
KEYS = st.sampled_from((
    "input", "documents", "query", "top_n", "content", "text", "image", "type", "image_url", "url",
    "input_file", "data", "format", "results", "index", "score", "relevance_score", "embedding",
    "embeddings", "values", "float", "usage", "total_tokens", "prompt_tokens", "meta", "error",
    "billed_units", "predictions", "statistics", "token_count", "usageMetadata", "promptTokenCount",
    "promptTokenDetails", "modality", "tokenCount", "inputTextTokenCount", "search_units", "id",
))  # fmt: skip
WORDS = st.sampled_from(("text", "image_url", "input_file", "input_audio", "AAAA", "x", "TEXT"))
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 9) | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=5)
ROWS = [(row, task) for row, task in TASKS if task in ("embeddings", "rerank")]


@pytest.mark.parametrize("task", ["embeddings", "rerank"])
@given(fields=OBJECTS)
def test_requests(task: str, fields: dict[str, Any]) -> None:
    for dialect in ("openai", "cohere", "gemini", "bedrock"):
        status = 0
        try:
            assert isinstance(sent(provider(dialect=dialect), "m", task, **fields), dict)
        except GatewayError as error:
            status = error.status
        assert status in (0, 400)


@pytest.mark.parametrize(("dialect", "task"), ROWS)
@given(said=OBJECTS)
def test_answers(dialect: str, task: str, said: dict[str, Any]) -> None:
    told = {"input": "x"} if task == "embeddings" else {"query": "q", "documents": ["a", "b"]}
    ask = INBOUND[task].decode_request(json.dumps({"model": "m"} | told).encode(), ())
    row: Any = TASKS[dialect, task]  # type: ignore[index]
    kind, events = "", list[Event]()
    try:
        events = row.decode_answer(json.dumps(said).encode(), Quirks())
    except GatewayError as error:
        kind = error.kind
    assert kind in ("", "provider_malformed")
    assert not events or isinstance(events[-1], Ended | Failed)
    if events and isinstance(events[-1], Ended):
        for form in ("float", "base64"):
            ask.body["encoding_format"] = form
            encoded = INBOUND[task].encode_answer(events, HEAD, ask, Bill(Usage()))
            assert json.loads(encoded.body)["id"] == "gen-1"
