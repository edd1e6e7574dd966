"""Stages called in the process of the tests, as from the command line."""

import sys
from importlib import import_module

import pytest

from stages import common


def call(stage: str, *arguments: str) -> int:
    """Run a stage's command in this process; its exit code."""
    before = sys.argv
    sys.argv = [stage, *arguments]
    try:
        return common.call(import_module(f"stages.{stage}").main)
    finally:
        sys.argv = before


def fails(capsys: pytest.CaptureFixture[str], stage: str, *arguments: str) -> str:
    """The one line that a failing stage prints."""
    capsys.readouterr()
    assert call(stage, *arguments) == 1
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    return errors[0]
