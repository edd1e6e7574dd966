"""The pipeline as a user runs it: real DVC, real MLflow, real MNIST, a small sample, one epoch."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mlflow import MlflowClient
from numpy.typing import NDArray
from ruamel.yaml import YAML

from dae.core import models
from dae.core.files import flat, load_table, read_csv, read_json
from dae.core.images import as_float, average_pool, load_draws, load_images, subset
from dae.core.streams import stream
from dae.evaluation.baselines import median
from dae.evaluation.metrics import psnr
from dae.evaluation.pictures import clipped, enlarge
from dae.evaluation.restoration import apply
from dae.params.whole import RESTORING
from tests.conftest import TOLERANCES
from tests.pipeline import STAGES, dvc, executed, finished_project, make_run, tracked_runs
from tools.quick import ROOT, drop_missing_members

Edit = Callable[[Callable[[Any], None]], None]

REPEATED = (  # one for each way of drawing and computing
    *("corrupt@gaussian", "corrupt@downsample", "patches", "baselines@gaussian"),
    *("train_perceptual@lambda_1", "train_noise2noise@gaussian_conv", "train_stochastic@heavy_flow"),
    *("train_clean@downsample_mdsr", "pretrain@sdae_3", "toy@spiral", "filters@gaussian"),
    *("evaluate_stochastic@heavy_flow", "svm@rbf", "latent@gaussian_conv", "posterior@block_large"),
)
PERCEPTUAL = {"train_perceptual@lambda_1", "evaluate_perceptual@lambda_1"}
OF_GAUSSIAN_CONV = {"train_clean@gaussian_conv", "evaluate_clean@gaussian_conv", "latent@gaussian_conv"}
OF_GAUSSIAN_CONV |= {"posterior@block_large", "evaluate_stochastic@heavy_flow", "plot"}  # these read the network too


def rounded(value: float) -> Any:
    """Equal to the value as a stage writes it, with five significant digits."""
    return pytest.approx(value, rel=TOLERANCES["csv"])


def yaml(path: Path) -> Any:
    return YAML(typ="safe").load(path)


def test_params_yaml_has_no_anchors() -> None:
    """DVC writes anchors out when `dvc exp run -S` changes a value, and an edit of the block then changes nothing."""
    events = list(YAML(typ="safe", pure=True).parse((ROOT / "params.yaml").read_text()))
    assert events
    assert not [event for event in events if getattr(event, "anchor", None)]


def test_one_of_each_is_of_every_kind_of_stage() -> None:
    """No kind of stage goes untried, and only stages that exist are repeated."""
    assert {name.partition("@")[0] for name in STAGES} == set(yaml(ROOT / "dvc.yaml")["stages"])
    assert set(REPEATED) <= STAGES


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_project(tmp_path_factory)


def the_run(project: Path, name: str) -> Any:
    (found,) = [run for run in tracked_runs(project) if run.info.run_name == name]
    return found


def restored(project: Path, entry: str, images: NDArray[Any]) -> NDArray[np.float32]:
    """What the network of the entry makes of the images, clipped."""
    model, _ = models.load(project / "results" / entry / "model")
    return clipped(apply(model, images, torch.device("cpu")))


def metrics(project: Path, entry: str) -> dict[str, Any]:
    return read_json(project / "results" / entry / "metrics.json")


def committed(project: Path) -> None:
    """Bring everything back as it was committed, as README says: git has the small files, DVC the others."""
    subprocess.run(["git", "checkout", "--quiet", "."], cwd=project, check=True)
    dvc(project, "checkout", "--force")


@pytest.fixture
def edit(project: Path) -> Iterator[Edit]:
    """Edits params.yaml for one test. Afterwards everything is as it was committed."""

    def apply(change: Callable[[Any], None]) -> None:
        file = YAML()
        file.width = 200  # as the file was written: `plot` depends on all of it
        params = file.load(project / "params.yaml")
        change(params)
        file.dump(params, project / "params.yaml")

    yield apply
    committed(project)


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
        "learning_rate": "0.002",
        "epochs": "1",
        "targets": "noisy",
        "judge.model.kind": "cnn",
        "evaluation.resamples": "100",
        "compute.threads": "1",
    }
    assert expected.items() <= run.data.params.items()
    assert run.data.metrics == metrics(project, "evaluate/noise2noise/gaussian_conv")
    assert run.data.tags["stage"] == "evaluate_noise2noise"
    assert run.data.tags["item"] == "gaussian_conv"
    assert run.data.tags["git_dirty"] == "false"
    assert len(run.data.tags["mlflow.source.git.commit"]) == 40
    digests = {item.dataset.name: item.dataset.digest for item in run.inputs.dataset_inputs}
    deps = yaml(project / "dvc.lock")["stages"]["evaluate_noise2noise@gaussian_conv"]["deps"]
    (folder,) = [dep["md5"] for dep in deps if dep["path"] == "data/corrupted/gaussian/test"]
    files = json.loads((project / ".dvc/cache/files/md5" / folder[:2] / folder[2:]).read_text())
    assert {file["relpath"]: file["md5"] for file in files} == {
        "test.npy": digests["data/corrupted/gaussian/test/test.npy"]
    }


def test_every_number_of_a_stage_is_in_its_run(project: Path) -> None:
    """As it is in metrics.json: the same digits."""
    files = sorted((project / "results").rglob("metrics.json"))
    lock = yaml(project / "dvc.lock")["stages"]
    for file in files:
        path = str(file.relative_to(project))
        (name,) = [name for name, stage in lock.items() if path in [out["path"] for out in stage["outs"]]]
        numbers = {key: value for key, value in flat(read_json(file)).items() if isinstance(value, int | float)}
        assert numbers
        assert numbers.items() <= the_run(project, name).data.metrics.items(), name
    assert len(files) > 15


def test_gains_are_over_what_filters_made_of_the_same_images(project: Path) -> None:
    filters = load_table(project / "results/baselines/gaussian/report/psnr.npz")
    filtered = filters.pop("images")
    x = as_float(load_images(project / "data/prepared/mnist", "test"))
    x_tilde = as_float(load_draws(project / "data/corrupted/gaussian", "test")[0])
    assert 0 < len(filtered) < len(x)
    strength = metrics(project, "baselines/gaussian")["median"]["strength"]
    np.testing.assert_allclose(filters["median"], psnr(median(x_tilde[filtered], strength), x[filtered]))
    ours = psnr(restored(project, "clean/gaussian_conv", x_tilde), x)
    found = metrics(project, "evaluate/clean/gaussian_conv")
    for name, theirs in filters.items():
        assert found[f"gain_over_{name}"] == rounded((ours[filtered] - theirs).mean())
    assert found["gain_over_input"] == rounded((ours - psnr(clipped(x_tilde), x)).mean())
    sampled = metrics(project, "evaluate/stochastic/heavy_flow")
    chosen = subset(50, len(x), rng=stream(0, "subset", "test"))
    assert sampled["reference"]["psnr"] == rounded(ours[chosen].mean())  # the same network


def test_an_upscaler_of_several_factors_is_measured_at_each(project: Path) -> None:
    found = metrics(project, "evaluate/clean/downsample_mdsr")
    assert [key for key in found if key.startswith("factor_")] == ["factor_4"]  # 2 is that of its corruption
    x = as_float(load_images(project / "data/prepared/mnist", "test"))
    small = average_pool(x, 4)
    ours = psnr(restored(project, "clean/downsample_mdsr", small), x)
    theirs = psnr(enlarge(small, "bicubic", x.shape[-1]), x)
    for key, values in {"psnr": ours, "psnr_bicubic": theirs, "gain_over_bicubic": ours - theirs}.items():
        assert found["factor_4"][key] == rounded(values.mean())


def test_all_grids_show_the_same_digits(project: Path) -> None:
    samples = [load_table(path) for path in sorted((project / "results/evaluate").rglob("samples.npz"))]
    assert len(samples) > len(RESTORING)
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
    rows = read_csv(project / "results/clean/gaussian_conv/history.csv")
    for column in rows[0].keys() - {"epoch"}:
        tracked = client.get_metric_history(run.info.run_id, column)
        by_epoch = [(metric.step, metric.value) for metric in tracked]
        assert by_epoch[: len(rows)] == [(row["epoch"], row[column]) for row in rows], column


def test_summary_has_a_row_for_each_trained_item(project: Path) -> None:
    rows = read_csv(project / "results/summary/summary.csv")
    assert [(row["section"], row["name"]) for row in rows] == [
        ("classifiers", "mnist"),
        ("clean", "gaussian_conv"),
        ("clean", "downsample_mdsr"),
        ("perceptual", "lambda_1"),
        ("noise2noise", "gaussian_conv"),
        ("noise2noise", "correlated_unet"),
        ("stochastic", "heavy_flow"),
        ("stacked", "sdae_3"),
        ("svm", "rbf"),
    ]
    assert all(row["psnr_low"] <= row["psnr"] <= row["psnr_high"] for row in rows if row["psnr"] != "")
    assert not [column for column in rows[0] if all(row[column] == "" for row in rows)]
    assert {path.suffix for path in (project / "results/summary/report").iterdir()} == {".png", ".md"}


def test_the_two_draws_are_independent_and_unclipped(project: Path) -> None:
    draws = load_draws(project / "data/corrupted/gaussian", "train").astype(float)
    clean = load_images(project / "data/prepared/mnist", "train") / 255
    noise = draws - clean
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.01
    assert abs(noise[:, clean == 0].mean()) < 0.01
    assert draws.min() < -1
    assert draws.max() > 2


@pytest.mark.parametrize("command", [make_run, lambda project: dvc(project, "repro")], ids=["make run", "dvc repro"])
def test_nothing_runs_twice(project: Path, command: Callable[[Path], str]) -> None:
    before = (project / "dvc.lock").read_bytes()
    assert executed(command(project)) == set()
    assert (project / "dvc.lock").read_bytes() == before


def test_git_keeps_what_a_person_reads_and_dvc_the_rest(project: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "results"], cwd=project, capture_output=True, text=True, check=True)
    kept = {name for name in listed.stdout.splitlines() if not name.endswith(".gitignore")}
    assert {Path(name).name for name in kept if "/summary/readme/" not in name} == {
        "metrics.json",
        "history.csv",
        "summary.csv",
    }
    outs = [out["path"] for stage in yaml(project / "dvc.lock")["stages"].values() for out in stage["outs"]]
    for file in (path for path in (project / "results").rglob("*") if path.is_file() and path.name != ".gitignore"):
        name = str(file.relative_to(project))
        assert name in kept or [out for out in outs if name.startswith(f"{out}/")], name


def test_same_params_give_the_same_bytes(project: Path) -> None:
    before = (project / "dvc.lock").read_text()
    assert executed(dvc(project, "repro", "--force", "--single-item", *REPEATED)) == set(REPEATED)
    assert (project / "dvc.lock").read_text() == before


def test_an_edit_runs_what_it_touches(project: Path, edit: Edit) -> None:
    """An entry's own value is set beside its block; the block stays as it is, and an edit of it still has effect."""
    before = yaml(project / "params.yaml")
    output = dvc(project, "exp", "run", "-S", "+clean.gaussian_conv.learning_rate=0.001")
    before["clean"]["gaussian_conv"]["learning_rate"] = 0.001
    assert yaml(project / "params.yaml") == before
    assert executed(output) == OF_GAUSSIAN_CONV
    assert "learning_rate" in dvc(project, "params", "diff")
    assert "results/evaluate/clean/gaussian_conv/metrics.json" in dvc(project, "metrics", "diff")
    dvc(project, "plots", "show")
    runs = [run for run in tracked_runs(project) if run.info.run_name == "evaluate_clean@gaussian_conv"]
    assert sorted(run.data.params["learning_rate"] for run in runs) == ["0.001", "0.002"]
    assert {run.data.tags["git_dirty"] for run in runs} == {"true", "false"}

    output = dvc(project, "exp", "run", "-S", "defaults.points.learning_rate=0.0005")
    before["defaults"]["points"]["learning_rate"] = 0.0005
    assert yaml(project / "params.yaml") == before
    assert executed(output) == {"toy@spiral", "plot"}


def rate_of_points(rate: float) -> Callable[[Any], None]:
    """The edit of a block that one quick stage alone depends on, toy@spiral."""
    return lambda params: params["defaults"]["points"].update(learning_rate=rate)


def test_a_value_that_is_changed_back_runs_nothing(project: Path, edit: Edit) -> None:
    """Nor does a value that was tried before: DVC's run cache has the outputs of both, those that git keeps too."""
    lock, csv = project / "dvc.lock", project / "results/toy/spiral/history.csv"
    before = lock.read_bytes(), csv.read_bytes()
    edit(rate_of_points(0.003))
    assert executed(dvc(project, "repro")) == {"toy@spiral", "plot"}
    after = lock.read_bytes(), csv.read_bytes()
    assert before[1] != after[1]
    runs = len(tracked_runs(project))
    for command in (make_run, lambda project: dvc(project, "repro")):
        for rate, state in ((0.001, before), (0.003, after)):
            edit(rate_of_points(rate))
            assert executed(command(project)) == set()
            assert (lock.read_bytes(), csv.read_bytes()) == state
            assert json.loads(dvc(project, "status", "--json")) == {}
    assert len(tracked_runs(project)) == runs


def test_a_temporary_experiment_is_tracked_in_the_main_store(project: Path) -> None:
    before = len(tracked_runs(project))
    dvc(project, "exp", "run", "--temp", "-S", "+noise2noise.gaussian_conv.weight_decay=0.001")
    assert len(tracked_runs(project)) == before + 4  # trained, evaluated, the ablation beside it, plotted


def drop(params: Any) -> None:
    """The perceptual entry goes, from the figures too."""
    params["perceptual"] = {}
    drop_missing_members(params)


def test_what_a_dropped_entry_has_left_is_pruned(project: Path, edit: Edit) -> None:
    edit(drop)
    others = yaml(project / "dvc.lock")["stages"].keys() - PERCEPTUAL
    done = subprocess.run(
        [sys.executable, "-m", "tools.prune"], cwd=project, check=True, capture_output=True, text=True
    )
    assert set(done.stdout.splitlines()) == {f"removed {stage}" for stage in PERCEPTUAL}
    assert yaml(project / "dvc.lock")["stages"].keys() == others
    assert not list((project / "results/perceptual").iterdir())  # `plot` depends on the folder
    assert not (project / "results/evaluate/perceptual").exists()
    assert (project / "results/evaluate/clean/gaussian_conv/metrics.json").exists()
    assert executed(dvc(project, "repro")) == {"plot"}
    assert "perceptual" not in (project / "results/summary/report/summary.md").read_text()


def cut(lock: Path) -> None:
    """Leave half of dvc.lock, cut off within a key, as a kill can do while DVC writes it."""
    whole = lock.read_bytes()
    lock.write_bytes(whole[: whole.index(b"hash: md5", len(whole) // 2) + 2])


def test_a_lock_that_a_killed_dvc_has_cut_off_costs_no_finished_stage(project: Path, edit: Edit) -> None:
    """`git checkout dvc.lock` brings back an older one, and DVC's run cache what has finished since."""
    edit(rate_of_points(0.0002))
    assert executed(dvc(project, "repro")) == {"toy@spiral", "plot"}
    whole, runs = (project / "dvc.lock").read_bytes(), len(tracked_runs(project))
    cut(project / "dvc.lock")
    for output in (dvc(project, "repro", expect=255), make_run(project, expect=1)):
        assert "dvc.lock" in output
        assert "Traceback" not in output
    for command in (make_run, lambda project: dvc(project, "repro")):
        subprocess.run(["git", "checkout", "--quiet", "dvc.lock"], cwd=project, check=True)
        assert (project / "dvc.lock").read_bytes() != whole
        assert executed(command(project)) == set()
        assert (project / "dvc.lock").read_bytes() == whole
    assert len(tracked_runs(project)) == runs


def test_a_list_of_who_works_that_a_killed_dvc_has_cut_off_is_no_obstacle(project: Path) -> None:
    """DVC writes .dvc/tmp/rwlock in place too. `make run` removes one that is cut off; before that DVC names it."""
    (project / ".dvc/tmp/rwlock").write_text('{"write": {')
    assert "rwlock" in dvc(project, "repro", expect=255)
    assert executed(make_run(project)) == set()
    assert executed(dvc(project, "repro")) == set()


def test_without_any_lock_finished_stages_come_from_the_run_cache(project: Path, edit: Edit) -> None:
    whole = yaml(project / "dvc.lock")
    (project / "dvc.lock").unlink()
    assert executed(dvc(project, "repro")) == set()
    assert yaml(project / "dvc.lock") == whole


def state(project: Path, stage: str) -> dict[str, bytes]:
    """The files that a stage has made."""
    outs = [project / out["path"] for out in yaml(project / "dvc.lock")["stages"][stage]["outs"]]
    files = [file for out in outs for file in (out.rglob("*") if out.is_dir() else [out]) if file.is_file()]
    return {str(file.relative_to(project)): file.read_bytes() for file in files}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"width": 7}, r"^ *error: params\.yaml: clean\.gaussian_conv\.model.*width"),
        ({"kind": "convv"}, r"gaussian_conv.*src/dae/networks/convv\.py"),  # no such file, says DVC
    ],
    ids=["argument", "kind"],
)
def test_a_mistake_is_one_line_and_leaves_earlier_results(
    project: Path, edit: Edit, wrong: dict[str, Any], said: str
) -> None:
    """`make run` puts them back. After a plain `dvc repro`, `dvc checkout` does, and the next run all of them."""
    stage, correct = "train_clean@gaussian_conv", (project / "params.yaml").read_bytes()
    before = state(project, stage)
    cached = {name: content for name, content in before.items() if "/model/" in name}
    assert {Path(name).name for name in before} >= {"weights.safetensors", "metrics.json", "history.csv"}
    edit(lambda params: params["clean"]["gaussian_conv"]["model"].update(wrong))

    output = make_run(project, expect=1)
    assert re.search(said, output, re.MULTILINE), output
    assert "Traceback" not in output
    assert state(project, stage) == before

    output = dvc(project, "repro", expect=255)
    assert re.search(said, output, re.MULTILINE), output
    assert "Traceback" not in output
    dvc(project, "checkout")
    assert cached.items() <= state(project, stage).items()
    (project / "params.yaml").write_bytes(correct)
    assert executed(dvc(project, "repro")) == set()
    assert state(project, stage) == before
