"""Every benchmark, in one process; writes RESULTS.md beside this file: ``python -m benchmarks [--quick]``."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks import detection, speed

PLACE = Path(__file__).with_name("RESULTS.md")
SHOWN = ("diabolo", "torch", "numpy", "scikit-learn", "pyarrow", "pyod")
NOTES = {
    "clean": "Trained on normal rows only: AUROC / average precision in %, mean over seeds",
    "contaminated": "Trained on all rows without labels, the same rows scored: AUROC / average precision in %",
}


def main() -> None:
    """Run, print and write all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed and at most 5,000 rows a set")
    quick = parser.parse_args().quick
    rows, seeds = (5_000, 1) if quick else (50_000, 3)
    parts = [heading(rows, seeds)]
    for title, lines in speed.tables():
        parts.append(section(title, lines))
    for protocol, title in NOTES.items():
        parts.append(section(title, detection.table(protocol, rows, range(seeds))))
    PLACE.write_text("\n\n".join(parts) + "\n")


def heading(rows: int, seeds: int) -> str:
    """What was measured on what."""
    versions = ", ".join(f"{name} {version(name)}" for name in SHOWN)
    machine = f"{os.cpu_count()} cores ({processor()}), {platform.system()}, Python {platform.python_version()}"
    return (
        f"# Benchmarks\n\n{datetime.now(UTC):%Y-%m-%d}, {machine}, {versions}. Sets of more than {rows:,} rows are cut "
        f"to as many; {seeds} seed{'s' * (seeds > 1)}; one configuration, the default, for all sets."
    )


def processor() -> str:
    """The processor's name, where the system tells it."""
    told = Path("/proc/cpuinfo")
    names = [line.split(":", 1)[1].strip() for line in told.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def section(title: str, lines: Iterable[list[str]]) -> str:
    """A table in Markdown, printed as it grows."""
    print(f"\n{title}", file=sys.stderr)
    rows = []
    for line in lines:
        print(" | ".join(line), file=sys.stderr, flush=True)
        rows.append("| " + " | ".join(line) + " |")
        if len(rows) == 1:
            rows.append("|" + " --- |" * len(line))
    return f"## {title}\n\n" + "\n".join(rows)


if __name__ == "__main__":
    main()
