"""The README.md of an export, filled from the run."""

from dataclasses import dataclass
from string import Template

from hyena_ds.hub.public_config import public_code_differences
from hyena_ds.model.config import ModelConfig


@dataclass(frozen=True)
class DataSource:
    """One genome of the training data; `bases` counts all of its bases, `file` is the FASTA file's name."""

    species: str
    assembly: str
    file: str
    bases: int


@dataclass(frozen=True)
class ModelCard:
    """What a run tells of itself; what is None or empty is said to be unknown.

    `perplexity` and `bits_per_base` are those of the last validation, `windows` its number of windows of
    `window_length` bases; `run_config` is the run's resolved YAML; `imported_from` names weights from outside; `task`
    tells what a fine-tuned model's head was trained for.
    """

    sources: tuple[DataSource, ...] = ()
    steps: int | None = None
    tokens: int | None = None
    perplexity: float | None = None
    bits_per_base: float | None = None
    windows: int | None = None
    window_length: int | None = None
    run_config: str = ""
    imported_from: str | None = None
    task: str = ""
    licence: str = "apache-2.0"


_CARD = Template("""\
---
library_name: transformers
license: $licence
tags:
- dna
- genomics
- hyena
- hyenadna
---

# $name

A HyenaDNA language model of DNA: it predicts the next base from all bases before it, up to $bases bases, at the
resolution of single bases. $origin

| | |
|---|---|
| layers | $n_layer |
| width | $d_model |
| width inside the MLP | $d_inner |
| longest input | $l_max tokens (`max_seq_len`) |
| Hyena order | $order |
| filter shift | $filter_shift (`filter_shift`) |
| vocabulary | 12 tokens (A, C, G, T, N and 7 special ones), padded to 16 |

## How to use

```python
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

directory = "$name"  # this directory, or its name on a hub
tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=True)
model = AutoModelForCausalLM.from_pretrained(directory, trust_remote_code=True).eval()

batch = tokenizer(["ACGTACGTTAGC", "acgt"], padding=True, return_tensors="pt")
with torch.inference_mode():
    output = model(**batch, output_hidden_states=True)
output.logits             # [2, 13, 16], of the next token at each position
output.hidden_states[-1]  # [2, 13, $d_model], after the final norm

prompt = tokenizer("ACGTACGT", add_special_tokens=False, return_tensors="pt")  # no [SEP]: it ends a sequence
tokenizer.batch_decode(model.generate(**prompt, max_new_tokens=16, do_sample=True))
```

- `AutoModel` gives the backbone, `AutoModelForSequenceClassification` a classifier with a new `score` layer.
- Pass the attention mask that the tokenizer returns: padding then changes no result, on either side.
- Lower-case (soft-masked) bases are read as bases; `do_upper_case=False` reads them as [UNK], as the published
  tokenizer does. Other letters become [UNK]; write ambiguity codes as N.
- Labels are shifted by the model. Only -100 is ignored in the loss: set padding to it.
- The implicit filter stays in fp32 when the model is loaded in another dtype.
- `trust_remote_code=True` runs the Python files of this directory; read them first if you do not know who wrote them.
$compatibility
## Training data

$data

## Training and results

$training

## Intended use

Research on genomes: embeddings of sequences, likelihoods of sequences and variants under the model, fine-tuning on
labelled regions.

## Out of scope

Diagnosis, treatment or any decision about a person; release of generated sequences into organisms; claims about
species, assemblies or lengths that the model has not seen. A likelihood is no measure of pathogenicity.

## Bias, risks and privacy

A reference assembly stands for few individuals, so the model knows common alleles of those populations better than
others, and repeats better than unique sequence. Training data from people, rather than a public reference, may be
recoverable from a model: share such a model only as you would share the data.

## Limitations

The model reads one strand from left to right. It is tied to its `max_seq_len`: the filters stretch with that number,
and longer inputs are refused. Perplexity near 4 on unique sequence is normal for DNA.

## Licence

$licence_text

## Citation

```bibtex
@inproceedings{nguyen2023hyenadna,
  title     = {HyenaDNA: Long-Range Genomic Sequence Modeling at Single Nucleotide Resolution},
  author    = {Nguyen, Eric and Poli, Michael and Faizi, Marjan and Thomas, Armin and Birch-Sykes, Callum and
               Wornow, Michael and Patel, Aman and Rabideau, Clayton and Massaroli, Stefano and Bengio, Yoshua and
               Ermon, Stefano and Baccus, Stephen A. and R{\\'e}, Chris},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2023},
  note      = {arXiv:2306.15794}
}
```
""")


def render_card(card: ModelCard, config: ModelConfig, name: str) -> str:
    """The model card as Markdown with the hub's YAML head."""
    return _CARD.substitute(
        name=name,
        licence="other" if card.imported_from else card.licence,
        licence_text=_licence(card),
        origin=_origin(card),
        bases=f"{config.l_max - 2:,}",
        n_layer=config.n_layer,
        d_model=config.d_model,
        d_inner=config.inner_width,
        l_max=f"{config.l_max:,}",
        order=config.order,
        filter_shift=config.filter_shift,
        compatibility=_compatibility(config),
        data=_data(card),
        training=_training(card),
    )


def _origin(card: ModelCard) -> str:
    if card.task:
        return (
            f"It was fine-tuned by hyena_ds for {card.task}; `AutoModelForSequenceClassification` (or "
            "`AutoModelForTokenClassification`, for one class a base) opens it with its head."
        )
    if card.imported_from:
        trained = ", trained further" if card.steps else ""
        return f"Its weights were imported from `{card.imported_from}`{trained} and exported by hyena_ds."
    return "It was trained and exported by hyena_ds."


def _licence(card: ModelCard) -> str:
    if card.imported_from:
        return "The weights are under the licence that they came with; the Python files are under Apache-2.0."
    return f"{card.licence}; the training data may carry terms of its own."


def _compatibility(config: ModelConfig) -> str:
    differences = public_code_differences(config)
    if not differences:
        return "- The files of the published HyenaDNA repositories on the Hugging Face hub open these weights too.\n"
    return f"- The published remote code would compute something else from these weights: {'; '.join(differences)}.\n"


def _data(card: ModelCard) -> str:
    if not card.sources:
        return "Not recorded." if card.imported_from is None else "That of the imported weights."
    before = "" if card.imported_from is None else "After that of the imported weights:\n\n"
    rows = [f"| {source.species} | {source.assembly} | {source.file} | {source.bases:,} |" for source in card.sources]
    return before + "\n".join(["| species | assembly | file | bases |", "|---|---|---|---|", *rows])


def _training(card: ModelCard) -> str:
    facts = []
    if card.steps is not None:
        facts.append(f"- {card.steps:,} optimizer steps")
    if card.tokens is not None:
        facts.append(f"- {card.tokens:,} tokens seen")
    if card.perplexity is not None:
        windows = "" if card.windows is None else f", over {card.windows:,} windows"
        length = "" if card.window_length is None else f" of {card.window_length:,} bases"
        facts.append(f"- validation perplexity {card.perplexity:.4f} a base{windows}{length}; targets A, C, G, T only")
    if card.bits_per_base is not None:
        facts.append(f"- {card.bits_per_base:.4f} bits per base")
    if not facts:
        facts.append("Not recorded.")
    if card.run_config:
        facts.append(f"\nThe whole config of the run:\n\n```yaml\n{card.run_config.strip()}\n```")
    return "\n".join(facts)
