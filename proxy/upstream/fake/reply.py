"""What the simulated provider says: made-up tokens that answer a request in any dialect.

The same request gets the same words. Texts are lorem or an echo, tool calls and structured answers
fit their schemas, and every content event is one token of the usage.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, cycle, groupby, islice
from random import Random
from typing import Final, Literal, NamedTuple

from proxy.upstream.fake.ask import Ask, Function
from proxy.upstream.fake.sample import sample
from proxy.upstream.fake.scenario import Answer
from proxy.upstream.fake.seals import Seal

_SENTENCE: Final = (  # 32 words, the default length of an answer
    "Water meets the weir and waits a little, then it finds the lowest place and goes over, "
    "bright and even, on its long and patient way down to the wide open sea."
)
_LOREM: Final = tuple(_SENTENCE.split())
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_FRAGMENT_LENGTH = 5


class Token(NamedTuple):
    """One token: of the reasoning, of the text, or of the tool call number `call`, which begins
    with its `name` and has the letters of its id as text.
    """

    kind: Literal["reasoning", "text", "call", "arguments"]
    text: str
    call: int = 0
    name: str = ""


class Count(NamedTuple):
    """What an answer used, in tokens; `reasoning` is part of `completion`, and what was read from
    the cache or written to it is part of `prompt`.
    """

    prompt: int
    completion: int
    reasoning: int
    cache_read: int = 0
    cache_written: int = 0


class Reply:
    """The healthy answer to `ask`. Its tokens may be taken once.

    `cached` is how many tokens of the prompt the cache gave and took; `mute` says nothing at all.
    """

    def __init__(
        self,
        ask: Ask,
        answer: Answer,
        rng: Random,
        created: int,
        *,
        seal: Seal | None = None,
        cached: tuple[int, int] = (0, 0),
        mute: bool = False,
    ) -> None:
        self.ask = ask
        self.created = created
        self.seal = seal or Seal(1)
        self.rng = rng
        self.calls = [] if mute else _calls(ask, answer)
        self.thinks = ask.thinks and not mute
        self.stopped_by: str | None = None
        self.letters = self.word(29)
        self._call_ids = [[self.word(24) for _ in self.calls] for _ in range(ask.choices)]
        self._cached = cached
        self.mute = mute
        self.answer = answer
        self.spoken = [
            Spoken(
                self._tokens(index, answer),
                limit=ask.tokens_max,
                finish_reason="tool_calls" if self.calls else "stop",
            )
            for index in range(ask.choices)
        ]

    def word(self, length: int) -> str:
        """Random letters and digits, for an id."""
        return "".join(self.rng.choices(_LETTERS, k=length))

    @property
    def count(self) -> Count:
        """What was used so far."""
        return Count(
            self.ask.prompt_tokens,
            sum(spoken.tokens for spoken in self.spoken),
            sum(spoken.reasoning for spoken in self.spoken),
            *self._cached,
        )

    def _tokens(self, choice: int, answer: Answer) -> Iterator[Token]:
        if self.mute:
            return
        if self.thinks:
            tokens = self.ask.prompt_tokens
            thought = f"The prompt has about {tokens} tokens. I can answer it as it stands."
            yield from (Token("reasoning", word) for word in words(thought))
        for index, function in enumerate(self.calls):
            yield Token("call", self._call_ids[choice][index], index, function.name)
            known = function.arguments
            arguments = json.dumps(sample(function.schema) if known is None else known)
            for start in range(0, len(arguments), _FRAGMENT_LENGTH):
                yield Token("arguments", arguments[start : start + _FRAGMENT_LENGTH], index)
        if not self.calls:
            pieces, mark = stopped(_pieces(self.ask, answer, choice), self.ask.stop)
            yield from (Token("text", piece) for piece in pieces)
            self.stopped_by = mark


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


def blocks(tokens: Iterable[Token]) -> Iterator[tuple[str, Iterator[Token]]]:
    """`tokens` in runs of one thing, each with its kind: reasoning, text or call. A call's first
    token is the one that opens it.
    """

    def thing(token: Token) -> tuple[str, int]:
        return ("call" if token.kind == "arguments" else token.kind), token.call

    for (kind, _), run in groupby(tokens, key=thing):
        yield kind, run


def words(text: str) -> list[str]:
    """`text` as tokens: words with the white space before them; joined, they are `text` again."""
    return re.findall(r"\s*\S+|\s+$", text)


def stopped(pieces: Iterator[str], stops: Sequence[str]) -> tuple[Iterator[str], str | None]:
    """`pieces` up to the first of the stop sequences, which is not part of them, and that one."""
    if not stops:
        return pieces, None
    text = "".join(pieces)
    ends = sorted((text.find(mark), mark) for mark in stops if mark in text)
    end, mark = ends[0] if ends else (len(text), None)
    return iter(words(text[:end])), mark


def _calls(ask: Ask, answer: Answer) -> list[Function]:
    """What is called now: what the answer is told to call, as far as there is such a function."""
    if answer.calls is None:
        return ask.wanted_calls
    offered = {function.name: function for function in ask.functions if ask.results is None}
    return [
        offered[call.name]._replace(arguments=call.arguments)
        for call in answer.calls
        if call.name in offered
    ]


def _pieces(ask: Ask, answer: Answer, choice: int) -> Iterator[str]:
    if ask.structured and ask.schema is not None:
        return iter(words(json.dumps(sample(ask.schema))))
    if ask.structured:
        said = "".join(_lorem(answer, choice))
        return iter(words(json.dumps({"answer": said})))
    if ask.results is not None:
        return iter(words(f"The tool said: {ask.results}"))
    opening = words(f"I was given {_counted(ask.attachments)}. ") if ask.attachments else []
    body = iter(words(ask.said)) if "echo" in ask.model else _lorem(answer, choice)
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
