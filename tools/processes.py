"""The processes of running stages: they end when they are asked to, when the driver is, or when it is killed."""

import json
import os
import signal
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

import psutil

GRACE = 30.0  # seconds that a stage has to end in good order before it is killed
POLL = 0.05  # seconds between two looks at the processes
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def noted_signals() -> Iterator[list[int]]:
    """Ctrl-C and the like are noted in a list and interrupt nothing, so that no file is left half-way."""
    noted: list[int] = []
    wanted = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]  # nohup ignores some
    before = {number: signal.signal(number, lambda number, frame: noted.append(number)) for number in wanted}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def guard() -> Iterator[Callable[[list[int]], None]]:
    """A process that ends the running stages if the driver is killed; yields the function that tells it which they are.

    It shares the driver's hold on DVC's lock, so the next run waits until these stages have ended.
    """
    heard, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(told)
        stand_guard(heard)
    os.close(heard)

    def tell(groups: list[int]) -> None:
        with suppress(BrokenPipeError):  # somebody has killed the guard
            os.write(told, f"{groups}\n".encode())

    try:
        yield tell
    finally:
        os.close(told)
        os.waitpid(pid, 0)


def stand_guard(heard: int) -> NoReturn:
    """Listen until the driver is gone, and then end the process groups that it named last."""
    try:
        os.setsid()
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        groups: list[int] = []
        with os.fdopen(heard) as lines:
            for line in lines:
                groups = json.loads(line)
        end(groups)
    finally:
        os._exit(0)


def end(groups: Collection[int]) -> None:
    """Ask the processes of these groups to end, wait until they have, and kill those that take too long."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for group in groups if alive(groups) else ():
            with suppress(ProcessLookupError):
                os.killpg(group, number)
        ends = time.monotonic() + GRACE
        while alive(groups) and time.monotonic() < ends:
            time.sleep(POLL)


def alive(groups: Collection[int]) -> bool:
    """Whether a process of these groups still runs. What has a session of its own, as the courier has, is in none."""
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) in groups and process.status() != psutil.STATUS_ZOMBIE:
                return True
    return False
