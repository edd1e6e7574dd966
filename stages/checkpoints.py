"""Where a training that was stopped goes on from."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dae.data.files import md5
from dae.models.compute import in_bfloat16

CHECKPOINTS = Path(".checkpoints")  # outside the outputs: DVC has no say over them


@contextmanager
def checkpoints_of(stage: str, item: str) -> Iterator[Path]:
    """The folder for the checkpoints of a training; it goes when the block has ended well."""
    folder = CHECKPOINTS / stage / item
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def fingerprint(params: Mapping[str, Any], inputs: Iterable[str]) -> str:
    """What a checkpoint must have been made from to be taken up: the params, the data (their MD5), the code."""
    root = Path(__file__).resolve().parents[1]
    code = sorted([*(root / "src").rglob("*.py"), *(root / "stages").glob("*.py")])
    content = [
        json.dumps(params, sort_keys=True),
        f"{torch.__version__} {np.__version__} {torch.cuda.is_available()} {in_bfloat16('auto', torch.device('cpu'))}",
        *inputs,
        *(md5(path) for path in code),
    ]
    return hashlib.sha256("\n".join(content).encode()).hexdigest()
