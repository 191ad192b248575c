from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from hyena_ds.genome import alphabet
from hyena_ds.genome.record import normalise
from hyena_ds.hub import tokenization_hyena, tokenizer_files
from hyena_ds.hub.tokenization_hyena import HyenaDNATokenizer


@pytest.fixture(scope="module")
def tokenizer(plain_export: Path) -> Any:
    return AutoTokenizer.from_pretrained(plain_export, trust_remote_code=True)


def test_published_vectors(tokenizer: Any, plain_export: Path) -> None:
    assert tokenizer("ACGTN")["input_ids"] == [7, 8, 9, 10, 11, 1]
    assert tokenizer(["A", "ACG"], padding=True)["input_ids"] == [[4, 4, 7, 1], [7, 8, 9, 1]]
    as_published = AutoTokenizer.from_pretrained(plain_export, trust_remote_code=True, do_upper_case=False)
    assert as_published("acgt")["input_ids"] == [6, 6, 6, 6, 1]
    assert as_published("ACGTN")["input_ids"] == [7, 8, 9, 10, 11, 1]


def test_lower_case_bases_are_bases(tokenizer: Any) -> None:
    assert tokenizer("acgTn")["input_ids"] == tokenizer("ACGTN")["input_ids"]
    assert tokenizer.tokenize("acgTn") == list("ACGTN")


def test_ambiguity_codes_are_n_and_other_letters_unknown(tokenizer: Any, plain_export: Path) -> None:
    assert tokenizer("ARyUx.")["input_ids"] == [7, 11, 11, 11, 6, 6, 1]
    as_published = AutoTokenizer.from_pretrained(plain_export, trust_remote_code=True, do_upper_case=False)
    assert as_published("ARyU")["input_ids"] == [7, 6, 6, 6, 1]


def test_the_mask_marks_padding_on_either_side(tokenizer: Any) -> None:
    assert tokenizer(["A", "ACG"], padding=True)["attention_mask"] == [[0, 0, 1, 1], [1, 1, 1, 1]]
    right = tokenizer(["A", "ACG"], padding=True, padding_side="right")
    assert right["input_ids"][0] == [7, 1, 4, 4]
    assert right["attention_mask"][0] == [1, 1, 0, 0]


def test_ids_of_special_tokens(tokenizer: Any) -> None:
    named = ("cls_token_id", "sep_token_id", "bos_token_id", "mask_token_id", "pad_token_id", "unk_token_id")
    assert [getattr(tokenizer, name) for name in named] == [0, 1, 2, 3, 4, 6]
    assert tokenizer.eos_token_id == 1
    assert len(tokenizer) == tokenizer.vocab_size == 12
    assert tokenizer.model_max_length == 258
    assert tokenizer.padding_side == "left"


def test_it_agrees_with_the_pipeline_on_every_token(tokenizer: Any) -> None:
    assert tokenizer.get_vocab() == alphabet.TOKEN_IDS
    assert tokenization_hyena.SPECIAL_TOKENS == alphabet.SPECIAL_TOKENS
    assert tokenization_hyena.ROLES == tokenizer_files.ROLES
    sequence = ("ACGTN" + alphabet.AMBIGUITY_CODES) * 3
    for text in (sequence, sequence.lower()):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert ids == alphabet.encode(normalise(text.encode(), 0).stored).tolist()


def test_decoding_is_the_inverse(tokenizer: Any) -> None:
    ids = tokenizer("ACGTN")["input_ids"]
    assert tokenizer.decode(ids) == "ACGTN[SEP]"
    assert tokenizer.decode(ids, skip_special_tokens=True) == "ACGTN"
    assert tokenizer("AC[MASK]GT[SEP]", add_special_tokens=False)["input_ids"] == [7, 8, 3, 9, 10, 1]


def test_truncation_keeps_the_end_token(tokenizer: Any) -> None:
    assert tokenizer("ACGTACGT", truncation=True, max_length=4)["input_ids"] == [7, 8, 9, 1]
    assert len(tokenizer("A" * 300, truncation=True)["input_ids"]) == 258


def test_special_tokens_mask_and_pairs(tokenizer: Any) -> None:
    assert tokenizer("AC", return_special_tokens_mask=True)["special_tokens_mask"] == [0, 0, 1]
    assert tokenizer.get_special_tokens_mask([4, 7, 1], already_has_special_tokens=True) == [1, 0, 1]
    pair = tokenizer("AC", "G", return_token_type_ids=True)
    assert pair["input_ids"] == [7, 8, 1, 9, 1]
    assert pair["token_type_ids"] == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("do_upper_case", [True, False])
def test_saved_and_reloaded(do_upper_case: bool, plain_export: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(plain_export, trust_remote_code=True, do_upper_case=do_upper_case)
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path, trust_remote_code=True)
    for sequence in ("ACGTN", "acgt", "[PAD]A"):
        assert again(sequence)["input_ids"] == tokenizer(sequence)["input_ids"]
    assert again.model_max_length == tokenizer.model_max_length
    assert again.padding_side == "left"


def test_it_is_built_without_files() -> None:
    tokenizer = HyenaDNATokenizer(model_max_length=1026)
    assert tokenizer("acgt")["input_ids"] == [7, 8, 9, 10, 1]
