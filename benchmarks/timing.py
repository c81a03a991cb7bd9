"""Times that can be compared on a busy machine: jobs take turns in one process, and ratios are taken round by round."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch

WATCHED = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


class Spent(NamedTuple):
    """Seconds on the clock and seconds of processor time, of all threads."""

    wall: float
    cpu: float


def interleaved(jobs: Mapping[str, Callable[[], object]], rounds: int = 5, warm: int = 1) -> dict[str, list[Spent]]:
    """What each job took in each round; the rounds before, to warm up, are not told."""
    spent: dict[str, list[Spent]] = {name: [] for name in jobs}
    for i in range(warm + rounds):
        for name, job in jobs.items():
            wall, cpu = time.perf_counter(), time.process_time()
            job()
            if i >= warm:
                spent[name].append(Spent(time.perf_counter() - wall, time.process_time() - cpu))
    return spent


def middle(spent: Sequence[Spent]) -> Spent:
    """The medians over the rounds."""
    return Spent(*(statistics.median(each) for each in zip(*spent, strict=True)))


def ratio(above: Sequence[Spent], below: Sequence[Spent]) -> Spent:
    """The medians of ``above / below``, round by round."""
    pairs = zip(above, below, strict=True)
    return middle([Spent(a.wall / b.wall, a.cpu / max(b.cpu, 1e-9)) for a, b in pairs])


def latency(call: Callable[[], object], calls: int = 2000) -> float:
    """The median of single calls, in seconds."""
    times = []
    for _ in range(calls):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Torch with as many threads inside."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def process(command: Sequence[str]) -> tuple[Spent, int]:
    """What a command took, and the most memory it held, in bytes. Raises CalledProcessError if it fails.

    A small process starts it: a process that is started counts the memory of the one that started it as its own.
    """
    begin = time.perf_counter()
    started = subprocess.Popen([sys.executable, "-c", WATCHED, *command], stdout=subprocess.PIPE, text=True)
    told = started.stdout.read() if started.stdout else ""
    _, status, used = os.wait4(started.pid, 0)
    started.returncode = os.waitstatus_to_exitcode(status)
    if started.returncode:
        raise subprocess.CalledProcessError(started.returncode, command)
    return Spent(time.perf_counter() - begin, used.ru_utime + used.ru_stime), int(told) * 1024
