"""The character tokenizer of HyenaDNA; it travels with the weights and needs transformers alone."""

from typing import Any

from transformers import PreTrainedTokenizer

SPECIAL_TOKENS = ("[CLS]", "[SEP]", "[BOS]", "[MASK]", "[PAD]", "[RESERVED]", "[UNK]")
BASES = ("A", "C", "G", "T", "N")
AMBIGUITY_CODES = "RYSWKMBDHVU"
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


class HyenaDNATokenizer(PreTrainedTokenizer):
    """One token a base, then [SEP]; ids are those of the published tokenizer.

    Args:
        model_max_length: the model's `max_seq_len`.
        do_upper_case: read soft-masked (lower-case) bases as bases, and ambiguity codes and U as N, as in training.
            False: all of them as [UNK], as the published tokenizer does.
        padding_side: the published default is left; the attention mask makes both sides give one result.
    """

    model_input_names = ["input_ids", "attention_mask"]  # noqa: RUF012

    def __init__(
        self,
        model_max_length: int = 1026,
        do_upper_case: bool = True,
        padding_side: str = "left",
        **others: Any,
    ) -> None:
        self.do_upper_case = do_upper_case
        self._ids = {token: number for number, token in enumerate(SPECIAL_TOKENS + BASES)}
        self._tokens = {number: token for token, number in self._ids.items()}
        self._codes = dict.fromkeys(AMBIGUITY_CODES, self._ids["N"]) if do_upper_case else {}
        super().__init__(
            model_max_length=model_max_length,
            do_upper_case=do_upper_case,
            padding_side=padding_side,
            **(ROLES | others),
        )

    @property
    def vocab_size(self) -> int:
        return len(self._ids)

    def get_vocab(self) -> dict[str, int]:
        return dict(self._ids)

    def prepare_for_tokenization(
        self, text: str, is_split_into_words: bool = False, **others: Any
    ) -> tuple[str, dict[str, Any]]:
        return (text.upper() if self.do_upper_case else text), others

    def _tokenize(self, text: str, **_: Any) -> list[str]:
        return list(text)

    def _convert_token_to_id(self, token: str) -> int:
        return self._ids.get(token, self._codes.get(token, self._ids["[UNK]"]))

    def _convert_id_to_token(self, index: int) -> str:
        return self._tokens.get(index, "[UNK]")

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        return "".join(tokens)

    def build_inputs_with_special_tokens(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """sequence [SEP], or sequence [SEP] sequence [SEP]."""
        end = [self._ids["[SEP]"]]
        return token_ids_0 + end + (token_ids_1 + end if token_ids_1 is not None else [])

    def get_special_tokens_mask(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None, already_has_special_tokens: bool = False
    ) -> list[int]:
        """1 at special tokens, 0 at bases."""
        if already_has_special_tokens:
            return [int(token < len(SPECIAL_TOKENS)) for token in token_ids_0]
        second = [0] * len(token_ids_1) + [1] if token_ids_1 is not None else []
        return [0] * len(token_ids_0) + [1] + second

    def create_token_type_ids_from_sequences(
        self, token_ids_0: list[int], token_ids_1: list[int] | None = None
    ) -> list[int]:
        """0 for the first sequence and its [SEP], 1 for the second."""
        second = [1] * (len(token_ids_1) + 1) if token_ids_1 is not None else []
        return [0] * (len(token_ids_0) + 1) + second

    def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
        """The vocabulary is fixed in this file; nothing is written."""
        return ()
