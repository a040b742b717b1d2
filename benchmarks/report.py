"""Run every benchmark and write REPORT.md beside this file, with pictures: ``make bench``.

    python -m benchmarks.report [--only rank,scale] [--quick] [--kept]

Each benchmark runs in a process of its own; what it prints is its table, taken over as it is, below
the command that printed it. Those with ``--json`` also hand their rows over for the pictures. One
that fails is named at the top and does not stop the others. With ``--only`` the sections of earlier
runs stay, each with its own date and machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import _pictures
from benchmarks._quality_cache import installed

HERE = Path(__file__).parent
PICTURES = HERE / "pictures"
_LIBRARIES = ("numpy", "scipy", "pandas", "redis", "lightgbm", "bayesianbandits", "mabwiser",
              "contextualbandits", "river", "vowpalwabbit", "dask")  # fmt: skip


@dataclass(frozen=True)
class Benchmark:
    """One module of benchmarks/, and how it is run."""

    name: str
    question: str
    limit: str  # what stands beside our figure in its table
    full: tuple[str, ...] = ()
    quick: tuple[str, ...] = ()
    has_json: bool = False
    keeps_parts: bool = False  # and can print what earlier runs have finished

    def command(self, *, is_quick: bool, is_kept: bool = False) -> list[str]:
        kept = ["--kept"] if is_kept and self.keeps_parts else []
        return ["-m", f"benchmarks.{self.name}", *(self.quick if is_quick else self.full), *kept]


BENCHMARKS = (
    Benchmark(
        "quality", "How much of what matters is found early, beside other learners?",
        "the oracle, which knows the outcomes", ("--orders", "all"),
        ("--case", "full", "--orders", "scanrank,random,composite,last rating,oracle", "--scans",
         "75"), has_json=True, keeps_parts=True,
    ),
    Benchmark("ablation", "Does every part of the learner pay for itself?",
              "the learner without the part", (), ("--case", "full", "--scans", "75"),
              has_json=True, keeps_parts=True),
    Benchmark(
        "rank", "What does one step of drawing, picking and learning cost?",
        "plain numpy: one normal number per arm, a partition, an update of 50",
        ("--peers",), ("--arms", "5000,50000"), has_json=True,
    ),
    Benchmark("replay", "How long does a replay take to rank and learn?",
              "an update and a Cholesky factor a batch in plain numpy and scipy", (),
              ("--scans", "40", "--rounds", "1")),
    Benchmark("features", "What do the features cost?", "the bare TA-Lib calls"),
    Benchmark("store", "What does the store cost?", "bare round trips of the same bytes"),
    Benchmark("adapter", "What does the adapter cost around a thread pool?",
              "a plain ThreadPoolExecutor.map", (), ("--symbols", "1500", "--runs", "1")),
    Benchmark("intraday", "Are hits found while they last, in a scan every five minutes?",
              "round robin", (), ("--days", "3", "--warm-up", "1", "--half-lives", "60")),
    Benchmark("service", "What does watching a scan cost?", "a scan that nobody watches", (),
              ("--quick",), has_json=True),
    Benchmark("faults", "Is anything lost when plugs are pulled?", "zero", (), ("--kills", "10")),
    Benchmark("scale", "What do more workers bring?", "the sleeping alone, spread evenly", (),
              ("--quick",), has_json=True),
    Benchmark("cost", "How does it grow, and what is that at 100 million a day?",
              "the evaluations themselves", has_json=True),
    Benchmark("million", "Do a million symbols fit, from their bars on?", "1.5 GiB of memory",
              ("--bars",), ("--bars", "--arms", "50000"), has_json=True),
    Benchmark("soak", "Does anything grow over years?", "a slope of zero", (),
              ("--scans", "60", "--symbols", "500"), has_json=True),
)  # fmt: skip


def run(benchmark: Benchmark, *, is_quick: bool, timeout_s: float, is_kept: bool = False) -> str:
    """Run one benchmark and return its section of the report."""
    command = benchmark.command(is_quick=is_quick, is_kept=is_kept)
    began, when = time.monotonic(), datetime.now(UTC)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.json"
        further = ["--json", str(rows)] if benchmark.has_json else []
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "110"}
        try:
            done = subprocess.run(  # noqa: S603
                [sys.executable, *command, *further],
                cwd=HERE.parent, env=environment, capture_output=True, text=True, check=False,
                timeout=timeout_s,
            )  # fmt: skip
            code, printed, said = done.returncode, done.stdout, done.stderr
        except subprocess.TimeoutExpired as late:
            code, printed, said = -1, _text(late.stdout), f"no end within {timeout_s:.0f} s"
        seconds = time.monotonic() - began
        picture = ""
        if code == 0 and rows.is_file():
            PICTURES.mkdir(exist_ok=True)
            picture = _pictures.draw(
                benchmark.name, json.loads(rows.read_text(encoding="utf-8")), PICTURES
            )
    lines = [
        f"## {benchmark.name}: {benchmark.question}",
        "",
        f"`python {' '.join(command)}` on {when:%Y-%m-%d %H:%M} UTC, commit {_commit()}, "
        f"{seconds:.0f} s, load {load:.1f} at the start. Beside each figure: {benchmark.limit}.",
        "",
    ]
    if code != 0:
        lines += [f"**Failed** with exit code {code}:", "", "```text", said.strip()[-2000:], "```"]
    lines += ["```text", printed.strip(), "```", ""]
    if picture:
        lines += [f"![{benchmark.question}](pictures/{picture})", ""]
    print(f"{benchmark.name:<10} {seconds:7.0f} s  {'ok' if code == 0 else 'FAILED'}", flush=True)
    return "\n".join(lines)


def read_sections() -> dict[str, str]:
    """Return the sections of the report as it stands, by benchmark."""
    if not (HERE / "REPORT.md").is_file():
        return {}
    text = (HERE / "REPORT.md").read_text(encoding="utf-8")
    starts = "|".join(benchmark.name for benchmark in BENCHMARKS)
    parts = re.split(rf"^## ({starts}): ", text, flags=re.MULTILINE)[1:]
    return {
        name: f"## {name}: {rest.rstrip()}\n"
        for name, rest in zip(parts[::2], parts[1::2], strict=True)
    }


def is_failed(section: str) -> bool:
    """Whether the benchmark of a section went wrong."""
    return "**Failed**" in section


def write_report(found: Mapping[str, str]) -> None:
    """Put the sections together, in their order."""
    sections = {b.name: found[b.name] for b in BENCHMARKS if b.name in found}
    failed = [name for name, text in sections.items() if is_failed(text)]
    missing = [b.name for b in BENCHMARKS if b.name not in sections]
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench` (`python -m benchmarks.report`); not edited by hand.",
        "",
        f"Machine: {_machine()}. Python {platform.python_version()}, {_versions()}.",
        "",
    ]
    if failed:
        lines += [f"Failed: {', '.join(failed)}; each says why below.", ""]
    if missing:
        lines += [f"Not run yet: {', '.join(missing)}.", ""]
    text = "\n".join(lines) + "\n" + "\n".join(sections.values())
    (HERE / "REPORT.md").write_text(text, encoding="utf-8")


def _machine() -> str:
    model = platform.processor() or platform.machine()
    cpus = Path("/proc/cpuinfo")
    if cpus.is_file():
        names = [line for line in cpus.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return f"{model}, {os.cpu_count()} cores, {platform.system()}"


def _versions() -> str:
    return ", ".join(f"{name} {installed(name)}" for name in _LIBRARIES)


def _commit() -> str:
    git = shutil.which("git")
    if git is None:
        return "unknown"
    done = subprocess.run(  # noqa: S603
        [git, "rev-parse", "--short", "HEAD"], cwd=HERE.parent, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    return done.stdout.strip() or "unknown"


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")


def main() -> None:
    """Run them; exit code 1 when one failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [benchmark.name for benchmark in BENCHMARKS]
    parser.add_argument("--only", default=",".join(names), help="names, separated by commas")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that all run")
    parser.add_argument(
        "--kept", action="store_true",
        help="of quality and ablation, only what earlier runs have finished",
    )  # fmt: skip
    parser.add_argument("--timeout-s", type=float, default=8 * 3600.0, help="of one benchmark")
    options = parser.parse_args()
    wanted = options.only.split(",")
    if unknown := [name for name in wanted if name not in names]:
        parser.error(f"unknown benchmark {unknown[0]!r}; known are {', '.join(names)}")
    sections = read_sections()
    for benchmark in BENCHMARKS:
        if benchmark.name in wanted:
            sections[benchmark.name] = run(
                benchmark, is_quick=options.quick, timeout_s=options.timeout_s,
                is_kept=options.kept,
            )  # fmt: skip
            write_report(sections)
    raise SystemExit(1 if any(is_failed(sections[name]) for name in wanted) else 0)


if __name__ == "__main__":
    main()
