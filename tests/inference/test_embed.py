"""Embeddings: the same alone and in any batch, padded on any side, in any form of input, whole or in windows."""

import gzip
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
import torch

from hyena_ds.api import HyenaDNA
from hyena_ds.errors import InputError
from hyena_ds.genome.alphabet import encode
from hyena_ds.inference.batches import PaddingSide, Piece, batches, make_batch, padded_length
from hyena_ds.inference.frozen import FrozenModel
from hyena_ds.inference.measurements import Embedding
from hyena_ds.inference.pooling import Pooling
from hyena_ds.model.config import ModelConfig
from tests.inference.conftest import perturbed_model, relative_error

POOLINGS = [pooling for pooling in get_args(Pooling) if pooling != "none"]
TOLERANCE = 1e-5


def tokens_of(sequence: str) -> np.ndarray:
    return encode(sequence.encode())


@pytest.mark.parametrize("pooling", POOLINGS)
def test_an_embedding_is_the_same_alone_and_in_any_batch(
    model: HyenaDNA, sequences: list[str], pooling: Pooling
) -> None:
    together = model.embed(sequences, pooling=pooling)
    backwards = model.embed(sequences[::-1], pooling=pooling)[::-1]
    for number, sequence in enumerate(sequences):
        alone = model.embed(sequence, pooling=pooling)[0]
        assert relative_error(together[number], alone) < TOLERANCE
        assert relative_error(backwards[number], alone) < TOLERANCE


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_padding_on_either_side_changes_nothing(sequences: list[str], pooling: Pooling, bidirectional: bool) -> None:
    config = ModelConfig(d_model=32, n_layer=2, l_max=1026, bidirectional=bidirectional)
    embedding = Embedding(FrozenModel.on(perturbed_model(config), "cpu"), pooling)
    pieces = [Piece(sequence.encode()) for sequence in sequences]

    def embed(numbers: list[int], side: PaddingSide) -> list[np.ndarray]:
        return [vector for vector, _ in embedding.measure(make_batch(pieces, numbers, side))()]

    everything = list(range(len(pieces)))
    left, right = embed(everything, "left"), embed(everything, "right")
    for number in everything:
        (alone,) = embed([number], "right")
        assert relative_error(left[number], alone) < TOLERANCE
        assert relative_error(right[number], alone) < TOLERANCE


def test_without_the_mask_left_padding_would_change_it(model: HyenaDNA, sequences: list[str]) -> None:
    pieces = [Piece(sequence.encode()) for sequence in (sequences[2], sequences[5])]
    batch = make_batch(pieces, [0, 1], "left")
    masked = model.frozen.hidden(batch.tokens, batch.padding)[1, -1]
    unmasked = model.frozen.hidden(batch.tokens)[1, -1]
    assert (masked - unmasked).norm() / masked.norm() > 1e-2


@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooling_by_hand(model: HyenaDNA, sequences: list[str], pooling: Pooling) -> None:
    sequence = sequences[3]
    hidden = model.frozen.model.backbone(torch.from_numpy(tokens_of(sequence)).long()[None])[0]
    expected = {
        "mean": hidden.mean(0),
        "sum": hidden.sum(0),
        "max": hidden.amax(0),
        "first": hidden[0],
        "last": hidden[-1],
    }[pooling]
    assert relative_error(model.embed([sequence], pooling=pooling)[0], expected.numpy()) < TOLERANCE


def test_a_vector_for_each_base(model: HyenaDNA, sequences: list[str]) -> None:
    found = model.embed(sequences, pooling="none")
    means = model.embed(sequences)
    for sequence, vectors, mean in zip(sequences, found, means, strict=True):
        assert vectors.shape == (len(sequence), 32)
        assert relative_error(vectors.mean(axis=0), mean) < TOLERANCE


def test_every_form_of_input_gives_the_same(model: HyenaDNA, sequences: list[str], tmp_path: Path) -> None:
    fasta = "".join(f">gene{number} of lambda\n{text[:70]}\n{text[70:]}\n" for number, text in enumerate(sequences))
    names = [f"gene{number}" for number in range(len(sequences))]
    frame = pd.DataFrame({"name": names, "sequence": sequences, "label": 0})
    (tmp_path / "genes.fa").write_text(fasta)
    (tmp_path / "genes.fa.gz").write_bytes(gzip.compress(fasta.encode()))
    frame.to_csv(tmp_path / "genes.csv", index=False)
    frame.to_csv(tmp_path / "genes.tsv.gz", index=False, sep="\t")
    frame.to_parquet(tmp_path / "genes.parquet")
    files = [tmp_path / name for name in ("genes.fa", "genes.fa.gz", "genes.csv", "genes.tsv.gz", "genes.parquet")]
    expected = model.embed(sequences)
    forms: list[Any] = [*files, str(files[0]), frame, pd.Series(sequences, names), tuple(sequences), iter(sequences)]
    for form in forms:
        np.testing.assert_array_equal(model.embed(form), expected)
    for form in (*files, frame, pd.Series(sequences, names)):
        assert list(model.embed(form, output="pandas")["name"]) == names


def test_lower_case_and_ambiguity_codes_are_read_and_marked(model: HyenaDNA) -> None:
    np.testing.assert_array_equal(model.embed("acgtRYKnACGU"), model.embed("ACGTNNNNACGN"))
    row = model.embed("acRNACG", pooling="none", output="pandas").iloc[0]
    assert row["marks"].tolist() == [4, 4, 1, 1, 0, 0, 0]
    assert (row["bases"], row["unknown_bases"], row["soft_masked_bases"]) == (7, 2, 2)


def test_unknown_characters_are_marked_on_request_and_no_part_of_the_pool(model: HyenaDNA) -> None:
    row = model.embed("AC-GT", unknown="mark", output="pandas").iloc[0]
    assert row["unknown_characters"] == 1
    bases = model.embed("AC-GT", unknown="mark", pooling="none")[0]
    assert relative_error(row["embedding"], bases[[0, 1, 3, 4]].mean(axis=0)) < TOLERANCE
    assert np.isnan(model.embed("---", unknown="mark")).all()


def test_windows_take_each_base_with_its_context(model: HyenaDNA, phage: str) -> None:
    sequence, window, overlap = phage[:2500], 400, 100
    found = model.embed(sequence, pooling="none", window=window, overlap=overlap)[0]
    expected = [model.embed(sequence[:window], pooling="none")[0]]
    for end in range(window, len(sequence), window - overlap):
        expected.append(model.embed(sequence[end - overlap : end - overlap + window], pooling="none")[0][overlap:])
    assert relative_error(found, np.concatenate(expected)) < TOLERANCE
    for pooling, value in (("mean", found.mean(axis=0)), ("max", found.max(axis=0)), ("last", found[-1])):
        pooled = model.embed(sequence, pooling=pooling, window=window, overlap=overlap)[0]
        assert relative_error(pooled, value) < TOLERANCE


def test_a_sequence_within_one_window_is_read_whole(model: HyenaDNA, sequences: list[str]) -> None:
    np.testing.assert_array_equal(model.embed(sequences, window=1000), model.embed(sequences))


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        ([], {}, "there is no sequence"),
        (["ACGT", ""], {}, "sequence '1' is empty"),
        (["ACGT", "AC GT"], {}, "sequence '1' has ' ' at base 3"),
        (["ACGTé"], {}, "'é' at base 5"),
        (["A" * 1027], {}, "has 1,027 bases, the model's l_max leaves room for 1,026"),
        ([7], {}, "is 7, a int"),
        (None, {}, "None is a NoneType; give a sequence, a path, or several"),
        ("missing.fa", {}, "no file at missing.fa"),
        (["ACGT"], {"window": 2000}, "a window of 2,000 bases"),
        (["ACGT"], {"window": 10, "overlap": 10}, "cannot overlap by 10"),
        (["ACGT"], {"overlap": 10}, "needs a window"),
        (pd.DataFrame({"dna": ["ACGT"]}), {}, "has no column 'sequence' but dna"),
        (["ACGT"], {"pooling": "median"}, "pooling='median' is none of mean"),
        (["ACGT"], {"unknown": "ignore"}, "unknown='ignore' is none of refuse"),
        (["ACGT"], {"output": "vectors.txt"}, "must end in .parquet, .h5 or .jsonl"),
    ],
)
def test_bad_input_is_one_clear_line(model: HyenaDNA, given: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        model.embed(given, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "gpu"}, "device 'gpu' is none that torch knows"),
        ({"device": "cuda:99"}, "device cuda:99 is not here"),
        ({"precision": "fp16"}, "precision='fp16' is none of fp32, bf16"),
        ({"tokens_per_batch": 0}, "tokens_per_batch=0"),
    ],
)
def test_a_device_or_precision_that_is_not_there(model: HyenaDNA, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        FrozenModel.on(model.frozen.model, **options)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpu_gives_what_the_cpu_does(model: HyenaDNA, sequences: list[str], precision: Any) -> None:
    network = perturbed_model(model.frozen.config)
    on_gpu = HyenaDNA(FrozenModel.on(network, "cuda", precision, 4096), "tests")
    tolerance = 1e-4 if precision == "fp32" else 5e-2
    assert relative_error(on_gpu.embed(sequences), model.embed(sequences)) < tolerance
    scores = on_gpu.score(sequences[2:], both_strands=True, output="numpy")
    assert relative_error(scores, model.score(sequences[2:], both_strands=True, output="numpy")) < tolerance
    assert len(on_gpu.generate(sequences[2][:100], 300)[0].bases) == 300


def test_few_shapes_and_never_beyond_l_max() -> None:
    pieces = [Piece(b"A" * length) for length in range(1, 1027)]
    found = list(batches(pieces, 2048, 1026))
    assert sorted(number for batch in found for number in batch.numbers) == list(range(1026))
    assert max(batch.tokens.shape[1] for batch in found) == 1026
    assert len({batch.tokens.shape[1] for batch in found}) <= 6 * 16 + 16
    assert all(batch.tokens.numel() <= 2048 for batch in found)
    assert all(padded_length(length) < 1.07 * length + 1 for length in range(1, 2**12))
    on_gpu = {length: padded_length(length, on_gpu=True) for length in range(1, 2**15)}
    assert all(padded % 16 == 0 and length <= padded < 1.016 * length + 16 for length, padded in on_gpu.items())
    assert len({padded for length, padded in on_gpu.items() if length > 2**14}) == 64
