"""Which dialect of Weir's a recorded API is, and who reads it independently of Weir."""

import math
import re

from proxy.dialects import OUTBOUND, Outbound
from tests.recordings import Recording
from tests.truths import bedrock, chat, cohere, gemini, messages, responses
from tests.truths.chat import Truth

DIALECTS = {
    "chat": "openai",
    "messages": "anthropic",
    "generateContent": "gemini",
    "cohere-v2": "cohere",
    "converse": "bedrock",
    "responses": "responses",
}
"""What Weir calls the dialect of a recorded API."""

TRUTHS = {
    "chat": chat.said,
    "messages": messages.said,
    "generateContent": gemini.said,
    "cohere-v2": cohere.said,
    "converse": bedrock.said,
    "responses": responses.said,
}
"""Who reads it, independently of Weir."""


def dialect_of(recording: Recording) -> Outbound:
    return OUTBOUND[DIALECTS[recording.row["api"]]]


def truth_of(recording: Recording) -> Truth:
    return TRUTHS[recording.row["api"]](recording)


def retry_after(recording: Recording) -> str | None:
    """What the provider said in a header, or, as Google does, in the body; in whole seconds."""
    told = re.search(rb'"retryDelay": ?"([0-9.]+)s"', recording.body)
    return recording.headers.get("retry-after") or (told and str(math.ceil(float(told[1]))))
