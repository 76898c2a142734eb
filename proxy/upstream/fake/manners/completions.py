"""OpenAI's older completions of a text, streamed and whole."""

import math
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from proxy.upstream.fake.ask import Ask, JSONObject, Request
from proxy.upstream.fake.asks.openai import decode_completion, option
from proxy.upstream.fake.manner import Event
from proxy.upstream.fake.manners.azure import Azure
from proxy.upstream.fake.manners.chat import Chat
from proxy.upstream.fake.reply import Reply, words
from proxy.upstream.fake.seals import Seal


class Completions(Chat):
    """OpenAI's own; the choices for each prompt stand together."""

    name = "completion"

    def decode(self, request: Request, seal: Seal) -> Ask:
        """See `Manner.decode`."""
        return decode_completion(request)

    def events(self, reply: Reply) -> Iterator[Event]:
        """See `Manner.events`; choices take turns."""
        streams = [_stream(reply, index) for index in range(len(reply.spoken))]
        told = option(reply.ask.body, "stream_options", "include_usage")
        for event in (event for row in zip_longest(*streams) for event in row if event):
            more = {"usage": None} if told else {}
            yield event._replace(data=(event.data or {}) | more)
        if told:
            yield Event("usage", _opening(reply) | {"choices": [], "usage": _usage(reply)})
        yield Event("done", None)

    def whole(self, reply: Reply) -> JSONObject:
        """See `Manner.whole`."""
        choices = []
        for index, spoken in enumerate(reply.spoken):
            pieces = [*_echoed(reply, index), *(token.text for token in spoken)]
            choices.append(_choice(reply, index, pieces, spoken.finish_reason))
        return _opening(reply) | {"choices": choices, "usage": _usage(reply)}

    def unfinished(self, data: JSONObject) -> JSONObject | None:
        """See `Manner.unfinished`: in a stream, the event that has the reason has no text."""
        choices = [choice | {"finish_reason": None} for choice in data["choices"]]
        if choices and not any(choice["text"] for choice in choices):
            return None
        return data | {"choices": choices}

    def growing(self, event: Event, reply: Reply) -> Event:
        """See `Manner.growing`."""
        data = event.data
        return event if data is None else event._replace(data=data | {"usage": _usage(reply)})


class AzureCompletions(Completions, Azure):
    """The same on Azure."""

    name = "azure-completion"


class Fim(Chat):
    """Mistral's, which fills a gap and answers as its chat does."""

    name = "fim"

    def decode(self, request: Request, seal: Seal) -> Ask:
        """See `Manner.decode`."""
        return decode_completion(request)


def _opening(reply: Reply) -> JSONObject:
    return {
        "id": f"cmpl-{reply.letters}",
        "object": "text_completion",
        "created": reply.created,
        "model": reply.ask.model,
    }


def _echoed(reply: Reply, index: int) -> list[str]:
    """The prompt of a choice, where it is to be said again."""
    prompts = reply.ask.body["prompts"]
    prompt = prompts[index * len(prompts) // reply.ask.choices]
    return words(prompt) if reply.ask.body.get("echo") is True else []


def _stream(reply: Reply, index: int) -> Iterator[Event]:
    for piece in _echoed(reply, index):
        yield Event("frame", _chunk(reply, index, [piece], None))
    for token in reply.spoken[index]:
        yield Event("token", _chunk(reply, index, [token.text], None))
    yield Event("finish", _chunk(reply, index, [], reply.spoken[index].finish_reason))


def _chunk(reply: Reply, index: int, pieces: Sequence[str], finish: str | None) -> JSONObject:
    return _opening(reply) | {"choices": [_choice(reply, index, pieces, finish)]}


def _choice(reply: Reply, index: int, pieces: Sequence[str], finish: str | None) -> JSONObject:
    return {
        "text": "".join(pieces),
        "index": index,
        "logprobs": _certain(reply, pieces),
        "finish_reason": finish,
    }


def _certain(reply: Reply, pieces: Sequence[str]) -> JSONObject | None:
    """Log probabilities, where asked: each token had 7 chances in 8 and no rival is named."""
    if type(reply.ask.body.get("logprobs")) is not int or not pieces:
        return None
    chance = math.log(7 / 8)
    offsets = [sum(len(piece) for piece in pieces[:at]) for at in range(len(pieces))]
    return {
        "tokens": list(pieces),
        "token_logprobs": [chance] * len(pieces),
        "top_logprobs": [{piece: chance} for piece in pieces],
        "text_offset": offsets,
    }


def _usage(reply: Reply) -> JSONObject:
    prompt, completion = reply.count.prompt, reply.count.completion
    totals = {"prompt_tokens": prompt, "completion_tokens": completion}
    return totals | {"total_tokens": prompt + completion}
