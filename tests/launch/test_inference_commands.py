"""embed, score, generate and evaluate as users type them; what is wrong is one line and exit code 2."""

import importlib
import io
import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from hyena_ds.api import HyenaDNA
from hyena_ds.errors import run_command

ROOT = Path(__file__).resolve().parents[2]
MODEL = "tests/data/golden/d64_n2_l258/longsafari_hf"
LAMBDA = "tests/data/lambda_virus.fa.gz"


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    returncode: int
    stdout: str
    stderr: str


def launch(name: str, *words: str | Path) -> Done:
    """A command run in this process, as `python launch/NAME.py WORDS` would."""
    command: Any = importlib.import_module(f"launch.{name}")
    stdout, stderr = io.StringIO(), io.StringIO()
    with redirect_stdout(stdout), redirect_stderr(stderr), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [f"launch/{name}.py", *map(str, words)])
        patch.chdir(ROOT)
        with pytest.raises(SystemExit) as ended:
            run_command(command.main)
    return Done(int(ended.value.code or 0), stdout.getvalue(), stderr.getvalue())


@pytest.fixture(scope="module")
def model() -> HyenaDNA:
    return HyenaDNA.from_pretrained(ROOT / MODEL, device="cpu")


def test_embed_is_the_call_of_the_api(model: HyenaDNA, tmp_path: Path) -> None:
    path = tmp_path / "phage.parquet"
    done = launch("embed", "--model", MODEL, "--input", LAMBDA, "--window", "200", "--pooling", "max", "--output", path)
    assert done.returncode == 0, done.stderr
    expected = model.embed(ROOT / LAMBDA, window=200, pooling="max")
    np.testing.assert_allclose(np.stack(pd.read_parquet(path)["embedding"]), expected, atol=1e-5)
    again = launch("embed", "--model", MODEL, "--input", LAMBDA, "--window", "200", "--output", path)
    assert (again.returncode, len(again.stderr.splitlines())) == (2, 2)
    assert again.stderr.splitlines()[-1].startswith(f"error: {path} exists")


def test_score_prints_a_table(model: HyenaDNA) -> None:
    command = [
        sys.executable,
        "launch/score.py",
        "--model",
        MODEL,
        "--sequence",
        "ACGTTGCA",
        "--sequence",
        "ttgacagcta",
    ]
    done = subprocess.run([*command, "--both-strands"], cwd=ROOT, capture_output=True, text=True, check=True)
    found = pd.read_csv(io.StringIO(done.stdout), sep="\t")
    expected = model.score(["ACGTTGCA", "ttgacagcta"], both_strands=True)
    np.testing.assert_allclose(found["log_likelihood"], expected["log_likelihood"], rtol=1e-5)
    assert found["soft_masked_bases"].tolist() == [0, 10]


def test_score_of_variants(tmp_path: Path) -> None:
    vcf, output = tmp_path / "one.vcf", tmp_path / "effects.jsonl"
    header = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    vcf.write_text(header + "gi|9626243|ref|NC_001416.1|\t1\t.\tG\tA,T\t.\t.\t.\n")
    done = launch("score", "--model", MODEL, "--vcf", vcf, "--fasta", LAMBDA, "--window", "100", "--output", output)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["alternative"] for row in rows] == ["A", "T"]


def test_generate_writes_fasta(model: HyenaDNA, tmp_path: Path) -> None:
    output = tmp_path / "new.fa"
    words = ("--sequence", "ACGTTGCA", "--bases", "100", "--samples", "2", "--seed", "3", "--with-prompt")
    done = launch("generate", "--model", MODEL, *words, "--output", output)
    assert done.returncode == 0, done.stderr
    expected = model.generate("ACGTTGCA", 100, samples=2, seed=3)
    records = output.read_text().split(">")[1:]
    assert ["".join(record.splitlines()[1:]) for record in records] == [found.sequence for found in expected]


def test_evaluate_writes_table_plot_and_json(model: HyenaDNA, tmp_path: Path) -> None:
    name = tmp_path / "reports" / "phage"
    done = launch("evaluate", "--model", MODEL, "--fasta", f"phage={LAMBDA}", "--windows", "20", "--output", name)
    assert done.returncode == 0, done.stderr
    document = json.loads(name.with_name("phage.json").read_text())
    expected = model.evaluate(ROOT / LAMBDA, windows=20)
    assert document["table"][0]["perplexity"] == pytest.approx(expected.total.perplexity)
    assert sorted(path.suffix for path in name.parent.iterdir()) == [".json", ".png", ".tsv"]
    assert "GC of the window" in done.stdout


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("embed", "--model owner/name --sequence ACGT --output x.h5", "hub id it cannot be fetched"),
        ("embed", f"--model {MODEL} --input missing.fa --output x.h5", "no file at missing.fa"),
        ("score", f"--model {MODEL} --sequence ACGXT", "has 'X' at base 4"),
        ("score", f"--model {MODEL} --vcf x.vcf", "--vcf needs --fasta"),
        ("generate", f"--model {MODEL} --sequence ACGT --bases 300", "exceed the model's l_max"),
        ("predict", f"--model {MODEL} --sequence ACGT", "carries no head of a task"),
        ("evaluate", f"--model {MODEL} --fasta {LAMBDA} --published", "published test regions"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(name: str, words: str, message: str, tmp_path: Path) -> None:
    done = launch(name, *(tmp_path / word if word.startswith("x.") else word for word in words.split()))
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if not line.startswith(("opened", "note"))]
    assert len(errors) == 1
    assert errors[0].startswith("error: ")
    assert message in errors[0]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["embed", "score", "predict", "generate", "evaluate"])
def test_help_has_examples(name: str) -> None:
    done = launch(name, "--help")
    assert done.returncode == 0
    assert f"python launch/{name}.py --model" in done.stdout
    assert "exit codes" in done.stdout


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("evaluate", ["--model", MODEL, "--fasta", LAMBDA]),
        ("generate", ["--model", MODEL, "--sequence", "ACGT", "--bases", "5"]),
        ("biotypes", ["--model", MODEL, "--input", LAMBDA]),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_any_work(
    name: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HyenaDNA, "from_pretrained", lambda *_, **__: pytest.fail("the model was opened"))
    (tmp_path / "file").write_text("mine")
    done = launch(name, *words, "--output", tmp_path / "file" / "out")
    assert done.returncode == 2
    assert f"--output {tmp_path}/file/out: {tmp_path}/file is a file; name another directory" in done.stderr
