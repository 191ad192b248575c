import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from hyena_ds.hub.export import export_huggingface
from hyena_ds.hub.import_weights import import_weights
from hyena_ds.model.config import ModelConfig
from hyena_ds.model.language_model import HyenaLanguageModel

PAD = 4


def opened(model_class: Any, directory: Path, **options: Any) -> Any:
    model, report = model_class.from_pretrained(directory, trust_remote_code=True, output_loading_info=True, **options)
    expected_missing = {"score.weight"} if model_class is AutoModelForSequenceClassification else set()
    assert set(report["missing_keys"]) == expected_missing
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    return model.eval()


@pytest.fixture(scope="module")
def causal(plain_export: Path) -> Any:
    return opened(AutoModelForCausalLM, plain_export)


@pytest.fixture
def tokens() -> Tensor:
    return torch.randint(7, 12, (2, 30), generator=torch.Generator().manual_seed(0))


def distance(left: Tensor, right: Tensor) -> float:
    return float((left - right).norm() / right.norm())


def padded(tokens: Tensor, left: int, right: int) -> tuple[Tensor, Tensor]:
    """Token ids with padding on both sides, and their attention mask."""
    return functional.pad(tokens, (left, right), value=PAD), functional.pad(torch.ones_like(tokens), (left, right))


def test_golden_logits_hidden_states_and_loss(exported: tuple[Path, dict[str, Tensor], float]) -> None:
    directory, expected, shift = exported
    inputs, targets = expected["input_ids"][:, :-1], expected["input_ids"]
    model = opened(AutoModelForCausalLM, directory)
    with torch.inference_mode():
        output = model(inputs, output_hidden_states=True)
        loss = model(targets, labels=targets).loss
        backbone = opened(AutoModel, directory)(inputs)
    assert distance(output.logits, expected[f"shift_{shift}/logits"]) <= 1e-5
    assert distance(backbone.last_hidden_state, expected[f"shift_{shift}/hidden"]) <= 1e-5
    assert torch.equal(output.hidden_states[-1], backbone.last_hidden_state)
    assert len(output.hidden_states) == model.config.n_layer + 2
    assert distance(loss, expected[f"shift_{shift}/loss"]) <= 1e-5


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"filter_shift": 0.0, "bidirectional": True},
        {"short_filter_order": 4, "num_inner_mlps": 1, "emb_dim": 3, "layer_norm_epsilon": 1e-3, "d_inner": 24},
    ],
    ids=str,
)
def test_logits_of_any_trained_model(changes: dict[str, Any], tmp_path: Path) -> None:
    config = dataclasses.replace(ModelConfig(d_model=16, n_layer=2, l_max=66), **changes)
    torch.manual_seed(0)
    trained = HyenaLanguageModel(config).eval()
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    export_huggingface(dict(trained.named_parameters()), {}, config, tmp_path / "hf")
    model = opened(AutoModelForCausalLM, tmp_path / "hf")
    for length in (1, 17, 64):
        tokens = torch.randint(7, 12, (2, length))
        with torch.inference_mode():
            assert distance(model(tokens).logits, trained(tokens)) <= 1e-5


def test_padding_changes_no_real_position(causal: Any, tokens: Tensor) -> None:
    with torch.inference_mode():
        expected = causal(tokens).logits
        for left, right in ((7, 0), (0, 7), (3, 5)):
            padded_tokens, mask = padded(tokens, left, right)
            logits = causal(padded_tokens, attention_mask=mask).logits[:, left : left + tokens.shape[1]]
            assert distance(logits, expected) <= 1e-5
        unmasked = causal(padded(tokens, 7, 0)[0]).logits[:, 7:]
    assert distance(unmasked, expected) > 1e-2


def test_the_classifier_scores_the_last_real_token(plain_export: Path, tokens: Tensor) -> None:
    model = opened(AutoModelForSequenceClassification, plain_export, num_labels=3)
    with torch.inference_mode():
        expected = model.score(model.hyena(tokens).last_hidden_state[:, -1])
        for left, right in ((0, 0), (7, 0), (0, 7), (3, 5)):
            padded_tokens, mask = padded(tokens, left, right)
            assert distance(model(padded_tokens, attention_mask=mask).logits, expected) <= 1e-5
        # Right padding cannot reach a causal model's earlier positions, so the tokens alone tell the last one.
        assert distance(model(padded(tokens, 0, 7)[0]).logits, expected) <= 1e-5
        embedded = model.get_input_embeddings()(tokens)
        assert distance(model(inputs_embeds=embedded).logits, expected) <= 1e-5


@pytest.mark.parametrize(
    ("num_labels", "labels", "problem"),
    [
        (3, torch.tensor([0, 2]), "single_label_classification"),
        (1, torch.tensor([0.5, -1.0]), "regression"),
        (2, torch.tensor([[0.0, 1.0], [1.0, 1.0]]), "multi_label_classification"),
    ],
)
def test_losses_of_the_classifier(
    num_labels: int, labels: Tensor, problem: str, plain_export: Path, tokens: Tensor
) -> None:
    model = opened(AutoModelForSequenceClassification, plain_export, num_labels=num_labels)
    output = model(tokens, labels=labels)
    expected = {
        "single_label_classification": lambda: functional.cross_entropy(output.logits, labels),
        "regression": lambda: functional.mse_loss(output.logits[:, 0], labels),
        "multi_label_classification": lambda: functional.binary_cross_entropy_with_logits(output.logits, labels),
    }[problem]()
    assert torch.equal(output.loss, expected)
    output.loss.backward()
    assert model.score.weight.grad.norm() > 0
    assert model.get_input_embeddings().weight.grad.norm() > 0


def test_labels_are_shifted_and_only_minus_100_is_ignored(causal: Any, tokens: Tensor) -> None:
    with torch.inference_mode():
        logits = causal(tokens).logits[:, :-1]
        labels = tokens.clone()
        labels[:, :5] = -100
        labels[:, -1] = PAD
        loss = causal(tokens, labels=labels).loss
    kept = labels[:, 5:]
    assert loss.item() == pytest.approx(functional.cross_entropy(logits[:, 4:].flatten(0, 1), kept.flatten()).item())


def test_generation_extends_the_prompt_as_the_logits_say(causal: Any, tokens: Tensor) -> None:
    with torch.inference_mode():
        greedy = causal.generate(tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=4, do_sample=False)
        expected = tokens
        for _ in range(4):
            logits = causal(expected).logits[:, -1].clone()
            logits[:, [0, 2, 3, 4, 5, 6, 12, 13, 14, 15]] = -torch.inf
            expected = torch.cat([expected, logits.argmax(-1, keepdim=True)], dim=1)
    ended = (expected == 1).cumsum(1).cumsum(1) > 1
    assert torch.equal(greedy, expected.masked_fill(ended, PAD)[:, : greedy.shape[1]])


def test_generation_is_the_same_behind_left_padding(causal: Any, tokens: Tensor) -> None:
    padded_tokens, mask = padded(tokens, 7, 0)
    plain = causal.generate(tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=4, do_sample=False)
    behind = causal.generate(padded_tokens, attention_mask=mask, max_new_tokens=4, do_sample=False)
    assert torch.equal(behind[:, 7:], plain)


def test_sampling_meets_bases_and_the_end_only(causal: Any, tokens: Tensor) -> None:
    torch.manual_seed(0)
    drawn = causal.generate(tokens[:1], max_new_tokens=60, do_sample=True, temperature=100.0, num_return_sequences=4)
    assert set(drawn[:, tokens.shape[1] :].flatten().tolist()) <= {1, PAD, 7, 8, 9, 10, 11}


def test_generation_beyond_l_max_is_a_named_error(causal: Any) -> None:
    with pytest.raises(ValueError, match="the input has 259 tokens, the model's l_max is 258"):
        causal(torch.full((1, 259), 7))


def test_saved_and_reloaded(plain_export: Path, causal: Any, tokens: Tensor, tmp_path: Path) -> None:
    causal.save_pretrained(tmp_path / "saved")
    saved, exported = (load_file(path / "model.safetensors") for path in (tmp_path / "saved", plain_export))
    assert saved.keys() == exported.keys()
    assert all(torch.equal(saved[name], tensor) for name, tensor in exported.items())
    again = opened(AutoModelForCausalLM, tmp_path / "saved")
    with torch.inference_mode():
        assert torch.equal(again(tokens).logits, causal(tokens).logits)
    assert import_weights(tmp_path / "saved").config == import_weights(plain_export).config


def test_a_classifier_saved_and_reloaded(plain_export: Path, tokens: Tensor, tmp_path: Path) -> None:
    model = opened(AutoModelForSequenceClassification, plain_export, num_labels=3)
    model.save_pretrained(tmp_path / "saved")
    again, report = AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "saved", trust_remote_code=True, output_loading_info=True
    )
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    with torch.inference_mode():
        assert torch.equal(again.eval()(tokens).logits, model(tokens).logits)
    assert list(import_weights(tmp_path / "saved").decoder) == ["score.weight"]


def test_the_filter_has_one_frequency_and_strict_loading_works(causal: Any, plain_export: Path) -> None:
    network = causal.hyena.backbone.layers[0].mixer.filter_fn.implicit_filter
    assert network[1].freq is network[3].freq is network[5].freq
    again = opened(AutoModelForCausalLM, plain_export)
    assert not any(again.load_state_dict(causal.state_dict(), strict=True))


def test_a_head_is_tied_on_request(plain_export: Path) -> None:
    model = opened(AutoModelForCausalLM, plain_export, tie_word_embeddings=True)
    assert model.lm_head.weight is model.get_input_embeddings().weight
    network = model.hyena.backbone.layers[1].mixer.filter_fn.implicit_filter
    assert network[1].freq is network[3].freq


def test_the_filter_stays_in_fp32(plain_export: Path, causal: Any, tokens: Tensor) -> None:
    model = opened(AutoModelForCausalLM, plain_export, dtype=torch.bfloat16)
    tensors = [*model.named_parameters(), *model.named_buffers()]
    for name, tensor in tensors:
        assert tensor.dtype == (torch.float32 if ".filter_fn." in name else torch.bfloat16), name
    with torch.inference_mode():
        assert distance(model(tokens).logits.float(), causal(tokens).logits) < 2e-2


def test_from_scratch_starts_as_pretraining_does(plain_export: Path) -> None:
    config = AutoConfig.from_pretrained(plain_export, trust_remote_code=True, n_layer=8, d_model=128, d_inner=512)
    torch.manual_seed(0)
    fresh = dict(AutoModelForCausalLM.from_config(config, trust_remote_code=True).named_parameters())
    torch.manual_seed(0)
    trained = HyenaLanguageModel(ModelConfig(d_model=128, n_layer=8, l_max=258))
    names = {name: parameter for name, parameter in trained.named_parameters() if parameter.numel() >= 128}
    assert len(names) > 100
    for name, parameter in names.items():
        ours = fresh["hyena." + name]
        tolerance = 5 * (1 / parameter.numel()) ** 0.5
        assert ours.std().item() == pytest.approx(parameter.std().item(), rel=tolerance, abs=1e-12), name
        margin = 2 * tolerance * parameter.std().item()
        assert ours.mean().item() == pytest.approx(parameter.mean().item(), abs=margin), name
    assert fresh["hyena.backbone.layers.0.mixer.out_proj.weight"].std().item() == pytest.approx(0.02 / 4, rel=0.05)
    assert (fresh["hyena.backbone.layers.0.mixer.filter_fn.implicit_filter.1.freq"] == 10).all()


def test_missing_tables_are_computed(plain_export: Path, causal: Any, tokens: Tensor, tmp_path: Path) -> None:
    stripped = shutil.copytree(plain_export, tmp_path / "stripped")
    state = load_file(plain_export / "model.safetensors")
    kept = {name: tensor for name, tensor in state.items() if not name.endswith((".z", ".t", ".deltas"))}
    save_file(kept, stripped / "model.safetensors", {"format": "pt"})
    model = AutoModelForCausalLM.from_pretrained(stripped, trust_remote_code=True).eval()
    with torch.inference_mode():
        assert distance(model(tokens).logits, causal(tokens).logits) <= 1e-5


def test_embedding_dropout_acts_in_training_alone(plain_export: Path, tokens: Tensor) -> None:
    model = opened(AutoModelForCausalLM, plain_export).train()
    torch.manual_seed(0)
    with torch.no_grad():
        first, second = model(tokens).logits, model(tokens).logits
        assert not torch.equal(first, second)
        model.eval()
        assert torch.equal(model(tokens).logits, model(tokens).logits)


def gradients(model: Any, tokens: Tensor) -> Tensor:
    torch.manual_seed(0)
    model.zero_grad()
    model(tokens, labels=tokens).loss.backward()
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None])


def test_recomputing_blocks_changes_no_gradient(plain_export: Path, tokens: Tensor) -> None:
    model = opened(AutoModelForCausalLM, plain_export, embed_dropout=0.0).train()
    kept = gradients(model, tokens)
    model.activation_checkpointing_enable()
    assert model.is_activation_checkpointing
    assert distance(gradients(model, tokens), kept) < 1e-6
    model.activation_checkpointing_disable()
    assert torch.equal(gradients(model, tokens), kept)


def test_recomputed_blocks_repeat_their_dropout(plain_export: Path, tokens: Tensor) -> None:
    model = opened(AutoModelForCausalLM, plain_export, resid_dropout=0.1).train()
    model.activation_checkpointing_enable()
    first = gradients(model, tokens)
    assert torch.equal(gradients(model, tokens), first)
    assert distance(first, gradients(model.eval(), tokens)) > 1e-2


def test_embeddings_replace_token_ids(causal: Any, tokens: Tensor) -> None:
    with torch.inference_mode():
        embedded = causal.get_input_embeddings()(tokens)
        assert torch.equal(causal(inputs_embeds=embedded).logits, causal(tokens).logits)
        with pytest.raises(ValueError, match="either input_ids or inputs_embeds"):
            causal(tokens, inputs_embeds=embedded)
        values = causal(tokens, return_dict=False)
    assert torch.equal(values[0], causal(tokens).logits)


def test_tokenizer_and_model_work_together(plain_export: Path, causal: Any) -> None:
    tokenizer = AutoTokenizer.from_pretrained(plain_export, trust_remote_code=True)
    sequences = ["ACGTNACGTTT", "acg"]
    with torch.inference_mode():
        alone = [causal(**tokenizer(sequence, return_tensors="pt")).logits[0] for sequence in sequences]
        for side in ("left", "right"):
            tokenizer.padding_side = side
            batch = tokenizer(sequences, padding=True, return_tensors="pt")
            together = causal(**batch).logits
            for row, expected in enumerate(alone):
                assert distance(together[row][batch["attention_mask"][row].bool()], expected) <= 1e-5


def test_the_example_of_the_model_card_runs(plain_export: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = (plain_export / "README.md").read_text()
    example = card.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(plain_export.parent)
    names: dict[str, Any] = {}
    exec(compile(example, "README.md", "exec"), names)  # noqa: S102
    assert names["output"].logits.shape == (2, 13, 16)
    assert names["output"].hidden_states[-1].shape == (2, 13, 64)
