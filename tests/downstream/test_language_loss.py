"""language_loss: the next bases' cross-entropy beside the labels', the same at any number of ranks."""

import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from hyena_ds.downstream.model import TaskModel, TaskShape
from hyena_ds.errors import InputError
from hyena_ds.genome.alphabet import PAD, A, N
from hyena_ds.model.config import ModelConfig
from hyena_ds.model.decoder import DecoderConfig
from hyena_ds.model.language_model import HyenaLanguageModel
from hyena_ds.training.metrics import read_metrics
from launch.finetune import main
from tests.downstream.conftest import launched
from tests.engine.ranks import ROOT, run_ranks

GOLDEN = ROOT / "tests" / "data" / "golden" / "d64_n2_l258" / "original"
TOLERANCE = 1e-5


def losses(run: Path) -> list[tuple[float, float]]:
    return [(line["loss"], line["grad_norm"]) for line in read_metrics(run) if "loss" in line]


def test_it_is_the_mean_over_the_known_bases_that_follow_a_base() -> None:
    torch.manual_seed(0)
    config = ModelConfig(d_model=16, n_layer=2, l_max=34, filter_order=8, embed_dropout=0.0, initializer_range=0.5)
    model, language = TaskModel(TaskShape(config, DecoderConfig(), 3)), HyenaLanguageModel(config)
    language.backbone.load_state_dict(model.backbone.state_dict())
    tokens = torch.randint(A, N + 1, (3, 30))
    tokens[1, :9], tokens[2, 20:] = PAD, PAD
    outputs, found = model(tokens, language=True)
    torch.testing.assert_close(outputs, model(tokens))
    for row, (start, end) in enumerate(((0, 30), (9, 30), (0, 20))):
        logits = language(tokens[row : row + 1, start:end])[0, :-1]
        expected = functional.cross_entropy(logits[:, :16], tokens[row, start + 1 : end], ignore_index=N)
        torch.testing.assert_close(found[row], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("words", [["engine.zero_stage=3"], ["parallel.sequence_parallel_size=2"]], ids=str)
def test_two_ranks_learn_as_one_rank_does(config: Path, tmp_path: Path, words: list[str]) -> None:
    launched(main, "--config", config, "language_loss=0.7", f"run_directory={tmp_path}/one")
    run_ranks(2, ROOT / "launch" / "finetune.py", "--config", config, "language_loss=0.7", *words)
    for one, two in zip(losses(tmp_path / "one"), losses(config.parent / "run"), strict=True):
        assert two == pytest.approx(one, rel=TOLERANCE)


@pytest.mark.parametrize(
    "words",
    [
        ("method=frozen", f"start.checkpoint={GOLDEN}", "model=null"),
        ("task.kind=position", "decoder.mode=position"),
        ("model.bidirectional=true",),
    ],
    ids=lambda words: words[0],
)
def test_what_learns_no_language_is_refused(config: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=r"language_loss=0\.5 .*set it to 0"):
        launched(main, "--config", config, "language_loss=0.5", *words)


def test_it_weighs_alike_however_many_labels_an_example_has(config: Path) -> None:
    table = config.parent / "data.csv"
    table.write_text("sequence,label\n" + "ACGTTGCAAC,a;b\nGGCATTACGA,b;c\nTTGACCATGA,c;a\n" * 10)
    words = ["--config", config, f"data.train={table}", "task.kind=multilabel", "stages.0.steps=1", "stages.1.steps=1"]
    for weight in (0, 1):
        launched(main, *words, "logging.every_steps=1", f"language_loss={weight}", f"run_directory={table}-{weight}")
    (plain, _), (both, _) = (losses(Path(f"{table}-{weight}"))[0] for weight in (0, 1))
    untrained = math.log(16)  # each of 16 tokens is as likely
    assert both - plain == pytest.approx(untrained, rel=0.02)
