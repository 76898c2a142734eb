"""Random conversations are still the same ones in every provider's words.

`tests/readers/` read the bodies back. What a dialect has no form for is left out of the random
ones and listed with its own tests (`LOSSES` of each dialect's tests).
"""

import json
from collections.abc import Callable
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.dialects import OUTBOUND
from proxy.dialects.asking import Target
from proxy.dialects.chat.request import decode_request
from proxy.providers import Provider
from tests.readers import anthropic, bedrock, cohere, gemini, openai, responses
from tests.talk import Json, Talk, as_chat, talks

OPTIONS = {"project": "p", "location": "global", "api_version": "v", "region": "r"}


class Words(NamedTuple):
    """A dialect, who reads its requests, and whether it takes files."""

    dialect: str
    read: Callable[[Json], Talk]
    model: str
    files: bool = True


WORDS = (
    Words("openai", openai.read, "gpt-9"),
    Words("anthropic", anthropic.read, "claude-sonnet-4-5"),
    Words("gemini", gemini.read, "gemini-2.5-flash"),
    Words("cohere", cohere.read, "command-a-vision", files=False),
    Words("bedrock", bedrock.read, "us.anthropic.claude-sonnet-4-5-v1:0"),
    Words("responses", responses.read, "gpt-9"),
)


@pytest.mark.parametrize("words", WORDS, ids=lambda words: words.dialect)
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_conversation_stays_the_same(words: Words, data: st.DataObject) -> None:
    talk = data.draw(talks(files=words.files))
    body = json.dumps({"model": "a/b", "messages": as_chat(talk)}).encode()
    provider = Provider(
        slug="p", name="P", base_url="http://p.test", dialect=words.dialect, options=OPTIONS
    )
    encoded = OUTBOUND[words.dialect].encode_request(
        decode_request(body), Target(provider, words.model)
    )
    assert words.read(json.loads(encoded.body)) == talk
