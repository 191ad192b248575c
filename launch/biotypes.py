"""Biotypes of genes: `python launch/biotypes.py --model hf/160k --input cdna.fa.gz --output reports/biotypes`."""

import argparse
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hyena_ds.api import HyenaDNA
from hyena_ds.config.storage import check_writable
from hyena_ds.downstream.biotypes import DEPTH, LEARNING_RATE, TREES, classify, most_frequent, plot_map
from hyena_ds.downstream.example import Example
from hyena_ds.downstream.read import read_examples
from hyena_ds.downstream.results import write_json
from hyena_ds.downstream.task import TaskConfig, TaskDataConfig
from hyena_ds.errors import run_command
from hyena_ds.genome.alphabet import decode
from launch.command_parser import command_parser
from launch.model_arguments import EXIT_CODES, add_model_arguments, open_model, say

EXAMPLES = f"""\
examples:
  python launch/biotypes.py --model hf/160k --input Homo_sapiens.GRCh38.cdna.all.fa.gz --output reports/biotypes
  python launch/biotypes.py --model hf/160k --input genes.csv --output reports/mine --classes 4

--input is FASTA whose headers hold gene_biotype:NAME, as Ensembl writes them, or a table with the columns sequence and
label. The output holds results.json (weighted F1), tsne.png, and embeddings.parquet, which is written in parts: killed
before it is complete, the same command goes on. Genes longer than the model are read in windows of its length.

{EXIT_CODES}"""
MAPPED = 5_000  # genes; t-SNE of more takes minutes


def parse_arguments() -> argparse.Namespace:
    parser = command_parser(__doc__, EXAMPLES)
    add_model_arguments(parser)
    parser.add_argument("--input", type=Path, required=True, help="FASTA of Ensembl, or a table; gzip too")
    parser.add_argument("--output", type=Path, required=True, help="a directory")
    parser.add_argument("--overwrite", action="store_true", help="embed again where embeddings.parquet stands")
    parser.add_argument(
        "--classes", type=int, default=10, metavar="N", help="the N most frequent biotypes (default 10)"
    )
    parser.add_argument("--test", type=float, default=0.2, metavar="SHARE", help="of the genes (default 0.2)")
    parser.add_argument("--seed", type=int, default=2222)
    parser.add_argument("--trees", type=int, default=TREES, help=f"of each class (default {TREES:,})")
    return parser.parse_args()


def read_genes(arguments: argparse.Namespace) -> list[Example]:
    """The genes of the most frequent biotypes."""
    data = TaskDataConfig(train=str(arguments.input), header_label=r"gene_biotype:(\S+)")
    task = TaskConfig(name="biotypes", kind="multiclass")
    genes = read_examples(task, data, arguments.output / ".fasta_cache", say)
    classes = most_frequent([gene.label[0] for gene in genes], arguments.classes)
    return [gene for gene in genes if gene.label[0] in classes]


def embed(model: HyenaDNA, genes: list[Example], output: Path, *, overwrite: bool) -> np.ndarray:
    """The mean over the bases of each gene, [n, D]."""
    bases = [decode(gene.tokens[:]) for gene in genes]
    window = model.l_max if max(map(len, bases)) > model.l_max else None
    overlap = None if window is None else 0
    model.embed(bases, window=window, overlap=overlap, output=output, overwrite=overwrite, progress=True)
    return np.stack(list(pd.read_parquet(output)["embedding"]))


def main() -> None:
    arguments = parse_arguments()
    check_writable(arguments.output, f"--output {arguments.output}")
    genes = read_genes(arguments)
    labels = [gene.label[0] for gene in genes]
    model = open_model(arguments)
    arguments.output.mkdir(parents=True, exist_ok=True)
    embeddings = embed(model, genes, arguments.output / "embeddings.parquet", overwrite=arguments.overwrite)
    scores = classify(embeddings, labels, test=arguments.test, seed=arguments.seed, trees=arguments.trees)
    shown = np.random.default_rng(arguments.seed).permutation(len(genes))[:MAPPED]
    plot_map(arguments.output / "tsne.png", embeddings[shown], [labels[one] for one in shown], seed=arguments.seed)
    settings = {"trees": arguments.trees, "depth": DEPTH, "learning_rate": LEARNING_RATE, "seed": arguments.seed}
    results = {"model": model.source, "genes": Counter(labels), "settings": settings, "scores": asdict(scores)}
    write_json(arguments.output / "results.json", results)
    say(f"weighted F1 {scores.weighted_f1:.4f} on {scores.test:,} genes; done: {arguments.output / 'results.json'}")


if __name__ == "__main__":
    run_command(main)
