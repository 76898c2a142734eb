"""What the providers of these tests are to say: the same to the same request, whoever it is.

It stands here once; the simulated provider says it by itself, aimock gets it as fixtures.
"""

import json
from typing import Any
from urllib.parse import quote

from proxy.upstream.fake import Rule, Scenario
from tests.sdk.dialects import DIALECTS

TEXT = (
    "Water meets the weir and waits a little, then it finds the lowest place and goes over, "
    "bright and even, on its long and patient way down to the wide open sea."
)
THOUGHT = "The prompt has about 5 tokens. I can answer it as it stands."
SEEN = f"I was given 2 images. {TEXT}"
SHORT = "Water meets the weir and waits a little, then it finds the lowest place and goes"
SHORT_TOKENS = 16
"""The fewest that every provider takes as a limit; so many words of `TEXT` are `SHORT`."""
WEATHER = {"city": "Oslo", "degrees": 1, "sky": "clear"}
QUESTION = "What does a weir do?"
QUESTION_USAGE = {"prompt_tokens": 5, "completion_tokens": 32}
FORMATTED = "What is the weather, as JSON?"
PICTURES = "What is on these pictures?"
RESULTS = {"get_weather": "4 degrees", "get_time": "noon"}
ARGUMENTS = {"get_weather": {"city": "Oslo"}, "get_time": {"zone": "UTC"}}

SCENARIO = Scenario(
    rules=(
        Rule(model="weir/*slow", tokens_per_s=20.0),
        # Slow enough that what came before the cut is with the caller when it comes.
        Rule(model="fault/cut", fault="cut", events=10, tokens_per_s=50),
        Rule(model="fault/refused", fault="status", status=400),
    )
)

JSONObject = dict[str, Any]


def fixtures() -> list[JSONObject]:
    """For aimock: the first that matches a request is its answer. Those that are not about a count
    of tokens have one all the same, as aimock counts nothing in most dialects.
    """

    def fixture(response: JSONObject, *, model: str = "weir/lorem", **match: Any) -> JSONObject:
        options = match.pop("options", {})
        if "error" not in response:
            response = {"usage": QUESTION_USAGE} | response
        return {"match": {"model": model, **match}, "response": response, **options}

    def calls(*names: str) -> JSONObject:
        return {"toolCalls": [{"name": name, "arguments": ARGUMENTS[name]} for name in names]}

    def error(status: int, message: str, code: str) -> JSONObject:
        row = {"message": message, "type": "error", "code": code}
        return {"error": row, "status": status}

    rows = [
        fixture(
            {"content": "The tool said: 4 degrees; noon"}, toolResultContains=RESULTS["get_time"]
        ),
        fixture({"content": "The tool said: 4 degrees"}, hasToolResult=True),
        fixture(calls("get_weather", "get_time"), userMessage="weather and the time"),
        fixture(calls("get_weather"), userMessage="weather in"),
        fixture({"content": json.dumps(WEATHER)}, userMessage=FORMATTED),
        fixture({"content": SEEN}, userMessage=PICTURES),
        fixture({"content": SHORT, "finishReason": "length"}, userMessage="Be short"),
        fixture({"content": TEXT}),
        fixture(
            {"content": "The tool said: 4 degrees; noon", "reasoning": THOUGHT},
            model="weir/reason",
            toolResultContains=RESULTS["get_time"],
        ),
        fixture(
            calls("get_weather", "get_time") | {"reasoning": THOUGHT},
            model="weir/reason",
            userMessage="weather and the time",
        ),
        fixture({"content": TEXT, "reasoning": THOUGHT}, model="weir/reason"),
        fixture({"content": TEXT}, model="weir/slow", options={"streamingProfile": {"tps": 20}}),
        fixture(error(429, "Rate limit reached.", "rate_limit_exceeded"), model="fault/rate-limit"),
        fixture(
            error(400, "The context is too long.", "context_length_exceeded"),
            model="fault/too-long",
        ),
        fixture(error(400, "That is no request.", "invalid_value"), model="fault/refused"),
        fixture(error(401, "Incorrect API key.", "invalid_api_key"), model="fault/bad-key"),
        fixture(
            {"content": TEXT},
            model="fault/cut",
            # Five events at most come before the first text. Without the latency, all is cut.
            options={"truncateAfterChunks": 7, "latency": 30},
        ),
        fixture(
            {"content": TEXT}, model="fault/cut-head", options={"chaos": {"disconnectRate": 1}}
        ),
        fixture({"content": TEXT}, model="fault/bad-json", options={"chaos": {"malformedRate": 1}}),
    ]
    return [
        row | {"match": row["match"] | {"model": name}}
        for row in rows
        for name in _names(row["match"]["model"])
    ]


def _names(model: str) -> list[str]:
    """What that model is called in all dialects; in a path, which aimock does not decode, too."""
    author, name = model.split("/")
    names = {model: None}
    if author == "weir":
        names = dict.fromkeys(one.model(name) for one in DIALECTS.values())
    return [*names, *(quote(one, safe="") for one in names)]


def oddities() -> list[JSONObject]:
    """More for aimock: answers of forms that the simulated provider does not make."""

    def call(**arguments: Any) -> JSONObject:
        return {"name": "get_weather", "arguments": arguments}

    block = {"type": "toolCall"}
    responses: dict[str, tuple[JSONObject, JSONObject]] = {
        "unicode": (
            {"content": 'Grüße aus Köln: 水, вода, 💧👩‍👩‍👧. \u2028"\\\n\t'},
            {"chunkSize": 1},
        ),
        "long": ({"content": "x" * 200_000}, {"chunkSize": 997}),
        "short": ({"content": "One chunk only."}, {"chunkSize": 10_000}),
        "like-events": (
            {"content": "data: [DONE]\n\ndata: {}\n\n: no comment"},
            {"chunkSize": 3},
        ),
        "words-call": ({"content": "First words.", "toolCalls": [call(city="Oslo")]}, {}),
        "call-words": (
            {"blocks": [block | call(city="Oslo"), {"type": "text", "text": "Then words."}]},
            {},
        ),
        "calls": (
            {"toolCalls": [call(city=f"{one}-𝛑", deep={"a": [1, None]}) for one in range(9)]},
            {"chunkSize": 2},
        ),
        "bare-call": ({"toolCalls": [{"name": "get_weather", "arguments": {}}]}, {}),
        "thought": (
            {"content": "Thought out.", "reasoning": "Hm, 水… so it is."},
            {"chunkSize": 1},
        ),
        "cut": ({"content": "Cut.", "finishReason": "length", "systemFingerprint": "fp_1"}, {}),
        "filtered": ({"content": "Filtered.", "finishReason": "content_filter"}, {}),
        "counted": (
            {"content": "Counted.", "usage": {"prompt_tokens": 7, "completion_tokens": 11}},
            {},
        ),
    }
    return [
        {"match": {"model": model}, "response": response, **options}
        for name, (response, options) in responses.items()
        for model in _names(f"odd/{name}")
    ]


ODD = tuple(fixture["match"]["model"] for fixture in oddities() if "/" in fixture["match"]["model"])
