"""How many tokens texts and attachments are taken to have where nobody counts them.

Measured against recorded usage, four bytes of UTF-8 to the token are as near as a real vocabulary
that is not the model's own (docs/decisions).
"""

from typing import Final

BYTES_PER_TOKEN: Final = 4
TOKENS_PER_MESSAGE: Final = 4
"""Of a conversation, beside those of its text."""

TOKENS_PER_MEDIUM: Final = 1000
TOKENS_PER_MEDIUM_MAX: Final = 4096
"""The same at most, which holds go by: for each image, file or recording."""


def likely_tokens(text_bytes: int, media: int = 0) -> int:
    """How many tokens so much text and so many attachments are likely to be."""
    return -(-text_bytes // BYTES_PER_TOKEN) + TOKENS_PER_MEDIUM * media
