"""The canonical request keeps what it was given and fills in nothing that was not asked for."""

import pytest

from proxy.wire.request import Ask, Head, Thinking


def test_an_ask_for_the_least() -> None:
    ask = Ask(models=("a/b",), body={"messages": []})
    assert not ask.stream
    assert ask.choices == 1
    assert (ask.max_tokens, ask.thinking, ask.session_id) == (None, None, None)
    assert ask.media_prompt == ask.audio_prompt == 0


def test_a_wish_is_kept_as_it_was_said() -> None:
    wish = {"effort": "high", "of": "tomorrow"}
    thinking = Thinking(wish=wish, effort="high")
    assert thinking.wish is wish
    assert thinking.max_tokens is None
    assert not thinking.hidden


def test_nothing_changes_under_way() -> None:
    head = Head(id="gen-1", created=1, model="a/b", provider="P")
    with pytest.raises(AttributeError):
        head.provider = "Q"  # type: ignore[misc]
    assert head == Head(id="gen-1", created=1, model="a/b", provider="P")
