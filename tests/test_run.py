"""`tools.run` does what `dvc repro` does, several stages at a time, and leaves everything in order when it is ended."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from dvc.repo import Repo
from dvc.utils.serialize import load_yaml

from tools.run import fault_of_params

ROOT = Path(__file__).resolve().parents[1]
RUN = [sys.executable, "-m", "tools.run"]
OFTEN = "import tools.run as engine; engine.INTERVAL = 0; engine.run(engine.main)"  # writes dvc.lock all the time
IMPATIENT = "import tools.processes; tools.processes.GRACE = 0.5; import tools.run as engine; engine.run(engine.main)"


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new git repository and DVC project."""
    folder = tmp_path_factory.mktemp("empty")
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    dvc(folder, "init", "--quiet")
    return folder


@pytest.fixture
def project(empty: Path, tmp_path: Path) -> Path:
    return shutil.copytree(empty, tmp_path / "project")


def environment(shell: str = "/bin/sh") -> dict[str, str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "SHELL": shell}


def dvc(project: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "dvc", *arguments]
    return subprocess.run(command, cwd=project, env=environment(), check=True, capture_output=True, text=True).stdout


def drive(project: Path, *arguments: str, expect: int = 0, **how: Any) -> str:
    """Run the engine to its end; its output, both streams."""
    process = begin(project, *arguments, **how)
    output, _ = process.communicate(timeout=100)
    assert process.returncode == expect, output
    return output


def begin(
    project: Path, *arguments: str, command: Sequence[str] = RUN, shell: str = "/bin/sh"
) -> "subprocess.Popen[str]":
    settings: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    settings |= {"cwd": project, "env": environment(shell), "preexec_fn": listen}
    return subprocess.Popen([*command, *arguments], **settings)


def listen() -> None:
    """What runs in the background or under nohup ignores these, and so would the engine."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def define(project: Path, **stages: dict[str, Any]) -> None:
    """Write dvc.yaml. Each command first adds the name of its stage to the file `ran`."""
    for name, stage in stages.items():
        commands = stage["cmd"] if isinstance(stage["cmd"], list) else [stage["cmd"]]
        stage["cmd"] = [f"echo {name} >> ran", *commands]
    (project / "dvc.yaml").write_text(json.dumps({"stages": stages}))


def ran(project: Path) -> list[str]:
    """The stages whose commands have been started, in order."""
    return (project / "ran").read_text().split() if (project / "ran").exists() else []


def entries(project: Path) -> list[str]:
    return list(load_yaml(str(project / "dvc.lock"))["stages"])


def eventually(happened: Callable[[], bool], seconds: float = 100) -> None:
    ends = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < ends
        time.sleep(0.02)


def works(project: Path, name: str) -> bool:
    """Whether the process whose number a stage has written into this file is at work."""
    try:
        return psutil.Process(int((project / name).read_text())).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def diamond(project: Path) -> None:
    """Two stages between a first and a last one; the one that is named first takes longer."""
    (project / "source").write_text("source\n")
    (project / "params.yaml").write_text("rate: 1\nother: [1.0e-05, null]\n")
    define(
        project,
        last={"cmd": "cat slow/file quick > last", "deps": ["slow", "quick"], "outs": ["last"]},
        slow={
            "cmd": ["sleep 0.5", "mkdir slow; cat first params.yaml > slow/file; grep rate params.yaml > rate.yaml"],
            "deps": ["first"],
            "params": ["rate", "other"],
            "outs": ["slow"],
            "metrics": [{"rate.yaml": {"cache": False}}],
        },
        quick={"cmd": "cat first > quick", "deps": ["first"], "outs": ["quick"]},
        first={"cmd": "cat source > first", "deps": ["source"], "outs": ["first"]},
    )


def test_the_same_lock_as_dvc_repro(project: Path) -> None:
    """From nothing and after a change: the same bytes, and DVC finds nothing to do."""
    diamond(project)
    other = shutil.copytree(project, project.with_name("other"))
    for rate in ("1", "[0.1, 2]"):
        for folder in (project, other):
            (folder / "params.yaml").write_text(f"rate: {rate}\nother: [1.0e-05, null]\n")
        drive(project, "--jobs", "2")
        dvc(other, "repro")
        assert (project / "dvc.lock").read_bytes() == (other / "dvc.lock").read_bytes()
        assert sorted(ran(project)) == sorted(ran(other))
    assert json.loads(dvc(project, "status", "--json")) == {}
    assert sorted((project / ".gitignore").open()) == sorted((other / ".gitignore").open())


def test_stages_overlap(project: Path) -> None:
    """Each of two waits until the other has begun."""
    wait = "touch {}.began; for i in $(seq 200); do [ -e {}.began ] && exec touch {}; sleep 0.1; done; exit 1"
    define(
        project,
        one={"cmd": wait.format("one", "two", "one"), "outs": ["one"]},
        two={"cmd": wait.format("two", "one", "two"), "outs": ["two"]},
    )
    drive(project, "--jobs", "2")


@pytest.mark.parametrize("jobs", [1, 2])
def test_no_more_stages_at_a_time_than_jobs(project: Path, jobs: int) -> None:
    """Each takes one of as many places. A single one shows its output as it comes."""
    places = " ".join(["one", "two"][:jobs])
    code = f"for place in {places}; do mkdir $place && sleep 0.3 && rmdir $place && echo well && exit 0; done; exit 1"
    define(project, **{name: {"cmd": code} for name in "abcd"})
    output = drive(project, "--jobs", str(jobs))
    assert sorted(ran(project)) == list("abcd")
    assert output.count("well\n") == (4 if jobs == 1 else 0)


def test_nothing_to_do(project: Path) -> None:
    diamond(project)
    drive(project)
    before = (project / "dvc.lock").stat()
    assert drive(project) == "Nothing to do: all 4 stages are up to date.\n"
    after = (project / "dvc.lock").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_the_run_cache(project: Path) -> None:
    """A value that is changed runs what depends on it; changed back, it runs nothing and leaves the same bytes."""
    diamond(project)
    files = ["dvc.lock", "slow/file", "rate.yaml", "last"]
    states = []
    for rate, expected in ((1, ["first", "quick", "slow", "last"]), (2, ["slow", "last"]), (1, []), (2, [])):
        (project / "ran").unlink(missing_ok=True)
        (project / "params.yaml").write_text(f"rate: {rate}\nother: [1.0e-05, null]\n")
        output = drive(project)
        assert sorted(ran(project)) == sorted(expected)
        states.append([(project / name).read_bytes() for name in files])
        assert f"rate: {rate}".encode() in (project / "last").read_bytes()
        assert "2 from the run cache" in output or expected
        assert re.search(r"slow: done in .* s, about .* s left", output) or states[1:]
    assert states[:2] == states[2:]
    assert json.loads((project / ".dvc/tmp/run/durations.json").read_text())["slow"] >= 0.5
    assert json.loads(dvc(project, "status", "--json")) == {}


SCRIPT = """
[ ! -e busy ] || exit 9
mkdir folder; cp mode folder/file
if grep slow mode; then
    trap 'sleep 1; rmdir busy; exit 1' TERM
    mkdir busy
    setsid sleep 60 & echo $! > courier
    sleep 60 & echo $! > helper
    wait
fi
cp mode file; cp mode metrics.yaml
seq 30 -1 1
! grep bad mode > words || exit 3
"""


def with_failure(project: Path) -> None:
    """`bad` makes a folder, a file and metrics that are a copy of `mode`; it fails if that says so, or is slow."""
    (project / "mode").write_text("good")
    (project / "other").write_text("good")
    (project / "script").write_text(SCRIPT)
    define(
        project,
        bad={
            "cmd": "sh script",
            "deps": ["mode"],
            "outs": ["folder", "file"],
            "metrics": [{"metrics.yaml": {"cache": False}}],
        },
        after={"cmd": "cp file after", "deps": ["file", "other"], "outs": ["after"]},
        later={"cmd": "cp after later", "deps": ["after"], "outs": ["later"]},
        apart={"cmd": "cp other apart", "deps": ["other"], "outs": ["apart"]},
    )


def change(project: Path, mode: str) -> None:
    """Everything has to run then."""
    (project / "mode").write_text(mode)
    (project / "other").write_text(mode)


def outputs(project: Path) -> list[str]:
    """What `bad` has made."""
    paths = [project / name for name in ("folder/file", "file", "metrics.yaml")]
    return [path.read_text() if path.exists() else "" for path in paths]


def test_a_failure(project: Path) -> None:
    """Earlier outputs come back, what depends on the stage does not run, the rest does."""
    with_failure(project)
    drive(project)
    (project / "ran").unlink()
    change(project, "bad")
    output = drive(project, "--jobs", "2", expect=1)
    assert outputs(project) == ["good"] * 3
    assert sorted(ran(project)) == ["apart", "bad"]
    assert (project / "apart").read_text() == "bad"
    assert "bad FAILED, exit code 3; 2 stages downstream not run" in output
    assert re.findall(r"^ +(\d+)$", output, re.MULTILINE) == [str(number) for number in range(20, 0, -1)]
    change(project, "good")
    assert "0 ran, 1 from the run cache" in drive(project)  # `apart`; the others are as they were


def test_a_failure_of_a_first_run_leaves_no_output(project: Path) -> None:
    with_failure(project)
    (project / "mode").write_text("bad")
    drive(project, "--jobs", "1", expect=1)
    assert outputs(project) == [""] * 3
    assert entries(project) == ["apart"]


def test_an_output_that_is_not_made_is_a_failure(project: Path) -> None:
    """So is a dependency that is not there; or a command that fails, and the stage's next one does not start then."""
    (project / "made").write_text("by hand")
    define(
        project,
        none={"cmd": "true", "outs": ["none"]},
        after={"cmd": "touch after", "deps": ["none"], "outs": ["after"]},
        first={"cmd": ["false", "echo second >> ran"]},
        lost={"cmd": "touch made", "deps": ["nowhere"], "outs": ["made"]},
    )
    output = drive(project, expect=1)
    assert "none FAILED, output 'none' does not exist; 1 stage downstream not run" in output
    assert "first FAILED, exit code 1; 0 stages downstream not run" in output
    assert re.search("lost FAILED, .*nowhere", output)
    assert sorted(ran(project)) == ["first", "none"]
    assert (project / "made").read_text() == "by hand"


def test_a_command_that_cannot_be_started(project: Path) -> None:
    """The output of before is there again, here too."""
    stage = {"cmd": "cp source made", "deps": ["source"], "outs": ["made"]}
    (project / "dvc.yaml").write_text(json.dumps({"stages": {"made": stage}}))
    (project / "source").write_text("1")
    drive(project)
    (project / "source").write_text("2")
    assert "made FAILED, [Errno 2] No such file or directory" in drive(project, expect=1, shell="/no/shell")
    assert (project / "made").read_text() == "1"


def test_fail_fast(project: Path) -> None:
    with_failure(project)
    (project / "mode").write_text("bad")
    drive(project, "--jobs", "1", "--fail-fast", expect=1)
    assert ran(project) == ["bad"]


def test_targets(project: Path) -> None:
    """Only what a target needs; a target that is not there is one line."""
    diamond(project)
    drive(project, "quick")
    assert ran(project) == ["first", "quick"]
    output = drive(project, "nobody", expect=1)
    assert "nobody" in output
    assert output.count("\n") == 1


def test_bad_params_are_one_line(project: Path) -> None:
    diamond(project)
    (project / "params.yaml").write_text("rate: [\n")
    output = drive(project, expect=1)
    assert "params.yaml" in output
    assert "Traceback" not in output
    (project / "dvc.yaml").write_text("stages: [\n")
    output = drive(project, expect=1)
    assert "dvc.yaml" in output
    assert output.count("\n") == 1


def test_a_kind_that_is_not_there_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC misses its file before the stage that knows the kinds can start. Other failures are not explained so."""
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("model: {kind: conv}", "model: {kind: convv}", 1))
    monkeypatch.chdir(tmp_path)
    fault = fault_of_params(f"[Errno 2] No such file or directory: '{tmp_path}/src/dae/networks/convv.py'")
    assert fault.startswith("params.yaml: clean.gaussian_conv.model.kind: expected one of conv, ")
    assert fault_of_params("exit code 1") == ""
    (tmp_path / "params.yaml").write_text(text)
    assert fault_of_params("No such file: src/dae/networks/conv.py") == ""


def test_stages_out_of_the_ordinary_are_as_with_dvc(project: Path) -> None:
    """Frozen, running always, without dependencies, without anything, with persistent outputs, in a folder."""
    (project / "source").write_text("1")
    (project / "folder").mkdir()
    define(
        project,
        frozen={"cmd": "cp source frozen", "deps": ["source"], "outs": ["frozen"]},
        always={"cmd": "cat frozen > always", "deps": ["frozen"], "outs": ["always"], "always_changed": True},
        alone={"cmd": "touch alone", "outs": ["alone"]},
        nothing={"cmd": "true"},
        inside={"cmd": "echo $DVC_STAGE > inside", "wdir": "folder", "outs": ["inside"]},
        adds={"cmd": "cat source >> adds", "deps": ["source"], "outs": [{"adds": {"persist": True}}]},
    )
    other = shutil.copytree(project, project.with_name("other"))
    for folder, run in ((project, lambda: drive(project, "--jobs", "1")), (other, lambda: dvc(other, "repro"))):
        run()
        pipeline = json.loads((folder / "dvc.yaml").read_text())
        pipeline["stages"]["frozen"]["frozen"] = True
        (folder / "dvc.yaml").write_text(json.dumps(pipeline))
        (folder / "source").write_text("2")
        (folder / "ran").unlink()
        run()
        (folder / "frozen").write_text("by hand")
        run()
    assert ran(project) == ran(other) == ["always", "nothing", "adds", "always", "nothing"]
    assert (project / "dvc.lock").read_bytes() == (other / "dvc.lock").read_bytes()
    assert (project / "adds").read_text() == "12"
    assert (project / "folder/inside").read_text() == "inside\n"


def test_an_edit_while_a_stage_runs_counts_as_a_change(project: Path) -> None:
    """dvc.lock says what the stage has seen."""
    diamond(project)
    process = begin(project)
    eventually(lambda: "slow" in ran(project))
    (project / "params.yaml").write_text("rate: 7\nother: [1.0e-05, null]\n")
    process.communicate(timeout=100)
    assert process.returncode == 0
    assert load_yaml(str(project / "dvc.lock"))["stages"]["slow"]["params"]["params.yaml"]["rate"] == 1
    drive(project)
    assert ran(project).count("slow") == 2
    assert (project / "rate.yaml").read_text() == "rate: 7\n"


def test_the_lock_is_written_now_and_then(project: Path) -> None:
    """In the order of the plan, whatever is finished first, and never in place."""
    diamond(project)
    drive(project, "quick")
    (project / "old.lock").hardlink_to(project / "dvc.lock")
    (project / "params.yaml").write_text("rate: 2\nother: [1.0e-05, null]\n")
    define(
        project,
        late={"cmd": "sleep 2; cp dvc.lock seen; touch late", "deps": ["first"], "outs": ["late"]},
        early={"cmd": "touch early", "deps": ["first"], "outs": ["early"]},
        first={"cmd": "cat source > first", "deps": ["source"], "outs": ["first"]},
    )
    drive(project, "--jobs", "2", command=[sys.executable, "-c", OFTEN])
    assert entries(project) == ["first", "quick", "late", "early"]
    (project / "dvc.lock").write_bytes((project / "seen").read_bytes())
    assert entries(project) == ["first", "quick", "early"]
    (project / "dvc.lock").write_bytes((project / "old.lock").read_bytes())
    assert entries(project) == ["first", "quick"]


@pytest.fixture
def at_work(project: Path) -> Iterator["subprocess.Popen[str]"]:
    """The engine, which has finished `apart` and runs `bad`, whose earlier outputs are aside."""
    with_failure(project)
    drive(project)
    (project / "ran").unlink()
    change(project, "slow")
    process = begin(project, "--jobs", "2")
    eventually(lambda: (project / "helper").exists() and (project / "helper").read_text() != "")
    eventually(lambda: (project / "apart").exists() and not (project / ".dvc/tmp/run/earlier/apart").exists())
    assert outputs(project) == ["slow", "", ""]
    yield process
    assert works(project, "courier")  # it has a session of its own
    os.kill(int((project / "courier").read_text()), signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal(project: Path, at_work: "subprocess.Popen[str]", number: signal.Signals) -> None:
    """What runs ends in good order, its outputs come back, dvc.lock has what is finished, and the next run goes on."""
    at_work.send_signal(number)
    output, _ = at_work.communicate(timeout=100)
    assert at_work.returncode == 130, output
    assert "interrupted; " in output
    assert not (project / "busy").exists()
    assert not works(project, "helper")
    assert outputs(project) == ["good"] * 3
    assert "apart" not in json.loads(dvc(project, "status", "--json"))
    (project / "mode").write_text("better")
    drive(project)
    assert outputs(project) == ["better"] * 3
    assert (sorted(ran(project)[:2]), ran(project)[2:]) == (["apart", "bad"], ["bad", "after", "later"])


def test_a_kill(project: Path, at_work: "subprocess.Popen[str]") -> None:
    """What runs ends too. The next run waits for that, puts back what is missing, and runs nothing twice."""
    at_work.kill()
    (project / ".dvc/tmp/rwlock").write_text('{"wri')  # DVC writes this file in place
    (project / "mode").write_text("bad")
    output = drive(project, expect=1)
    assert "bad FAILED, exit code 3" in output
    assert not works(project, "helper")
    assert outputs(project) == ["slow", "good", "good"]
    assert (sorted(ran(project)[:2]), ran(project)[2:]) == (["apart", "bad"], ["bad"])
    (project / "mode").write_text("better")
    drive(project)
    assert outputs(project) == ["better"] * 3
    assert json.loads(dvc(project, "status", "--json")) == {}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_stage_that_does_not_listen_is_killed(project: Path, number: signal.Signals) -> None:
    define(project, deaf={"cmd": "trap '' TERM; sleep 60 & echo $! > helper; wait; wait", "outs": ["deaf"]})
    process = begin(project, command=[sys.executable, "-c", IMPATIENT])
    eventually(lambda: (project / "helper").exists() and (project / "helper").read_text() != "")
    process.send_signal(number)
    process.communicate(timeout=100)
    eventually(lambda: not works(project, "helper"), 5)


def test_another_dvc_command_is_waited_for(project: Path) -> None:
    define(project, made={"cmd": "touch made", "outs": ["made"]})
    with Repo(str(project)) as repo, repo.lock:
        process = begin(project)
        time.sleep(5)
        assert process.poll() is None
        assert ran(project) == []
    process.communicate(timeout=100)
    assert process.returncode == 0
    assert ran(project) == ["made"]
