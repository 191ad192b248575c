"""Write the tables of docs/performance.md and their plot from the profiles: `python benchmarks/performance_page.py`.

The profiles are benchmarks/results/profile_step*.json, as benchmarks/profile_step.py leaves them.
"""

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- from benchmarks/performance_page.py -->", "<!-- to here -->"
KERNELS_SHOWN, NAME_LENGTH = 2, 32


def read_profiles(directory: Path) -> list[dict[str, Any]]:
    """The profiled steps of all files, by length, each with the machine it ran on."""
    rows = []
    for path in sorted(directory.glob("profile_step*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        rows += [{**row, "machine": result["machine"]} for row in result["rows"]]
    return sorted(rows, key=lambda row: (row["length"], row["overrides"]))


def floor_of(row: dict[str, Any]) -> float:
    """Milliseconds that the step cannot do without."""
    return float(sum(row["floor_milliseconds"].values()))


def page_with(page: str, rows: Sequence[dict[str, Any]]) -> str:
    """The page with tables of these rows between its markers."""
    before, _, rest = page.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"the page lacks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{''.join(_tables(rows))}{END}{after}"


def _tables(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    if not rows:
        return
    yield "| length | windows | step, ms | floor, ms | times the floor | no kernel runs, ms | M tokens/s | GiB |\n"
    yield "|" + "---:|" * 8 + "\n"
    for row in rows:
        total, floor = row["seconds"] * 1e3, floor_of(row)
        yield (
            f"| {row['length']:,} | {row['batch']:,} | {total:.1f} | {floor:.1f} | {total / floor:.1f} | "
            f"{row['idle_milliseconds']:.1f} | {row['tokens_per_second'] / 1e6:.2f} | {row['peak_gib']:.1f} |\n"
        )
    yield "\n"
    for row in rows:
        yield from _parts(row)


def _parts(row: dict[str, Any]) -> Iterator[str]:
    """One step by part of the model; every millisecond of it is in one line."""
    total, machine = row["seconds"] * 1e3, row["machine"]
    settings = " ".join(f"`{word}`" for word in row["overrides"]) or "as in configs/1m.yaml"
    windows = f"{row['batch']:,} {'window' if row['batch'] == 1 else 'windows'}"
    yield f"### {row['length']:,} bases\n\n"
    yield f"{windows}, {settings}; {machine['device']}, torch {machine['torch']}, commit {machine['commit']}.\n\n"
    yield "| part | ms | share | floor, ms | above it, ms | launches | largest kernels, ms |\n"
    yield "|---|---:|---:|---:|---:|---:|---|\n"
    for name, time in row["groups"].items():
        floor = row["floor_milliseconds"].get(name, 0.0)
        kernels = ", ".join(f"{kernel} {taken:.1f}" for kernel, taken in largest(time["kernels"]))
        yield (
            f"| {name} | {time['milliseconds']:.1f} | {time['milliseconds'] / total:.0%} | {floor:.1f} | "
            f"{time['milliseconds'] - floor:.1f} | {time['launches']:,} | {kernels} |\n"
        )
    idle = row["idle_milliseconds"]
    yield f"| no kernel runs | {idle:.1f} | {idle / total:.0%} | 0.0 | {idle:.1f} | | |\n"
    parts = sum(time["milliseconds"] for time in row["groups"].values()) + idle
    yield f"| all | {parts:.1f} | {parts / total:.0%} | {floor_of(row):.1f} | {parts - floor_of(row):.1f} | | |\n\n"


def largest(kernels: Sequence[dict[str, Any]]) -> list[tuple[str, float]]:
    """The kernels that took longest, by short name, with their milliseconds."""
    taken: Counter[str] = Counter()
    for kernel in kernels:
        taken[short_name(kernel["name"])] += kernel["milliseconds"]
    return taken.most_common(KERNELS_SHOWN)


def short_name(kernel: str) -> str:
    """A kernel's name without its namespaces, template arguments and parameters, cut where it is still long."""
    plain = kernel.replace("(anonymous namespace)::", "").removeprefix("void ")
    name = re.split(r"[<(]", plain)[0].split("::")[-1].strip()
    return name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…"


def plot(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Two stacked bars a length, measured and floor, in nanoseconds a token."""
    figure, axes = pyplot.subplots(figsize=(8, 0.6 + 1.1 * len(rows)), layout="constrained")
    colours = pyplot.get_cmap("tab20").colors
    names = [*rows[0]["groups"], "no kernel runs"]
    for place, row in enumerate(rows):
        nanoseconds = 1e6 / (row["length"] * row["batch"])  # a token, of a millisecond
        measured = {name: time["milliseconds"] for name, time in row["groups"].items()}
        measured["no kernel runs"] = row["idle_milliseconds"]
        for offset, times in ((-0.2, measured), (0.2, row["floor_milliseconds"])):
            left = 0.0
            for name, colour in zip(names, colours, strict=False):
                width = times.get(name, 0.0) * nanoseconds
                axes.barh(place + offset, width, 0.36, left=left, color=colour, label=name)
                left += width
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[: len(names)], labels[: len(names)], fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    places = [place + offset for place in range(len(rows)) for offset in (-0.2, 0.2)]
    axes.set_yticks(places, [f"{row['length']:,}{kind}" for row in rows for kind in ("", ": floor")])
    axes.invert_yaxis()
    axes.set(xlabel="nanoseconds a token", title=f"A training step, {rows[0]['machine']['device']}")
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the profiles are and the plot goes")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page to rewrite")
    arguments = parser.parse_args()
    rows = read_profiles(arguments.results)
    if not rows:
        sys.exit(f"{arguments.results} holds no profile_step*.json; run benchmarks/profile_step.py first")
    arguments.page.write_text(page_with(arguments.page.read_text(encoding="utf-8"), rows), encoding="utf-8")
    plot(rows, arguments.results / "profile_step.png")


if __name__ == "__main__":
    main()
