"""The summary: a row for each trained item with its own figures, in one order; what was not measured stays empty."""

from pathlib import Path
from typing import Any

import pytest

from dae.core.files import read_csv, write_csv, write_json
from dae.params.whole import RESTORING
from dae.summary import COLUMNS, Row, gather, history, interval, markdown, table

Figures = dict[str, Any]
ITEMS = [
    "classifiers.digits",
    "clean.unet",
    "clean.conv",
    "noise2noise.conv",
    "stochastic.drawn",
    "stacked.pretrained",
    "stacked.plain",
    "svm.kernel",
]
OTHERS = ["corruptions.gaussian", "latent.conv", "filters.masking"]  # no row of the summary
ORDER = [tuple(item.split(".")) for item in ITEMS]
ENDS = ("", "_low", "_high")


def around(name: str, value: float) -> Figures:
    """A figure with an interval from 1 below to 2 above."""
    return {name: value, f"{name}_low": value - 1, f"{name}_high": value + 2}


def plant(path: Path, content: Figures) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, content)


def plant_denoiser(results: Path, section: str, name: str, psnr: float, **more: Any) -> None:
    """Its figures are `psnr` and numbers that lie 1, 2, 3, ... above it."""
    corruption = {"name": "gaussian", "kind": "gaussian", "sigma": 0.5}
    params = {"corruption": corruption, "model": {"kind": name}, "loss": {"kind": "mse"}, "epochs": 3, "images": 100}
    plant(results / section / name / "model" / "params.json", params)
    figures = {
        **around("psnr", psnr),
        **around("ssim", psnr + 1),
        **around("mse", psnr + 2),
        **around("sharpness", psnr + 3),
        **around("bias", psnr + 4),
        "psnr_input": 9.25,
        "psnr_black": 9.5,
        **around("accuracy_corrupted", 0.5),
        **around("accuracy_restored", 0.75),
        "parameters": 1234,
        **around("gain_over_median", psnr + 5),
        **around("gain_over_total_variation", psnr + 6),
    }
    plant(results / "evaluate" / section / name / "metrics.json", {**figures, **more})


def plant_classifier(results: Path, section: str, name: str, error: float, trained: str) -> None:
    plant(results / trained / name / "model" / "params.json", {"epochs": 4, "seed": 0})
    plant(results / trained / name / "model" / "model.json", {"kind": f"{name}_net", "arguments": {"hidden": 8}})
    figures = {**around("test_error", error), "parameters": 56}
    plant(results / "evaluate" / section / name / "metrics.json", figures)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """What the stages leave behind for ITEMS, and for an entry that was dropped."""
    filters = {"median": around("psnr", 15.0), "total_variation": around("psnr", 16.0)}
    filters["median"]["tuning_mse"] = 0.02
    plant(tmp_path / "baselines" / "gaussian" / "metrics.json", {"best_baseline": "total_variation", **filters})
    plant_denoiser(tmp_path, "clean", "conv", 20.0)
    plant_denoiser(tmp_path, "clean", "unet", 22.0)
    plant_denoiser(tmp_path, "clean", "dropped", 30.0)
    plant_denoiser(tmp_path, "noise2noise", "conv", 19.0)
    plant_denoiser(tmp_path, "stochastic", "drawn", 18.0, variance=0.5, mean_of_samples=around("psnr", 21.0))
    plant_classifier(tmp_path, "classifiers", "digits", 1.5, "classifiers")
    plant_classifier(tmp_path, "stacked", "pretrained", 2.5, "finetune")
    plant_classifier(tmp_path, "stacked", "plain", 3.5, "finetune")
    plant(tmp_path / "svm" / "kernel" / "metrics.json", {**around("test_error", 4.5), "c": 10.0, "support_vectors": 77})
    return tmp_path


@pytest.fixture
def rows(results: Path) -> dict[tuple[str, str], Row]:
    return {(row["section"], row["name"]): row for row in gather(results, ITEMS)}


def test_a_row_for_each_item_in_their_order(results: Path) -> None:
    assert [(row["section"], row["name"]) for row in gather(results, [*OTHERS, *ITEMS])] == ORDER
    assert gather(results, reversed(ITEMS)) == gather(results, ITEMS)[::-1]


def test_every_section_of_denoisers_has_rows(results: Path) -> None:
    for section in RESTORING:
        plant_denoiser(results, section, "conv", 20.0)
    rows = gather(results, [f"{section}.conv" for section in RESTORING])
    assert [row["section"] for row in rows] == list(RESTORING)


def test_a_denoiser_has_its_own_figures(rows: dict[tuple[str, str], Row]) -> None:
    for (section, name), psnr in {
        ("clean", "unet"): 22.0,
        ("clean", "conv"): 20.0,
        ("noise2noise", "conv"): 19.0,
    }.items():
        row = rows[section, name]
        assert (row["corruption"], row["model"], row["loss"], row["epochs"]) == ("gaussian", name, "mse", 3)
        assert row["parameters"] == 1234
        for place, measure in enumerate(("psnr", "ssim", "mse", "sharpness", "bias")):
            assert [row[measure + end] for end in ENDS] == [psnr + place, psnr + place - 1, psnr + place + 2]
        assert [row[f"accuracy_{images}"] for images in ("corrupted", "restored")] == [0.5, 0.75]


def test_the_gain_is_over_the_filter_that_was_chosen_on_validation_images(
    results: Path, rows: dict[tuple[str, str], Row]
) -> None:
    row = rows["clean", "conv"]
    assert (row["best_baseline"], row["psnr_best_baseline"]) == ("total_variation", 16.0)
    assert [row[f"gain{end}"] for end in ENDS] == [26, 25, 28]
    filters = {"best_baseline": "median", "median": around("psnr", 15.0), "total_variation": around("psnr", 16.0)}
    plant(results / "baselines" / "gaussian" / "metrics.json", filters)  # the worse one on test images
    row = next(row for row in gather(results, ITEMS) if (row["section"], row["name"]) == ("clean", "conv"))
    assert (row["best_baseline"], row["psnr_best_baseline"]) == ("median", 15.0)
    assert [row[f"gain{end}"] for end in ENDS] == [25, 24, 27]


def test_where_no_filter_helps_the_gain_is_over_the_input_on_all_images(results: Path) -> None:
    filters = {"best_baseline": "input", "input": around("psnr", 17.0), "median": around("psnr", 15.0)}
    plant(results / "baselines" / "gaussian" / "metrics.json", filters)
    plant_denoiser(results, "clean", "conv", 20.0, **around("gain_over_input", 10.75))
    (row,) = gather(results, ["clean.conv"])
    assert (row["best_baseline"], row["psnr_best_baseline"]) == ("input", row["psnr_input"])
    assert [row[f"gain{end}"] for end in ENDS] == [10.75, 9.75, 12.75]


def test_where_nothing_was_corrupted_no_gain_is_shown(results: Path) -> None:
    plant_denoiser(results, "clean", "intact", 30.0, psnr_input=89.0)
    kept, empty = markdown(gather(results, ["clean.conv", "clean.intact"])).splitlines()[2:4]
    assert "(total variation)" in kept
    assert "| 89.00 | 30.00 [29.00, 32.00] |  | " in empty


def test_a_classifier_has_the_kind_of_its_network_and_its_error(rows: dict[tuple[str, str], Row]) -> None:
    for (section, name), error in {
        ("classifiers", "digits"): 1.5,
        ("stacked", "pretrained"): 2.5,
        ("stacked", "plain"): 3.5,
    }.items():
        expected = {"section": section, "name": name, "model": f"{name}_net", "loss": "cross_entropy", "epochs": 4}
        assert rows[section, name] == {**expected, "parameters": 56, **around("test_error", error)}


def test_a_support_vector_machine_has_an_error_and_no_weights(rows: dict[tuple[str, str], Row]) -> None:
    expected = {"section": "svm", "name": "kernel", "model": "svm", "loss": "hinge"}
    assert rows["svm", "kernel"] == {**expected, **around("test_error", 4.5)}


def test_the_table_on_disk_has_every_column_and_is_empty_where_nothing_was_measured(
    results: Path, rows: dict[tuple[str, str], Row]
) -> None:
    assert {key for row in rows.values() for key in row} == set(COLUMNS)
    write_csv(results / "summary.csv", [*rows.values()], COLUMNS)
    again = read_csv(results / "summary.csv")
    filled = [{key: value for key, value in read.items() if value != ""} for read in again]
    assert {tuple(read) for read in again} == {COLUMNS}
    assert filled == [*rows.values()]
    assert markdown(filled) == markdown([*rows.values()])


def test_a_missing_file_is_named(results: Path) -> None:
    for path in (
        "evaluate/clean/conv/metrics.json",
        "noise2noise/conv/model/params.json",
        "finetune/plain/model/model.json",
        "svm/kernel/metrics.json",
    ):
        content = (results / path).read_bytes()
        (results / path).unlink()
        with pytest.raises(ValueError, match=rf"{path}: no such file"):
            gather(results, ITEMS)
        (results / path).write_bytes(content)
    assert len(gather(results, ITEMS)) == len(ORDER)


def test_history(tmp_path: Path) -> None:
    written = [{"epoch": 1, "train_loss": 0.5}, {"epoch": 2, "train_loss": 0.25}]
    (tmp_path / "clean" / "conv").mkdir(parents=True)
    write_csv(tmp_path / "clean" / "conv" / "history.csv", written)
    assert history(tmp_path, "clean", "conv") == written


# --- Markdown


def test_markdown(results: Path) -> None:
    """Denoisers and classifiers have a table each, and accuracies are percentages."""
    assert markdown(gather(results, ["classifiers.digits", "clean.conv", "svm.kernel"])) == (
        "| denoiser | corruption | input, dB | PSNR, dB | gain over the best baseline, dB | SSIM | sharpness "
        "| M on corrupted, % | M on restored, % |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
        "| clean: conv | gaussian | 9.25 | 20.00 [19.00, 22.00] | 26.00 [25.00, 28.00] (total variation) "
        "| 21.000 [20.000, 23.000] "
        "| 23.000 | 50.00 | 75.00 [-25.00, 275.00] |\n"
        "\n"
        "| classifier | parameters | test error, % |\n"
        "| --- | --- | --- |\n"
        "| classifiers: digits | 56 | 1.50 [0.50, 3.50] |\n"
        "| svm: kernel |  | 4.50 [3.50, 6.50] |\n"
    )


def test_markdown_has_every_row_once_and_in_order(results: Path) -> None:
    first, second = markdown(gather(results, ITEMS)).split("\n\n")
    names = [[line.split(" | ")[0].strip("| ") for line in part.splitlines()[2:]] for part in (first, second)]
    restoring = [f"{section}: {name}" for section, name in ORDER if section in RESTORING]
    assert names == [restoring, [f"{section}: {name}" for section, name in ORDER if section not in RESTORING]]


def test_markdown_of_nothing_is_two_headers() -> None:
    assert [line.count("|") for line in markdown([]).splitlines()] == [10, 10, 0, 4, 4]


@pytest.mark.parametrize(
    ("digits", "expected"), [(0, "-2 [-2, -1]"), (1, "-1.6 [-2.1, -0.6]"), (3, "-1.625 [-2.125, -0.625]")]
)
def test_an_interval_has_as_many_digits_as_are_asked_for(digits: int, expected: str) -> None:
    row = {"bias": -1.625, "bias_low": -2.125, "bias_high": -0.625, "gain": 7.0}
    assert interval(row, "bias", digits) == expected


def test_table() -> None:
    assert table(["a", "b"], [["1", ""], ["2", "3"]]) == "| a | b |\n| --- | --- |\n| 1 |  |\n| 2 | 3 |\n"
    assert table(["a"], []) == "| a |\n| --- |\n"
