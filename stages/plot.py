"""Gather all results: the summary table, and one figure per question."""

from pathlib import Path
from typing import Any

from dae import models
from dae.files import load_table, replacing, replacing_file, write_csv
from dae.params import Clean, Name, Noise2Noise, Stacked, Upscaler, read
from dae.plots import Interval, comparison, filter_grid, image_grid, intervals, loss_curves, save
from dae.summary import COLUMNS, Row, gather, history, markdown
from dae.tracking import run as track
from stages.common import PARAMS, run

SECTIONS: dict[str, Any] = {
    "clean": dict[Name, Clean],
    "noise2noise": dict[Name, Noise2Noise],
    "upscaler": dict[Name, Upscaler],
    "stacked": dict[Name, Stacked],
}


def main(results: Path, output: Path) -> None:
    """Write RESULTS/summary.{csv,md} and the figures in OUTPUT, for the items that params.yaml has."""
    items = {section: list(read(PARAMS, section, kind)) for section, kind in SECTIONS.items()}
    rows = gather(results, items)
    with track("plot", None, {f"{section}_items": ", ".join(names) for section, names in items.items()}) as record:
        with replacing(output) as folder:
            for name, figure in _figures(results, items, rows).items():
                save(figure, folder / f"{name}.png")
                record.artifact(folder / f"{name}.png", "figures")
        with replacing_file(results / "summary.csv") as path:
            write_csv(path, rows, COLUMNS)
        with replacing_file(results / "summary.md") as path:
            path.write_text(markdown(rows), encoding="utf-8")
        for name in ("summary.csv", "summary.md"):
            record.artifact(results / name)


def _figures(results: Path, items: dict[str, list[str]], rows: list[Row]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    if restoring := [row for row in rows if "psnr" in row]:
        figures |= _denoisers(results, restoring)
    for name in [name for name in items["clean"] if name in items["noise2noise"]]:
        figures[f"clean_against_noise2noise_{name}"] = _targets(results, rows, name)
    if stacked := [row for row in rows if row["section"] == "stacked"]:
        figures["pretraining"] = comparison(
            {row["name"]: history(results, "finetune", row["name"]) for row in stacked},
            "validation_error",
            "validation error, %",
            {row["name"]: _interval(row, "test_error") for row in stacked},
            "test error, %",
        )
    for row in stacked:
        stack, _ = models.load(results / "pretrain" / row["name"] / "model")
        figures[f"filters_{row['name']}"] = filter_grid(models.first_layer(stack))
    return figures


def _denoisers(results: Path, rows: list[Row]) -> dict[str, Any]:
    """Loss curves, PSNR and digits of all denoisers; those of one corruption stand together."""
    seen = [row["corruption"] for row in rows]
    rows = sorted(rows, key=lambda row: seen.index(row["corruption"]))
    scores = {
        "denoiser": {_label(row): _interval(row, "psnr") for row in rows},
        "best classical filter": {_label(row): _point(row["psnr_best_filter"]) for row in rows},
        "input": {_label(row): _point(row["psnr_input"]) for row in rows},
    }
    return {
        "loss_curves": loss_curves({_label(row): history(results, row["section"], row["name"]) for row in rows}),
        "psnr": intervals(scores, "PSNR on the test set, dB (bars: 95 % intervals)"),
        "restorations": image_grid(_side_by_side(results, rows)),
    }


def _label(row: Row) -> str:
    return f"{row['section']}: {row['name']}"


def _interval(row: Row, name: str) -> Interval:
    return row[name], row[f"{name}_low"], row[f"{name}_high"]


def _point(value: float) -> Interval:
    return value, value, value


def _side_by_side(results: Path, rows: list[Row]) -> dict[str, Any]:
    """Original, corrupted and restored digits of every denoiser; what two share is shown once."""
    pictures: dict[str, Any] = {}
    for row in rows:
        samples = load_table(results / "evaluate" / row["section"] / row["name"] / "samples.npz")
        pictures.setdefault("original", samples["original"])
        pictures.setdefault(f"input: {row['corruption']}", samples["corrupted"])
        pictures[_label(row)] = samples["restored"]
    return pictures


def _targets(results: Path, rows: list[Row], name: str) -> Any:
    """The same entry trained on clean and on noisy targets: digits side by side, with the PSNR of each."""
    pictures: dict[str, Any] = {}
    for row in rows:
        if row["name"] == name and row["section"] in ("clean", "noise2noise"):
            samples = load_table(results / "evaluate" / row["section"] / name / "samples.npz")
            targets = "clean" if row["section"] == "clean" else "noisy"
            pictures |= {"original": samples["original"], f"input, {row['psnr_input']:.1f} dB": samples["corrupted"]}
            pictures[f"{targets} targets, {row['psnr']:.1f} dB"] = samples["restored"]
    return image_grid(pictures, f"{name}: clean against noisy targets")


if __name__ == "__main__":
    run(main)
