"""The downstream benchmark: its tables, its choice of settings, and that it goes on where it stopped."""

import argparse
import asyncio
import dataclasses
import gzip
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from benchmarks import downstream
from benchmarks.baselines import CnnRun, CnnTraining, Table, other_strand
from benchmarks.downstream import Bench, OutOfTime, all_of, begin_pool
from benchmarks.downstream_plots import chosen, plot_bars, plot_curves, summarise
from benchmarks.downstream_runs import CNN, KMERS, MODELS, PRETRAINED, SCRATCH, Case, Run
from benchmarks.downstream_tasks import CHR20_BASES, TASKS, TEST_START, VALID_START, shortened, sources, write_table
from benchmarks.held_out import SEQUENCES_NAME, write_digests
from benchmarks.likeness import alike
from hyena_ds.errors import EXIT_RESTART, InputError
from hyena_ds.genome.alphabet import encode
from hyena_ds.hub.pretrained import read_pretrained
from tests.cluster.launch import started

ROOT = Path(__file__).resolve().parents[2]
SLICES = ROOT / "tests/data/finetune"
GOLDEN = ROOT / "tests/data/golden/d64_n2_l258/longsafari_hf"
SETTING = {"learning_rate": 1e-3, "dropout": 0.2}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Slices of the real tables under the names that the benchmark reads."""
    tables = tmp_path / "data/genomic_benchmarks"
    tables.mkdir(parents=True)
    rows = (SLICES / "open_chromatin.tsv").read_bytes()
    (tables / "human_ocr_ensembl.tsv.gz").write_bytes(gzip.compress(rows))
    text = (SLICES / "promoters.csv").read_text().replace("sequence,label", "seq,label", 1)
    (tables / "human_nontata_promoters_official_test.csv").write_text(text)
    return tmp_path / "data"


def test_tables_keep_the_test_set_of_their_file_or_are_cut_60_20_20(data: Path, tmp_path: Path) -> None:
    ocr = pd.read_parquet(write_table(TASKS["ocr"], data, tmp_path, 1))
    rows = [line.split("\t") for line in (SLICES / "open_chromatin.tsv").read_text().splitlines()]
    own = {split: sorted(row[7].upper() for row in rows if row[0] == split) for split in ("train", "test")}
    assert sorted(ocr[ocr["split"] == "test"]["sequence"]) == own["test"]
    assert sorted(ocr[ocr["split"] != "test"]["sequence"]) == own["train"]
    assert (ocr["split"] == "valid").sum() == 16
    tables = [pd.read_parquet(write_table(TASKS["nontata"], data, tmp_path, seed)) for seed in (1, 2)]
    sizes = tables[0]["split"].value_counts()
    assert sizes.sum() == 120
    assert all(abs(sizes[split] - size) <= 3 for split, size in (("train", 72), ("valid", 24), ("test", 24)))
    tests, valid = (
        [set(table[table["split"] == split]["sequence"]) for table in tables] for split in ("test", "valid")
    )
    assert tests[0] == tests[1]
    assert valid[0] != valid[1]


def test_what_shares_a_stretch_on_either_strand_is_alike_and_stays_in_one_split(data: Path, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    bases = generator.integers(0, 4, (5, 160)).astype(np.uint8)
    bases[1, :64] = bases[0, -64:]
    bases[2, 10:74] = other_strand(bases[1])[40:104]
    bases[3, :63], bases[3, 63] = bases[4, :63], (bases[4, 63] + 1) % 4
    groups = alike([encode(bytes(b"ACGT"[number] for number in row)) for row in bases])
    assert [groups[0] == group for group in groups] == [True, True, True, False, False]
    assert groups[3] != groups[4]
    path = data / "genomic_benchmarks/human_nontata_promoters_official_test.csv"
    header, *rows = path.read_text().splitlines()
    labels = [row.rpartition(",") for row in rows]
    shifted = [f"{sequence[60:]}{''.join(generator.choice(list('ACGT'), 60))},{label}" for sequence, _, label in labels]
    path.write_text("\n".join([header, *rows, *shifted]) + "\n")
    for task, splits in (("nontata_apart", 1), ("nontata", 2)):
        table = pd.read_parquet(write_table(TASKS[task], data, tmp_path, 1))
        groups = alike([encode(sequence.encode()) for sequence in table["sequence"]])
        assert table.groupby(groups)["split"].nunique().max() == splits


def test_a_training_sequence_that_is_tested_too_or_overlaps_a_test_is_left_out(data: Path, tmp_path: Path) -> None:
    path = data / "genomic_benchmarks/human_ocr_ensembl.tsv.gz"
    rows = [line.split("\t") for line in gzip.decompress(path.read_bytes()).decode().splitlines()]
    test = next(row for row in rows if row[0] == "test")
    start, end = int(test[4]), int(test[5])
    train = [row for row in rows if row[0] == "train"]
    twin = [*train[0][:7], test[7]]
    beside = [*train[1][:3], test[3], str(end - 1), str(end + 100), *train[1][6:]]
    behind = [*train[2][:3], test[3], str(end), str(end + 100), *train[2][6:]]
    nothing = [*train[3][:7], "N" * (end - start)]
    changed = [*(row for row in rows if row not in train[:4]), twin, beside, behind, nothing]
    path.write_bytes(gzip.compress("".join("\t".join(row) + "\n" for row in changed).encode()))
    table = pd.read_parquet(write_table(TASKS["ocr"], data, tmp_path, 1))
    trained = set(table[table["split"] != "test"]["sequence"])
    assert test[7].upper() not in trained
    assert train[1][7].upper() not in trained
    assert train[2][7].upper() in trained
    assert not any(set(sequence) == {"N"} for sequence in table["sequence"])


def test_a_part_of_the_training_set_keeps_the_rest_and_grows(data: Path, tmp_path: Path) -> None:
    whole = write_table(TASKS["nontata"], data, tmp_path, 1)
    parts = [pd.read_parquet(shortened(whole, size)) for size in (10, 30)]
    frames = [*parts, pd.read_parquet(whole)]
    train = [list(frame[frame["split"] == "train"]["sequence"]) for frame in frames]
    assert [len(several) for several in train][:2] == [10, 30]
    assert train[0] == train[1][:10]
    assert set(train[1]) < set(train[2])
    assert len({(frame["split"] != "train").sum() for frame in frames}) == 1
    limited = pd.read_parquet(write_table(TASKS["nontata"], data, tmp_path, 1, limit=7))
    assert limited["split"].value_counts().to_dict() == {"train": 7, "valid": 7, "test": 7}


def test_splice_sites_are_tested_where_no_window_was_pretrained(tmp_path: Path) -> None:
    _, split = sources("donors", tmp_path, tmp_path, 1)
    assert split.test_regions == (f"20:{TEST_START}-{CHR20_BASES}",)
    assert split.valid_regions == (f"20:{VALID_START}-{TEST_START}",)
    assert (VALID_START, TEST_START) == (44_117_864, 56_722_968)


def test_what_is_drawn_of_genomes_is_the_same_for_every_seed(tmp_path: Path) -> None:
    for task in ("species", "donors", "acceptors"):
        assert sources(task, tmp_path, tmp_path, 1) == sources(task, tmp_path, tmp_path, 2)


def test_the_windows_of_a_species_are_drawn_by_the_bases_of_its_chromosomes(tmp_path: Path) -> None:
    config, _ = sources("species", tmp_path, tmp_path, 1)
    assert config.species is not None
    assert config.species.chromosome_weights == "bases"


def row(model: str, seed: int, train: int | None, rate: float, valid: float | None, test: float) -> dict[str, Any]:
    scores = {"valid": {"accuracy": valid}, "test": {"accuracy": test}}
    return {"task": "ocr", "model": model, "seed": seed, "train": train, "setting": {"learning_rate": rate}, **scores}


def test_the_setting_is_chosen_on_validation_and_averaged_over_seeds(tmp_path: Path) -> None:
    rows = [row("CNN", 1, None, 1.0, 0.6, 0.9), row("CNN", 1, None, 2.0, 0.7, 0.5), row("CNN", 1, None, 3.0, None, 1.0)]
    assert chosen(rows, "accuracy") == {"learning_rate": 2.0}
    level = [row("CNN", 1, None, rate, 0.7, 0.5) for rate in (4.0, 3.0)]
    assert chosen(level, "accuracy") == chosen(level[::-1], "accuracy") == {"learning_rate": 3.0}
    assert summarise(rows, (1, 2, 3)) == {}  # seeds are missing
    rows += [row("CNN", seed, None, 2.0, 0.9, 0.5 + 0.1 * seed) for seed in (2, 3)]
    rows += [row("CNN", seed, 250, 2.0, 0.9, 0.5) for seed in (1, 2, 3)] + [
        row("CNN", seed, 1000, 2.0, 0.9, 0.5) for seed in (1, 2)
    ]
    summary, added = summarise(rows, (1, 2, 3)), {"pretrained": 0.2, "scratch": 0.1}
    found = summary["ocr"]["models"]["CNN"]
    assert found["setting"] == {"learning_rate": 2.0}
    assert (found["mean"], found["deviation"]) == (
        pytest.approx(2.0 / 3),
        pytest.approx(np.std([0.5, 0.7, 0.8], ddof=1)),
    )
    assert found["curve"] == {"250": {"mean": 0.5, "deviation": 0.0}}
    rows += [row(name, seed, None, 2.0, 0.9, 0.5 + seed * add) for name, add in added.items() for seed in (1, 2, 3)]
    over = summarise(rows, (1, 2, 3))["ocr"]["models"]["pretrained"]["over_scratch"]
    assert over == {"mean": pytest.approx(0.2), "deviation": pytest.approx(0.1)}
    for plot in (plot_bars, plot_curves):
        plot(summary, tmp_path / "plot.png")
        assert (tmp_path / "plot.png").stat().st_size > 5_000


@pytest.fixture(autouse=True)
def one_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "nontata", replace(TASKS["nontata"], epochs=1))


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProcessPoolExecutor]:
    with begin_pool(1, tmp_path_factory.mktemp("logs")) as begun:
        yield begun


def bench(data: Path, place: Path, pool: ProcessPoolExecutor, **changes: Any) -> Bench:
    model = place / "held_out/run"
    if not model.exists():
        shutil.copytree(GOLDEN, model)
        table = pd.read_parquet(write_table(TASKS["nontata"], data, place, 1))
        write_digests(model.parent, table[table["split"] == "test"]["sequence"])
    values = {"data": data, "place": place, "model": model, "models": ",".join(MODELS), "commit": "x"}
    sizes = {"limit": 30, "least_steps": 2}
    arguments = argparse.Namespace(**{**values, **sizes, "output": place / "out", **changes})
    return Bench(arguments, "nontata", pool, time.time() + changes.get("seconds", 600))


def run(bench: Bench, cases: list[Case]) -> list[dict[str, Any]]:
    return asyncio.run(all_of(map(bench.run, cases)))


def test_a_run_is_kept_and_never_done_twice(data: Path, tmp_path: Path, pool: ProcessPoolExecutor) -> None:
    networks = product((PRETRAINED, SCRATCH, CNN), (None, 20))
    cases = [Case("nontata", model, 1, train, SETTING) for model, train in networks]
    cases.append(Case("nontata", KMERS, 1, None, {"k": 2, "inverse_penalty": 0.1}))
    rows = run(bench(data, tmp_path, pool), cases)
    for found in rows:
        assert set(found["valid"]) == set(found["test"]) == {"accuracy", "mcc", "auroc"}
        assert all(math.isfinite(value) for value in found["test"].values())
    kept = json.loads((tmp_path / "out/downstream_nontata.json").read_text())
    assert sorted(kept["rows"], key=repr) == sorted(rows, key=repr)
    assert {found["machine"]["commit"] for found in rows} == {"x"}
    again = bench(data, tmp_path, pool, seconds=-1)
    assert run(again, cases) == rows
    with pytest.raises(OutOfTime):
        run(again, [*cases, Case("nontata", CNN, 2, None, SETTING)])
    with pytest.raises(InputError, match=r"downstream_nontata\.json holds runs of .* give another --output"):
        bench(data, tmp_path, pool, least_steps=3)
    (config,) = (path.read_text() for path in tmp_path.glob("runs/nontata-scratch-1-20-0.001-*/config.yaml"))
    assert "checkpoint: null" in config
    assert "average_strands: false" in config
    assert "parts: 16" in config
    assert "d_model: 64" in config


@pytest.mark.parametrize("model", [PRETRAINED, SCRATCH])
def test_what_a_task_sets_of_fine_tuning_reaches_its_runs(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    task = replace(TASKS["nontata"], average_weights=0.9, resid_dropout=0.3, language_loss=0.5, cutout=0.4)
    monkeypatch.setitem(TASKS, "nontata", task)
    table = write_table(task, data, tmp_path, 1, limit=10)
    shape = dataclasses.asdict(read_pretrained(GOLDEN).config)
    Run(Case("nontata", model, 1, None, SETTING), table, 1, tmp_path / "run", GOLDEN, shape).scores()
    config = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    assert config["scoring"]["average_weights"] == 0.9
    assert config["model"]["resid_dropout"] == 0.3
    assert config["language_loss"] == 0.5
    assert config["cutout"] == 0.4


def test_what_a_task_sets_reaches_the_cnn(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = replace(TASKS["nontata"], average_weights=0.9, cutout=0.4)
    monkeypatch.setitem(TASKS, "nontata", task)
    seen, begin = list[CnnTraining](), CnnRun.__init__

    def noted(run: CnnRun, table: Table, training: CnnTraining, device: torch.device) -> None:
        seen.append(training)
        begin(run, table, training, device)

    monkeypatch.setattr(CnnRun, "__init__", noted)
    table = write_table(task, data, tmp_path, 1, limit=10)
    Run(Case("nontata", CNN, 1, None, SETTING), table, 1, tmp_path / "run", GOLDEN, {}).scores()
    assert [(one.average_weights, one.cutout) for one in seen] == [(0.9, 0.4)]


def test_a_run_of_other_settings_or_examples_is_never_taken_for_this_one(
    data: Path, tmp_path: Path, pool: ProcessPoolExecutor
) -> None:
    cases = [Case("nontata", SCRATCH, 1, None, SETTING)]
    (first,) = run(bench(data, tmp_path, pool, limit=20), cases)
    (other,) = run(bench(data, tmp_path, pool, limit=20, least_steps=30, output=tmp_path / "other"), cases)
    assert first["test"] != other["test"]
    assert len(list((tmp_path / "runs").iterdir())) == 2
    (table,) = (tmp_path / "tables").glob("nontata-1-20.parquet")
    frame = pd.read_parquet(table)
    frame.assign(label=frame["label"].to_numpy()[::-1]).to_parquet(table)
    (again,) = run(bench(data, tmp_path, pool, limit=20), cases)
    assert again["examples"] != first["examples"]
    assert len(list((tmp_path / "runs").iterdir())) == 3


def test_results_of_another_fine_tuning_are_never_added_to(
    data: Path, tmp_path: Path, pool: ProcessPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(bench(data, tmp_path, pool), [Case("nontata", KMERS, 1, None, {"k": 2, "inverse_penalty": 0.1})])
    task = TASKS["nontata"]
    for name in ("average_weights", "resid_dropout", "language_loss", "cutout"):
        monkeypatch.setitem(TASKS, "nontata", replace(task, **{name: 0.5}))
        with pytest.raises(InputError, match=f"these are .*'{name}': 0.5.*; give another --output"):
            bench(data, tmp_path, pool)


def test_commands_side_by_side_keep_each_others_runs(data: Path, tmp_path: Path, pool: ProcessPoolExecutor) -> None:
    benches = [bench(data, tmp_path, pool) for _ in range(2)]
    cases = [Case("nontata", KMERS, seed, None, {"k": 2, "inverse_penalty": 0.1}) for seed in (1, 2)]
    rows = [run(one, [case])[0] for one, case in zip(benches, cases, strict=True)]
    assert json.loads((tmp_path / "out/downstream_nontata.json").read_text())["rows"] == rows


def test_pretrained_runs_of_other_weights_are_told_apart(data: Path, tmp_path: Path, pool: ProcessPoolExecutor) -> None:
    cases = [Case("nontata", model, 1, None, SETTING) for model in (PRETRAINED, SCRATCH)]
    before = run(bench(data, tmp_path, pool), cases)
    weights = tmp_path / "held_out/run/model.safetensors"
    tensors = load_file(weights)
    name = next(name for name in tensors if name.endswith("out_proj.weight"))
    save_file(tensors | {name: 2 * tensors[name]}, weights, metadata={"format": "pt"})
    after = run(bench(data, tmp_path, pool), cases)
    assert after[0]["weights"] != before[0]["weights"]
    assert after[1] == before[1]


def test_the_best_setting_serves_all_seeds_and_sizes(
    data: Path, tmp_path: Path, pool: ProcessPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = [{"k": k, "inverse_penalty": 0.1} for k in (2, 3)]
    monkeypatch.setattr(downstream, "settings_of", lambda model, task: grid)
    monkeypatch.setattr(downstream, "SIZES", (20,))
    one = bench(data, tmp_path, pool)
    asyncio.run(one.run_model(KMERS))
    best = chosen(one.rows[:2], "accuracy")
    found = sorted((row["setting"]["k"], row["train"] or 0, row["seed"]) for row in one.rows)
    other = next(setting for setting in grid if setting != best)
    assert found == sorted([(other["k"], 0, 1), *((best["k"], *rest) for rest in product((0, 20), (1, 2, 3)))])


def test_a_command_that_is_asked_to_stop_ends_with_its_workers(data: Path, tmp_path: Path) -> None:
    shutil.copytree(GOLDEN, tmp_path / "model")
    command = [sys.executable, "benchmarks/downstream.py", "--data", str(data), "--place", str(tmp_path / "place")]
    command += ["--model", str(tmp_path / "model"), "--output", str(tmp_path), "--tasks", "nontata"]
    with started(*command, "--models", "scratch", "--processes", "1") as process:
        for _ in range(1200):
            if any(tmp_path.glob("place/runs/*/metrics.jsonl")):
                break
            time.sleep(0.1)
        else:
            pytest.fail("no run began")
        process.terminate()
        process.communicate(timeout=30)
        assert process.returncode == EXIT_RESTART
        for _ in range(100):
            if not group_lives(process.pid):
                break
            time.sleep(0.1)
        assert not group_lives(process.pid)


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_model_that_may_have_seen_the_tests_is_refused(data: Path, tmp_path: Path, pool: ProcessPoolExecutor) -> None:
    bench(data, tmp_path, pool)
    digests = tmp_path / "held_out" / SEQUENCES_NAME
    digests.write_text("\n".join(digests.read_text().split()[1:]))
    with pytest.raises(InputError, match=r"1 of \d+ test sequences are not in .*; train it again"):
        bench(data, tmp_path, pool, limit=None)
    digests.unlink()
    with pytest.raises(InputError, match="does not tell what it was trained without"):
        bench(data, tmp_path, pool)
    bench(data, tmp_path, pool, models="scratch,CNN")  # which start from no model
