"""How many tokens a text is taken to have where nobody counts them."""

import pytest

from proxy.wire.tokens import likely_tokens


@pytest.mark.parametrize(
    ("text_bytes", "media", "tokens"), [(0, 0, 0), (1, 0, 1), (5, 0, 2), (8, 2, 2002)]
)
def test_a_piece_of_a_token_is_one(text_bytes: int, media: int, tokens: int) -> None:
    assert likely_tokens(text_bytes, media) == tokens
