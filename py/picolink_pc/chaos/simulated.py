"""Very many runs of picolink_pc.simulation.chaos, in several processes, and what they add up to."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..bench.report import Result
from ..processes import in_processes
from ..simulation import chaos
from ..simulation.chaos import Count, Outcome
from ..simulation.engines import engines
from .progress import tell_tenth

Tell = Callable[[float, str], None]

_CHUNK = 25
"""Runs that a process does between two reports: a second or two."""

_SHOWN = 5
"""Broken runs that are shown whole; the rest are only counted."""

_GROUPS = (
    "connection dropped",
    "central restarted",
    "peripheral restarted",
    "when the connection ended",
    "packets",
    "host stack",
    "write refused",
    "hung up",
    "strangers",
    "forger",
    "closed",
    "boards",
    "engine",
)
"""What may befall a run, in the order of the table."""


@dataclass(frozen=True)
class Choice:
    """Of what each run has.   forger: does somebody forge?   keyed: have the boards a key? None: in every
    other run, as its seed says."""

    forger: bool | None = None
    keyed: bool | None = None

    def play(self, kind: str, seed: int, **more: Tell) -> Outcome:
        return chaos.play(engines(kind, seed), seed, forger=self.forger, keyed=self.keyed, **more)

    def options(self) -> str:
        """As the command has them, with a space before each."""
        chosen = (("forger", self.forger), ("key", self.keyed))
        return "".join(f" --{'' if is_so else 'no-'}{name}" for name, is_so in chosen if is_so is not None)


@dataclass
class Summary:
    """What the runs add up to.   failures: those in which a promise was broken."""

    kind: str
    choice: Choice
    seeds: range
    runs: int = 0
    messages: int = 0
    virtual_seconds: float = 0
    counts: Counter[Count] = field(default_factory=Counter)
    failures: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        self.runs += 1
        self.messages += outcome.messages
        self.virtual_seconds += outcome.virtual_seconds
        self.counts += outcome.counts
        if outcome.errors:
            self.failures.append(outcome)

    def join(self, other: "Summary") -> None:
        self.runs += other.runs
        self.messages += other.messages
        self.virtual_seconds += other.virtual_seconds
        self.counts += other.counts
        self.failures += other.failures

    def result(self) -> Result:
        """As a table."""
        lines = [
            ("runs", "runs", self.runs),
            ("runs", "hours of virtual time", round(self.virtual_seconds / 3600, 1)),
            ("runs", "messages received and checked", self.messages),
            *sorted(
                ((*count, number) for count, number in self.counts.items()),
                key=lambda line: (_GROUPS.index(line[0]), line[1]),
            ),
            ("promises", "runs in which one was broken", len(self.failures)),
        ]
        failed = sorted(failure.seed for failure in self.failures)
        return Result(
            name="chaos",
            title="What happened to two boards in simulation",
            parameters={
                "engine": self.kind,
                **{name: value for name, value in asdict(self.choice).items() if value is not None},
                "first_seed": self.seeds[0],
                "failed_seeds": failed,
            },
            columns={"group": "", "what": "", "count": "how often"},
            rows=[dict(zip(("group", "what", "count"), line, strict=True)) for line in lines],
            notes=[f"Failed seeds: {', '.join(map(str, failed)) or 'none'}."],
        )


def tell(console: Console, seed: int, kind: str, choice: Choice) -> bool:
    """One run, with all that is done in it. Returns whether every promise was kept."""
    outcome = choice.play(
        kind,
        seed,
        tell=lambda seconds, text: console.print(f"{seconds:9.3f} s  {text}", markup=False, emoji=False),
    )
    kept = not outcome.errors
    end = "every promise was kept" if kept else "a promise was broken"
    console.print(f"{outcome.virtual_seconds:9.3f} s  messages received so far: {outcome.messages}; {end}")
    return kept


def play(console: Console, seeds: range, kind: str, jobs: int, choice: Choice) -> Summary:
    """All runs of `seeds`, `jobs` at a time. Says at once when one breaks a promise, and how to repeat it."""
    engines(kind, 0)  # what is missing shows here, and what has to be compiled is compiled once
    summary = Summary(kind, choice, seeds)
    columns = (TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[broken]}"))
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        task = progress.add_task("", total=len(seeds), broken="")
        for part in _parts(seeds, kind, jobs, choice):
            for failure in part.failures[: max(0, _SHOWN - len(summary.failures))]:
                _show(console, failure, kind, choice)
            before = summary.runs
            summary.join(part)
            progress.update(task, completed=summary.runs, broken=_broken(summary))
            tell_tenth(console, before, summary.runs, len(seeds), f"runs{_broken(summary)}")
    return summary


def _broken(summary: Summary) -> str:
    return f", {len(summary.failures)} with a broken promise" if summary.failures else ""


def _show(console: Console, failure: Outcome, kind: str, choice: Choice) -> None:
    console.print(f"seed {failure.seed}: a promise was broken", style="bold red")
    for error in failure.errors[:5]:
        console.print(f"    {error}", markup=False, emoji=False)
    again = f"picolink chaos --seed {failure.seed} --engine {kind}{choice.options()}"
    console.print(f"    the same run again: {again}")


def _parts(seeds: range, kind: str, jobs: int, choice: Choice) -> Iterator[Summary]:
    chunks = [seeds[at : at + _CHUNK] for at in range(0, len(seeds), _CHUNK)]
    if jobs == 1:
        yield from (_part(chunk, kind, choice) for chunk in chunks)
        return
    for _, part in in_processes(partial(_part, kind=kind, choice=choice), chunks, jobs):
        yield part


def _part(seeds: range, kind: str, choice: Choice) -> Summary:
    summary = Summary(kind, choice, seeds)
    for seed in seeds:
        summary.add(choice.play(kind, seed))
    return summary
