"""The pipeline's stages: one Typer command each, run by DVC from the root of the checkout."""

import gc
import sys
from pathlib import Path

# The library of this very checkout, also in the temporary ones that `dvc exp run --temp` and `--queue` make.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

if sys.argv[:1] == ["-m"]:  # a stage starts: its modules leave no garbage, and looking for it takes half a second
    gc.disable()
