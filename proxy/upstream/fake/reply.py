"""What the simulated provider says: it reads a request, makes up tokens and puts them in events.

The same request gets the same words. Texts are lorem or an echo, tool calls and structured answers
fit their schemas, and every content event is one token of the usage.
"""

import json
import re
import uuid
from collections.abc import Iterator, Sequence
from itertools import chain, cycle, islice, zip_longest
from random import Random
from typing import Any, Final, Literal, NamedTuple

from proxy.upstream.fake import shapes
from proxy.upstream.fake.ask import (
    Ask,
    attachments,
    last_said,
    prompt_tokens,
    tool_results,
    wanted_calls,
)
from proxy.upstream.fake.sample import sample
from proxy.upstream.fake.scenario import Answer
from proxy.upstream.fake.shapes import Count, JSONObject, Manner

_SENTENCE: Final = (  # 32 words, the default length of an answer
    "Water meets the weir and waits a little, then it finds the lowest place and goes over, "
    "bright and even, on its long and patient way down to the wide open sea."
)
_LOREM: Final = tuple(_SENTENCE.split())
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_FRAGMENT_LENGTH = 5


class Token(NamedTuple):
    """One token: of the reasoning, of the text, or of the tool call number `call`, which begins
    with its `name` and has its id as text.
    """

    kind: Literal["reasoning", "text", "call", "arguments"]
    text: str
    call: int = 0
    name: str = ""


class Event(NamedTuple):
    """One event of a stream; `data` None is [DONE]."""

    kind: Literal["opening", "token", "finish", "usage", "done"]
    data: JSONObject | None


class Reply:
    """The healthy answer to `ask`, as events or as a whole; either may be taken once."""

    def __init__(self, ask: Ask, answer: Answer, rng: Random, created: int) -> None:
        self._ask = ask
        self._calls = wanted_calls(ask)
        thinks = "reason" in ask.model
        options = ask.option("stream_options")
        padded = not thinks and options.get("include_obfuscation") is not False
        letters = "".join(rng.choices(_LETTERS, k=29))
        self.manner = Manner(
            id=str(uuid.UUID(int=rng.getrandbits(128), version=4))
            if thinks
            else f"chatcmpl-{letters}",
            created=created,
            model=ask.model,
            thinks=thinks,
            include_usage=options.get("include_usage") is True,
            padding=letters[:16] if padded else "",
            logprobs=ask.body.get("logprobs") is True,
        )
        self._call_ids = [
            ["call_" + "".join(rng.choices(_LETTERS, k=24)) for _ in self._calls]
            for _ in range(ask.choices)
        ]
        self._spoken = [
            Spoken(
                self._tokens(index, answer),
                limit=ask.tokens_max,
                finish_reason="tool_calls" if self._calls else "stop",
            )
            for index in range(ask.choices)
        ]
        self._prompt = prompt_tokens(ask)

    @property
    def count(self) -> Count:
        """What was used so far."""
        return Count(
            self._prompt,
            sum(spoken.tokens for spoken in self._spoken),
            sum(spoken.reasoning for spoken in self._spoken),
        )

    def events(self) -> Iterator[Event]:
        """The answer as a stream's events, choices taking turns; made while they are taken."""
        streams = [self._choice(index, spoken) for index, spoken in enumerate(self._spoken)]
        for row in zip_longest(*streams):
            yield from (event for event in row if event is not None)
        if self.manner.include_usage and not self.manner.thinks:
            usage = self.manner.usage(self.count)
            yield Event("usage", self.manner.chunk([], usage=usage))
        yield Event("done", None)

    def whole(self) -> JSONObject:
        """The answer in one object."""
        choices = [self._message(index, list(spoken)) for index, spoken in enumerate(self._spoken)]
        return self.manner.whole(choices, self.count)

    def _choice(self, choice: int, spoken: "Spoken") -> Iterator[Event]:
        manner, calls = self.manner, len(self._calls)
        lone = calls == 1 and not manner.thinks  # OpenAI puts a lone call's start in the opening
        if not lone:
            yield Event("opening", manner.opening(choice, calls=calls, first_call=None))
        for token in spoken:
            match token.kind:
                case "text":
                    yield Event("token", manner.text(choice, token.text))
                case "reasoning":
                    yield Event("token", manner.reasoning(choice, token.text))
                case "call":
                    start = shapes.call_start(token.call, token.text, token.name)
                    if lone:
                        yield Event("opening", manner.opening(choice, calls=1, first_call=start))
                    else:
                        yield Event("token", manner.call(choice, start, several=calls > 1))
                case _:
                    piece = shapes.call_piece(token.call, token.text)
                    yield Event("token", manner.call(choice, piece, several=calls > 1))
        usage = manner.usage(self.count) if manner.thinks else None
        yield Event("finish", manner.finish(choice, spoken.finish_reason, usage))

    def _message(self, choice: int, tokens: Sequence[Token]) -> JSONObject:
        calls = []
        for start in (token for token in tokens if token.kind == "call"):
            pieces = (t.text for t in tokens if t.kind == "arguments" and t.call == start.call)
            calls.append(shapes.call_whole(start.text, start.name, "".join(pieces)))
        return self.manner.message(
            choice,
            text=[token.text for token in tokens if token.kind == "text"],
            reasoning="".join(token.text for token in tokens if token.kind == "reasoning"),
            calls=calls,
            finish_reason=self._spoken[choice].finish_reason,
        )

    def _tokens(self, choice: int, answer: Answer) -> Iterator[Token]:
        if self.manner.thinks:
            thought = f"The prompt has about {self._prompt} tokens. I can answer it as it stands."
            yield from (Token("reasoning", word) for word in words(thought))
        for index, function in enumerate(self._calls):
            yield Token("call", self._call_ids[choice][index], index, function["name"])
            arguments = json.dumps(sample(function.get("parameters")))
            for start in range(0, len(arguments), _FRAGMENT_LENGTH):
                yield Token("arguments", arguments[start : start + _FRAGMENT_LENGTH], index)
        if not self._calls:
            pieces = stopped(_pieces(self._ask, answer, choice), self._ask.body.get("stop"))
            yield from (Token("text", piece) for piece in pieces)


class Spoken:
    """The tokens of one choice, cut at `limit`, counted while they are taken."""

    def __init__(self, tokens: Iterator[Token], *, limit: int | None, finish_reason: str) -> None:
        self._source = tokens
        self._limit = limit
        self.finish_reason = finish_reason
        self.tokens = 0
        self.reasoning = 0

    def __iter__(self) -> Iterator[Token]:
        for token in self._source:
            if self.tokens == self._limit:
                self.finish_reason = "length"
                return
            self.tokens += 1
            self.reasoning += token.kind == "reasoning"
            yield token


def words(text: str) -> list[str]:
    """`text` as tokens: words with the white space before them; joined, they are `text` again."""
    return re.findall(r"\s*\S+|\s+$", text)


def stopped(pieces: Iterator[str], stop: Any) -> Iterator[str]:
    """`pieces` up to the first of the stop sequences, which is not part of them."""
    stops = [stop] if isinstance(stop, str) else stop if isinstance(stop, list) else []
    if not stops:
        return pieces
    text = "".join(pieces)
    ends = [text.find(mark) for mark in stops if isinstance(mark, str) and mark]
    return iter(words(text[: min((end for end in ends if end >= 0), default=len(text))]))


def _pieces(ask: Ask, answer: Answer, choice: int) -> Iterator[str]:
    response_format = ask.option("response_format")
    if response_format.get("type") == "json_schema":
        wanted = response_format.get("json_schema")
        schema = wanted.get("schema") if isinstance(wanted, dict) else None
        return iter(words(json.dumps(sample(schema))))
    if response_format.get("type") == "json_object":
        said = "".join(_lorem(answer, choice))
        return iter(words(json.dumps({"answer": said})))
    if (results := tool_results(ask)) is not None:
        return iter(words(f"The tool said: {results}"))
    seen = attachments(ask)
    opening = words(f"I was given {_counted(seen)}. ") if seen else []
    body = iter(words(last_said(ask))) if "echo" in ask.model else _lorem(answer, choice)
    return chain(opening, body)


def _lorem(answer: Answer, choice: int) -> Iterator[str]:
    if answer.event_bytes:
        sentence = _SENTENCE + " "
        block = sentence * (answer.event_bytes // len(sentence) + 1)
        return islice(cycle((block[: answer.event_bytes],)), answer.tokens)
    flow = islice(cycle(_LOREM), choice, None)
    return (f" {word}" if index else word for index, word in enumerate(islice(flow, answer.tokens)))


def _counted(names: Sequence[str]) -> str:
    numbers = {name: names.count(name) for name in dict.fromkeys(names)}
    return " and ".join(f"{n} {name}{'s' * (n > 1)}" for name, n in numbers.items())
