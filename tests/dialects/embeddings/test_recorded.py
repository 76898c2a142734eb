"""Every recorded embedding and reranking: asked for as it was, and understood."""

import base64
import json
import struct
from collections import Counter
from typing import Any

import pytest

from proxy.dialects import INBOUND, outbound
from proxy.dialects.asking import Target
from proxy.dialects.forms import Bill
from proxy.providers import Provider, known
from proxy.wire.events import Failed, UsageReport
from proxy.wire.events import Usage as Counted
from proxy.wire.request import Ask, Head
from tests.recordings import Recording, index, load

pytestmark = pytest.mark.wire

Json = dict[str, Any]
HEAD = Head(id="gen-1", created=7, model="a/b", provider="Acme")
SLUGS = {"google": "google-ai-studio", "bedrock": "amazon-bedrock"}
WANTED = {
    ("azure", "embeddings"): 1, ("bedrock", "rerank"): 1, ("cohere", "embeddings"): 5,
    ("cohere", "rerank"): 4, ("google", "embeddings"): 4, ("google-vertex", "embeddings"): 1,
    ("mistral", "embeddings"): 3, ("openai", "embeddings"): 4, ("openrouter", "embeddings"): 7,
    ("openrouter", "rerank"): 1, ("perplexity", "embeddings"): 1,
}  # fmt: skip


def recordings(api: str) -> list[Recording]:
    return [load(row) for row in index() if row["api"] == api]


def provider(recording: Recording) -> Provider:
    slug: str = recording.row["provider"]
    return known()[SLUGS.get(slug, slug)]


def read(recording: Recording, ask: Ask) -> tuple[Json, Counted | None]:
    """The answer as a caller is sent it, and what was counted."""
    served = provider(recording)
    dialect = outbound(served, "m", ask)
    events = dialect.decode_answer(recording.body, served.quirks)
    assert not any(isinstance(event, Failed) for event in events)
    reports = [event.usage for event in events if isinstance(event, UsageReport)]
    bill = Bill(reports[-1] if reports else Counted())
    answer = INBOUND[ask.task].encode_answer(events, HEAD, ask, bill)
    return json.loads(answer.body), reports[-1] if reports else None


def asked(task: str, **fields: Any) -> Ask:
    body = json.dumps({"model": "m"} | fields).encode()
    return INBOUND[task].decode_request(body, ())


def recorded_vectors(said: Json) -> list[list[float]]:
    """The vectors of a recorded answer, by the plainest reading."""
    told: Any = said.get("data") or said.get("embeddings") or [said.get("embedding")]
    if isinstance(told, dict):
        (told,) = told.values()
    found = []
    for one in told:
        row: Any = (one.get("embedding") or one.get("values")) if isinstance(one, dict) else one
        if isinstance(row, str):
            data = base64.b64decode(row)
            coarse = said["model"].startswith("pplx")
            row = struct.unpack(f"{len(data)}b" if coarse else f"<{len(data) // 4}f", data)
        found.append(list(row))
    return found


def recorded_tokens(said: Json) -> int | None:
    usage = said.get("usage") or said.get("usageMetadata") or {}
    billed = (said.get("meta") or {}).get("billed_units") or {}
    counted = usage.get("prompt_tokens", usage.get("promptTokenCount", billed.get("input_tokens")))
    return counted if counted is None else counted + billed.get("image_tokens", 0)


def test_all_of_them_are_read() -> None:
    rows = [row for row in index() if row["api"] in ("embeddings", "rerank")]
    assert Counter((row["provider"], row["api"]) for row in rows) == WANTED


def test_embeddings() -> None:
    replayed = 0
    for recording in recordings("embeddings"):
        if recording.status != 200:
            continue
        said = json.loads(recording.body)
        wanted = recorded_vectors(said)
        answer, counted = read(recording, asked("embeddings", input=["x"] * len(wanted)))
        assert [row["embedding"] for row in answer["data"]] == wanted
        assert [row["index"] for row in answer["data"]] == list(range(len(wanted)))
        tokens = recorded_tokens(said)
        assert (counted.prompt_tokens if counted else None) == tokens, recording.row["name"]
        packed, _ = read(recording, asked("embeddings", input="x", encoding_format="base64"))
        for row, vector in zip(packed["data"], wanted, strict=True):
            data = base64.b64decode(row["embedding"])
            assert struct.unpack(f"<{len(vector)}f", data) == pytest.approx(vector, rel=1e-6)
        replayed += 1
    assert replayed == 23


def test_kinds_of_input_are_counted_apart() -> None:
    (pictured,) = [
        one for one in recordings("embeddings") if "promptTokenDetails" in one.body.decode()
        and "IMAGE" in one.body.decode()
    ]  # fmt: skip
    answer, _ = read(pictured, asked("embeddings", input="x"))
    told = answer["usage"]["prompt_tokens_details"]
    assert told == {"text_tokens": 3, "image_tokens": 258}


def test_rankings() -> None:
    for recording in recordings("rerank"):
        said = json.loads(recording.body)
        documents = [f"d{n}" for n in range(6)]
        answer, counted = read(recording, asked("rerank", query="q", documents=documents))
        scores = [
            (one["index"], one.get("relevance_score", one.get("relevanceScore")))
            for one in said["results"]
        ]
        told = [(one["index"], one["relevance_score"]) for one in answer["results"]]
        assert told == scores
        assert all(one["document"] == {"text": f"d{one['index']}"} for one in answer["results"])
        if recording.row["provider"] == "cohere":
            assert answer["usage"] == {"search_units": 1, "cost": 0}
        elif recording.row["provider"] == "openrouter":
            assert answer["usage"] == {"total_tokens": 17, "cost": 0}
        else:
            assert counted is None


def caller(recording: Recording) -> Json | None:
    """The recorded request in a caller's words; None where it was in words of an older API."""
    body, path = recording.request["body"], recording.request["path"]
    older = path.startswith("/v1/") and recording.row["provider"] == "cohere"
    if body is None or older:
        return None
    if "requests" in body:
        contents = [one["content"] for one in body["requests"]]
        settings = body["requests"][0]
    elif "content" in body:
        contents, settings = [body["content"]], body
    else:
        said = {k: v for k, v in body.items() if v is not None}
        said.pop("embedding_types", None)
        if "texts" in said:
            said["input"] = said.pop("texts")
        if "output_dimension" in said:
            said["dimensions"] = said.pop("output_dimension")
        return said | {"model": "m"}
    asked: Json = {
        "model": "m",
        "input": [{"content": [*map(_part, c["parts"])]} for c in contents],
    }
    if "outputDimensionality" in settings:
        asked["dimensions"] = settings["outputDimensionality"]
    if "taskType" in settings:
        asked["input_type"] = settings["taskType"]
    return asked


def _part(part: Json) -> Json:
    if "text" in part:
        return {"type": "text", "text": part["text"]}
    data = part["inline_data"]
    url = f"data:{data['mime_type']};base64,{data['data']}"
    return {"type": "image_url", "image_url": {"url": url}}


def _written(value: Any) -> Any:
    """JSON as its reader takes it: `inline_data` is `inlineData`, one text a list of one."""
    if isinstance(value, list):
        return [_written(one) for one in value]
    if not isinstance(value, dict):
        return value
    named = {"inline_data": "inlineData", "mime_type": "mimeType"}
    return {named.get(key, key): _written(one) for key, one in value.items() if one is not None}


def test_requests() -> None:
    sent = 0
    for api in ("embeddings", "rerank"):
        for recording in recordings(api):
            said = caller(recording)
            if said is None:
                continue
            ask = INBOUND[api].decode_request(json.dumps(said).encode(), ())
            served = provider(recording)
            model = recording.row["model"] or ""
            body = json.loads(
                outbound(served, model, ask).encode_request(ask, Target(served, model)).body
            )
            wanted = _written(recording.request["body"])
            if isinstance(wanted.get("input"), str):
                wanted["input"] = [wanted["input"]]
            if recording.row["provider"] == "google-vertex":
                assert body == {"requests": [wanted]}  # of several, one by one there
            else:
                assert body == wanted | {"model": model} if "model" in body else body == wanted
            sent += 1
    assert sent == 27
