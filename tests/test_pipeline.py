"""The pipeline as a user runs it: real DVC, real MLflow, real MNIST, a small sample, one epoch."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from ruamel.yaml import YAML

from dae import models
from dae.data.corruptions import as_float, downsample
from dae.data.datasets import load_draws, load_images, subset
from dae.data.files import load_table, read_csv
from dae.data.seeding import stream
from dae.evaluation.filters import clipped, median
from dae.evaluation.metrics import psnr
from dae.evaluation.restoration import apply
from dae.params import RESTORING
from stages.quick import ROOT, drop_missing_members
from tests.pipeline import STAGES, dvc, executed, finished_project

REPEATED = (  # one for each way of drawing and computing
    *("corrupt@gaussian", "corrupt@downsample", "patches"),
    *("train_perceptual@lambda_1", "train_noise2noise@gaussian_conv", "train_stochastic@heavy_flow"),
    *("pretrain@sdae_3", "toy@spiral", "filters@gaussian"),
    *("evaluate_stochastic@heavy_flow", "svm@rbf", "latent@gaussian_conv", "posterior@block_large"),
)


PERCEPTUAL = {"train_perceptual@lambda_1", "evaluate_perceptual@lambda_1"}


def test_no_nested_default_is_shared() -> None:
    """`dvc exp run -S` edits in place what YAML anchors share: only flat blocks may be anchored."""
    defaults = YAML(typ="safe").load(ROOT / "params.yaml")["defaults"]
    assert not [value for block in defaults.values() for value in block.values() if isinstance(value, dict | list)]


def test_one_of_each_is_of_every_kind_of_stage() -> None:
    """Nothing of the pipeline goes untried, and nothing is repeated that never runs."""
    kinds = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    assert {name.partition("@")[0] for name in STAGES} == set(kinds)
    assert set(REPEATED) <= STAGES


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_project(tmp_path_factory)


def tracked_runs(project: Path) -> list[Any]:
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("denoising-autoencoders")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def the_run(project: Path, name: str) -> Any:
    (found,) = [run for run in tracked_runs(project) if run.info.run_name == name]
    return found


@pytest.fixture
def edit(project: Path) -> Iterator[Callable[[Callable[[Any], None]], None]]:
    """Edit params.yaml for one test; afterwards everything is as committed."""

    def apply(change: Callable[[Any], None]) -> None:
        yaml = YAML()
        params = yaml.load(project / "params.yaml")
        change(params)
        yaml.dump(params, project / "params.yaml")

    yield apply
    subprocess.run(["git", "checkout", "--quiet", "."], cwd=project, check=True)
    dvc(project, "checkout", "--force")


def test_every_stage_made_one_finished_run(project: Path) -> None:
    runs = tracked_runs(project)
    assert sorted(run.info.run_name for run in runs) == sorted(STAGES)
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert not list((project / ".mlflow_outbox").glob("*/events.jsonl"))


def test_evaluation_run_has_all_params_metrics_and_inputs(project: Path) -> None:
    run = the_run(project, "evaluate_noise2noise@gaussian_conv")
    expected = {
        "seed": "0",
        "dataset.name": "mnist",
        "dataset.limit": "300",
        "corruption.sigma": "0.5",
        "corruption.draws": "2",
        "model.kind": "conv",
        "loss.kind": "mse",
        "learning_rate": "0.008",
        "epochs": "1",
        "targets": "noisy",
        "evaluation.resamples": "100",
    }
    assert expected.items() <= run.data.params.items()
    saved = json.loads((project / "results/evaluate/noise2noise/gaussian_conv/metrics.json").read_text())
    assert {key: pytest.approx(value) for key, value in saved.items()} == run.data.metrics
    assert run.data.tags["stage"] == "evaluate_noise2noise"
    assert run.data.tags["git_dirty"] == "false"
    assert len(run.data.tags["mlflow.source.git.commit"]) == 40
    digests = {item.dataset.name: item.dataset.digest for item in run.inputs.dataset_inputs}
    lock = YAML(typ="safe").load(project / "dvc.lock")
    hashes = {out["path"]: out["md5"] for out in lock["stages"]["evaluate_noise2noise@gaussian_conv"]["deps"]}
    assert digests["data/corrupted/gaussian/test.npy"] == hashes["data/corrupted/gaussian/test.npy"]


def test_gains_are_over_what_filters_made_of_the_same_images(project: Path) -> None:
    filters = load_table(project / "results/baselines/gaussian/psnr.npz")
    filtered = filters.pop("images")
    x = as_float(load_images(project / "data/prepared/mnist", "test"))
    x_tilde = as_float(load_draws(project / "data/corrupted/gaussian", "test")[0])
    assert 0 < len(filtered) < len(x)
    strength = json.loads((project / "results/baselines/gaussian/metrics.json").read_text())["median"]["strength"]
    np.testing.assert_allclose(filters["median"], psnr(median(x_tilde[filtered], strength), x[filtered]))
    model, _ = models.load(project / "results/clean/gaussian_conv/model")
    ours = psnr(clipped(apply(model, x_tilde, torch.device("cpu"))), x)
    found = json.loads((project / "results/evaluate/clean/gaussian_conv/metrics.json").read_text())
    for name, theirs in filters.items():
        assert found[f"gain_over_{name}"] == pytest.approx((ours[filtered] - theirs).mean(), abs=1e-3)
    assert found["gain_over_input"] == pytest.approx((ours - psnr(clipped(x_tilde), x)).mean(), abs=1e-3)
    sampled = json.loads((project / "results/evaluate/stochastic/heavy_flow/metrics.json").read_text())
    chosen = subset(50, len(x), rng=stream(0, "subset", "test"))
    assert sampled["reference"]["psnr"] == pytest.approx(ours[chosen].mean(), abs=1e-3)  # the same network


def test_an_upscaler_of_several_factors_is_measured_at_each(project: Path) -> None:
    found = json.loads((project / "results/evaluate/upscaler/mdsr/metrics.json").read_text())
    assert [key for key in found if key.startswith("factor_")] == ["factor_4"]  # 2 is that of its corruption
    small = found["factor_4"]
    x = as_float(load_images(project / "data/prepared/mnist", "test"))
    model, _ = models.load(project / "results/upscaler/mdsr/model")
    ours = psnr(clipped(apply(model, downsample(x, factor=4), torch.device("cpu"))), x)
    assert small["psnr"] == pytest.approx(ours.mean(), abs=1e-3)
    assert small["gain_over_bicubic"] == pytest.approx(small["psnr"] - small["psnr_bicubic"], abs=1e-9)


def test_all_grids_show_the_same_digits(project: Path) -> None:
    samples = [load_table(path) for path in sorted((project / "results/evaluate").rglob("samples.npz"))]
    assert len(samples) >= len(RESTORING)
    for each in samples:
        assert np.array_equal(each["original"], samples[0]["original"])


def test_tracked_model_loads_and_is_the_one_on_disk(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow.pytorch

    run = the_run(project, "train_clean@gaussian_conv")
    mlflow.set_tracking_uri(f"sqlite:///{project / 'mlflow.db'}")
    tracked = mlflow.pytorch.load_model(f"runs:/{run.info.run_id}/model")
    ours, card = models.load(project / "results/clean/gaussian_conv/model")
    x_tilde = torch.rand(3, 1, 28, 28)
    assert card["kind"] == "conv"
    torch.testing.assert_close(tracked(x_tilde), ours(x_tilde))


def test_histories_are_tracked_by_epoch(project: Path) -> None:
    run = the_run(project, "train_clean@gaussian_conv")
    client = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    tracked = client.get_metric_history(run.info.run_id, "validation_loss")
    rows = read_csv(project / "results/clean/gaussian_conv/history.csv")
    assert [metric.step for metric in tracked] == [row["epoch"] for row in rows]
    assert [metric.value for metric in tracked] == pytest.approx([row["validation_loss"] for row in rows], rel=1e-5)


def test_summary_has_a_row_for_each_trained_item(project: Path) -> None:
    rows = read_csv(project / "results/summary.csv")
    assert [(row["section"], row["name"]) for row in rows] == [
        ("classifiers", "mnist"),
        ("clean", "gaussian_conv"),
        ("perceptual", "lambda_1"),
        ("noise2noise", "gaussian_conv"),
        ("noise2noise", "correlated_unet"),
        ("upscaler", "mdsr"),
        ("stochastic", "heavy_flow"),
        ("stacked", "sdae_3"),
        ("svm", "rbf"),
    ]
    assert all(row["psnr_low"] <= row["psnr"] <= row["psnr_high"] for row in rows if row["psnr"] != "")
    assert not [column for column in rows[0] if all(row[column] == "" for row in rows)]
    assert {path.suffix for path in (project / "results/figures").iterdir()} == {".png"}


def test_the_two_draws_are_independent_and_unclipped(project: Path) -> None:
    draws = np.load(project / "data/corrupted/gaussian/train.npy").astype(float)
    clean = np.load(project / "data/prepared/mnist/train.npy") / 255
    noise = draws - clean
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.01
    assert abs(noise[:, clean == 0].mean()) < 0.01
    assert draws.min() < -1
    assert draws.max() > 2


def test_nothing_runs_twice(project: Path) -> None:
    assert executed(dvc(project, "repro")) == set()


def test_same_params_give_the_same_bytes(project: Path) -> None:
    before = (project / "dvc.lock").read_text()
    for stage in REPEATED:
        dvc(project, "repro", "--force", "--single-item", stage)
    assert (project / "dvc.lock").read_text() == before


def test_an_edit_runs_what_it_touches(project: Path, edit: Callable[[Callable[[Any], None]], None]) -> None:
    before = YAML(typ="safe").load(project / "params.yaml")
    output = dvc(project, "exp", "run", "-S", "clean.gaussian_conv.learning_rate=0.002")
    before["clean"]["gaussian_conv"]["learning_rate"] = 0.002
    assert YAML(typ="safe").load(project / "params.yaml") == before
    reading = {"latent@gaussian_conv", "posterior@block_large", "evaluate_stochastic@heavy_flow"}
    assert executed(output) == {"train_clean@gaussian_conv", "evaluate_clean@gaussian_conv", "plot"} | reading
    assert "learning_rate" in dvc(project, "params", "diff")
    assert "results/evaluate/clean/gaussian_conv/metrics.json" in dvc(project, "metrics", "diff")
    dvc(project, "plots", "show")
    runs = [run for run in tracked_runs(project) if run.info.run_name == "evaluate_clean@gaussian_conv"]
    assert sorted(run.data.params["learning_rate"] for run in runs) == ["0.002", "0.008"]


def test_a_temporary_experiment_is_tracked_in_the_main_store(project: Path) -> None:
    before = len(tracked_runs(project))
    dvc(project, "exp", "run", "--temp", "-S", "noise2noise.gaussian_conv.weight_decay=0.001")
    assert len(tracked_runs(project)) == before + 4  # trained, evaluated, the ablation beside it, plotted


def drop(params: Any) -> None:
    """The perceptual entry goes, from the figures too."""
    params["perceptual"] = {}
    drop_missing_members(params)


def test_what_a_dropped_entry_has_left_is_pruned(project: Path, edit: Callable[[Callable[[Any], None]], None]) -> None:
    edit(drop)
    others = YAML(typ="safe").load(project / "dvc.lock")["stages"].keys() - PERCEPTUAL
    done = subprocess.run(
        [sys.executable, "-m", "stages.prune"], cwd=project, check=True, capture_output=True, text=True
    )
    assert set(done.stdout.splitlines()) == {f"removed {stage}" for stage in PERCEPTUAL}
    assert YAML(typ="safe").load(project / "dvc.lock")["stages"].keys() == others
    assert not list((project / "results/perceptual").iterdir())  # `plot` depends on the folder
    assert not (project / "results/evaluate/perceptual").exists()
    assert (project / "results/evaluate/clean/gaussian_conv/metrics.json").exists()
    assert executed(dvc(project, "repro")) == {"plot"}
    assert "perceptual" not in (project / "results/summary.md").read_text()


def test_a_lock_that_a_killed_dvc_has_cut_off_costs_no_finished_stage(project: Path) -> None:
    (project / "results/summary.md").unlink()
    assert executed(dvc(project, "repro")) == {"plot"}
    whole = (project / "dvc.lock").read_bytes()
    (project / "dvc.lock").write_bytes(whole[: whole.rindex(b"\n", 0, len(whole) // 2) - 3])
    (project / ".dvc/tmp/rwlock").write_text('{"write": {')
    dvc(project, "repro", expect=255)
    subprocess.run([sys.executable, "-m", "stages.mend"], cwd=project, check=True)
    assert not executed(dvc(project, "repro"))
    assert (project / "dvc.lock").read_bytes() == whole


def test_a_mistake_is_one_line_and_leaves_earlier_results(
    project: Path, edit: Callable[[Callable[[Any], None]], None]
) -> None:
    edit(lambda params: params["clean"]["gaussian_conv"]["model"].update(kind="convv"))
    output = dvc(project, "repro", expect=255)
    (line,) = [line for line in output.splitlines() if line.startswith("error:")]
    assert "params.yaml: clean.gaussian_conv.model" in line
    assert "conv" in line
    assert "found 'convv'" in line
    assert "Traceback" not in output
    models.load(project / "results/clean/gaussian_conv/model")
