"""Experiments that DVC's queue runs, in temporary checkouts of their own, are tracked where all others are."""

import pytest

from tests.pipeline import dvc, finished_project, tracked_runs

pytestmark = pytest.mark.slow


def test_queued_experiments_are_tracked_in_the_main_store(tmp_path_factory: pytest.TempPathFactory) -> None:
    project = finished_project(tmp_path_factory)
    before = {run.info.run_id for run in tracked_runs(project)}
    for decay in ("0.001", "0.002"):
        dvc(project, "exp", "run", "--queue", "-S", f"+noise2noise.gaussian_conv.weight_decay={decay}")
    dvc(project, "exp", "run", "--run-all")
    new = [run for run in tracked_runs(project) if run.info.run_id not in before]
    once = ["ablate@correlated_unet", "evaluate_noise2noise@gaussian_conv", "plot", "train_noise2noise@gaussian_conv"]
    assert sorted(run.info.run_name for run in new) == sorted(2 * once)
    assert {run.info.status for run in new} == {"FINISHED"}
    trained = [run.data.params["weight_decay"] for run in new if run.data.tags["stage"] == "train_noise2noise"]
    assert sorted(trained) == ["0.001", "0.002"]
    assert not list((project / ".mlflow_outbox").glob("*/events.jsonl"))
