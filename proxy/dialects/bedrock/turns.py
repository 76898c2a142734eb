"""A conversation as Converse takes it: turns that alternate, and every call with its result.

What Bedrock would answer 400 to is mended: neighbours of one role become one turn, results stand
first in the turn after their calls, a result that nothing asked for becomes text, a call that
nobody answered gets a result that says so, ids and names get its alphabet, a document gets a text
beside it, and no text is blank.
"""

import re
from typing import Any, Final

from proxy.dialects.bedrock.blocks import SERVER_TOOL, sealed
from proxy.dialects.bedrock.families import Family
from proxy.dialects.bedrock.media import Names, attachment
from proxy.dialects.messages.blocks import replayed
from proxy.dialects.messages.turns import INSTRUCTING, NOTHING, lettered
from proxy.dialects.parts import arguments_of, parts_of
from proxy.dialects.reading import parse
from proxy.dialects.values import objects
from proxy.errors import GatewayError
from proxy.providers import Provider
from proxy.wire.slices import TURNS_PER_STEP, Steps, paced

Block = dict[str, Any]

NO_RESULT: Final = "(no output)"

_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_NAME_CHARS_MAX: Final = 64


class Turns:
    """The turns of one conversation, built message by message."""

    def __init__(self, provider: Provider, family: Family) -> None:
        self._provider = provider
        self._family = family
        self._names = Names()
        self._turns: list[Block] = []
        self._open: dict[str, list[str]] = {}  # calls without a result: the caller's id, ours
        self._used: dict[str, int] = {}
        self._results = 0  # blocks of results that the last turn begins with

    def add(self, message: Block) -> None:
        match message["role"]:
            case "assistant":
                self._close()
                self._say("assistant", self._answered(message))
            case "tool" | "function":
                self._result(message)
            case _:
                self._say("user", self.blocks(message))

    def end(self, said: Block) -> Steps[list[Block]]:
        """The finished turns: at least one, and the first the user's. A caching mark of the whole
        request, `said`, stands at their end.
        """
        self._close()
        turns = self._turns
        if turns and turns[-1]["role"] == "assistant":
            last = next(one for one in reversed(turns[-1]["content"]) if "cachePoint" not in one)
            if "text" in last:  # white space at the end of what is to go on is a 400
                last["text"] = last["text"].rstrip()
        if not turns or turns[0]["role"] != "user":
            turns.insert(0, {"role": "user", "content": [{"text": NOTHING}]})
        for place, turn in enumerate(turns, 1):
            if place % TURNS_PER_STEP == 0:
                yield
            content = turn["content"]
            shows = any("document" in block for block in content)
            if shows and not any(block.get("text", "").strip() for block in content):
                content.append({"text": NOTHING})
        self._mark(turns[-1]["content"], said)
        return turns

    def blocks(self, message: Block) -> list[Block]:
        """The content of a message, the first text with the name of who said it before it, and its
        caching mark.
        """
        blocks = self._content(message)
        self._mark(blocks, message)
        return blocks

    def _content(self, message: Block) -> list[Block]:
        blocks: list[Block] = []
        for part in parts_of(message.get("content")):
            text = part.get("refusal" if part.get("type") == "refusal" else "text")
            if isinstance(text, str):
                add_text(blocks, text)
            elif part.get("type") not in ("text", "refusal"):
                blocks.append(attachment(part, self._names, self._provider))
            self._mark(blocks, part)
        name = message.get("name")
        if isinstance(name, str) and name:
            first = next((block for block in blocks if "text" in block), None)
            if first is not None:
                first["text"] = f"{name}: {first['text']}"
        return blocks

    def _mark(self, blocks: list[Block], source: Block) -> None:
        point = cache_point(source, self._family) if self._family.caches else None
        if point is None or not blocks or "cachePoint" in blocks[-1]:
            return
        if "document" in blocks[-1] or "video" in blocks[-1]:
            # A point right behind these is a 400; behind a line break it is none (recorded).
            blocks.append({"text": "\n"})
        blocks.append(point)

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

    def _answered(self, message: Block) -> list[Block]:
        """What the model said: its thoughts first, then text, then calls."""
        blocks = reasoning(message.get("reasoning_details"), self._family)
        blocks += self._content(message)
        if isinstance(refusal := message.get("refusal"), str):
            add_text(blocks, refusal)
        for call in objects(message.get("tool_calls")):
            blocks.append(self._call(call))
            self._mark(blocks, call)
        if isinstance(legacy := message.get("function_call"), dict):
            blocks.append(self._call({"id": legacy.get("name"), "function": legacy}))
        while blocks and "reasoningContent" in blocks[-1]:  # without a word after them, a 400
            blocks.pop()
        self._mark(blocks, message)
        return blocks

    def _call(self, call: Block) -> Block:
        custom, function = call.get("custom"), call.get("function")
        given = arguments_of(call)
        name = function.get("name") if isinstance(function, dict) else None
        if isinstance(custom, dict):
            name, given = custom.get("name"), {"input": custom.get("input")}
        id_ = str(call.get("id") or name)
        ours = self._unique(id_)
        self._open.setdefault(id_, []).append(ours)
        return {"toolUse": {"toolUseId": ours, "name": plain_name(name), "input": given}}

    def _unique(self, id_: str) -> str:
        plain = id_ if _ID.fullmatch(id_) else plain_name(id_)
        ours, number = plain, self._used.get(plain, 0)
        while ours in self._used:
            number += 1
            ours = f"{plain[:50]}_{number}"
        self._used[ours] = 1
        self._used[plain] = max(1, number)  # from there on the next one is sought
        return ours

    def _result(self, message: Block) -> None:
        """A result without its call is something that the user says."""
        wanted = str(message.get("tool_call_id") or message.get("name"))
        calls = self._open.get(wanted)
        blocks = self.blocks({key: message[key] for key in message.keys() - {"name"}})
        if not calls:
            self._say("user", blocks)
            return
        id_ = calls.pop(0)
        points = [block for block in blocks if "cachePoint" in block]
        beside = [block for block in blocks if "video" in block or "audio" in block]
        inside = [block for block in blocks if block not in points and block not in beside]
        self._give(id_, inside or [{"text": NO_RESULT}], points[-1:])
        self._say("user", beside)

    def _give(self, id_: str, content: list[Block], points: list[Block]) -> None:
        """Results stand before all else that the user says in that turn."""
        if self._turns[-1]["role"] != "user":
            self._begin("user", [])
        said, place = self._turns[-1]["content"], self._results
        said[place:place] = [{"toolResult": {"toolUseId": id_, "content": content}}, *points]
        self._results += 1 + len(points)

    def _close(self) -> None:
        """Gives every call that is still open a result that says that there is none."""
        for id_ in (id_ for calls in self._open.values() for id_ in calls):
            self._give(id_, [{"text": NO_RESULT}], [])
        self._open.clear()


def conversation(
    said: Block, provider: Provider, family: Family
) -> Steps[tuple[list[Block], list[Block]]]:
    """The blocks of `system` and the turns, in steps of so many messages. Where there are only
    instructions, the user says them.

    Raises GatewayError `provider_unfit` for an attachment that Bedrock does not take.
    """
    turns, messages = Turns(provider, family), said["messages"]
    system: list[Block] = []
    alone = all(message["role"] in INSTRUCTING for message in messages)
    for pause, message in paced(messages):
        if pause:
            yield
        if message["role"] in INSTRUCTING and not alone:
            blocks = turns.blocks(message)
            system += [block for block in blocks if "text" in block or "cachePoint" in block]
        else:
            turns.add(message)
    yield
    return system, (yield from turns.end(said))


def cache_point(source: Block, family: Family) -> Block | None:
    """What a caching mark, Anthropic's own or OpenAI's, is called here; None without one."""
    mark = source.get("cache_control", source.get("prompt_cache_breakpoint"))
    if not isinstance(mark, dict):
        return None
    lasting = {"ttl": "1h"} if mark.get("ttl") == "1h" and family.hour else {}
    return {"cachePoint": {"type": "default", **lasting}}


def add_text(blocks: list[Block], text: str) -> None:
    """Appends text; blank text is a 400 alone, and so part of the text before it, if any."""
    if text.strip():
        blocks.append({"text": text})
    elif blocks and "text" in blocks[-1]:
        blocks[-1]["text"] += text


def reasoning(details: object, family: Family) -> list[Block]:
    """The thoughts and server tools of an earlier answer as they were; what another model thought,
    or nobody signed, is left out, as it would be a 400.
    """
    if family.claude is None:
        return _server_tools(details)
    blocks: list[Block] = []
    for block in replayed(details) if family.claude.thinks != "never" else ():
        match block.get("type"):
            case "thinking":
                said = {"text": block["thinking"], "signature": block["signature"]}
                blocks.append({"reasoningContent": {"reasoningText": said}})
            case "redacted_thinking":
                blocks.append({"reasoningContent": {"redactedContent": sealed(block["data"])}})
    return blocks


def _server_tools(details: object) -> list[Block]:
    blocks: list[Block] = []
    for detail in objects(details):
        if detail.get("type") != "reasoning.server_tool_call":
            continue
        given, result = _parsed(detail.get("arguments")), _parsed(detail.get("result"))
        if given is None or result is None or result.get("toolUseId") != detail.get("tool_call_id"):
            continue  # another provider's
        use = {"toolUseId": detail["tool_call_id"], "name": plain_name(detail.get("tool_name"))}
        blocks.append({"toolUse": use | {"input": given, "type": SERVER_TOOL}})
        blocks.append({"toolResult": result})
    return blocks


def plain_name(name: object) -> str:
    """`name` in the alphabet of names."""
    return lettered(str(name or "tool"))[:_NAME_CHARS_MAX] or "tool"


def _parsed(text: object) -> Block | None:
    try:
        return parse(text.encode()) if isinstance(text, str) else None
    except (GatewayError, UnicodeError):
        return None
