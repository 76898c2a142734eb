"""Coding agents from npm, without a person before them: how each is started and what it tells.

They run unmodified, in a home of their own, and are told of nobody but the gateway. A proxy on
loopback that lets nobody through is all they know of the rest of the world, so that whatever they
try to reach beside the gateway is seen, and does not come far.
"""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.running import Running
from tests.sdk.clients import JSONObject
from tests.sdk.upstreams import NODE

FOLDER: Final = Path(__file__).parent / "agents"
NOTE: Final = "note.txt"
PICTURE: Final = "picture.png"
_SECONDS_MAX: Final = 20


class Told(NamedTuple):
    """What an agent shows of its work: its thoughts, what its tools said, its last word, its error,
    and how many tokens it counted of prompts and answers.
    """

    thoughts: str
    results: str
    text: str
    error: str
    tokens: tuple[int, int]


class Ended(NamedTuple):
    """An agent that has ended, with its exit code."""

    code: int
    told: Told


class Agent(NamedTuple):
    """One agent. `command` is its script in `FOLDER` and its arguments but for the question;
    `setting` is what a gateway and a model need of its environment, and may write into its home.
    `calls` are those of its tools that look at a note and at a picture; `retries` says whether it
    asks again when a stream breaks off.
    """

    command: tuple[str, ...]
    setting: Callable[[Running, str, Path], Mapping[str, str]]
    read: Callable[[list[JSONObject], Path], Told]
    calls: tuple[tuple[str, JSONObject], ...]
    retries: bool


def _claude_setting(gateway: Running, model: str, home: Path) -> Mapping[str, str]:
    return {
        "ANTHROPIC_BASE_URL": f"{gateway.url}/api",
        "ANTHROPIC_AUTH_TOKEN": gateway.key,
        "ANTHROPIC_API_KEY": "",
        "ANTHROPIC_MODEL": model,
        "ANTHROPIC_SMALL_FAST_MODEL": model,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_RETRIES": "0",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_ERROR_REPORTING": "1",
        "DISABLE_TELEMETRY": "1",
    }


def _claude_told(events: list[JSONObject], home: Path) -> Told:
    (result,) = [event for event in events if event["type"] == "result"]
    blocks = [
        block
        for event in events
        if event["type"] in ("assistant", "user")
        for block in event["message"]["content"]
    ]
    counts = result["modelUsage"].values()  # the others lack what was not streamed
    asked = ("inputTokens", "cacheReadInputTokens", "cacheCreationInputTokens")
    return Told(
        thoughts="".join(block.get("thinking", "") for block in blocks),
        results=json.dumps([block for block in blocks if block["type"] == "tool_result"]),
        text="" if result["is_error"] else result["result"],
        error=result["result"] if result["is_error"] else "",
        tokens=(
            sum(count[name] for count in counts for name in asked),
            sum(count["outputTokens"] for count in counts),
        ),
    )


_CODEX: Final = """
model = "{model}"
model_provider = "weir"
model_reasoning_effort = "medium"
model_reasoning_summary = "detailed"
show_raw_agent_reasoning = true
check_for_update_on_startup = false

[model_providers.weir]
name = "Weir"
base_url = "{base_url}"
env_key = "WEIR_KEY"
wire_api = "responses"
request_max_retries = 0
stream_max_retries = 0

[analytics]
enabled = false

[features]
apps = false
daemon_auto_start = false
plugins = false
remote_plugin = false
"""


def _codex_setting(gateway: Running, model: str, home: Path) -> Mapping[str, str]:
    text = _CODEX.format(model=model, base_url=gateway.base_url)
    (home / "config.toml").write_text(text)
    return {"CODEX_HOME": str(home), "WEIR_KEY": gateway.key}


def _codex_told(events: list[JSONObject], home: Path) -> Told:
    """It shows only thoughts that are summaries, and writes down all in its home."""
    items = [event["item"] for event in events if event["type"] == "item.completed"]

    def said(kind: str, field: str = "text") -> str:
        return "".join(item[field] for item in items if item["type"] == kind)

    last = events[-1]
    usage = last.get("usage", {})
    return Told(
        thoughts="".join(file.read_text() for file in home.rglob("rollout-*.jsonl")),
        results=said("command_execution", "aggregated_output"),
        text=said("agent_message"),
        error=last.get("error", {}).get("message", ""),
        tokens=(usage.get("input_tokens", 0), usage.get("output_tokens", 0)),
    )


AGENTS: Final[Mapping[str, Agent]] = {
    "claude-code": Agent(
        command=(
            "@anthropic-ai/claude-code/cli-wrapper.cjs", "-p", "--verbose",
            "--output-format", "stream-json",
        ),
        setting=_claude_setting,
        read=_claude_told,
        calls=(("Read", {"file_path": NOTE}), ("Read", {"file_path": PICTURE})),
        retries=True,
    ),
    "codex": Agent(
        command=(
            "@openai/codex/bin/codex.js", "exec", "--json", "--skip-git-repo-check",
            "--sandbox", "read-only",
        ),
        setting=_codex_setting,
        read=_codex_told,
        calls=(("exec_command", {"cmd": f"cat {NOTE}"}), ("view_image", {"path": PICTURE})),
        retries=False,
    ),
}  # fmt: skip


@contextlib.asynccontextmanager
async def nowhere() -> AsyncIterator[tuple[str, list[bytes]]]:
    """A proxy that lets nobody through: its URL, and the first lines of who tried."""
    tried = list[bytes]()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tried.append(await reader.readline())
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", tried


async def run(
    agent: Agent, gateway: Running, model: str, *, question: str, work: Path, home: Path
) -> Ended:
    """`agent` answers `question` in the folder `work`. It is killed when it does not end."""
    script, *arguments = agent.command
    async with nowhere() as (proxy, tried):
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), proxy),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1"),
            **agent.setting(gateway, model, home),
        }
        started = await asyncio.create_subprocess_exec(
            NODE, FOLDER / "node_modules" / script, *arguments, question,
            cwd=work, env=environ, start_new_session=True,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(_SECONDS_MAX):
                output, complaint = await started.communicate()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)
    assert tried == [], "it wants to reach somebody else"
    events: list[Any] = [json.loads(line) for line in output.splitlines()]
    assert started.returncode is not None
    assert events, complaint.decode()
    return Ended(started.returncode, agent.read(events, home))
