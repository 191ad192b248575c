"""Inputs of in-context learning, token by token as published."""

import numpy as np
import pytest
import torch

from hyena_ds.downstream.in_context.model import PromptedModel
from hyena_ds.downstream.in_context.prompt import collate, draw_shown, label_tokens, lay_out
from hyena_ds.downstream.in_context.tuning import PromptSource
from hyena_ds.errors import InputError
from hyena_ds.genome.alphabet import decode, encode, reverse_complement
from hyena_ds.model.config import ModelConfig
from hyena_ds.model.language_model import HyenaLanguageModel

BINARY = label_tokens(("negative", "positive"))


def test_classes_are_the_published_bases() -> None:
    assert decode(np.array(BINARY)) == "AN"
    assert decode(np.array(label_tokens(("enhancer", "ocr", "promoter")))) == "AGN"
    with pytest.raises(InputError, match=r"4 classes \(a, b, c, d\)"):
        label_tokens(("a", "b", "c", "d"))


def test_a_soft_prompt_asks_after_the_separator() -> None:
    prompt = lay_out([], (encode(b"ACGT"), 1), BINARY)
    assert decode(prompt.tokens) == "ACGT[SEP]"
    assert prompt.tokens.tolist() == [7, 8, 9, 10, 1]
    assert (prompt.asked.tolist(), prompt.labels.tolist()) == ([4], [11])


def test_shown_examples_stand_with_their_labels_before_what_is_asked() -> None:
    prompt = lay_out([(encode(b"GG"), 0), (encode(b"TTT"), 1)], (encode(b"CA"), 0), BINARY)
    assert decode(prompt.tokens) == "GG[SEP]A[SEP]TTT[SEP]N[SEP]CA[SEP]"
    assert prompt.tokens.tolist() == [9, 9, 1, 7, 1, 10, 10, 10, 1, 11, 1, 8, 7, 1]
    assert prompt.asked.tolist() == [2, 8, 13]
    assert prompt.labels.tolist() == [7, 11, 7]
    assert prompt.tokens[prompt.asked[:-1] + 1].tolist() == prompt.labels[:-1].tolist()


def test_a_batch_is_padded_behind_what_is_asked() -> None:
    batch = collate([lay_out([(encode(b"G"), 1)], (encode(b"A"), 0), BINARY), lay_out([], (encode(b"ACG"), 1), BINARY)])
    assert batch.tokens.tolist() == [[9, 1, 11, 1, 7, 1], [7, 8, 9, 1, 4, 4]]
    assert list(zip(batch.rows.tolist(), batch.positions.tolist(), batch.labels.tolist(), strict=True)) == [
        (0, 1, 11),
        (0, 5, 7),
        (1, 3, 11),
    ]
    assert batch.labels[batch.last].tolist() == [7, 11]


def test_shots_are_of_every_class_shuffled_and_never_the_one_asked() -> None:
    by_class = [np.arange(0, 4), np.arange(4, 7)]
    orders = set()
    for seed in range(30):
        shown = draw_shown(by_class, 2, np.random.default_rng(seed), without=5)
        assert (shown < 4).sum() == 2
        assert set(shown[shown >= 4]) == {4, 6}
        orders.add(tuple(shown < 4))
    assert len(orders) == 6  # every order of two and two


def test_what_is_shown_depends_on_seed_and_number_alone() -> None:
    generator = np.random.default_rng(0)
    training = [(generator.integers(7, 11, 5).astype(np.uint8), number % 2) for number in range(12)]
    source = PromptSource(training, BINARY, 2, seed=3, reverse_complement=True)
    prompts = [decode(prompt.tokens) for prompt in source.prompts(training)]
    assert [decode(prompt.tokens) for prompt in source.prompts(training[:5])] == prompts[:5]
    assert [decode(prompt.tokens) for prompt in PromptSource(training, BINARY, 2, 4).prompts(training)] != prompts
    forward = {decode(bases) for bases, _ in training}
    # Other splits are read as they are; of the training set, either strand.
    assert all(piece in forward for prompt in prompts for piece in prompt.split("[SEP]") if len(piece) == 5)
    strands = [decode(source.training_prompt(1, epoch).tokens).split("[SEP]")[-2] for epoch in range(8)]
    assert set(strands) == {decode(training[1][0]), decode(reverse_complement(training[1][0]))}
    with pytest.raises(InputError, match="shots=6 and a class has 6 training examples"):
        PromptSource(training, BINARY, 6, 3)


def test_soft_tokens_come_first_and_answers_ignore_padding() -> None:
    torch.manual_seed(0)
    model = HyenaLanguageModel(ModelConfig(d_model=16, n_layer=2, l_max=64, filter_order=8)).eval()
    prompted = PromptedModel(model, 5, 0.1, tune_model=False).eval()
    assert [name for name, tensor in prompted.named_parameters() if tensor.requires_grad] == ["soft_tokens"]
    short, long = lay_out([(encode(b"GA"), 0)], (encode(b"CA"), 1), BINARY), lay_out([], (encode(b"A" * 20), 0), BINARY)
    with torch.no_grad():
        together = prompted(collate([short, long]))
        alone = prompted(collate([short]))
        # Soft tokens that hold the embeddings of bases are those bases.
        prompted.soft_tokens.copy_(model.backbone.embeddings(torch.tensor([7, 8, 9, 10, 7])))
        spelled = model(torch.tensor([[7, 8, 9, 10, 7, *short.tokens.tolist()]]))[0, 5 + torch.from_numpy(short.asked)]
        soft = prompted(collate([short]))
    torch.testing.assert_close(together[:2], alone)
    torch.testing.assert_close(soft, spelled)
    assert not torch.allclose(soft, alone)
