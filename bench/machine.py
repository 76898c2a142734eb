"""What the kernel knows of a process and of this machine; Linux only."""

import contextlib
import os
import platform
import resource
from collections.abc import Iterator
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def cores() -> tuple[int, int]:
    """The core for the relay, and the one for everything else; the same where there is one."""
    free = sorted(os.sched_getaffinity(0))
    return free[-1], free[0]


def two_cores() -> set[int] | None:
    """Two cores for a relay of two workers, of which none is `cores()[1]`; None where upstream and
    callers would not have two for themselves.
    """
    free = sorted(os.sched_getaffinity(0))
    return set(free[-2:]) if len(free) >= 4 else None


def raise_files() -> int:
    """Lets this process and those it begins open as many files as they may; how many that is."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


@contextlib.contextmanager
def pinned(cores: set[int]) -> Iterator[None]:
    """Processes begun inside, and all their threads, run on those cores only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def tree(pid: int) -> list[int]:
    """The process and all that it began."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += tree(int(child))
    return found


def cpu_s(pid: int) -> float:
    """User and system time of the tree so far, ended threads included; in steps of a tick."""
    ticks = 0
    for one in tree(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS_PER_S


def threads_s(pid: int) -> dict[str, float]:
    """User and system time so far of a process's first thread, and of all its others."""
    spent = {"first": 0.0, "others": 0.0}
    for task in Path(f"/proc/{pid}/task").iterdir():
        fields = (task / "stat").read_text().rpartition(")")[2].split()
        which = "first" if task.name == str(pid) else "others"
        spent[which] += (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
    return spent


def rss_bytes(pid: int) -> int:
    """Resident memory of the tree; what its processes share counts for each."""
    return sum(
        int(Path(f"/proc/{one}/statm").read_text().split()[1]) * _PAGE_BYTES for one in tree(pid)
    )


def open_files(pid: int) -> int:
    """Open descriptors of the tree."""
    return sum(len(os.listdir(f"/proc/{one}/fd")) for one in tree(pid))


def busy_s() -> float:
    """What all cores together have worked since the machine started, for whomever."""
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    user, nice, system, _idle, _waiting, irq, softirq, stolen = map(int, fields[:8])
    return (user + nice + system + irq + softirq + stolen) / _TICKS_PER_S


def description() -> str:
    """One line about this machine, as far as this process may use it."""
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = f" {line.partition(':')[2].strip()},"
            break
    system = f"{platform.system()} {platform.release().partition('-')[0]}"
    python = f"Python {platform.python_version()}"
    return f"{len(os.sched_getaffinity(0))} cores,{model} {system}, {python}"
