"""The newcomer's first minute: a simulated provider and a gateway in one process."""

import asyncio
import secrets
import shlex
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import orjson

from proxy import hosting
from proxy.accounts.keys import mint
from proxy.config import Config
from proxy.money import NANO_PER_USD
from proxy.serving.listener import listen
from proxy.stores.sql import SqlStore
from proxy.upstream.client import Client
from proxy.upstream.fake import Scenario, fake
from proxy.upstream.fetch import fetch
from proxy.upstream.transport import Call
from proxy.wire.frames import Splitter

Say = Callable[[str], None]

CREDIT_NANO = 10 * NANO_PER_USD

QUESTION = orjson.dumps(
    {
        "model": "weir/lorem",
        "stream": True,
        "messages": [{"role": "user", "content": "What does a weir do?"}],
    }
)

CONFIG = """
[store]
url = "sqlite:///{store}"

[[providers]]
slug = "fake"
name = "Simulated"
base_url = "{provider}/v1"
api_key = "not-a-secret"
author = "weir"

[[models]]
id = "weir/lorem"
name = "Lorem (simulated)"
context_length = 32768

  [[models.endpoints]]
  provider = "fake"
  model = "weir/lorem"
  pricing = {{ prompt = "0.000001", completion = "0.000002" }}
"""

PRICES: Final = {
    "weir/reason": 'prompt = "0.000001", completion = "0.000002"',
    "weir/turbo-instruct": 'prompt = "0.0000015", completion = "0.000002"',
    "weir/embedding": 'prompt = "0.00000002", completion = "0"',
    "weir/rerank": 'prompt = "0", completion = "0", search_unit = "0.002"',
    "weir/image": 'prompt = "0", completion = "0", output_image = "0.04"',
    "weir/tts": 'prompt = "0", completion = "0", character = "0.000015"',
    "weir/whisper": 'prompt = "0", completion = "0", audio_second = "0.0001"',
}
"""What the other models cost that show a path each, or how thinking is told."""

_PRICED: Final = """
[[models]]
id = "{model}"

  [[models.endpoints]]
  provider = "fake"
  model = "{model}"
  pricing = {{ {pricing} }}
"""


async def run_fake(bind: str, scenario: Scenario, *, say: Say) -> None:
    """The simulated provider alone, until it is told to stop."""
    stop = _stop_on_signals()

    def listening(urls: list[str]) -> None:
        for url in urls:
            say(f"The simulated provider listens on {url if _is_socket(url) else f'{url}/v1'}")

    await listen(
        fake(scenario, now=time.time), bind=[bind], stopping=_until(stop), on_listening=listening
    )


async def run(bind: str, *, once: bool, say: Say) -> None:
    """Provider and gateway with a throw-away store, until told to stop; `once` asks one question
    through the gateway's own port, prints the answer and ends.
    """
    with tempfile.TemporaryDirectory(prefix="weir-demo-") as folder:
        ended = asyncio.Event()
        provider: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        upstream = asyncio.create_task(
            listen(
                fake(now=time.time),
                bind=["127.0.0.1:0"],
                stopping=_until(ended),
                on_listening=lambda urls: provider.set_result(urls[0]),
            )
        )
        try:
            address = await provider
            await _run_gateway(bind, address, Path(folder), once=once, say=say)
        finally:
            ended.set()
            await asyncio.gather(upstream, return_exceptions=True)


async def _run_gateway(bind: str, provider: str, folder: Path, *, once: bool, say: Say) -> None:
    store = folder / "demo.db"
    secret, key = mint("demo", token_hex=secrets.token_hex, now=time.time())
    opened = SqlStore.open(f"sqlite:///{store}")
    opened.add_key(key)
    opened.ledger.grant(key.account, CREDIT_NANO, id="demo", at=time.time(), note="demo")
    opened.close()
    file = folder / "config.toml"
    priced = (_PRICED.format(model=model, pricing=pricing) for model, pricing in PRICES.items())
    text = CONFIG.format(store=store, provider=provider) + "".join(priced)
    file.write_text(text, encoding="utf-8")

    def read() -> Config:
        return hosting.load(file, {}, bind=(bind,))

    config = read()
    stop = asyncio.Event()
    asked: list[asyncio.Task[None]] = []

    def listening(urls: list[str]) -> None:
        if once:
            asked.append(asyncio.create_task(_ask_once(f"{urls[0]}/api/v1", secret, stop, say)))
        else:
            _introduce(urls[0], secret, say)

    hosted = hosting.Hosted(config, read)
    await hosting.serve(hosted, config, watched=None, on_listening=listening, stop=stop)
    for task in asked:
        await task


def _introduce(url: str, secret: str, say: Say) -> None:
    """All that a newcomer needs: base URL, key, and a line to paste."""
    base, way = f"{url}/api/v1", ""
    if _is_socket(url):
        base, way = "http://weir/api/v1", f"--unix-socket {shlex.quote(url[len('unix:') :])} "
        say(f"Socket    {url}")
    say(f"Base URL  {base}\nKey       {secret}\n")
    say(
        f"curl -N {way}{base}/chat/completions -H 'Authorization: Bearer {secret}' "
        f"-H 'Content-Type: application/json' -d '{QUESTION.decode()}'\n"
    )
    say("GET /models lists models that fail in scripted ways, too. Ctrl-C ends the demo.")


def _is_socket(url: str) -> bool:
    return url.startswith("unix:")


async def _ask_once(base: str, secret: str, stop: asyncio.Event, say: Say) -> None:
    """One streamed question, answered and shown as a client would."""
    transport = Client()
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    call = Call(f"{base}/chat/completions", headers, QUESTION, 5.0)
    try:
        status, body = await fetch(transport, call, timeout_s=30.0)
    finally:
        stop.set()
        await transport.close()
    if status != 200:
        raise OSError(f"the gateway answered {status}: {body.decode()}")
    frames = Splitter().feed(body)
    chunks = [orjson.loads(frame.data) for frame in frames if frame.data != b"[DONE]"]
    deltas = (choice["delta"] for chunk in chunks for choice in chunk["choices"])
    usage = chunks[-1]["usage"]
    say("".join(delta.get("content") or "" for delta in deltas))
    say(
        f"\n{chunks[-1]['model']} by {chunks[-1]['provider']}, {len(chunks)} events: "
        f"{usage['prompt_tokens']} prompt + {usage['completion_tokens']} completion tokens, "
        f"{usage['cost']:.9f} USD"
    )


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _until(event: asyncio.Event) -> Callable[[], Awaitable[None]]:
    async def wait() -> None:
        await event.wait()

    return wait
