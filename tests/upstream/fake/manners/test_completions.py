"""Completions: choices of several prompts, echoes, and chunks that say them."""

from itertools import groupby

from proxy.upstream.fake.scenario import Answer, Rule
from tests.upstream.fake.tasking import lines, post, whole

PATH = "/v1/completions"
TWO = Answer(tokens=2)


def test_a_whole_answer() -> None:
    body = {"model": "m", "prompt": ["a b", "c"], "n": 2, "echo": True}
    said = whole(post(PATH, body), answer=TWO)
    assert [choice["text"] for choice in said["choices"]] == [
        "a bWater meets", "a bmeets the", "cthe weir", "cweir and"
    ]  # fmt: skip
    assert said["usage"] == {"prompt_tokens": 3, "completion_tokens": 8, "total_tokens": 11}
    assert (said["object"], said["id"][:5]) == ("text_completion", "cmpl-")
    assert {choice["finish_reason"] for choice in said["choices"]} == {"stop"}


def test_a_stream_says_the_same() -> None:
    options = {"stream": True, "stream_options": {"include_usage": True}}
    body = {"model": "m", "prompt": ["a", "b"], "echo": True}
    *chunks, last = lines(post(PATH, body | options), answer=TWO)
    choices = sorted((c["choices"][0] for c in chunks), key=lambda choice: choice["index"])
    texts = [
        "".join(choice["text"] for choice in run)
        for _, run in groupby(choices, key=lambda choice: choice["index"])
    ]
    assert texts == [c["text"] for c in whole(post(PATH, body), answer=TWO)["choices"]]
    assert all(chunk["usage"] is None for chunk in chunks)
    assert (last["choices"], last["usage"]["completion_tokens"]) == ([], 4)
    assert "usage" not in lines(post(PATH, body | {"stream": True}))[0]


def test_a_limit_and_a_stop() -> None:
    cut = whole(post(PATH, {"model": "m", "prompt": "a", "max_tokens": 1}))
    assert (cut["choices"][0]["text"], cut["choices"][0]["finish_reason"]) == ("Water", "length")
    stopped = whole(post(PATH, {"model": "m", "prompt": "a", "stop": [" the"]}))
    assert stopped["choices"][0]["text"] == "Water meets"


def test_chances() -> None:
    said = whole(post(PATH, {"model": "m", "prompt": "a", "logprobs": 0}), answer=TWO)
    logged = said["choices"][0]["logprobs"]
    assert (logged["tokens"], logged["text_offset"]) == (["Water", " meets"], [0, 5])
    assert logged["top_logprobs"] == [
        {token: chance}
        for token, chance in zip(logged["tokens"], logged["token_logprobs"], strict=True)
    ]


def test_faults_of_the_end() -> None:
    stream = post(PATH, {"model": "m", "prompt": "a", "stream": True})
    unfinished = lines(stream, Rule(fault="no-finish"), TWO)
    assert [chunk["choices"][0]["finish_reason"] for chunk in unfinished] == [None, None]
    plain = whole(post(PATH, {"model": "m", "prompt": "a"}), Rule(fault="no-finish"), TWO)
    assert (plain["choices"][0]["finish_reason"], plain["choices"][0]["text"]) == (
        None, "Water meets"
    )  # fmt: skip
    growing = lines(stream, Rule(fault="usage-cumulative"), TWO)
    assert [chunk["usage"]["completion_tokens"] for chunk in growing] == [1, 2, 2]


def test_a_gap_is_filled_as_in_a_chat() -> None:
    body = {"model": "m", "prompt": "a b", "suffix": "c"}
    said = whole(post("/v1/fim/completions", body), answer=TWO)
    assert said["choices"][0]["message"]["content"] == "Water meets"
    assert said["usage"]["prompt_tokens"] == 3
    chunks = lines(post("/v1/fim/completions", body | {"stream": True}), answer=TWO)
    deltas = (chunk["choices"][0]["delta"] for chunk in chunks)
    assert "".join(delta.get("content", "") for delta in deltas) == "Water meets"
