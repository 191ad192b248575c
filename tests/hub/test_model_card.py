import yaml

from hyena_ds.hub.model_card import DataSource, ModelCard, render_card
from hyena_ds.model.config import ModelConfig

CONFIG = ModelConfig(d_model=128, n_layer=2, l_max=1_026)
CARD = ModelCard(
    sources=(DataSource("human", "GRCh38", "hg38.fa.gz", 3_099_734_149),),
    steps=10_000,
    tokens=10_485_760_000,
    perplexity=3.5123,
    bits_per_base=1.8124,
    windows=4_096,
    window_length=1_024,
    run_config="model:\n  d_model: 128\n",
)


def test_the_run_stands_in_the_card() -> None:
    text = render_card(CARD, CONFIG, "human-1k")
    for fact in (
        "# human-1k",
        "up to 1,024 bases",
        "| human | GRCh38 | hg38.fa.gz | 3,099,734,149 |",
        "10,000 optimizer steps",
        "10,485,760,000 tokens",
        "perplexity 3.5123 a base, over 4,096 windows of 1,024 bases",
        "1.8124 bits per base",
        "```yaml\nmodel:\n  d_model: 128\n```",
        "arXiv:2306.15794",
    ):
        assert fact in text


def test_the_sections_a_card_owes() -> None:
    text = render_card(CARD, CONFIG, "human-1k")
    titles = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert titles == [
        "How to use",
        "Training data",
        "Training and results",
        "Intended use",
        "Out of scope",
        "Bias, risks and privacy",
        "Limitations",
        "Licence",
        "Citation",
    ]
    head = yaml.safe_load(text.split("---\n")[1])
    assert head["license"] == "apache-2.0"
    assert head["library_name"] == "transformers"


def test_what_is_unknown_is_said() -> None:
    text = render_card(ModelCard(), CONFIG, "model")
    assert text.count("Not recorded.") == 2
    assert "None" not in text
    assert "$" not in text


def test_imported_weights_keep_their_licence() -> None:
    text = render_card(ModelCard(imported_from="weights.ckpt"), CONFIG, "model")
    assert yaml.safe_load(text.split("---\n")[1])["license"] == "other"
    assert "imported from `weights.ckpt`" in text
    assert "under the licence that they came with" in text


def test_disagreement_with_the_public_code_is_said() -> None:
    assert "open these weights too" in render_card(CARD, CONFIG, "model")
    text = render_card(CARD, ModelConfig(d_model=8, n_layer=1, l_max=10, filter_shift=0.0, bidirectional=True), "model")
    assert "open these weights too" not in text
    assert "filter_shift=0.0, the public code has 0.05" in text
    assert "bidirectional=True, the public code is causal" in text
