"""What all stages share: the command line, and errors as one line."""

import gc
import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import Any

import typer

from dae.params import Compute, Seed, read

PARAMS = Path("params.yaml")


def run(command: Callable[..., None]) -> None:
    """Run a stage's command. A user's mistake is one line and exit code 1; DAE_TRACEBACK=1 shows where it came up.

    Ctrl-C and SIGTERM end it in good order: one line, exit code 130, and what is finished stays.
    """

    @wraps(command)
    def guarded(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except KeyboardInterrupt:
            print("interrupted; `dvc repro` goes on, a training from its last finished epoch", file=sys.stderr)
            raise SystemExit(130) from None

    if not gc.isenabled():  # `stages` switched it off while modules were loaded, and these stay
        gc.freeze()
        gc.enable()
    signal.signal(signal.SIGTERM, _interrupt)
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(guarded)
    try:
        app()
    except (ValueError, OSError) as error:
        if os.environ.get("DAE_TRACEBACK"):
            raise
        unnamed = isinstance(error, OSError) and error.errno is None  # as NumPy has it for half-written arrays
        print(f"error: {' '.join(str(error).split())}{' (is the disk full?)' if unnamed else ''}", file=sys.stderr)
        raise SystemExit(1) from None


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def seed() -> int:
    return read(PARAMS, "seed", Seed)


def compute() -> Compute:
    return read(PARAMS, "compute", Compute)
