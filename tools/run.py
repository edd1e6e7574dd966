"""Bring the pipeline up to date with several stages at a time: `dvc repro` on all cores, through DVC's own objects.

One process, the driver, holds DVC's lock and decides what is ready; the commands of the stages run in processes of
their own. The driver saves a finished stage as `dvc repro` does. Four things are different:

- Rewriting a long dvc.lock takes seconds, so it is written now and then instead of after every stage. A driver that is
  killed loses a few entries, and the next run takes these stages from DVC's run cache.
- The earlier outputs of a stage are moved aside while it runs, and they come back if it fails.
- dvc.lock records the dependencies as they were when the command started. If somebody edits one of them meanwhile,
  the next run sees that it has changed.
- DVC's lock is held until the run ends, so other DVC commands have to wait for it.
"""

import logging
import os
import shlex
import signal
import statistics
import subprocess
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from dvc.dvcfile import Lockfile
from dvc.exceptions import DvcException
from dvc.lock import LockError
from dvc.repo import Repo
from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro
from dvc.stage import PipelineStage, Stage
from dvc.stage.cache import RunCacheNotFoundError
from dvc.stage.run import get_executable, prepare_kwargs

from dae.core.files import read_json, replacing_file, write_json
from dae.params import check
from stages.common import run
from stages.context import PARAMS
from tools.outputs import Earlier, mend
from tools.processes import end, guard, noted_signals

POLL = 0.05  # seconds between two looks at the running stages
INTERVAL = 20.0  # seconds between two writes of dvc.lock, at least
SHARE = 0.05  # the part of the driver's time that may go into writing dvc.lock
TAIL = 20  # lines of a failed stage's output that are shown
SHELL_OPTIONS = {"bash": ["--noprofile", "--norc"], "zsh": ["--no-rcs"], "fish": ["--no-config"]}  # those DVC gives


def main(
    targets: Annotated[list[str] | None, typer.Argument(help="Stages to bring up to date, by default all")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="Stages that run at a time, by default one per core")] = None,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Start nothing new after a failure")] = False,
) -> None:
    """Run the stages that are not up to date, several at a time."""
    logging.getLogger("dvc").setLevel(logging.WARNING)
    try:
        with Repo() as repo, held(repo.lock), guard() as tell:
            mend(repo)
            graph = get_active_graph(repo.index.graph)
            wanted = set(plan_repro(graph, collect_stages(repo, targets) if targets else None))
            plan = [stage for stage in plan_repro(graph) if stage in wanted]
            driver = Driver(repo, graph, plan, tell, jobs or cores(), fail_fast)
            driver.run()
    except DvcException as error:
        raise ValueError(fault_of_params(in_words(error)) or in_words(error)) from error
    for fault in {fault_of_params(reason) for reason in driver.failed.values()} - {""}:
        say(f"error: {fault}")
    raise SystemExit(1 if driver.failed else 0)


def fault_of_params(reason: str) -> str:
    """What is wrong in params.yaml, if that is why DVC misses a key of an entry or the file of a kind; otherwise "".

    DVC looks for the file of a kind before the stage that would name the known kinds can start.
    """
    if "src/dae/" in reason or "Could not find" in reason:
        try:
            check(PARAMS)
        except ValueError as error:
            return str(error)
    return ""


class Driver:
    """Decides which stages run, starts them, and saves them when they have finished."""

    def __init__(
        self, repo: Repo, graph: Any, plan: list[Stage], tell: Callable[[list[int]], None], jobs: int, fail_fast: bool
    ) -> None:
        self.repo, self.graph, self.plan, self.tell = repo, graph, plan, tell
        self.jobs, self.fail_fast = jobs, fail_fast
        self.folder = Path(repo.tmp_dir, "run")
        self.folder.mkdir(exist_ok=True)
        self.records = Records(repo, plan, self.folder)
        self.unseen = list(plan)  # each waits for the stages that it depends on
        self.waiting: list[Stage] = []  # each waits for its turn to run
        self.running: list[Running] = []
        self.done: set[Stage] = set()
        self.failed: dict[Stage, str] = {}
        self.ran = self.restored = 0
        self.surveyed = False  # whether all that was ready at the beginning has been looked at

    def run(self) -> None:
        """Run everything. Raises KeyboardInterrupt after a signal, once the running stages have ended in good order."""
        began = time.monotonic()
        with noted_signals() as noted:
            try:
                while self.step():
                    if noted:
                        raise KeyboardInterrupt
            finally:
                self.stop()
        self.sum_up(time.monotonic() - began)

    def step(self) -> bool:
        """Look at one stage that is ready, start what can start, save what has ended. Is there more to do?"""
        stage = self.next_ready()
        if stage:
            self.unseen.remove(stage)
            self.look_at(stage)
        else:
            self.surveyed = True
        while self.waiting and len(self.running) < self.jobs:
            self.start(self.waiting.pop(0))
        ended = [each for each in self.running if each.process.poll() is not None]
        for each in ended:
            self.collect(each)
        if time.monotonic() > self.records.due:
            self.records.write()
        if not stage and not ended:
            time.sleep(POLL)
        return bool(self.running or self.waiting or self.next_ready())

    def next_ready(self) -> Stage | None:
        """The first stage that nobody has looked at yet and whose upstream stages are all done."""
        return next((stage for stage in self.unseen if self.done.issuperset(self.graph.successors(stage))), None)

    def look_at(self, stage: Stage) -> None:
        """Settle a stage that is up to date, has no command or is in the run cache. The others have to run."""
        try:
            if stage.frozen and not stage.is_import:
                say(f"{stage.addressing} is frozen: changes of its dependencies do not count")
            if not stage.changed():
                self.done.add(stage)
            elif stage.frozen or not stage.cmd:
                stage.run()
                self.finish(stage, "saved")
            else:
                self.restore(stage)
        except RunCacheNotFoundError:
            self.waiting.append(stage)
        except Exception as error:  # noqa: BLE001 (DVC raises errors of many packages; each concerns this stage alone)
            self.fail(stage, in_words(error))

    def restore(self, stage: Stage) -> None:
        """Take the outputs from DVC's run cache. Raises RunCacheNotFoundError if they are not there.

        `Stage.save_deps` must not come first: DVC would then take the outputs in dvc.lock for the ones wanted.
        """
        with Earlier(stage, self.folder):
            self.repo.stage_cache.restore(stage)
            save(stage)
        self.restored += 1
        self.finish(stage, "from the run cache")

    def start(self, stage: Stage) -> None:
        """Move the earlier outputs aside and start the command."""
        try:
            stage.save_deps()
            self.running.append(Running.begin(stage, self.folder, logged=self.jobs > 1))
            self.tell(self.groups())
            self.report(stage, "started")
        except Exception as error:  # noqa: BLE001 (as above)
            self.fail(stage, in_words(error))

    def collect(self, ended: "Running") -> None:
        """Save a stage whose command has ended well. Otherwise put its earlier outputs back."""
        self.running.remove(ended)
        took = time.monotonic() - ended.began
        try:
            with ended.earlier:
                ended.check()
                save(ended.stage)
        except Exception as error:  # noqa: BLE001 (as above)
            self.fail(ended.stage, in_words(error), ended.tail())
        else:
            self.ran += 1
            self.records.durations[ended.stage.addressing] = round(took, 1)
            self.finish(ended.stage, f"done in {in_time(took)}")
        self.tell(self.groups())

    def finish(self, stage: Stage, how: str) -> None:
        self.done.add(stage)
        self.records.add(stage)
        self.report(stage, how)

    def fail(self, stage: Stage, reason: str, output: Collection[str] = ()) -> None:
        """Say why a stage failed, and give up what depends on it; with --fail-fast, all that has not started."""
        self.failed[stage] = reason
        self.report(stage, f"FAILED, {reason}")
        for line in output:
            say(f"    {line}")
        lost = self.downstream(stage)
        self.unseen = [each for each in self.unseen if each not in lost and not self.fail_fast]
        self.waiting = [each for each in self.waiting if not self.fail_fast]
        self.records.write()

    def stop(self) -> None:
        """End what still runs, put its earlier outputs back, and write down what has finished."""
        if self.running:
            say(f"waiting for {count(len(self.running), 'stage')} to end")
            end(self.groups())
        for each in self.running:
            each.process.wait()
            each.earlier.put_back()
        self.tell([])
        mend(self.repo)
        self.records.write()

    def groups(self) -> list[int]:
        """The process groups of the running stages."""
        return [each.process.pid for each in self.running]

    def downstream(self, stage: Stage) -> set[Stage]:
        """The stages of the plan that depend on a stage, directly or not."""
        found = {stage}
        for each in self.plan:  # a stage comes after all that it depends on
            if not found.isdisjoint(self.graph.successors(each)):
                found.add(each)
        return found - {stage}

    def report(self, stage: Stage, what: str) -> None:
        ended = f"[{len(self.done) + len(self.failed)}/{len(self.plan)}]"
        running = f"{len(self.running)} running" if self.running else ""
        say(f"{ended} {stage.addressing}: {', '.join(filter(None, [what, running, self.time_left()]))}")

    def time_left(self) -> str:
        """An estimate from earlier durations; empty while many stages may still turn out to be up to date."""
        rest = [*self.unseen, *self.waiting, *(each.stage for each in self.running)]
        if not self.surveyed or not self.records.durations or not rest:
            return ""
        return f"about {in_time(sum(map(self.records.usual, rest)) / self.jobs)} left"

    def sum_up(self, took: float) -> None:
        """What was done, in one line, and a line for each failure."""
        if not self.failed and not self.records.finished:
            say(f"Nothing to do: all {len(self.plan)} stages are up to date.")
            return
        say(f"{self.ran} ran, {self.restored} from the run cache, {len(self.failed)} failed; {in_time(took)} in all")
        for stage, reason in self.failed.items():
            lost = count(len(self.downstream(stage)), "stage")
            say(f"{stage.addressing} FAILED, {reason}; {lost} downstream not run")


@dataclass(frozen=True)
class Running:
    """A stage whose command runs, in a session and process group of its own."""

    stage: Stage
    earlier: Earlier
    log: Path | None
    process: "subprocess.Popen[bytes]"
    began: float

    @classmethod
    def begin(cls, stage: Stage, folder: Path, *, logged: bool) -> "Running":
        """Start the command. Its output goes into a log in `folder` or, if not `logged`, where the driver's goes."""
        earlier, began = Earlier(stage, folder), time.monotonic()
        settings = {**prepare_kwargs(stage), "stdin": subprocess.DEVNULL, "start_new_session": True}
        if not logged:
            return cls(stage, earlier, None, subprocess.Popen(command(stage), **settings), began)
        log = folder / f"{quote(stage.addressing, safe='@')}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(command(stage), stdout=file, stderr=subprocess.STDOUT, **settings)
        return cls(stage, earlier, log, process, began)

    def check(self) -> None:
        """Raise ChildProcessError if the command failed, once nothing of it runs any more."""
        code = self.process.returncode
        if code:
            end([self.process.pid])
            raise ChildProcessError(f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}")

    def tail(self) -> list[str]:
        """The last lines of the log, and where the rest is; nothing if the output was passed through."""
        if not self.log:
            return []
        with self.log.open(encoding="utf-8", errors="replace") as lines:
            return [*(line.rstrip() for line in deque(lines, TAIL)), f"(from {os.path.relpath(self.log)})"]


def command(stage: Stage) -> list[str]:
    """A stage's command in the shell that DVC gives it; of several commands each in its own, as long as none fails."""
    shell = get_executable()
    options = SHELL_OPTIONS.get(Path(shell).name.lower(), [])
    lines = stage.cmd if isinstance(stage.cmd, list) else stage.cmd.splitlines()
    first, *others = [[shell, *options, "-c", line] for line in lines]
    return ["/bin/sh", "-c", " && ".join(map(shlex.join, [first, *others]))] if others else first


class Records:
    """What is written down about finished stages: their entries in dvc.lock, and how long they took."""

    def __init__(self, repo: Repo, plan: list[Stage], folder: Path) -> None:
        self.repo, self.plan, self.file = repo, plan, folder / "durations.json"
        locks = {lock_file(stage) for stage in plan}
        self.before = {lock: lock.read_bytes() if lock.exists() else b"" for lock in locks}
        self.finished: set[Stage] = set()
        self.unwritten: set[Path] = set()
        self.due = time.monotonic() + INTERVAL  # for the next write
        self.durations: dict[str, float] = {}
        with suppress(ValueError):
            self.durations = read_json(self.file)

    def add(self, stage: Stage) -> None:
        self.finished.add(stage)
        if isinstance(stage, PipelineStage):
            self.unwritten.add(lock_file(stage))
        else:
            stage.dump(update_pipeline=False)  # a short .dvc file of its own

    def write(self) -> None:
        """Write dvc.lock: what it was at the start and all stages finished since, in the order of the plan.

        The new file replaces the old one in one step, so that a kill cannot leave half of it.
        """
        if not self.unwritten:
            return
        began = time.monotonic()
        for lock in self.unwritten:
            with replacing_file(lock) as fresh:
                fresh.write_bytes(self.before[lock])
                entries = [stage for stage in self.plan if stage in self.finished and lock_file(stage) == lock]
                Lockfile(self.repo, str(fresh)).dump_stages(entries)
        with replacing_file(self.file) as fresh:
            write_json(fresh, self.durations)
        self.unwritten = set()
        took = time.monotonic() - began
        self.due = time.monotonic() + max(INTERVAL, took / SHARE)

    def usual(self, stage: Stage) -> float:
        """The seconds that a stage took the last time; for one that never ran, the median of the others."""
        return self.durations.get(stage.addressing, statistics.median(self.durations.values()))


def lock_file(stage: Stage) -> Path:
    """The dvc.lock beside the stage's dvc.yaml."""
    return Path(stage.path).with_suffix(".lock").resolve()


def save(stage: Stage) -> None:
    """Put a stage into DVC's cache and run cache, as `Stage.save` and `Stage.commit` do.

    The dependencies stay as they were when the command started.
    """
    stage.save_outs()
    stage.md5 = stage.compute_md5()
    stage.repo.stage_cache.save(stage)
    stage.commit()


@contextmanager
def held(lock: Any) -> Iterator[None]:
    """Hold DVC's lock; wait for it as long as another process holds it."""
    while not lock.is_locked:
        with suppress(LockError):  # after three seconds; on a terminal DVC says that it is waiting
            lock.lock()
    try:
        yield
    finally:
        lock.unlock()


def cores() -> int:
    """How many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_words(error: BaseException | None) -> str:
    """An error and what caused it, in one line."""
    texts = []
    while error:
        texts.append(" ".join(str(error).split()).rstrip(".") or type(error).__name__)
        error = error.__cause__
    return ": ".join(dict.fromkeys(texts))


def in_time(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds > 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def say(text: str) -> None:
    with suppress(OSError):  # the terminal was closed
        print(text, flush=True)


if __name__ == "__main__":
    run(main, after_interrupt="what is finished stays, and the next run goes on from there")
