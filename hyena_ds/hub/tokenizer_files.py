"""The JSON files of the tokenizer and of generation in an export."""

from typing import Any

from hyena_ds.genome.alphabet import PAD, PADDED_VOCABULARY_SIZE, SEP, SPECIAL_TOKENS, TOKEN_IDS, VOCABULARY_SIZE

# [RESERVED] has no role in transformers.
ROLES = {
    "bos_token": "[BOS]",
    "cls_token": "[CLS]",
    "eos_token": "[SEP]",
    "mask_token": "[MASK]",
    "pad_token": "[PAD]",
    "sep_token": "[SEP]",
    "unk_token": "[UNK]",
}


def _added_token(content: str) -> dict[str, Any]:
    return {"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}


def special_tokens_map() -> dict[str, Any]:
    """The content of `special_tokens_map.json`."""
    return {role: _added_token(token) for role, token in ROLES.items()}


def tokenizer_config(l_max: int) -> dict[str, Any]:
    """The content of `tokenizer_config.json` for a model of `l_max` tokens."""
    added = {str(TOKEN_IDS[token]): _added_token(token) | {"special": True} for token in set(ROLES.values())}
    return {
        **ROLES,
        "add_prefix_space": False,
        "added_tokens_decoder": dict(sorted(added.items())),
        "auto_map": {"AutoTokenizer": ["tokenization_hyena.HyenaDNATokenizer", None]},
        "clean_up_tokenization_spaces": False,
        "do_upper_case": True,
        "model_max_length": l_max,
        "padding_side": "left",
        "tokenizer_class": "HyenaDNATokenizer",
    }


def generation_config() -> dict[str, Any]:
    """The content of `generation_config.json`: sampling meets bases, N and [SEP] only.

    The embedding's rows beyond the vocabulary are never trained by data, so they must not be drawn.
    """
    special = [TOKEN_IDS[token] for token in SPECIAL_TOKENS if TOKEN_IDS[token] != SEP]
    return {
        "eos_token_id": SEP,
        "pad_token_id": PAD,
        "suppress_tokens": [*special, *range(VOCABULARY_SIZE, PADDED_VOCABULARY_SIZE)],
        "use_cache": False,
    }
