"""What is asked, and how: a relay's address, and the request that all relays get alike.

How many events an answer shall have, and how fast, stands in the prompt: no relay drops or changes
that, whatever else it takes from a request.
"""

from typing import NamedTuple

from bench.canned import MODEL, wish

PATH = "/v1/chat/completions"
_PROMPT = "Explain what a weir does, to a child who has never seen a river. " * 20


class Target(NamedTuple):
    """Something that answers on a loopback port; `pid` is None where no relay stands between.
    `headers` are those that it needs beside the usual ones, each with its end of line; `model` is
    its name for the canned model, `other` for the same from a provider that speaks as Anthropic
    does, where it has one. A `peer` may be slower than what is offered.
    """

    port: int
    key: str
    pid: int | None
    path: str = PATH
    model: str = MODEL
    other: str | None = None
    headers: str = ""
    peer: bool = False


class Asking(NamedTuple):
    """What is asked of whom: `events` 0 is an answer that is not streamed, a rate of 0 all of them
    at once. `model` is another one than the target's usual.
    """

    target: Target
    events: int = 0
    events_per_s: float = 0.0
    model: str | None = None

    @property
    def request(self) -> bytes:
        """The bytes of the request, the same for every relay but for its address, key and names."""
        target = self.target
        stream = b',"stream":true,"stream_options":{"include_usage":true}' if self.events else b""
        body = (
            b'{"model":"%b"%b,"temperature":0.7,"messages":[{"role":"system","content":'
            b'"You are a patient teacher."},{"role":"user","content":"%b %b"}]}'
        ) % (
            (self.model or target.model).encode(),
            stream,
            wish(self.events, self.events_per_s),
            _PROMPT.encode(),
        )
        return (
            b"POST %b HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
            b"Authorization: Bearer %b\r\nContent-Type: application/json\r\n"
            b"Accept: */*\r\n%bContent-Length: %d\r\n\r\n%b"
        ) % (
            target.path.encode(),
            target.port,
            target.key.encode(),
            target.headers.encode(),
            len(body),
            body,
        )
