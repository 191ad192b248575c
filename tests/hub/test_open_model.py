"""One function opens whatever holds weights; what it cannot open is one clear line."""

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hyena_ds.errors import InputError
from hyena_ds.hub.import_weights import import_weights
from hyena_ds.hub.open_model import open_model
from hyena_ds.hub.run_directory import write_imported_run


@pytest.mark.parametrize("form", ["original", "original/weights.ckpt", "longsafari_hf", "run", "checkpoint"])
@pytest.mark.parametrize("case", ["d64_n2_l258", "d32_n3_l514_checkpointed"])
def test_every_form_gives_the_golden_logits(golden: Path, case: str, form: str, tmp_path: Path) -> None:
    source = golden / case / form
    if form in ("run", "checkpoint"):
        source = tmp_path / "run"
        write_imported_run(import_weights(golden / case / "original"), source)
        source = source if form == "run" else next((source / "checkpoints").iterdir())
    opened = open_model(source)
    expected = load_file(golden / case / "expected.safetensors")
    with torch.no_grad():
        logits = opened.model(expected["input_ids"][:, :-1])
    torch.testing.assert_close(logits, expected["shift_0.05/logits"], rtol=1e-4, atol=1e-5)
    assert not opened.model.training


def test_another_filter_shift(golden: Path) -> None:
    assert open_model(golden / "d64_n2_l258/original", filter_shift=0.0).model.config.filter_shift == 0.0


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("LongSafari/hyenadna-tiny-1k-seqlen-hf", "as a Hugging Face hub id it cannot be fetched"),
        ("nothing-here", "no model at nothing-here"),
        ("", "neither a run directory"),
    ],
)
def test_what_cannot_be_opened_is_one_line(source: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as found:
        open_model(source or tmp_path)
    assert "\n" not in str(found.value)
