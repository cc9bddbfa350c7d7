"""Many inputs for every fuzz target, then for the comparison of C and Python: what "make fuzz" runs.

    python tests/fuzz/long_run.py RUNS

Shows progress and the counts. Stops at the first finding, with the input and the command that shows it again.
"""

import re
import subprocess
import sys
from itertools import chain, islice
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import differential  # noqa: E402
import inputs  # noqa: E402
import object_differential  # noqa: E402
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: E402

OUT = HERE.parents[1] / "build/out/fuzz"
# Bytes of an input: longer ones cost more than they find.
LONGEST = {"feed": 1024, "structured": 80, inputs.KEYED: 80, inputs.OBJECTS: 120}


def fuzz(target: str, runs: int, progress: Progress) -> str:
    """Run libFuzzer. Returns what it counted; SystemExit at a finding."""
    task = progress.add_task(f"fuzz_{target}", total=runs)
    log = OUT / f"{target}.log"
    for number, seed in enumerate(inputs.seeds(target)):
        (inputs.folder_of(target, OUT / "corpus") / f"seed-{number}").write_bytes(seed)
    command = [
        OUT / f"fuzz_{target}",
        f"-runs={runs}",
        f"-max_len={LONGEST[target]}",
        f"-artifact_prefix={OUT}/finding-{target}-",
        inputs.folder_of(target, OUT / "corpus"),
        inputs.folder_of(target, HERE / "corpus"),
    ]
    counted = ""
    with log.open("w") as lines, subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            lines.write(line)
            if match := re.match(r"#(\d+)\s.*(cov: \d+ ft: \d+ corp: \d+)", line):
                progress.update(task, completed=int(match[1]))
                counted = match[2]
    if process.returncode:
        raise SystemExit(
            f"{log.read_text()[-3000:]}\nfuzz_{target} has a finding: the whole log is {log}.\n"
            f"Once more:  {command[0]} FILE, with the file named above"
        )
    progress.update(task, completed=runs)
    return f"fuzz_{target}: {runs:,} inputs, no finding ({counted})"


def compare(target: str, count: int, progress: Progress) -> str:
    """Compare C and Python on all inputs that libFuzzer has kept, and on changes of them."""
    kept = inputs.corpus(target) + inputs.corpus(target, OUT / "corpus")
    count += len(kept)
    calls = 0
    changed = inputs.mutants(kept, seed=len(kept))
    for data in progress.track(
        islice(chain(kept, changed), count), total=count, description=f"C and Python, {target}"
    ):
        if target == inputs.OBJECTS:
            object_differential.compare(data)
        else:
            calls += differential.compare(target, data)
    counted = f"{calls:,} calls, " if calls else ""
    return f"C and Python on {target}: {count:,} inputs, {counted}no difference"


def main(runs: int) -> None:
    columns = TextColumn("{task.description:24}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns) as progress:
        for target in (*inputs.TARGETS, inputs.KEYED, inputs.OBJECTS):
            progress.console.print(fuzz(target, runs, progress))
        for target in (*inputs.TARGETS, inputs.OBJECTS):
            progress.console.print(compare(target, runs // 100, progress))


if __name__ == "__main__":
    main(int(sys.argv[1]))
