"""What is read in requests to Google beside chat, and what is refused."""

from typing import Any

import pytest

from proxy.upstream.fake.ask import Refused
from tests.upstream.fake.tasking import PARTS, VERTEX, ask_of, post

Data = dict[str, Any]
EMBED, BATCH = "/v1beta/models/m:embedContent", "/v1beta/models/m:batchEmbedContents"
PREDICT = f"{VERTEX}/google/models/m:predict"


def test_counts_of_both_forms() -> None:
    system = {"system_instruction": {"parts": [{"text": "be brief"}]}}
    inner = {"contents": [PARTS], "model": "models/m"} | system
    asked = ask_of(post("/v1beta/models/a/b:countTokens", {"generateContentRequest": inner}))
    assert (asked.model, asked.task, asked.prompt_tokens) == ("a/b", "count", 4)
    assert ask_of(post("/v1beta/models/m:countTokens", {"contents": [PARTS]})).prompt_tokens == 2


def test_embeddings() -> None:
    picture = {"parts": [{"text": "a "}, {"inlineData": {"mimeType": "image/png", "data": "eA=="}}]}
    one = ask_of(post(EMBED, {"content": picture, "output_dimensionality": 3}))
    assert (one.texts, one.attachments) == (("a eA==",), ("image",))
    assert one.body == {"batch": False, "dimensions": [3]}
    requests = [
        {"model": "models/m", "content": PARTS},
        {"model": "models/m", "content": PARTS, "embedContentConfig": {"outputDimensionality": 2}},
    ]
    batch = ask_of(post(BATCH, {"requests": requests}))
    assert batch.body == {"batch": True, "dimensions": [None, 2]}


def test_predictions() -> None:
    body: Data = {"instances": [{"content": "a"}, {"content": "b c"}]}
    assert ask_of(post(PREDICT, body)).texts == ("a", "b c")
    drawn = ask_of(post(PREDICT, {"instances": [{"prompt": "a weir"}]}))
    assert (drawn.task, drawn.body["n"]) == ("image", 4)


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        (EMBED, {}, "contents is not specified"),
        (EMBED, {"content": PARTS, "input": "x"}, 'Unknown name "input"'),
        (BATCH, {"requests": []}, "requests is not specified"),
        (BATCH, {"requests": [{"content": PARTS}]}, "unexpected model name"),
        (BATCH, {"requests": [{"content": PARTS, "model": "models/m"}] * 101}, "at most 100"),
        (PREDICT, {}, "Empty instances"),
        (PREDICT, {"instances": [{}]}, "Text prompt is required"),
        (PREDICT, {"instances": [{"prompt": "x"}], "parameters": {"sampleCount": 5}}, "1 and 4"),
    ],
)
def test_what_is_refused(path: str, body: Data, message: str) -> None:
    with pytest.raises(Refused, match=message):
        ask_of(post(path, body))
