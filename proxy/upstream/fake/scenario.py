"""What the simulated provider is told to do: a scenario, its rules, and the names of its faults.

A scenario is TOML. `[answer]` sets how every answer flows; each `[[rules]]` table picks requests by
the model's name (a glob), optionally only some of them, and overrides the flow or adds a fault:

    api_key = "sk-only-this"
    [answer]
    tokens_per_s = 50
    [[rules]]
    model = "weir/*"
    after = 2
    times = 1
    fault = "rate-limit"
    retry_after_s = 3

The first rule that fits wins. Without any scenario the models `fault/<name>` show each fault.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, get_args

import msgspec

FAULTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        # Nothing, or something other than an answer.
        "no-head": "accepts the request and never sends a byte",
        "slow-head": "sends nothing for `delay_s`, then a healthy answer",
        "cut-head": "resets the connection before the head",
        "status": "answers `status` in the dialect's words, and says how long if `retry_after_s`",
        "rate-limit": "answers 429 and says how long to stay away (`retry_after_s`, else 1)",
        "overloaded": "answers 503 (Anthropic 529) and says how long to stay away, likewise",
        "bad-key": "refuses as if the gateway's own key were wrong: 401 (Gemini 400, Bedrock 403)",
        "echoes-key": "does the same and repeats the whole credential in its message",
        "unknown-model": "answers 404 (Bedrock and Responses 400), as if the model were gone",
        "too-long": "answers 400, as if the prompt were too long, in the dialect's words for it",
        "gateway-page": "answers 502 with a proxy's HTML page",
        "html": "answers 200 with an HTML page, labelled text/html",
        "html-disguised": "answers 200 with an HTML page, labelled as what was asked for",
        "redirect": "answers 302 to another path of the same host",
        "empty": "answers 200 with no body",
        "error-200": "answers 200 with the dialect's error body as plain JSON, streamed or not",
        "wrong-json": "answers 200 with JSON that is no object",
        "other-form": "streams where plain JSON was asked for, and the other way round",
        # Time.
        "slow-first-token": "sends the head, keep-alives for `delay_s`, then a healthy answer",
        "slow-tokens": "flows at `tokens_per_s`, else at 2 tokens per second",
        "stall": "stops after `events` events (half of a plain body) and stays connected",
        # The end, and what is missing from it.
        "cut": "resets the connection after `events` events (half of a plain body)",
        "truncated": "ends cleanly in the middle of an event after `events` events, or of the body",
        "early-end": "ends cleanly after `events` events, without finish and end mark",
        "no-finish": "sends all content and the end mark, but no finish reason",
        "no-done": "sends everything but the end mark",
        "done-only": "sends the end mark and nothing else; as plain JSON, no choices",
        "no-content": "finishes normally without any content",
        "null-choices": "sends null where choices, or what the dialect has instead, belong",
        "after-done": "sends more content after the end mark; after a plain body, a second one",
        # Errors and rubbish inside a stream; a plain body has the same rubbish in its middle.
        "error-first": "answers 200 and sends an error as the first event",
        "error-event": "sends the dialect's error event after `events` events, and what follows it",
        "error-named": "sends its other error event, if any, after `events` events, then ends",
        "bad-json": "breaks the JSON (or checksum) of an event after `events` events",
        "bad-utf8": "sends bytes that are not UTF-8 inside a string after `events` events",
        "binary": "sends random bytes instead of the rest after `events` events",
        "garbage-lines": "mixes lines that are no fields of the event stream among the events",
        # Usage.
        "usage-missing": "never sends usage",
        "usage-twice": "sends the usage a second time",
        "usage-cumulative": "sends growing usage with every chunk of OpenAI's chat",
        # Odd, but correct: nothing may be lost.
        "one-byte": "writes every byte by itself",
        "slices": "cuts the bytes at random places",
        "crlf": "ends lines with CR LF",
        "cr": "ends lines with CR",
        "bom": "opens with a byte order mark",
        "comments": "sends 20 comments before each event; before a plain body, blank lines",
        "multi-line": "spreads each event over several `data:` lines",
        "no-space": "leaves out the space after `data:`",
        "fields": "adds `id:`, `event: message` and `retry:` to each event",
        "no-last-blank": "leaves out the blank line after the last event",
        "gzip": "compresses the body, asked or not",
        # Size.
        "giant": "sends one event with a text of `event_bytes`, else 1 MiB",
        "endless": "sends one event (or JSON string) that never ends",
    }
)
"""Every fault by name. Where a fault makes no sense for the form or the dialect (line ends of a
plain JSON body or of binary frames, say), the answer is healthy. The end mark is [DONE] in OpenAI's
chat, message_stop of Anthropic, message-end (and [DONE]) of Cohere, metadata of Bedrock,
response.completed of the Responses API; Gemini has none.
"""

MODELS: Final = (
    "weir/lorem",
    "weir/echo",
    "weir/reason",
    "weir/slow",
    "weir/turbo-instruct",
    "weir/embedding",
    "weir/rerank",
    "weir/image",
    "weir/gpt-image",
    "weir/dall-e",
    "weir/gemini-image",
    "weir/tts",
    "weir/whisper",
    "weir/transcribe",
    *(f"fault/{name}" for name in FAULTS),
)
"""What is offered without a scenario: lorem speaks of water, echo repeats the last user message,
reason thinks first, slow takes a second and then flows at 8 tokens per second. The others are for
the tasks that their names tell; every model answers whatever it is asked for, though.
"""

Task = Literal[
    "chat", "completion", "count", "embeddings", "rerank", "image", "speech", "transcription"
]
TASKS: Final[tuple[str, ...]] = get_args(Task)
"""What can be asked for."""

_Seconds = Annotated[float, msgspec.Meta(ge=0)]
_Count = Annotated[int, msgspec.Meta(ge=0)]


class Invocation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A call of the function `name`, with `arguments`."""

    name: str
    arguments: dict[str, Any] = {}


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an answer flows. `tokens` is the length of an answer that nobody shortened: one token is
    one content event. `tokens_per_s` 0 is "at once". `event_bytes` is the size of each event's
    text, 0 for one word each. `calls` are made of the functions that a request offers, unless it
    ends with what one of them said; without `calls` its own words tell what is called.
    """

    first_token_s: _Seconds = 0.0
    tokens_per_s: _Seconds = 0.0
    tokens: _Count = 32
    event_bytes: _Count = 0
    calls: tuple[Invocation, ...] | None = None


class Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule: which requests it is for, what it overrides of the answer, and its fault.

    `after` requests that fit are let pass, then it holds for `times` (0 is for ever). `on` is what
    is asked for, whatever answer it is if left out; a fault of `models` treats the list as a plain
    body. `events` counts every event sent before the fault strikes. The meaning of the other fields
    stands with each name in `FAULTS`.
    """

    model: str = "*"
    on: Task | Literal["answers", "models"] = "answers"
    after: _Count = 0
    times: _Count = 0
    first_token_s: _Seconds | None = None
    tokens_per_s: _Seconds | None = None
    tokens: _Count | None = None
    event_bytes: _Count | None = None
    calls: tuple[Invocation, ...] | None = None
    fault: str | None = None
    events: _Count = 3
    delay_s: _Seconds = 5.0
    status: Annotated[int, msgspec.Meta(ge=400, le=599)] = 500
    retry_after_s: _Count | None = None

    def answer(self, base: Answer) -> Answer:
        """`base` with what this rule overrides."""
        mine = ((field, getattr(self, field)) for field in Answer.__struct_fields__)
        return msgspec.structs.replace(base, **{k: v for k, v in mine if v is not None})


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything the simulated provider can be told. `api_key` None lets everybody in."""

    seed: int = 1
    api_key: str | None = None
    models: tuple[str, ...] = MODELS
    answer: Answer = Answer()
    rules: tuple[Rule, ...] = ()


_BUILT_IN = {f"fault/{name}": Rule(fault=name) for name in FAULTS} | {
    "weir/slow": Rule(first_token_s=1.0, tokens_per_s=8.0)
}
_PLAIN = Rule()


class Script:
    """A scenario being played: it counts, for each rule, the requests that fitted it."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self._fitted = [0] * len(scenario.rules)

    def choose(self, on: str, model: str) -> Rule:
        """The rule for this request, counted; the rules that ship if the scenario has none. `on` is
        a task, or models.
        """
        routes = (on,) if on == "models" else (on, "answers")
        for index, rule in enumerate(self.scenario.rules):
            if rule.on not in routes or not fnmatchcase(model, rule.model):
                continue
            self._fitted[index] += 1
            past = self._fitted[index] - rule.after
            if past > 0 and (rule.times == 0 or past <= rule.times):
                return rule
        return _PLAIN if on == "models" else _BUILT_IN.get(model, _PLAIN)


_AT = re.compile(r"(?P<what>.*) - at `(?P<path>\$[^`]*)`", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>.*)`", re.DOTALL)


def load_scenario(text: str) -> Scenario:
    """The scenario that `text` (TOML) describes.

    Raises ValueError whose message begins with the path of the wrong key, as in
    `$.rules[0].fault: no fault is called "cutt"; did you mean "cut"?`.
    """
    try:
        scenario = msgspec.toml.decode(text, type=Scenario)
    except msgspec.ValidationError as error:
        raise ValueError(_with_path_first(str(error))) from None
    except msgspec.DecodeError as error:
        raise ValueError(f"$: not TOML: {error}") from None
    for index, rule in enumerate(scenario.rules):
        if rule.fault is not None and rule.fault not in FAULTS:
            near = get_close_matches(rule.fault, FAULTS, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"known are {', '.join(FAULTS)}"
            raise ValueError(f'$.rules[{index}].fault: no fault is called "{rule.fault}"; {hint}')
    return scenario


def _with_path_first(message: str) -> str:
    found = _AT.fullmatch(message)
    what, path = (found["what"], found["path"]) if found else (message, "$")
    if unknown := _UNKNOWN.fullmatch(what):
        return f"{path}.{unknown['field']}: there is no such key"
    return f"{path}: {what[:1].lower()}{what[1:]}"
