"""What the models on Bedrock take, by whose they are: Converse is one API, its models are not.

The author's name stands somewhere in an id, behind a region or in an ARN. A model that is not known
is sent what all of them take. Sources: AWS's user guides of Bedrock ("Prompt caching", "Adaptive
thinking") and of Nova ("Request schema", "Extended thinking"), recorded requests.
"""

import re
from typing import Final, Literal, NamedTuple

from proxy.dialects.messages.models import Claude, claude_of

Thinks = Literal["never", "claude", "nova", "effort"]
"""How a wish for thinking is said: not at all, as Anthropic or Nova have it, or as OpenAI."""


class Family(NamedTuple):
    """Models that take the same. `top_k` is the path of that parameter in the fields of the model
    itself, `caches` whether a cache point may stand in messages and instructions, `caches_tools`
    whether among tools, `hour` whether one may last an hour, `one_call` whether it can be held to
    a single call.
    """

    claude: Claude | None = None
    thinks: Thinks = "never"
    top_k: tuple[str, ...] = ()
    caches: bool = False
    caches_tools: bool = False
    hour: bool = False
    one_call: bool = False


_CLAUDE: Final = re.compile(r"claude-|anthropic\.")
_WITHOUT_CACHE = re.compile(r"claude-(?:v\d|instant|3-(?:opus|sonnet|haiku)|3-5-sonnet-20240620)")
_SINCE_4_5 = re.compile(r"claude-(?:[a-z]+-(?:4-[5-9]|[5-9])(?!\d)|mythos|fable)")

_OTHERS: Final = (
    (re.compile(r"nova-2"), Family(thinks="nova", top_k=("inferenceConfig", "topK"), caches=True)),
    (re.compile(r"amazon\.nova"), Family(top_k=("inferenceConfig", "topK"), caches=True)),
    (re.compile(r"openai\."), Family(thinks="effort")),
    (re.compile(r"mistral\."), Family(top_k=("top_k",))),
    (re.compile(r"cohere\."), Family(top_k=("k",))),
)


def family_of(model: str) -> Family:
    """The family of a model or an inference profile, by its id or its ARN."""
    name = model.lower()
    if not _CLAUDE.search(name):
        return next((family for told, family in _OTHERS if told.search(name)), Family())
    claude, caches = claude_of(name), not _WITHOUT_CACHE.search(name)
    recent = _SINCE_4_5.search(name) is not None
    return Family(claude, "claude", ("top_k",), caches, caches, hour=recent, one_call=recent)
