"""The table of the lectures: its entries exist, it takes its numbers from the results."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from dae.lectures import SYSTEMS, System, markdown
from dae.params import check
from dae.summary import interval
from stages.gpu import EXTRA, add
from stages.quick import ROOT
from stages.readme import insert

PARAMS = YAML(typ="safe").load(ROOT / "params.yaml")
ENTRIES = {f"{section}.{name}" for section, name, _ in check(ROOT / "params.yaml").entries()}


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: f"{system.entry}-{system.what.strip()}")
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


def test_figures_of_the_readme_exist() -> None:
    text = (ROOT / "README.md").read_text()
    shown = [part.partition(")")[0] for part in text.split("](")[1:]]
    files = [name for name in shown if not name.startswith(("http", "#"))]
    assert files
    assert not [name for name in files if not (ROOT / name).exists()]


@pytest.mark.parametrize("figure", sorted({system.figure for system in SYSTEMS}))
def test_every_figure_is_there(figure: str) -> None:
    begin = b"\x89PNG" if figure.endswith(".png") else b"images,class,precision"
    assert (ROOT / "results" / figure).read_bytes().startswith(begin)


@pytest.mark.parametrize("name", ["lectures", "summary"])
def test_the_readme_shows_what_was_measured(name: str) -> None:
    """As committed, so that whoever tries something else is not told to edit the README; `make readme` does it."""
    readme, table = (committed(path) for path in ("README.md", f"results/{name}.md"))
    assert table in readme
    assert not re.findall(r"@[A-Z]+@", readme)


def committed(path: str) -> str:
    command = ["git", "show", f"HEAD:{path}"]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def test_a_table_takes_the_place_of_the_one_before() -> None:
    text = "before\n<!-- a -->\nold\n<!-- end of a -->\nafter"
    assert insert(text, "a", "new\n") == "before\n<!-- a -->\n\nnew\n\n<!-- end of a -->\nafter"
    assert insert(insert(text, "a", "new\n"), "a", "new\n") == insert(text, "a", "new\n")
    with pytest.raises(ValueError, match="expected <!-- b -->"):
        insert(text, "b", "new")


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
    lines = markdown(tmp_path, {"clean.gaussian_conv"}, 0.9).splitlines()
    assert "[90 % interval]" in lines[0]
    assert len(lines) == 2 + sum(system.entry == "clean.gaussian_conv" for system in SYSTEMS)
    assert "squared error 0.0125" in lines[3]
    assert all("PSNR, dB 20.46 [20.40, 20.50]; read by M, % 97.00" in line for line in [lines[2], *lines[4:]])


def test_an_interval_in_brackets() -> None:
    row = {"a": 0.5, "a_low": 0.25, "a_high": 0.75}
    assert interval(row, "a", 1) == "0.5 [0.2, 0.8]"


def test_entries_for_a_gpu_are_added_beside_the_others(tmp_path: Path) -> None:
    params = {section: dict(PARAMS[section]) for section in ("clean", "noise2noise", "upscaler")}
    extra = YAML(typ="safe").load(EXTRA)
    add(params, extra)
    for section, entries in extra.items():
        if section != "defaults":
            assert set(params[section]) == set(PARAMS[section]) | set(entries)
            assert not set(PARAMS[section]) & set(entries)
    yaml, whole = YAML(), tmp_path / "params.yaml"
    params = yaml.load(ROOT / "params.yaml")
    add(params, extra)
    yaml.dump(params, whole)
    found = {f"{section}.{name}" for section, name, _ in check(whole).entries()}
    assert {f"{section}.{name}" for section in extra if section != "defaults" for name in extra[section]} <= found
