"""Whether an endpoint has room for a request: for its prompt, and for the answer that it allows.

Contract, section 4, item 1. A prompt is counted where it is read, in tokens that differ from model
to model, so only what can not fit by any counting is sure here. What may still fit is preferred to
what can hardly, and where nobody has more room it is the provider who decides.
"""

from collections.abc import Iterable
from sys import maxsize
from typing import Final, NamedTuple

from msgspec.structs import replace

from proxy.errors import GatewayError
from proxy.routing.availability import availability, others
from proxy.routing.catalogue import Catalogue, Endpoint, Model
from proxy.routing.filters import Choice
from proxy.routing.ranking import Plan
from proxy.wire.request import Ask

BYTES_PER_TOKEN_MAX: Final = 32
"""No prompt has fewer tokens than one for so many bytes, or characters, of its text: a token is
some words at most. Only long rows of one character have fewer, and they are no whole prompt.
"""


class Room(NamedTuple):
    """The least of what any of some endpoints has room for: tokens of `context` in all, `answer` of
    a completion. Whatever needs no more has room at all of them.
    """

    context: int
    answer: int


def room_of(endpoints: Iterable[Endpoint]) -> Room:
    """That of those who say."""
    context = answer = maxsize
    for one in endpoints:
        context = min(context, one.context_length or maxsize)
        answer = min(answer, one.max_completion_tokens or maxsize)
    return Room(context, answer)


class _Need(NamedTuple):
    """At least so many tokens of a prompt, and at most so many of an answer; 0 where the caller
    does not say.
    """

    prompt: int
    answer: int

    def refused(self, endpoint: Endpoint) -> str | None:
        """Why it can not fit there, if it can not."""
        context = endpoint.context_length
        if context is None or self.prompt <= context:
            return None
        return f"holds {context} tokens, and the prompt has at least {self.prompt}"

    def doubted(self, endpoint: Endpoint) -> str | None:
        """Why it may not fit there."""
        context, answer = endpoint.context_length, endpoint.max_completion_tokens
        if context is not None and self.prompt + self.answer > context:
            return f"holds {context} tokens, too few for max_tokens {self.answer} and the prompt"
        if answer is not None and self.answer > answer:
            return f"answers with {answer} tokens at most, and max_tokens is {self.answer}"
        return None


def fitted(plan: Plan, ask: Ask, choice: Choice, catalogue: Catalogue) -> Plan:
    """`plan` without the endpoints that have no room for `ask`, which its candidates tell.

    Raises GatewayError `context_length` where none can have room.
    """
    need = _Need(_characters(ask) // BYTES_PER_TOKEN_MAX, ask.max_tokens or 0)
    endpoints = [endpoint for _, endpoint in plan.attempts]
    why = [need.refused(one) for one in endpoints]
    if all(why):
        raise _too_long(plan, need, choice, catalogue)
    doubts = [sure or need.doubted(one) for sure, one in zip(why, endpoints, strict=True)]
    if not all(doubts):
        why = doubts
    if not any(why):
        return plan
    rows = list(zip(plan.attempts, plan.candidates, why, strict=False))
    kept = tuple(pair for pair, _, words in rows if not words)
    good = sum(not words for words in why[: plan.good])
    told = [row for _, row, words in rows if not words]
    told += plan.candidates[len(rows) :]
    out = [replace(row, excluded=words, by="context_length") for _, row, words in rows if words]
    return Plan(kept, (*told, *out), good or len(kept))


def _characters(ask: Ask) -> int:
    """Of what its messages say. `text_bytes` is never less, for it has all that is no medium of the
    prompt: images of earlier answers too, and reasoning that is sealed.
    """
    contents = [message.get("content") for message in ask.body.get("messages", ())]
    texts = [one for one in contents if isinstance(one, str)]
    for parts in contents:
        if isinstance(parts, list):
            texts += [part["text"] for part in parts if part.get("type") == "text"]
    return sum(map(len, texts))


def _too_long(plan: Plan, need: _Need, choice: Choice, catalogue: Catalogue) -> GatewayError:
    models: list[Model] = list({model.id: model for model, _ in plan.attempts}.values())
    endpoints = [endpoint for _, endpoint in plan.attempts]
    most = max(one.context_length or 0 for one in endpoints)
    message = (
        f"This endpoint's maximum context length is {most} tokens. However, you requested about "
        f"{need.prompt + need.answer} tokens ({need.prompt} of text input, {need.answer} in the "
        "output). Please reduce the length of either one."
    )
    told = availability(
        "constraint_filtered",
        choice.wish.names,
        providers=[one.provider.slug for one in endpoints],
        excluded_by=["context_length"],
        constraint={"field": "messages", "detail": f"at most {most} tokens fit"},
        fallback_models=others(models, choice, catalogue, lambda one: not need.refused(one)),
    )
    return GatewayError("context_length", message, availability=told)
