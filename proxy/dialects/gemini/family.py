"""What differs between generations of Gemini, told from a model's name.

Source: Google's guides "Gemini thinking" and "Thought signatures", and recorded traffic: 2.5 takes
a budget of tokens, 3 and later a level; only those refuse a call that lost its signature, and only
they name their calls.
"""

import re
from typing import Any, Final, NamedTuple

from proxy.dialects.thinking import budget_of, check_optional, effort_of, wish_of
from proxy.wire.request import Ask, Effort

COMPLETION_MAX: Final = 65_535
"""What every thinking model can answer with, where its row does not say."""

_VERSION = re.compile(r"gemini-(\d+)(?:\.(\d+))?")
_SILENT = re.compile(r"tts|live|audio|embedding")
_LEVELS: Final[tuple[Effort, ...]] = ("minimal", "low", "medium", "high")


class Family(NamedTuple):
    """A model's generation, as far as requests differ. A name that tells none (`gemini-pro-latest`)
    is the newest.
    """

    version: tuple[int, int]
    model: str

    @property
    def names_calls(self) -> bool:
        """Its calls have ids, and want their signature back."""
        return self.version >= (3, 0)

    @property
    def mixes_json_and_tools(self) -> bool:
        """It takes a response format beside functions, which older ones answer with a 400."""
        return self.version >= (3, 0)

    @property
    def thinks(self) -> bool:
        """It takes a `thinkingConfig` at all."""
        if not self.model.startswith("gemini") or _SILENT.search(self.model):
            return False
        return self.version >= (2, 5) and not ("image" in self.model and self.version < (3, 0))

    @property
    def takes_level(self) -> bool:
        """It takes a level. A name without a version takes a budget, as every generation does."""
        return self.version >= (3, 0) and bool(_VERSION.match(self.model))

    @property
    def levels(self) -> tuple[Effort, ...]:
        """The levels that it knows; none where how much it thinks can not be said."""
        if "image" in self.model:
            return () if "pro" in self.model else ("minimal", "high")
        if "pro" in self.model:
            return ("low", "high") if self.version == (3, 0) else ("low", "medium", "high")
        return _LEVELS

    @property
    def budgets(self) -> tuple[int, int, int]:
        """The budget for no thinking at all, the least and the most of any."""
        if "pro" in self.model:
            return 128, 128, 32_768
        return (0, 512, 24_576) if "lite" in self.model else (0, 1, 24_576)


def family_of(model: str) -> Family:
    """The family of a model by its name at Google."""
    model = model.rpartition("/")[2].lower()
    found = _VERSION.match(model)
    if found is None:
        return Family((99, 0) if model.startswith("gemini") else (0, 0), model)
    return Family((int(found[1]), int(found[2] or 0)), model)


def thinking_config(ask: Ask, family: Family, completion_max: int | None) -> dict[str, Any]:
    """The `thinkingConfig` for what the caller wishes; empty where it wishes nothing, or the model
    takes none.

    Raises GatewayError `provider_unfit` where it always thinks and is not to.
    """
    thinking = wish_of(ask)
    if thinking is None or not family.thinks:
        return {}
    config: dict[str, Any] = {} if thinking.hidden else {"includeThoughts": True}
    if not family.levels or (thinking.effort is None and thinking.max_tokens is None):
        return config
    if family.takes_level and thinking.max_tokens is None:
        check_optional(ask)
        level = effort_of(thinking, ask.max_tokens, known=family.levels)
        return config | {"thinkingLevel": level}
    none, least, most = family.budgets
    budget = budget_of(thinking, ask.max_tokens or completion_max or COMPLETION_MAX)
    if budget == 0 and none == 0:
        return {"thinkingBudget": 0}  # thoughts can not be shown then
    if budget == 0:
        check_optional(ask)
    return config | {"thinkingBudget": min(max(budget or none, least), most)}
