"""A program that stands in for a worker: it starts in no time and fails as it is told."""

import json
import stat
import sys
from pathlib import Path

import pytest

PROGRAM = """\
import json, os, socket, sys, time
import msgspec.msgpack as msgpack

number, channel = map(int, sys.argv[3:5])
end = socket.socket(fileno=channel)
play = json.load(open({plays!r})).get(str(number), "serves")


def say(*frame):
    body = msgpack.encode(frame)
    end.sendall(len(body).to_bytes(4, "big") + body)


def heard():
    with end.makefile("rb") as stream:
        while prefix := stream.read(4):
            yield msgpack.decode(stream.read(int.from_bytes(prefix, "big")))


if play == "dies":
    os._exit(3)
if play == "fails":
    say(0, "failed", {{"reason": "no disk", "code": 2}})
    os._exit(2)
if play == "hangs":
    time.sleep(60)
say(0, "said", [number, len(sys.argv) - 5])
say(0, "ready")
count = 0
for asked, name, payload, _ in heard():
    if name == "die" or (name == "reload" and play == "dies at a reload"):
        os._exit(4)
    if name == "counts" and play == "mute":
        continue
    if name == "counts":
        count += 1
        say(asked, "", {{"weir_hangups_total": [[[], [count]]], "weir_ready": [[[], [1]]],
                         "weir_requests_in_progress": [[[], [5]]]}})
    elif name == "reload":
        say(asked, "", play != "refuses")
    elif name == ("hurry" if play == "slow" else "stop") or name == "retire":
        if play == "deaf":
            continue
        say(0, "ended", {{"weir_hangups_total": [[[], [count + 1]]], "weir_ready": [[[], [1]]]}})
        os._exit(0)
    elif asked:
        say(asked, "", payload)
if play == "deaf":
    time.sleep(60)
"""


class Puppets:
    """What workers do from now on, by number: `serves` is usual."""

    def __init__(self, folder: Path) -> None:
        self._plays = folder / "plays.json"
        self.set()
        self.program = folder / "puppet"
        self.program.write_text(f"#!{sys.executable}\n" + PROGRAM.format(plays=str(self._plays)))
        self.program.chmod(stat.S_IRWXU)

    def set(self, **plays: str) -> None:
        """`w3="dies"` is for the third."""
        named = {name.removeprefix("w"): play for name, play in plays.items()}
        self._plays.write_text(json.dumps(named))


@pytest.fixture
def puppets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Puppets:
    """Workers that are started in this test are puppets."""
    made = Puppets(tmp_path)
    monkeypatch.setattr(sys, "executable", str(made.program))
    return made
