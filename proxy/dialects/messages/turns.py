"""A conversation as Anthropic takes it: turns that alternate, and every call with its result.

What it would answer 400 to is mended: neighbours of one role become one turn, results stand first
in the turn after their calls, a result that nothing asked for becomes text, a call that nobody
answered gets an empty result, ids are made unique and of its alphabet.
"""

import re
from collections.abc import Callable
from typing import Final

from proxy.dialects.messages.blocks import (
    THOUGHTS,
    USES,
    Block,
    blocks_of,
    marked,
    replayed,
    result_block,
    text_block,
    text_blocks,
)
from proxy.dialects.messages.models import Claude
from proxy.dialects.parts import arguments_of
from proxy.providers import Provider
from proxy.wire.slices import Steps, paced

INSTRUCTING: Final = ("system", "developer")
NOTHING: Final = "."
"""What a user says where a turn, or a text, has to be and is not; an empty text is a 400."""

_STRANGE = re.compile(r"[^a-zA-Z0-9_-]")


def lettered(text: str) -> str:
    """`text` in the alphabet of ids and of the names of tools."""
    return _STRANGE.sub("_", text)


def system_of(messages: list[Block]) -> tuple[list[Block], list[Block]]:
    """The blocks of the instructions that a conversation begins with, and the messages after them.
    Where there is nothing else, they are what the user says.
    """
    begin = next((n for n, one in enumerate(messages) if one["role"] not in INSTRUCTING), None)
    if begin is None:
        return [], [{**message, "role": "user"} for message in messages]
    return [block for message in messages[:begin] for block in _told(message)], messages[begin:]


class Turns:
    """The turns of one conversation, built message by message."""

    def __init__(self, provider: Provider, claude: Claude) -> None:
        self._provider = provider
        self._claude = claude
        self._turns: list[Block] = []
        self._open: dict[str, list[str]] = {}  # calls without a result: the caller's id, ours
        self._used: dict[str, int] = {}
        self._results = 0  # that the last turn begins with

    def add(self, message: Block, following: str | None) -> None:
        """Appends a message; `following` is who speaks after it and other instructions."""
        match message["role"]:
            case "assistant":
                self._close()
                self._say("assistant", self._answered(message, following))
            case "tool" | "function":
                self._result(message)
            case "user":
                blocks = _named(message, lambda said: blocks_of(said, self._provider))
                self._say("user", _held(blocks, message))
            case _:
                self._instruct(message, following)

    def end(self) -> list[Block]:
        """The finished turns: at least one, and the first the user's."""
        self._close()
        if self._turns and self._turns[-1]["role"] == "assistant":
            last = self._turns[-1]["content"][-1]
            if last["type"] == "text":  # white space at the end of what is to go on is a 400
                last["text"] = last["text"].rstrip()
        if not self._turns or self._turns[0]["role"] != "user":
            self._turns.insert(0, {"role": "user", "content": [_text(NOTHING)]})
        return self._turns

    def _say(self, role: str, blocks: list[Block]) -> None:
        if not blocks:
            return
        if self._turns and self._turns[-1]["role"] == role:
            self._turns[-1]["content"] += blocks
        else:
            self._begin(role, blocks)

    def _begin(self, role: str, blocks: list[Block]) -> None:
        self._turns.append({"role": role, "content": blocks})
        self._results = 0

    def _answered(self, message: Block, following: str | None) -> list[Block]:
        """What the model said: its thoughts first, then text, then calls. A server's tool that is
        still at work stands behind the text, and only where the answer goes on.
        """
        blocks = (
            [] if self._claude.thinks == "never" else replayed(message.get("reasoning_details"))
        )
        waiting = _waiting(blocks)
        blocks = [block for block in blocks if block not in waiting]
        blocks += _named(message, text_blocks)
        if refusal := text_block({"type": "refusal", "refusal": message.get("refusal")}):
            blocks.append(refusal)
        if following in (None, "tool", "function"):
            blocks += waiting
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else ():
            blocks.append(self._call(call))
        if isinstance(legacy := message.get("function_call"), dict):
            blocks.append(self._call({"id": legacy.get("name"), "function": legacy}))
        while blocks and blocks[-1]["type"] in THOUGHTS:  # without a word after them, a 400
            blocks.pop()
        return _held(blocks, message)

    def _call(self, call: Block) -> Block:
        custom = call.get("custom")
        function = call.get("function")
        given = arguments_of(call)
        name = function.get("name") if isinstance(function, dict) else None
        if isinstance(custom, dict):
            name, given = custom.get("name"), {"input": custom.get("input")}
        id_ = str(call.get("id") or name)
        ours = self._unique(id_)
        self._open.setdefault(id_, []).append(ours)
        return marked({"type": "tool_use", "id": ours, "name": str(name), "input": given}, call)

    def _unique(self, id_: str) -> str:
        plain = lettered(id_) or "call"
        number = self._used.get(plain, 0) + 1
        ours = plain if number == 1 else f"{plain}_{number}"
        while ours in self._used:
            number += 1
            ours = f"{plain}_{number}"
        self._used[plain] = number
        self._used.setdefault(ours, 1)
        return ours

    def _result(self, message: Block) -> None:
        """A result without its call is something that the user says."""
        named = str(message.get("tool_call_id") or message.get("name"))
        calls = self._open.get(named)
        if not calls:
            self._say("user", blocks_of(message.get("content"), self._provider))
            return
        self._give(result_block(calls.pop(0), message, self._provider))
        if not calls:
            del self._open[named]

    def _give(self, result: Block) -> None:
        """Results stand before all else that the user says in that turn."""
        if self._turns[-1]["role"] != "user":
            self._begin("user", [])
        self._turns[-1]["content"].insert(self._results, result)
        self._results += 1

    def _instruct(self, message: Block, following: str | None) -> None:
        """Instructions amid the conversation stay where they are, with the model's own role for
        them where it has one and the place is one that it takes.
        """
        blocks = _told(message)
        before = self._turns[-1]["role"] if self._turns else None
        fits = before in ("user", "system") and following in ("assistant", None)
        if self._claude.instructable and fits and not self._open:
            self._say("system", blocks)
            return
        for block in blocks:
            block["text"] = f"<system>\n{block['text']}\n</system>"
        self._say("user", blocks)

    def _close(self) -> None:
        """Gives every call that is still open an empty result."""
        for calls in self._open.values():
            for id_ in calls:
                self._give({"type": "tool_result", "tool_use_id": id_, "is_error": True})
        self._open.clear()


def conversation(
    messages: list[Block], provider: Provider, claude: Claude
) -> Steps[tuple[list[Block], list[Block]]]:
    """The blocks of `system` and the turns, in steps of so many messages.

    Raises GatewayError `provider_unfit` for an attachment that Anthropic does not take.
    """
    system, rest = system_of(messages)
    turns = Turns(provider, claude)
    following: list[str | None] = [None] * len(rest)
    for number in range(len(rest) - 2, -1, -1):
        role = rest[number + 1]["role"]
        following[number] = following[number + 1] if role in INSTRUCTING else role
    yield
    for (pause, message), role in zip(paced(rest), following, strict=True):
        if pause:
            yield
        turns.add(message, role)
    yield
    return system, turns.end()


def _named(message: Block, read: Callable[[object], list[Block]]) -> list[Block]:
    """The blocks of a message, the first text with the name of who said it before it."""
    blocks = read(message.get("content"))
    name = message.get("name")
    if isinstance(name, str) and name:
        first = next((block for block in blocks if block["type"] == "text"), None)
        if first is not None:
            first["text"] = f"{name}: {first['text']}"
    return blocks


def _waiting(blocks: list[Block]) -> list[Block]:
    """The uses of a server's tools among `blocks` that no result follows: the turn was paused."""
    after = [block["type"] for block in blocks[1:]] + [""]
    return [
        block
        for block, kind in zip(blocks, after, strict=False)
        if block["type"] in USES and not kind.endswith("_tool_result")
    ]


def _told(message: Block) -> list[Block]:
    """The blocks of instructions."""
    return _held(_named(message, text_blocks), message)


def _held(blocks: list[Block], message: Block) -> list[Block]:
    """`blocks` with the caching mark of their message, as some clients write it, on the last."""
    if blocks and "cache_control" not in blocks[-1]:
        marked(blocks[-1], message)
    return blocks


def _text(text: str) -> Block:
    return {"type": "text", "text": text}
