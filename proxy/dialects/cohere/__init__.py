"""Cohere's v2 API in its own words.

`request` and `events` are its chat, `messages` the conversation in it, `listing` its models.
"""

from typing import Final

FORMAT: Final = "unknown"
"""What OpenRouter calls reasoning of a provider without a format of its own."""

THINKING: Final = "cohere-thinking"
PLAN: Final = "cohere-plan"
"""The `id` of a reasoning detail that a Cohere model said as a block of thinking, or as the plan
for its tool calls. They carry no signature: by these alone its own are known on the next turn."""
