"""In which words? Formats of callers, formats of providers, and which of them it is.

Pure and sans-I/O: bytes and values in, bytes and values out. A new dialect is a folder, and a row
in `calling`, `providing` or `tasks`. Callers' formats are named by what they ask for (`chat`),
providers' by the value of `dialect` in their row.
"""

import re
from collections.abc import Callable
from functools import lru_cache

from proxy.dialects.asking import Encoded, Target, inexpressible
from proxy.dialects.calling import INBOUND
from proxy.dialects.completions.request import check_chat
from proxy.dialects.forms import Bill, Inbound, Outbound, StreamDecoder, StreamEncoder
from proxy.dialects.messages.asked import claudes_own
from proxy.dialects.providing import OUTBOUND, VERTEX_CLAUDE
from proxy.dialects.tasks import TASKS
from proxy.errors import GatewayError
from proxy.providers import Provider, Quirks
from proxy.wire.listing import PARAMETERS
from proxy.wire.request import TALK, Ask, Task

__all__ = [
    "INBOUND", "OUTBOUND", "Bill", "Inbound", "Outbound", "StreamDecoder", "StreamEncoder",
    "counts", "deaf", "expressible", "hosted", "outbound", "tasks_of",
]  # fmt: skip

_CHAT_ONLY = frozenset((
    "audio", "functions", "function_call", "modalities", "prediction", "seed",
    "web_search_options",
))  # fmt: skip
"""What OpenAI's chat completions have words for, and its Responses have not. Penalties, biases and
stop sequences are not among it: models that reason refuse them over both.
"""


def outbound(provider: Provider, model: str, ask: Ask | None = None) -> Outbound:
    """The format in which `ask` is put to the provider's `model`; without one, the usual.

    OpenAI's reasoning models tell their reasoning, and take it back, only over Responses, which can
    not say all that a chat can. A caller who speaks the provider's own format is carried in it.

    Raises GatewayError `provider_unfit` where the provider has no words for it.
    """
    if ask is None:
        return _usual(provider, model)
    if ask.words == ask.task == "chat" and not provider.responses and provider.dialect != "vertex":
        return OUTBOUND[provider.dialect]  # nearly always; the others have several to choose from
    row = _spoken(provider, model, ask)
    if ask.native is not None and row.same and row.words == ask.words:
        return row.same
    lost = claudes_own(ask) if ask.words == "messages" and row.words != "messages" else None
    if lost is None:
        return row
    return row._replace(encode_request=_refusing(lost), encode_steps=None)


def _refusing(what: str) -> Callable[[Ask, Target], Encoded]:
    """Writes no request: whoever else may be asked is asked instead."""

    def encode_request(ask: Ask, target: Target) -> Encoded:
        raise inexpressible(target.provider, what)

    return encode_request


def _spoken(provider: Provider, model: str, ask: Ask) -> Outbound:
    if ask.task != "chat":
        own = TASKS.get((provider.dialect, ask.task))
        if own is not None and _does(provider, model, ask.task):
            return own
        if ask.task != "completion":
            raise inexpressible(provider, f"a request for {ask.task}")
        check_chat(ask, provider)
    if ask.words == "responses" and ask.native is not None and provider.responses:
        return OUTBOUND["responses"]
    if ask.choices > 1 or not _CHAT_ONLY.isdisjoint(ask.body):
        return _chat(provider, model)
    return _usual(provider, model)


def hosted(provider: Provider, model: str, ask: Ask) -> frozenset[str]:
    """The tools that the provider itself would run where its `model` is asked; those that it is not
    told of, since its format has no words for them, are none.
    """
    own = provider.tools_of(model)
    if not ask.hosted:
        return own
    try:
        words = _spoken(provider, model, ask).words
    except GatewayError:
        return own  # nor is it asked
    dropped = ask.words == "responses" or (ask.words == "messages" and claudes_own(ask) is not None)
    return own if dropped and words != ask.words else own | ask.hosted


def _does(provider: Provider, model: str, task: Task) -> bool:
    if task == "completion":  # which everybody can be asked for, as a chat
        return provider.quirks.continues(model)
    return provider.tasks is None or task in provider.tasks


def counts(provider: Provider, model: str) -> bool:
    """Whether the provider counts the tokens of a prompt to `model`; elsewhere they are guessed."""
    return (provider.dialect, "count") in TASKS and _does(provider, model, "count")


def _usual(provider: Provider, model: str) -> Outbound:
    if provider.responses and _begins(provider.responses, model):
        return OUTBOUND["responses"]
    return _chat(provider, model)


@lru_cache(maxsize=1024)
def _begins(pattern: str, model: str) -> bool:
    return re.match(pattern, model) is not None


def _chat(provider: Provider, model: str) -> Outbound:
    if provider.dialect == "vertex" and model.startswith("claude"):
        return VERTEX_CLAUDE
    return OUTBOUND[provider.dialect]


def deaf(row: Outbound, quirks: Quirks) -> bool:
    """Whether a provider that is asked in the words of `row` is not told how much to think, since
    nobody knows how it would be.
    """
    return row.expresses is None and quirks.reasoning_control == quirks.reasoning_switch == "none"


def tasks_of(provider: Provider) -> frozenset[Task]:
    """What the provider can be asked for, if it has a model for it."""
    own = (task for dialect, task in TASKS if dialect == provider.dialect)
    return TALK.union(task for task in own if provider.tasks is None or task in provider.tasks)


def expressible(provider: Provider, model: str) -> frozenset[str] | None:
    """The parameters of a chat that the provider's `model` can be told of; None where that is all
    of them. What the provider would refuse, and is not sent therefore, is not among them.
    """
    said, quirks = outbound(provider, model).expresses, provider.quirks
    if said is not None and OUTBOUND[provider.dialect].expresses is None:
        said |= _CHAT_ONLY
    lacks = {*quirks.omits, *(() if quirks.json_schema else ("structured_outputs",))}
    if not lacks.intersection(PARAMETERS):
        return said
    return frozenset(PARAMETERS if said is None else said) - lacks
