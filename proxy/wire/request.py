"""The canonical request: what a caller asks for, whatever words it used.

OpenRouter's chat format is the widest of the formats callers speak, so `body` keeps its form; the
fields that the gateway itself acts on stand beside it, decoded and checked.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

import msgspec

from proxy.wire.events import Usage
from proxy.wire.preferences import NONE, Preferences

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]

Task: TypeAlias = Literal[
    "chat", "completion", "count", "embeddings", "rerank", "image", "speech", "transcription"
]
"""What is asked for. `completion` is a text's continuation, `count` the tokens of a prompt."""

TALK: Final[frozenset[Task]] = frozenset(("chat", "completion", "count"))
"""What every model that writes text can be asked for: `completion` as a chat where the provider has
nothing better, `count` as an estimate."""

Tier: TypeAlias = Literal["flex", "priority", "ultrafast"]
"""Service tiers that are endpoints of their own, beside the ordinary one."""

Speed: TypeAlias = Literal["default", "flex", "priority", "ultrafast"]
"""What a caller may ask for of them; `default` insists on the ordinary one."""

Words: TypeAlias = Literal["chat", "messages", "responses", "completions"]
"""The formats that callers and providers both speak."""

WEB_SEARCH: Final = "web_search"
"""The one tool of a provider's own that is sold by the piece: a search of the web."""


class Thinking(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller wishes of the model's reasoning; `wish` is its own object, unchanged.

    `effort` is None where only a budget of tokens, or nothing, was named.
    """

    wish: dict[str, Any]
    effort: Effort | None = None
    max_tokens: int | None = None
    hidden: bool = False


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """One request. `models` are the names to try, first wish first, as the caller wrote them.

    `body` is what travels on to a provider in the caller's own order: every field that is not the
    gateway's, known to us or not. `choices` is how many answers are asked for (`n`). `text_bytes`
    is the size of all that is not media; no prompt of it has more tokens. `wide_prompt` is how many
    tokens its files and videos may be, which are many where a model reads them whole. `betas` are
    the caller's `x-anthropic-beta` marks. `required` are the parameters without which an endpoint
    is none.

    Of a task that is no conversation `body` has the fields of OpenRouter's own API for it, and
    `most` is what it can use at most; `likely` what it uses where the provider counts nothing, with
    the units that the gateway counts itself. `native` is the request in the `words` of its caller,
    for a provider that speaks the same; the fields that are the gateway's are taken out of it.
    `echo` asks to be shown what is sent to providers, `told` for `openrouter_metadata`.

    `preferences` are its wishes about who answers, `soft` the parameters it would rather have
    supported, `tier` the service tier it asks for, None where it leaves that open. `inputs` and
    `outputs` are the modalities beside text that it has, and wants; files are read for whoever does
    not. `options` are fields for one provider alone, by its slug.

    `bare` says that each of its messages is no more than a text and whose it is: `user`,
    `assistant` or `system`. `hosted` are the tools that its provider is to run, by names of ours,
    `searches` how many searches of the web it allows, if it says so; `names` is the field in which
    it names what is kept in the operator's own account at a provider.
    """

    models: tuple[str, ...]
    body: dict[str, Any]
    stream: bool = False
    choices: int = 1
    max_tokens: int | None = None
    thinking: Thinking | None = None
    session_id: str | None = None
    media_prompt: int = 0
    audio_prompt: int = 0
    text_bytes: int = 0
    wide_prompt: int = 0
    betas: tuple[str, ...] = ()
    required: frozenset[str] = frozenset()
    task: Task = "chat"
    words: Words = "chat"
    native: dict[str, Any] | None = None
    most: Usage | None = None
    likely: Usage | None = None
    echo: bool = False
    told: bool = False
    hosted: frozenset[str] = frozenset()
    searches: int | None = None
    names: str | None = None
    bare: bool = False
    preferences: Preferences = NONE
    soft: frozenset[str] = frozenset()
    tier: Speed | None = None
    inputs: frozenset[str] = frozenset()
    outputs: frozenset[str] = frozenset()
    options: Mapping[str, dict[str, Any]] = MappingProxyType({})

    @property
    def at_once(self) -> bool:
        """Whether its answer is made in one piece, for which the wait is long; also where it is
        streamed, as most providers do not.
        """
        return self.task in ("embeddings", "rerank", "image", "transcription")


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What every answer to one request repeats: its id, its time, who serves it."""

    id: str
    created: int
    model: str
    provider: str
