"""The table of the lectures: its entries exist, its figures show them, and its numbers are those of the results."""

import io
import json
import re
import subprocess
import tarfile
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from dae import summary
from dae.core.files import flat, read_csv, read_json
from dae.lectures import System, markdown, read_systems
from dae.params import check
from dae.summary import interval
from stages import plot
from tools.gpu import EXTRA, add
from tools.quick import ROOT

PARAMS = check(ROOT / "params.yaml")
SYSTEMS = read_systems(ROOT / "lectures.yaml")
ENTRIES = {f"{section}.{name}" for section, name, _ in PARAMS.entries()}
# What the stage of a section writes into its report, for people to look at.
REPORTS = {
    "clean": {"grid.png", "classification.csv"},
    "noise2noise": {"grid.png", "classification.csv"},
    "perceptual": {"grid.png", "classification.csv"},
    "stochastic": {"grid.png", "mean.png", "classification.csv"},
    "classifiers": {"classification.csv"},
    "stacked": {"classification.csv"},
    "svm": {"classification.csv"},
    "latent": {"plane.png", "decoded.png", "classification.csv"},
    "posterior": {"posterior.png"},
    "ablations": {"grid.png"},
}


def shows(figure: str, entry: str) -> bool:
    """Whether a figure or a table, as a system names it, is one that the pipeline makes and that shows the entry."""
    folder, _, file = figure.rpartition("/")
    section, _, name = entry.partition(".")
    if folder != "summary":
        return folder in (f"{section}/{name}", f"evaluate/{section}/{name}") and file in REPORTS[section]
    group, _, view = file.removesuffix(".png").rpartition("_")
    return (
        (view in ("digits", "measures", "loss") and entry in PARAMS.comparisons.get(group, ()))
        or (file == "snapshots.png" and entry == f"clean.{next(iter(PARAMS.clean))}")
        or (file == "pretraining.png" and section in ("stacked", "svm"))
        or (file == f"filters_{name}.png" and section == "stacked")
        or (file in (f"toy_{name}_field.png", f"toy_{name}_mean.png") and section == "toy")
        or (file == f"patches_{name}.png" and section == "filters")
    )


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: f"{system.entry}-{system.shows.strip()}")
def test_every_system_is_an_entry(system: System) -> None:
    assert system.entry in ENTRIES
    assert system.measures


def test_every_lecture_is_there() -> None:
    assert {number for system in SYSTEMS for number in system.lecture.split(", ")} == {
        "000",
        "001",
        "002",
        "003",
        "004",
    }


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: f"{system.entry}-{system.see}")
def test_every_figure_is_made_and_shows_its_entry(system: System) -> None:
    """Where the pipeline has run, the figure is there as well."""
    assert shows(system.see, system.entry)
    folder, _, file = system.see.rpartition("/")
    report = ROOT / "results" / folder / "report"
    if report.exists():
        begin = b"\x89PNG" if file.endswith(".png") else b"images,class,precision"
        assert (report / file).read_bytes().startswith(begin)


@pytest.mark.parametrize("figure", plot.README)
def test_figures_for_the_readme_are_made(figure: str) -> None:
    assert "/report/" in figure
    assert any(shows(figure.replace("/report/", "/"), entry) for entry in ENTRIES)


def test_figures_for_the_readme_are_copied_under_names_of_their_own(tmp_path: Path) -> None:
    """Those of the summary come from its new folder, the others from the results; one that was not made is left out."""
    results, fresh = tmp_path / "results", tmp_path / "fresh"
    for name in plot.README[:-1]:
        parent, _, rest = name.partition("/")
        path = fresh / rest if parent == "summary" else results / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    plot._copy_for_readme(results, "summary", fresh)
    copies = {path.name: path.read_text() for path in (fresh / "readme").iterdir()}
    assert copies == {kept_as(name): name for name in plot.README[:-1]}


def kept_as(figure: str) -> str:
    """The name under which git keeps a figure of plot.README."""
    *_, entry, _, file = figure.split("/")
    return f"{entry}_{file}"


# --- README.md and docs, as they are committed: whoever tries something else is not told to edit them


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as it is committed."""
    folder = tmp_path_factory.mktemp("committed")
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return folder


def pages(project: Path) -> list[Path]:
    """The README and the pages of docs; docs/results.head.md is no page, it is how docs/results.md begins."""
    docs = [page for page in sorted((project / "docs").glob("*.md")) if not page.name.endswith(".head.md")]
    return [project / "README.md", *docs]


def linked(page: Path) -> list[Path]:
    """The files of the project that a page links to or shows."""
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    return [page.parent / target for target in targets if not target.startswith("http")]


def test_what_the_pages_link_to_is_there(committed: Path) -> None:
    for project in (ROOT, committed):
        files = [file for page in pages(project) for file in linked(page)]
        assert files
        assert not [file for file in files if not file.exists()]


def test_the_pages_show_the_figures_that_git_keeps_for_them(committed: Path) -> None:
    kept = committed.resolve() / "results" / "summary" / "readme"
    shown = {file.resolve() for page in pages(committed) for file in linked(page) if file.suffix == ".png"}
    assert shown == set(kept.iterdir())
    assert {file.name for file in shown} == {kept_as(name) for name in plot.README}


def test_the_tables_of_the_docs_show_what_was_measured(committed: Path) -> None:
    """`make readme` writes them; each stands there once, so none of an earlier run is left."""
    text = (committed / "docs" / "results.md").read_text(encoding="utf-8")
    params = check(committed / "params.yaml")
    items = [f"{section}.{name}" for section, name, _ in params.entries()]
    rows = read_csv(committed / "results" / "summary" / "summary.csv")
    tables = [
        markdown(SYSTEMS, committed / "results", items, params.evaluation.confidence),
        summary.markdown([{key: value for key, value in row.items() if value != ""} for row in rows]),
    ]
    for table in tables:
        assert text.count(table) == 1
        assert text.count(table.splitlines()[0]) == 1


def test_the_numbers_of_the_readme_are_those_of_the_results(committed: Path) -> None:
    """Each number in the column `measured` is a figure of some entry, as it is or in percent, with as many digits."""
    rows = [line.split(" | ") for line in (committed / "README.md").read_text(encoding="utf-8").splitlines()]
    measured = [row[2] for row in rows if len(row) == 4 and row[1].startswith("`")]
    assert len(measured) == 10
    files = (committed / "results").rglob("metrics.json")
    figures = [value for file in files for value in flat(read_json(file)).values() if isinstance(value, float)]
    known = {f"{scale * value:.2f}" for value in figures for scale in (1, 100)}
    for cell in measured:
        numbers = re.findall(r"\d+\.\d+", cell)
        assert numbers
        assert set(numbers) <= known


def test_no_page_has_a_placeholder_left(committed: Path) -> None:
    assert not [page.name for page in pages(committed) if re.search(r"@[\w.:]+@", page.read_text(encoding="utf-8"))]


# --- the table


def test_rows_of_entries_alone_and_numbers_from_the_files(tmp_path: Path) -> None:
    folder = tmp_path / "evaluate" / "clean" / "gaussian_conv"
    folder.mkdir(parents=True)
    figures = {
        "mse": 0.0125,
        "psnr": 20.456,
        "psnr_low": 20.4,
        "psnr_high": 20.5,
        "accuracy_restored": 0.97,
        "sharpness": None,
    }
    (folder / "metrics.json").write_text(json.dumps(figures))
    lines = markdown(SYSTEMS, tmp_path, {"clean.gaussian_conv"}, 0.9).splitlines()
    assert "[90 % interval]" in lines[0]
    systems = [system for system in SYSTEMS if system.entry == "clean.gaussian_conv"]
    assert len(lines) == 2 + len(systems)
    for line, system in zip(lines[2:], systems, strict=True):
        folder_of, _, file = system.see.rpartition("/")
        assert f"| `clean.gaussian_conv` | `{folder_of}/report/{file}` |" in line
    assert "squared error 0.0125" in lines[3]
    assert all("PSNR, dB 20.46 [20.40, 20.50]; read by M, % 97.00" in line for line in [lines[2], *lines[4:]])


def test_an_interval_in_brackets() -> None:
    row = {"a": 0.5, "a_low": 0.25, "a_high": 0.75}
    assert interval(row, "a", 1) == "0.5 [0.2, 0.8]"


# --- entries for a GPU


def test_entries_for_a_gpu_are_added_beside_the_others(tmp_path: Path) -> None:
    here, extra = (YAML(typ="safe").load(path) for path in (ROOT / "params.yaml", EXTRA))
    params = {section: dict(here[section]) for section in extra}
    add(params, extra)
    for section, entries in extra.items():
        assert set(params[section]) == set(here[section]) | set(entries)
        assert not set(here[section]) & set(entries)
    yaml, whole = YAML(), tmp_path / "params.yaml"
    params = yaml.load(ROOT / "params.yaml")
    add(params, extra)
    yaml.dump(params, whole)
    found = {f"{section}.{name}" for section, name, _ in check(whole).entries()}
    assert {f"{section}.{name}" for section in extra if section != "defaults" for name in extra[section]} <= found
