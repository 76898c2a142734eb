"""What is to be embedded, out of the canonical request, for providers of every kind."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from proxy.dialects.asking import Target, inexpressible
from proxy.dialects.values import string
from proxy.wire.events import Ended, Event, Finished, Produced, Started, Usage, UsageReport
from proxy.wire.request import Ask

QUERY: Final = ("query", "search_query", "retrieval_query")
DOCUMENT: Final = ("document", "passage", "search_document", "retrieval_document")
"""What callers call the two sides of a search."""


def texts(ask: Ask, target: Target) -> list[str]:
    """The inputs, each a text. Raises GatewayError `provider_unfit` where one is not."""
    found = ask.body.get("input")
    if found is None:
        raise inexpressible(target.provider, "images, sound or files to embed")
    if isinstance(found[0], list):
        raise inexpressible(target.provider, "tokens in place of a text")
    return list(found)


def messages(ask: Ask, target: Target) -> list[dict[str, Any]]:
    """The inputs, each as a message of a chat. Raises as `texts` does for tokens."""
    found = ask.body.get("messages")
    if found is not None:
        return list(found)
    return [{"role": "user", "content": text} for text in texts(ask, target)]


def alone(inputs: list[Any], target: Target) -> Any:
    """The only input. Raises GatewayError `provider_unfit` where there are more."""
    if len(inputs) > 1:
        raise inexpressible(target.provider, "more than one input at a time")
    return inputs[0]


def purpose(ask: Ask, words: Mapping[str, str], usual: str | None = None) -> str | None:
    """What the inputs are for in a provider's words: `words` has them by those of callers, in lower
    case. What is no caller's word is taken for the provider's own; `usual` where nothing is said.
    """
    said = string(ask.body.get("input_type"))
    return usual if said is None else words.get(said.lower(), said)


def sides(query: str, document: str) -> dict[str, str]:
    """The words of a provider that tells the two sides of a search apart."""
    return dict.fromkeys(QUERY, query) | dict.fromkeys(DOCUMENT, document)


def answer(
    vectors: Iterable[tuple[int, list[float] | str]],
    usage: Usage | None,
    *,
    id: str | None = None,
) -> list[Event]:
    """The events of an answer with these vectors, by the places of their inputs."""
    events: list[Event] = [Started(upstream_id=id)]
    events += [Produced(0, {"index": index, "embedding": one}) for index, one in vectors]
    if usage is not None:
        events.append(UsageReport(usage))
    return [*events, Finished(0, "stop", None), Ended()]
