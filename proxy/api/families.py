"""Which family a model is of, as OpenRouter names the families: by its tokenizer.

Names alone tell: what none of them fits is "Other", as there.
"""

import re
from functools import lru_cache
from typing import Final

OTHER: Final = "Other"

_FAMILIES: Final = tuple(
    (re.compile(pattern), family)
    for pattern, family in (
        ("openrouter/", "Router"),
        (r".*distill-qwen", "Qwen"),
        (r".*distill-llama", "Llama3"),
        (r".*[/-](?:chat)?gpt-|openai/(?:o\d|codex|computer-use|davinci|text-)", "GPT"),
        (r".*/claude-", "Claude"),
        (r".*/gemini-", "Gemini"),
        (r".*/gemma-", "Gemma"),
        (r".*/grok-", "Grok"),
        (r"cohere/|.*/command-", "Cohere"),
        (r".*/nova-", "Nova"),
        (r".*/qwen3-", "Qwen3"),
        (r".*/(?:qwen|qwq)", "Qwen"),
        (r".*/yi-", "Yi"),
        (r".*/deepseek-", "DeepSeek"),
        (r"mistralai/|.*(?:mistral|mixtral|codestral|magistral|devstral)", "Mistral"),
        (r".*llama-?2|.*codellama", "Llama2"),
        (r".*llama-?3", "Llama3"),
        (r".*llama-?4", "Llama4"),
        (r".*/palm-", "PaLM"),
        (r".*rwkv", "RWKV"),
    )
)

FAMILIES: Final = (*dict.fromkeys(family for _, family in _FAMILIES), "Media", OTHER)
"""All of OpenRouter's; of "Media" is nothing that a name tells."""


@lru_cache(maxsize=4096)
def family_of(id: str) -> str:
    """The family of the model of that slug."""
    return next((family for pattern, family in _FAMILIES if pattern.match(id)), OTHER)
