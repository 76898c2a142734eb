"""What a model of the simulated provider is listed for, told by its name."""

import re
from collections.abc import Sequence
from typing import Final

_NAMES: Final = (
    ("rerank", r"rerank"),
    ("embeddings", r"embed"),
    ("transcription", r"whisper|transcri"),
    ("speech", r"\btts\b|speech"),
    ("chat", r"gemini.*image"),
    ("image", r"image|dall-e"),
    ("completion", r"instruct"),
)


def kind_of(model: str) -> str:
    """The task that a model of this name is for. It answers whatever it is asked, though."""
    found = (kind for kind, pattern in _NAMES if re.search(pattern, model.lower()))
    return next(found, "chat")


def listed(models: Sequence[str], *kinds: str) -> list[tuple[str, str]]:
    """Those of `models` that are for one of `kinds`, each with its kind."""
    rows = ((model, kind_of(model)) for model in models)
    return [(model, kind) for model, kind in rows if kind in kinds]
