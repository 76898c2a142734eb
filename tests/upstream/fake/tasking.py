"""Requests to the simulated provider for what is no conversation, and what comes of them."""

import json
from base64 import b64encode
from itertools import islice
from random import Random
from typing import Any

from proxy.upstream.fake.ask import Ask, Request
from proxy.upstream.fake.faults import flow_of, play
from proxy.upstream.fake.mangle import Head, Scene, Step
from proxy.upstream.fake.manner import Manner
from proxy.upstream.fake.media import sounds
from proxy.upstream.fake.reply import Reply
from proxy.upstream.fake.routes import route
from proxy.upstream.fake.scenario import Answer, Rule
from tests.upstream.fake.speaking import SEAL, body_of, head_of

Data = dict[str, Any]
STEPS_MAX = 3000
VERTEX = "/v1/projects/p/locations/l/publishers"
WAV = b"".join(sounds(5, "wav"))
_EDGE = "weir-form-edge"


def post(path: str, body: Data, *, query: str = "", **headers: str) -> Request:
    """A request with JSON in it."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("POST", path, named, json.dumps(body).encode(), query=query)


def form(path: str, fields: Data, files: dict[str, bytes], *, query: str = "") -> Request:
    """A request with a form in it; values that are lists come again and again."""
    parts = []
    for name, value in fields.items():
        several = value if isinstance(value, list) else [value]
        parts += [f'name="{name}"\r\n\r\n{one}'.encode() for one in several]
    for name, data in files.items():
        opening = f'name="{name}"; filename="a.bin"\r\nContent-Type: application/octet-stream'
        parts.append(opening.encode() + b"\r\n\r\n" + data)
    start = f"--{_EDGE}\r\nContent-Disposition: form-data; ".encode()
    body = b"".join(start + part + b"\r\n" for part in parts) + f"--{_EDGE}--\r\n".encode()
    kind = {"content-type": f"multipart/form-data; boundary={_EDGE}"}
    return Request("POST", path, kind, body, query=query)


def manner_of(request: Request) -> Manner:
    """Who answers."""
    found = route(request)
    assert found is not None
    return found.manner


def ask_of(request: Request) -> Ask:
    """What is read in it."""
    return manner_of(request).decode(request, SEAL)


def perform(request: Request, rule: Rule | None = None, answer: Answer | None = None) -> list[Step]:
    """The first steps of the response."""
    rule = rule or Rule()
    manner, ask = manner_of(request), ask_of(request)
    flow = flow_of(rule, answer or Answer(tokens=4))
    said = Reply(ask, flow, Random(1), 5, seal=SEAL, mute=rule.fault == "no-content")
    scene = Scene(rule, manner, said, Random(2))
    return list(islice(play(scene, flow, stream=ask.stream, credential="sk-mine"), STEPS_MAX))


def whole(request: Request, rule: Rule | None = None, answer: Answer | None = None) -> Data:
    """The response, which is an object."""
    decoded: Data = json.loads(body_of(perform(request, rule, answer)))
    return decoded


def headed(request: Request) -> tuple[Head, bytes]:
    """The response with its head."""
    made = perform(request)
    return head_of(made), body_of(made)


def lines(request: Request, rule: Rule | None = None, answer: Answer | None = None) -> list[Data]:
    """The objects of a stream."""
    said = body_of(perform(request, rule, answer)).decode().splitlines()
    data = (line.removeprefix("data: ") for line in said if line.startswith("data: "))
    return [json.loads(text) for text in data if text != "[DONE]"]


HI: Data = {"role": "user", "content": "hi there"}
PARTS: Data = {"role": "user", "parts": [{"text": "hi there"}]}
CONVERSE: Data = {"messages": [{"role": "user", "content": [{"text": "hi there"}]}]}

REQUESTS: dict[str, Request] = {
    "completion": post("/v1/completions", {"model": "m", "prompt": "hi there"}),
    "completion-stream": post(
        "/v1/completions",
        {"model": "m", "prompt": "hi", "stream": True, "stream_options": {"include_usage": True}},
    ),
    "fim": post("/v1/fim/completions", {"model": "m", "prompt": "a", "suffix": "b"}),
    "azure-completion": post(
        "/openai/deployments/m/completions", {"prompt": "hi"}, query="api-version=1"
    ),
    "embeddings": post("/v1/embeddings", {"model": "m", "input": "hi there", "dimensions": 8}),
    "azure-embeddings": post(
        "/openai/deployments/m/embeddings", {"input": ["hi"]}, query="api-version=1"
    ),
    "cohere-embeddings": post(
        "/v2/embed", {"model": "m", "texts": ["hi there"], "input_type": "search_query"}
    ),
    "gemini-embeddings": post(
        "/v1beta/models/m:batchEmbedContents",
        {"requests": [{"model": "models/m", "content": PARTS}]},
    ),
    "vertex-gemini-embeddings": post(
        f"{VERTEX}/google/models/m:embedContent", {"content": PARTS, "outputDimensionality": 4}
    ),
    "vertex-gemini-predict": post(
        f"{VERTEX}/google/models/m:predict",
        {"instances": [{"content": "hi there"}], "parameters": {"outputDimensionality": 4}},
    ),
    "gemini-predict": post(
        "/v1beta/models/imagen:predict",
        {"instances": [{"prompt": "a weir"}], "parameters": {"sampleCount": 2}},
    ),
    "bedrock-invoke": post("/model/titan/invoke", {"inputText": "hi there", "dimensions": 256}),
    "rerank": post("/v1/rerank", {"model": "m", "query": "b", "documents": ["a", "b c", "d"]}),
    "cohere-rerank": post("/v2/rerank", {"model": "m", "query": "b", "documents": ["a", "b"]}),
    "image": post("/v1/images/generations", {"model": "gpt-image", "prompt": "a weir"}),
    "image-stream": post(
        "/v1/images/generations",
        {"model": "gpt-image", "prompt": "a weir", "stream": True, "partial_images": 3},
    ),
    "azure-image": form(
        "/openai/deployments/m/images/edits",
        {"prompt": "a weir"},
        {"image": b"png"},
        query="api-version=1",
    ),
    "speech": post("/v1/audio/speech", {"model": "m", "input": "one two three", "voice": "x"}),
    "speech-stream": post(
        "/v1/audio/speech",
        {"model": "m", "input": "one two three", "voice": "x", "stream_format": "sse"},
    ),
    "azure-speech": post(
        "/openai/deployments/m/audio/speech",
        {"input": "one two three four", "voice": "x", "response_format": "pcm"},
        query="api-version=1",
    ),
    "transcription": form("/v1/audio/transcriptions", {"model": "whisper"}, {"file": WAV}),
    "transcription-stream": form(
        "/v1/audio/transcriptions", {"model": "m", "stream": "true"}, {"file": WAV}
    ),
    "azure-transcription": form(
        "/openai/deployments/m/audio/transcriptions", {}, {"file": WAV}, query="api-version=1"
    ),
    "anthropic-count": post(
        "/v1/messages/count_tokens",
        {"model": "m", "messages": [HI]},
        anthropic_version="2023-06-01",
    ),
    "vertex-anthropic-count": post(
        f"{VERTEX}/anthropic/models/count-tokens:rawPredict",
        {"model": "m", "messages": [HI], "anthropic_version": "vertex-2023-10-16"},
    ),
    "gemini-count": post("/v1beta/models/m:countTokens", {"contents": [PARTS]}),
    "vertex-gemini-count": post(f"{VERTEX}/google/models/m:countTokens", {"contents": [PARTS]}),
    "bedrock-count": post("/model/m/count-tokens", {"input": {"converse": CONVERSE}}),
}
"""A healthy request of each kind."""


def invoked(body: Data) -> Data:
    """A request as Bedrock counts it in the words of its maker."""
    data = b64encode(json.dumps(body).encode()).decode()
    return {"input": {"invokeModel": {"body": data}}}
