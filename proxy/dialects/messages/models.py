"""What each of Anthropic's models takes: its name is all that a request tells of it.

Sources: the recorded `GET /v1/models` (limits, thinking, effort), Anthropic's migration guides of
2026 and what its API answered (sampling parameters and `thinking.type` that are a 400). A model
that is not known counts as the newest of its family; what is no Claude, as one of the plain ones.
"""

import re
from typing import Final, Literal, NamedTuple

from proxy.wire.request import Effort

Thinks = Literal["never", "budget", "both", "adaptive"]
"""How a wish for thinking is said: not at all, `enabled` with a budget, either way, `adaptive`."""

Off = Literal["absent", "disabled", "between_tools", "never"]
"""How the wish not to think is said: by leaving it out, by a word, or not at all."""

_NAME = re.compile(r"claude-(?:([a-z]+)-)?(\d+)(?:[.-](\d{1,2}))?(?!\d)(?:-([a-z]+))?")
_THREE: Final[tuple[Effort, ...]] = ("low", "medium", "high")
_FOUR: Final[tuple[Effort, ...]] = (*_THREE, "max")
_FIVE: Final[tuple[Effort, ...]] = (*_THREE, "xhigh", "max")
_NEWEST: Final = (99, 0)


class Claude(NamedTuple):
    """One model. `completion_max` is what it can answer with, `efforts` are the levels of
    `output_config.effort`, `samples` how many of temperature and top_p it takes at once,
    `structured` whether it keeps to a schema, `instructable` whether a system message may stand
    between the others, `binds` whether its thoughts belong to the very conversation that they
    were thought in.
    """

    completion_max: int = 8192
    thinks: Thinks = "budget"
    off: Off = "absent"
    efforts: tuple[Effort, ...] = ()
    samples: int = 2
    structured: bool = False
    instructable: bool = False
    binds: bool = False


def claude_of(model: str) -> Claude:
    """What `model` takes, by its name at Anthropic, Vertex or Bedrock."""
    found = _NAME.search(model.lower().replace("claude-mythos-preview", "claude-mythos-5"))
    if found is None:
        newest = re.search(r"claude-(opus|sonnet|haiku|fable|mythos)", model.lower())
        return _claude(newest[1], _NEWEST) if newest else Claude()
    family = found[1] or found[4] or ""
    return _claude(family, (int(found[2]), int(found[3] or 0)))


def _claude(family: str, version: tuple[int, int]) -> Claude:
    """`version` is major and minor; the older names have the family behind it."""
    if version < (3, 7):
        return Claude(4096 if version < (3, 5) else 8192, thinks="never")
    if version < (4, 6):
        return Claude(
            32_000 if family == "opus" and version < (4, 5) else 64_000,
            efforts=_THREE if (family, version) == ("opus", (4, 5)) else (),
            samples=1 if version >= (4, 1) else 2,
            structured=version >= (4, 1),
        )
    if version == (4, 6):
        return Claude(128_000, "both", efforts=_FOUR, samples=1, structured=True)
    return Claude(
        128_000,
        "adaptive",
        off=_off(family, version),
        efforts=_FIVE,
        samples=0,
        structured=True,
        instructable=version >= (5, 5) or (version >= (4, 8) and family != "sonnet"),
        binds=version >= (5, 5) or (version >= (5, 1) and family in ("fable", "mythos")),
    )


def _off(family: str, version: tuple[int, int]) -> Off:
    if version < (5, 0):
        return "absent"
    if family == "sonnet" and version >= (5, 5):
        return "between_tools"
    optional = family in ("sonnet", "haiku") or (family == "opus" and version < (5, 5))
    return "disabled" if optional else "never"
