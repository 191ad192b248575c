"""Write the tables of the documents from benchmarks/results: `python benchmarks/result_tables.py`.

Each stands between two markers in its page; the plot of the profiles is written beside them.
"""

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.step_floor import convolution_passes_milliseconds

RESULTS = ROOT / "benchmarks" / "results"
BEGIN, END = "<!-- {}: from benchmarks/result_tables.py -->", "<!-- to here -->"
KERNELS_SHOWN, NAME_LENGTH = 2, 32
METHODS = ("auto", "right-angle torch", "padded torch.fft")
DOWNSTREAM_MODELS = ("pretrained", "scratch", "CNN", "k-mers")


def page_with(page: str, name: str, table: str) -> str:
    """The page with this table between its markers."""
    begin = BEGIN.format(name)
    before, _, rest = page.partition(begin)
    _, found, after = rest.partition(END)
    if not found:
        raise ValueError(f"the page lacks {begin} and {END}")
    return f"{before}{begin}\n\n{table}{END}{after}"


def read_result(directory: Path, name: str) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((directory / f"{name}.json").read_text(encoding="utf-8"))
    return result


def convolution_table(directory: Path) -> str:
    """Milliseconds and GiB of the long convolution, and the floor of the passes of `auto`."""
    result = read_result(directory, "convolution_cuda")
    lines = [
        "| length | batch | forward, `auto` | `torch` | padded | forward + backward, `auto` | `torch` | padded "
        "| times faster than padded | floor of its passes | GiB, `auto` | padded |",
        "|" + "---:|" * 12,
    ]
    for row in result["rows"]:
        forward, both = (
            [row[f"{method}, {what}, ms"] for method in METHODS] for what in ("forward", "forward+backward")
        )
        memory = [row[f"{method}, forward+backward, MiB"] / 1024 for method in METHODS]
        cells = [f"{row['length']:,}", f"{row['batch']:,}", *(f"{time:.1f}" for time in [*forward, *both])]
        floor = convolution_passes_milliseconds(row["length"], row["batch"], result["channels"])
        cells += [f"{both[2] / both[0]:.1f}", f"{floor:.1f}", f"{memory[0]:.2f}", f"{memory[2]:.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return _with_origin(lines, result)


def others_table(directory: Path) -> str:
    """Whole steps of ours and of the models beside it."""
    result = read_result(directory, "training_step")
    models = list(dict.fromkeys(row["model"] for row in result["rows"]))
    lines = [
        "| million tokens a second |"
        + "".join(f" {model} |" for model in models)
        + " times faster than the Transformer |",
        "|" + "---:|" * (len(models) + 2),
    ]
    for length in dict.fromkeys(row["length"] for row in result["rows"]):
        speeds = {row["model"]: row["tokens_per_second"] / 1e6 for row in result["rows"] if row["length"] == length}
        cells = [f"{length:,}", *(f"{speeds[model]:.3f}" if model in speeds else "" for model in models)]
        cells.append(f"{result['times_faster'][str(length)]['Transformer']:.1f}")
        lines.append(f"| {' | '.join(cells)} |")
    return _with_origin(lines, result)


def contexts_table(directory: Path) -> str:
    """Perplexity by context after every stage of the long run on chr20."""
    result = read_result(directory, "chr20_long")
    lines = ["| context | windows | perplexity | in the second half of each window |", "|---:|---:|---:|---:|"]
    lines += [
        f"| {row['context']:,} | {row['windows']:,} | {row['perplexity']:.4f} | {row['second_half_perplexity']:.4f} |"
        for row in result["contexts"]
    ]
    return _with_origin(lines, result)


def scaling_table(directory: Path) -> str:
    """One sequence over one, two and four GPUs."""
    results = [read_result(directory, f"long_context_speed_{gpus}") for gpus in (1, 2, 4)]
    rows = sorted((row for result in results for row in result["rows"]), key=lambda row: (row["length"], row["ranks"]))
    alone = {row["length"]: row["tokens_per_second"] for row in rows if row["ranks"] == 1}
    lines = ["| GPUs | length | million tokens a second | of linear | GiB a GPU |", "|---:|---:|---:|---:|---:|"]
    for row in rows:
        share = row["tokens_per_second"] / (row["ranks"] * alone[row["length"]])
        cells = [str(row["ranks"]), f"{row['length']:,}", f"{row['tokens_per_second'] / 1e6:.3f}"]
        cells += [f"{share:.0%}" if row["ranks"] > 1 else "", f"{row['peak_gib']:.1f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return _with_origin(lines, results[-1])


def downstream_table(tasks: Sequence[str], directory: Path) -> str:
    """Test scores in percent, a line a size of the training set; a cell is empty until all its runs are done."""
    head = ["task", "labelled", *DOWNSTREAM_MODELS, "pretrained over scratch"]
    lines, machines = [f"| {' | '.join(head)} |", "|---|---:|" + "---:|" * (len(head) - 2)], set[str]()
    for task in tasks:
        result = read_result(directory, f"downstream_{task}")
        machines |= {f"{row['machine']['device']}, torch {row['machine']['torch']}" for row in result["rows"]}
        found = result["summary"][task]
        whole = [found["models"].get(name, {}) for name in DOWNSTREAM_MODELS]
        lines.append(_scores_line(f"{task}, {found['metric']}", "all", [*whole, whole[0].get("over_scratch", {})]))
        curves = [one.get("curve", {}) for one in whole]
        for size in sorted({int(size) for curve in curves for size in curve}, reverse=True):
            lines.append(_scores_line("", f"{size:,}", [*(curve.get(str(size), {}) for curve in curves), {}]))
    origin = f"{'; '.join(sorted(machines))}; the commit of each run is in its row."
    return "".join(f"{line}\n" for line in [*lines, "", origin, ""])


def _scores_line(task: str, size: str, scores: Sequence[dict[str, Any]]) -> str:
    cells = [f"{100 * one['mean']:.1f} ± {100 * one['deviation']:.1f}" if one else "" for one in scores]
    return f"| {' | '.join([task, size, *cells])} |"


def _with_origin(lines: Sequence[str], result: dict[str, Any]) -> str:
    """The lines of a table, and below it the machine of its result."""
    machine = result["machine"]
    origin = f"{machine['device']}, torch {machine['torch']}, commit {machine['commit']}."
    return "".join(f"{line}\n" for line in [*lines, "", origin, ""])


def profile_tables(directory: Path) -> str:
    """Of every profiled step what each part of the model takes."""
    return "".join(_tables(read_profiles(directory)))


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


def _tables(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
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


# The tables of each page, by the name in their markers.
PAGES: dict[str, dict[str, Callable[[Path], str]]] = {
    "docs/convolution.md": {"convolution": convolution_table},
    "docs/performance.md": {"others": others_table, "profile": profile_tables, "contexts": contexts_table},
    "docs/sequence-parallelism.md": {"scaling": scaling_table},
    "docs/tasks/genomic-benchmarks.md": {
        "downstream": partial(downstream_table, ("regulatory", "ocr", "nontata", "nontata_apart")),
    },
    "docs/tasks/species.md": {"downstream": partial(downstream_table, ("species",))},
    "docs/tasks/splice-sites.md": {"downstream": partial(downstream_table, ("donors", "acceptors"))},
}


def written(page: str, text: str, directory: Path) -> str:
    """The `text` of a page with its tables as the results have them."""
    for name, table in PAGES[page].items():
        text = page_with(text, name, table(directory))
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the results are and the plot goes")
    arguments = parser.parse_args()
    for page in PAGES:
        path = ROOT / page
        path.write_text(written(page, path.read_text(encoding="utf-8"), arguments.results), encoding="utf-8")
    plot(read_profiles(arguments.results), arguments.results / "profile_step.png")


if __name__ == "__main__":
    main()
