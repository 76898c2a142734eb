"""The text engine: what stands in a PDF, for models and providers that read none.

Each file is read by a process of its own (`extract.py`), which is bounded in memory and time and is
killed when nobody waits for it any more.
"""

import asyncio
import contextlib
import os
import sys
from typing import Any, Final

import orjson

from proxy.errors import GatewayError

READ_S: Final = 15.0  # of computing, for one file
GRACE_S: Final = 5.0  # to start and to say what came until then
PLACES: Final = 2  # processes at the same time
WAIT_S: Final = 30.0  # for one of them

_WRONG: Final = {
    "encrypted": "it is encrypted",
    "broken": "it is broken, or no PDF",
    "empty": "it has no text; it may be scanned",
}


class Reader:
    """Reads PDFs, `PLACES` at a time."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(PLACES)

    async def text(self, data: bytes, *, bytes_max: int) -> str:
        """The text of a PDF, at most `bytes_max` of UTF-8 and a note where that is not all.

        Raises GatewayError `provider_lacks_media`, whose message has the reason.
        """
        try:
            async with asyncio.timeout(WAIT_S):
                await self._places.acquire()
        except TimeoutError:
            raise _lacks("too many others are being read") from None
        try:
            found = await _run(data, bytes_max)
        finally:
            self._places.release()
        if reason := _WRONG.get(found.get("error", "")):
            raise _lacks(reason)
        text: str = found["text"]
        return text if found["whole"] else f"{text}\n\n[The rest of {found['pages']} pages is cut.]"


async def _run(data: bytes, bytes_max: int) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "proxy.upstream.extract",
        str(bytes_max),
        str(READ_S),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},  # none of ours: it has keys
    )
    try:
        async with asyncio.timeout(READ_S + GRACE_S):
            said, _ = await process.communicate(data)
    except TimeoutError:
        raise _lacks("to read it takes too long") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    if process.returncode != 0:  # it was killed by its own bounds, most likely
        raise _lacks("to read it takes too much")
    found: dict[str, Any] = orjson.loads(said)
    return found


def _lacks(reason: str) -> GatewayError:
    return GatewayError("provider_lacks_media", f"The PDF can not be read as text: {reason}.")
