"""The command line of stages and tools: errors in one line, an orderly end, and no stage twice at the same time."""

import gc
import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn
from urllib.parse import quote

import typer
from filelock import FileLock, Timeout

from dae.core.files import MissingFileError

GOES_ON = "`make run` goes on from here, and a training goes on after its last finished epoch"


def run(command: Callable[..., None], after_interrupt: str = GOES_ON) -> NoReturn:
    """Run a command and end the process; `after_interrupt` says how to go on after Ctrl-C.

    The process ends at once, unless a profiler or a debugger is watching. Otherwise Python would spend half a second of
    every stage on taking PyTorch apart.
    """
    code = call(command, after_interrupt)
    if sys.getprofile() or sys.gettrace():
        raise SystemExit(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def call(command: Callable[..., None], after_interrupt: str = GOES_ON) -> int:
    """Run a command and return its exit code.

    A user's mistake gives one line and the exit code 1; DAE_TRACEBACK=1 shows where it came up. Ctrl-C and SIGTERM end
    the command in good order: they give one line and the exit code 130, and what is finished stays.
    """

    @wraps(command)
    def guarded(*arguments: Any, **options: Any) -> None:
        try:
            if stage := os.environ.get("DVC_STAGE"):
                lock = alone(stage)  # noqa: F841 (held until the process ends)
            command(*arguments, **options)
        except KeyboardInterrupt:
            print(f"interrupted; {after_interrupt}", file=sys.stderr)
            raise SystemExit(130) from None

    if not gc.isenabled():  # `stages` switched it off while the modules were loaded; these stay in memory
        gc.freeze()
        gc.enable()
    signal.signal(signal.SIGTERM, _interrupt)
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(guarded)
    try:
        app()
    except SystemExit as end:
        return int(end.code or 0)
    except (ValueError, OSError, LookupError, RuntimeError) as error:
        if os.environ.get("DAE_TRACEBACK"):
            raise
        print(f"error: {_in_words(error)}", file=sys.stderr)
        return 1
    return 0


def _in_words(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, OSError):  # NumPy's error has no number if an array is half-written
        return text if error.errno is not None else f"{text} (is the disk full?)"
    if isinstance(error, MissingFileError):
        return f"{text}; `make run` makes it"
    if isinstance(error, ValueError):
        return text
    return f"{type(error).__name__}: {text}; DAE_TRACEBACK=1 shows where"  # a KeyError says nothing but the key


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def alone(stage: str) -> FileLock:
    """Lock a stage. Raises ValueError if another process at work on it holds the lock.

    DVC's own lock ends with DVC, and the stage of a DVC that was killed may still be at work.
    """
    lock = FileLock(Path(".dvc/tmp/stages") / f"{quote(stage, safe='@')}.lock", timeout=0)
    Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
    try:
        lock.acquire()
    except Timeout:
        raise ValueError(
            f"{stage}: another process is at work on it, perhaps that of a DVC that was killed; "
            "wait until it has ended, or end it"
        ) from None
    return lock
