"""What every stage does around its own work: it reads params, tracks the run, and writes the output as a whole."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import numpy as np
import typer
from numpy.typing import NDArray

from dae import tracking
from dae.core.files import md5, read_json, replacing, significant, write_csv, write_json
from dae.params import read
from dae.params.sections import Seed
from dae.settings import Compute, Evaluation

if TYPE_CHECKING:
    import torch
    from matplotlib.figure import Figure
    from torch import nn

    from dae.core.models import Card
    from dae.training.loop import Checkpoint, Fit

PARAMS = Path("params.yaml")
CHECKPOINTS = Path(".checkpoints")  # outside the outputs, so that DVC leaves them alone
SOURCES = ("--", ".", ":!dvc.lock", ":!results")  # what a person edits, and stages do not

# Options that several stages have.
Clean = Annotated[Path, typer.Option(help="a prepared data set, data/prepared/NAME")]
Noisy = Annotated[Path, typer.Option(help="a corrupted data set, data/corrupted/NAME")]
Model = Annotated[Path, typer.Option(help="the network to look at, the folder `model` of a training")]
Judge = Annotated[Path, typer.Option(help="the classifier M, the folder `model` of its training")]
Reference = Annotated[Path, typer.Option(help="the network to compare with, the folder `model` of a training")]
Baselines = Annotated[Path, typer.Option(help="how well the baselines restore, results/baselines/NAME/report")]
Out = Annotated[Path, typer.Option(help="the folder to write")]

T = TypeVar("T")


def section(key: str, kind: type[T]) -> T:
    """A section or an entry of params.yaml, checked."""
    return read(PARAMS, key, kind)


def seed() -> int:
    """The root of all random streams."""
    return read(PARAMS, "seed", Seed)


def evaluation() -> Evaluation:
    """How results are measured."""
    return read(PARAMS, "evaluation", Evaluation)


def measured_alike(baselines: Path) -> Evaluation:
    """How the baselines of a corruption were measured, so that denoisers of it are measured in the same way."""
    return Evaluation.model_validate(read_json(baselines / "params.json")["evaluation"])


def device(made: Mapping[str, Any] | None = None) -> "torch.device":
    """The device to compute on, with PyTorch set up as `compute` says, in params.yaml or in the params `made`.

    `made`: the params that led to the network, if the stage uses one.
    """
    from dae.core.compute import configure

    return configure(Compute.model_validate(made["compute"]) if made else section("compute", Compute))


def computed() -> dict[str, Any]:
    """The params on which everything that PyTorch computes depends, as a run records them."""
    return {"seed": seed(), "compute": section("compute", Compute).model_dump()}


@dataclass(frozen=True)
class Stage:
    """A stage at work: what its output is made from, where it writes, and the MLflow run that records it.

    Everything goes into `folder`, which takes the place of the stage's output when the stage has ended well. What
    people look at goes into `report`.
    """

    params: Mapping[str, Any]
    record: tracking.Run
    folder: Path
    checkpoints: Path
    digests: Sequence[str]

    @property
    def report(self) -> Path:
        folder = self.folder / "report"
        folder.mkdir(exist_ok=True)
        return folder

    def metrics(self, values: Mapping[str, Any]) -> None:
        """Write metrics.json, with the digits that mean something, and log the same metrics."""
        write_json(self.folder / "metrics.json", significant(values))
        self.record.metrics(values)

    def history(self, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
        """Write history.csv, and keep it with the run."""
        write_csv(self.folder / "history.csv", rows, columns)
        self.record.artifact(self.folder / "history.csv")

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write a table of the report, and keep it with the run."""
        write_csv(self.report / f"{name}.csv", rows)
        self.record.artifact(self.report / f"{name}.csv")

    def figure(self, name: str, figure: "Figure") -> None:
        """Write a figure of the report, and keep it with the run."""
        from dae import plots

        plots.save(figure, self.report / f"{name}.png")
        self.record.artifact(self.report / f"{name}.png", "figures")

    def arrays(self, name: str, **values: NDArray[Any]) -> None:
        """Write named arrays of the report."""
        np.savez(self.report / f"{name}.npz", **values)  # type: ignore[arg-type]

    def checkpoint(self, name: str = "state") -> "Checkpoint":
        """Where a training of this stage keeps its state, which is bound to params, data and code."""
        from dae.training.loop import Checkpoint

        return Checkpoint(self.checkpoints / f"{name}.pt", fingerprint(self.params, self.digests))

    def model(self, model: "nn.Module", card: "Card", example: NDArray[Any]) -> None:
        """Write a network with the params that led to it, and keep it with the run. `example`: inputs, float32."""
        from dae.core import models

        models.save(self.folder / "model", model, card)
        write_json(self.folder / "model" / "params.json", self.params)
        self.record.model(self.folder / "model", example)

    def trained(self, model: "nn.Module", card: "Card", result: "Fit", example: NDArray[Any]) -> None:
        """Write what every training leaves behind: the network, its history, and the metrics of its epoch."""
        from dae.core.models import parameter_count

        self.history(result.history)
        self.metrics({"parameters": parameter_count(model), **result.figures})
        self.model(model, card, example)


@contextmanager
def stage(
    name: str, item: str | None, out: Path, params: Mapping[str, Any], inputs: Iterable[Path] = ()
) -> Iterator[Stage]:
    """The stage `name`@`item` at work on OUT, made with `params` from the files `inputs`.

    When the block ends well, what it wrote replaces OUT and its checkpoints are removed; otherwise OUT stays as it was.
    """
    checkpoints = CHECKPOINTS / name / (item or "")
    with (
        tracking.run(
            f"{name}@{item}" if item else name,
            params,
            root=home(),
            tags=_tags(name, item or ""),
            artifacts=_uncommitted(),
        ) as record,
        replacing(out) as folder,
    ):
        digests = [record.input(path, path.stem) for path in inputs]
        yield Stage(params, record, folder, checkpoints, digests)
    shutil.rmtree(checkpoints, ignore_errors=True)


def fingerprint(params: Mapping[str, Any], digests: Iterable[str]) -> str:
    """What a checkpoint must have been made from to be used again: params, data (their MD5), code and versions."""
    import torch

    from dae.core.compute import in_bfloat16

    root = Path(__file__).resolve().parents[1]
    code = sorted([*(root / "src").rglob("*.py"), *(root / "stages").glob("*.py")])
    content = [
        json.dumps(params, sort_keys=True),
        f"{torch.__version__} {np.__version__} {torch.cuda.is_available()} {in_bfloat16('auto', torch.device('cpu'))}",
        *digests,
        *(md5(path) for path in code),
    ]
    return hashlib.sha256("\n".join(content).encode()).hexdigest()


def home() -> Path:
    """The root of the project; in one of DVC's temporary checkouts, the root of the checkout that made it."""
    here = Path.cwd().resolve()
    for parent in here.parents:
        if here.relative_to(parent).parts[:3] == (".dvc", "tmp", "exps"):
            return parent
    return here


def _tags(name: str, item: str) -> dict[str, str]:
    """What ran, from which commit, and whether the sources have been edited since."""
    return {
        "stage": name,
        "item": item,
        "git_dirty": str(bool(_git("status", "--porcelain", *SOURCES))).lower(),
        "mlflow.source.git.commit": _git("rev-parse", "HEAD").strip(),
        "mlflow.source.name": f"stages/{Path(sys.argv[0]).name}",
        "mlflow.source.type": "LOCAL",
    }


def _uncommitted() -> dict[str, str]:
    """The edits of the sources since the commit, if there are any."""
    changes = _git("diff", "HEAD", *SOURCES)
    return {"uncommitted.diff": changes} if changes else {}


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, errors="replace", check=False)
    except FileNotFoundError:
        return ""
    return done.stdout if done.returncode == 0 else ""
