"""Every recorded request, said in chat's words to OpenAI and to Mistral, is one that their own SDKs
could have sent; what is not is listed.
"""

import json
import re
from collections import Counter
from typing import Any

import pytest

from proxy.dialects.asking import Target
from proxy.dialects.chat.request import decode_request, encode_request
from proxy.errors import GatewayError
from proxy.providers import known
from tests.accepted.asked import asked
from tests.accepted.responses import chat_accepts, mistral_accepts

pytestmark = pytest.mark.wire

OPENAI_REFUSES = {
    "'video_url' is none of": "no model of OpenAI's sees videos",
}
MISTRAL_REFUSES = {
    "attachments of kind video": "it sees no videos",
    ".input_audio": "its SDK knows audio without a format, its API both",
}
"""What the caller asked for and these two have other words for, or none."""


def misfits(slug: str, refuses: dict[str, str], accepts: Any) -> Counter[str]:
    """How many bodies are not accepted, by the listed reason."""
    target = Target(known()[slug], "some-model")
    counts: Counter[str] = Counter()
    for name, ask in asked():
        if ask is None:
            counts["not built"] += 1
            continue
        try:
            accepts(json.loads(encode_request(ask, target).body))
        except (AssertionError, ValueError, GatewayError) as error:
            listed = [words for words in refuses if re.search(re.escape(words), str(error))]
            if not listed:
                error.add_note(f"in the request of {name}")
                raise
            counts[listed[0]] += 1
        else:
            counts["accepted"] += 1
    return counts


def test_every_recorded_request_is_one_for_openai() -> None:
    counts = misfits("openai", OPENAI_REFUSES, chat_accepts)
    assert counts.keys() == {"accepted", "not built", *OPENAI_REFUSES}
    assert counts["accepted"] >= 0.97 * counts.total()


def test_every_recorded_request_is_one_for_mistral() -> None:
    counts = misfits("mistral", MISTRAL_REFUSES, mistral_accepts)
    assert counts.keys() == {"accepted", "not built", *MISTRAL_REFUSES}
    assert counts["accepted"] >= 0.9 * counts.total()


MARK = {"type": "ephemeral"}


def test_cache_marks_go_wherever_they_stand() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    body = {
        "model": "m",
        "messages": [
            {"role": "user", "content": "hi", "cache_control": MARK},
            {"role": "assistant", "tool_calls": [{**call, "cache_control": MARK}]},
            {"role": "tool", "tool_call_id": "c", "content": "1", "cache_control": MARK},
        ],
        "tools": [{**tool, "cache_control": MARK}],
    }
    ask = decode_request(json.dumps(body).encode())
    sent = json.loads(encode_request(ask, Target(known()["openai"], "m")).body)
    assert "cache_control" not in json.dumps(sent)
    chat_accepts(sent)
    kept = json.loads(encode_request(ask, Target(known()["openrouter"], "m")).body)
    assert kept["tools"] == body["tools"]
    assert kept["messages"] == body["messages"]
