"""What a model is for, told by its name where nobody says it, and what it can be asked then.

The words are OpenRouter's `output_modalities`: text, image, embeddings, audio, video, rerank,
speech, transcription.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from proxy.wire.request import Task

_RERANKS: Final = re.compile(r"rerank")
_EMBEDS: Final = re.compile(
    r"embed|(?<![a-z])(?:bge|gte|e5|voyage)(?![a-z])|similarity(?:$|-)|all-minilm"
    r"|(?:text|code)-search-"
)
_TRANSCRIBES: Final = re.compile(r"whisper|transcri|(?<![a-z])asr(?![a-z])")
_SPEAKS: Final = re.compile(r"(?<![a-z])(?:tts|speech|orpheus|playai)(?![a-z])")
_DRAWS: Final = re.compile(r"dall-e|diffusion|(?<![a-z])(?:imagen|flux|image)(?![a-z])|gpt-image")
_TALKS_AND_DRAWS: Final = re.compile(r"gemini.*image")
_OTHER: Final = re.compile(
    r"moderation|realtime|(?<!safe)guard|embed-context|voyage-(?:context|multimodal)"
    r"|(?<![a-z])(?:video|sora|veo|ocr|clip|lyria)(?![a-z])"
)
_COMPLETES: Final = re.compile(
    r"turbo-instruct|(?:^|[/:])(?:text-|code-)?(?:ada|babbage|curie|davinci)(?=[-:]|$)"
)

_TASKS: Final[Mapping[str, frozenset[Task]]] = {
    "text": frozenset(("chat", "completion", "count")),
    "audio": frozenset(("chat",)),
    "image": frozenset(("image",)),
    "embeddings": frozenset(("embeddings",)),
    "rerank": frozenset(("rerank",)),
    "speech": frozenset(("speech",)),
    "transcription": frozenset(("transcription",)),
}
_INPUTS: Final[Mapping[str, tuple[str, ...]]] = {
    "embeddings": ("text",),
    "rerank": ("text",),
    "speech": ("text",),
    "transcription": ("audio",),
}
PATHS: Final[Mapping[Task, str]] = {
    "chat": "/chat/completions",
    "completion": "/completions",
    "embeddings": "/embeddings",
    "rerank": "/rerank",
    "image": "/images",
    "speech": "/audio/speech",
    "transcription": "/audio/transcriptions",
}
"""Where callers ask for it, below `/api/v1`: a path of each, which may have several."""

_COMPLETION_ONLY: Final[frozenset[Task]] = frozenset(("completion",))


def modalities_of(model: str) -> tuple[str, ...]:
    """What a model of this name puts out; nothing where it is of no kind that is served here. A
    guess: most listings say no more than the name.
    """
    name = model.lower()
    for pattern, outputs in (
        (_OTHER, ()),
        (_RERANKS, ("rerank",)),
        (_EMBEDS, ("embeddings",)),
        (_TRANSCRIBES, ("transcription",)),
        (_SPEAKS, ("speech",)),
        (_TALKS_AND_DRAWS, ("text", "image")),
        (_DRAWS, ("image",)),
    ):
        if pattern.search(name):
            return outputs
    return ("text",)


def outputs_of(model: str, said: tuple[str, ...] | None) -> tuple[str, ...]:
    """What a model puts out whose listing says `said`: nothing, that it does not chat (`()`), or
    all of it.
    """
    if said:
        return said
    named = modalities_of(model)
    return named if said is None else tuple(one for one in named if one != "text")


def inputs_of(outputs: tuple[str, ...]) -> tuple[str, ...]:
    """What goes in, where nobody says it, by what comes out."""
    return _INPUTS.get(outputs[0], ("text", "image"))


def tasks_for(model: str, outputs: Iterable[str]) -> frozenset[Task]:
    """What a model that puts out `outputs` can be asked for; older ones only continue a text."""
    tasks = frozenset[Task]().union(*(_TASKS.get(kind, ()) for kind in outputs))
    return tasks & _COMPLETION_ONLY if _COMPLETES.search(model.lower()) else tasks
