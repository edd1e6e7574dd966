"""What all stages share: the command line, and errors as one line."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import typer

from dae.params import Compute, Seed, read

PARAMS = Path("params.yaml")


def run(command: Callable[..., None]) -> None:
    """Run a stage's command. A user's mistake is one line and exit code 1; DAE_TRACEBACK=1 shows where it came up."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    try:
        app()
    except (ValueError, OSError) as error:
        if os.environ.get("DAE_TRACEBACK"):
            raise
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(1) from None


def seed() -> int:
    return read(PARAMS, "seed", Seed)


def compute() -> Compute:
    return read(PARAMS, "compute", Compute)
