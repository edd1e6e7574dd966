"""Stages and tools called in the process of the tests, as from the command line."""

import sys
from importlib import import_module

import pytest

from stages import common


def call(command: str, *arguments: str) -> int:
    """Run a command in this process; its exit code. `command`: the name of a stage, or a module such as tools.prune."""
    before = sys.argv
    sys.argv = [command, *arguments]
    try:
        return common.call(import_module(command if "." in command else f"stages.{command}").main)
    finally:
        sys.argv = before


def fails(capsys: pytest.CaptureFixture[str], command: str, *arguments: str) -> str:
    """The one line that a failing command prints."""
    capsys.readouterr()
    assert call(command, *arguments) == 1
    output = capsys.readouterr()
    errors = [line for line in output.err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "Traceback" not in output.out + output.err
    return errors[0]
