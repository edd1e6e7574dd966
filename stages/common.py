"""What all stages share: the command line, and errors as one line."""

import gc
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn
from urllib.parse import quote

import typer
from filelock import FileLock, Timeout

from dae.data.files import replacing_file
from dae.params import Compute, Seed, read

PARAMS = Path("params.yaml")
LOCK, KEPT_LOCK = Path("dvc.lock"), Path(".dvc/tmp/dvc.lock")
GOES_ON = "`dvc repro` goes on, a training from its last finished epoch"


def run(command: Callable[..., None], after_interrupt: str = GOES_ON) -> NoReturn:
    """Run a command and end the process; `after_interrupt` says how to go on.

    Without ceremony, unless a profiler or debugger looks on: Python would take PyTorch apart piece by piece, half a
    second of every stage.
    """
    code = call(command, after_interrupt)
    if sys.getprofile() or sys.gettrace():
        raise SystemExit(code)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def call(command: Callable[..., None], after_interrupt: str = GOES_ON) -> int:
    """Run a command; its exit code. A user's mistake is one line and 1; DAE_TRACEBACK=1 shows where it came up.

    Ctrl-C and SIGTERM end it in good order: one line, exit code 130, and what is finished stays.
    """

    @wraps(command)
    def guarded(*arguments: Any, **options: Any) -> None:
        try:
            if stage := os.environ.get("DVC_STAGE"):
                lock = alone(stage)  # noqa: F841 (held until the process ends)
                keep_lock()
            command(*arguments, **options)
        except KeyboardInterrupt:
            print(f"interrupted; {after_interrupt}", file=sys.stderr)
            raise SystemExit(130) from None

    if not gc.isenabled():  # `stages` switched it off while modules were loaded, and these stay
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
    if isinstance(error, OSError):
        return text if error.errno is not None else f"{text} (is the disk full?)"  # NumPy's, of half-written arrays
    if isinstance(error, ValueError):
        return text
    return f"{type(error).__name__}: {text}; DAE_TRACEBACK=1 shows where"  # whole data, not of a kind with the others


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def alone(stage: str) -> FileLock:
    """A lock that no other process at work on this stage holds. Raises ValueError if one does.

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


def keep_lock() -> None:
    """Copy dvc.lock, which `dvc repro` writes in place: `stages.mend` puts it back if DVC is killed meanwhile.

    Raises ValueError if that has happened: DVC may read the rest of a lock as a whole one, and begin anew.
    """
    ends = time.monotonic() + 5
    while LOCK.exists() and not LOCK.read_bytes().endswith(b"\n"):
        if time.monotonic() > ends:  # no other DVC is writing it
            raise ValueError(f"{LOCK} is half-written, as a DVC that was killed leaves it; `make run` puts it back")
        time.sleep(0.1)
    with suppress(OSError), replacing_file(KEPT_LOCK) as fresh:  # a full disk is the stage's to report
        if LOCK.exists():
            shutil.copyfile(LOCK, fresh)
        else:
            fresh.write_text("schema: '2.0'\n")  # a pipeline that has finished nothing


def seed() -> int:
    return read(PARAMS, "seed", Seed)


def compute() -> Compute:
    return read(PARAMS, "compute", Compute)
