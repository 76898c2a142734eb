"""Two stores of the ledger as one: every call goes to both, and their answers must be the same."""

from collections.abc import Callable
from typing import Any, Final

from proxy.accounts.ledger import Fenced
from proxy.simulation.checks import require
from proxy.simulation.vault import ModelVault
from proxy.stores.ledger import SqlLedger

CALLS: Final = (
    "create_account",
    "grant",
    "open_owner",
    "close_owner",
    "beat",
    "resize",
    "recall",
    "recalled",
    "checkpoint",
    "settle",
)


class Twin:
    """A vault made of the model and of the real one; a call that they answer differently raises
    Broken.
    """

    def __init__(self, model: ModelVault, ledger: SqlLedger) -> None:
        self._model = model
        self._ledger = ledger

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in CALLS:
            raise AttributeError(name)

        def both(*said: Any, **more: Any) -> Any:
            answers = [_answer(one, name, said, more) for one in (self._model, self._ledger)]
            require(answers[0] == answers[1], "the stores agree", name, said, more, answers)
            if answers[0] is Fenced:
                raise Fenced
            return answers[0]

        return both


def _answer(vault: Any, name: str, said: tuple[Any, ...], more: dict[str, Any]) -> Any:
    try:
        return getattr(vault, name)(*said, **more)
    except Fenced:
        return Fenced
