"""A task asked in context, from a config to results.json."""

from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save_file

from hyena_ds.config.load import dump_config
from hyena_ds.downstream.example import Example
from hyena_ds.downstream.in_context.config import InContextConfig
from hyena_ds.downstream.in_context.model import PromptedModel
from hyena_ds.downstream.in_context.prompt import Labelled, label_tokens
from hyena_ds.downstream.in_context.tuning import InContextRun, PromptSource
from hyena_ds.downstream.labels import LabelEncoder, find_classes
from hyena_ds.downstream.plan import read_cache
from hyena_ds.downstream.read import read_examples
from hyena_ds.downstream.results import RESULTS_NAME, write_json
from hyena_ds.downstream.split import SPLITS, split_examples
from hyena_ds.errors import InputError
from hyena_ds.genome.alphabet import TOKEN_IDS
from hyena_ds.genome.fasta import Say
from hyena_ds.hub.open_model import open_model
from hyena_ds.model.config import ModelConfig
from hyena_ds.training.plan import check_run_directory
from hyena_ds.training.run import CONFIG_NAME

TUNED_NAME = "tuned.safetensors"


def run_in_context(config: InContextConfig, say: Say = print) -> dict[str, object]:
    """Tune and ask; returns what results.json of the run directory then holds, beside config and what was tuned.

    Raises InputError for what cannot be asked, before any work is done.
    """
    directory = Path(config.run_directory)
    check_run_directory(directory)
    if (directory / RESULTS_NAME).exists():
        raise InputError(f"{directory} holds the results of a run; choose another run_directory")
    examples = read_examples(config.task, config.data, read_cache(directory), say)
    split = split_examples(examples, config.split, stratify=True)
    parts = dict(zip(SPLITS, (split.train, split.valid, split.test), strict=True))
    classes = find_classes(config.task, [examples[number] for number in split.train])
    tokens = label_tokens(classes)
    encoder = LabelEncoder(config.task, classes)
    sets = {name: _labelled(encoder, [examples[number] for number in numbers]) for name, numbers in parts.items()}
    opened = open_model(config.start.checkpoint, filter_shift=config.start.filter_shift)
    _check_length(config, opened.model.config, sets, len(classes))
    torch.manual_seed(config.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    prompted = PromptedModel(
        opened.model, config.soft_tokens, config.soft_token_dropout, tune_model=config.method == "few_shot"
    ).to(device)
    source = PromptSource(sets["train"], tokens, config.shots, config.seed, config.data.reverse_complement)
    run = InContextRun(config, prompted, source, device)
    for note in split.notes:
        say(f"note: {note}")
    epochs = run.tune(sets["valid"], say) if config.tunes else 0
    scores = {name: asdict(run.score(sets[name])) for name in SPLITS[1:] if sets[name]}
    names = list(TOKEN_IDS)
    results: dict[str, object] = {
        "task": config.task.name,
        "start": opened.source,
        "method": config.method,
        "soft_tokens": config.soft_tokens,
        "shots": config.shots,
        "label_tokens": {name: names[token] for name, token in zip(classes, tokens, strict=True)},
        "epochs": epochs,
        "scores": scores,
    }
    directory.mkdir(parents=True, exist_ok=True)
    (directory / CONFIG_NAME).write_text(dump_config(config), encoding="utf-8")
    tuned = {name: tensor.detach().cpu() for name, tensor in prompted.named_parameters() if tensor.requires_grad}
    save_file(tuned, directory / TUNED_NAME)
    write_json(directory / RESULTS_NAME, results)
    return results


def _labelled(encoder: LabelEncoder, examples: list[Example]) -> list[Labelled]:
    targets = encoder.encode(examples)
    return [(example.tokens[:], int(target)) for example, target in zip(examples, targets, strict=True)]


def _check_length(config: InContextConfig, model: ModelConfig, sets: dict[str, list[Labelled]], classes: int) -> None:
    """Raises InputError where the longest prompt there could be is too long, or the model reads both ways."""
    if model.bidirectional:
        raise InputError(f"start.checkpoint={config.start.checkpoint} reads both ways and says no next token")
    longest = {name: max((len(bases) for bases, _ in found), default=0) for name, found in sets.items()}
    shown = config.shots * classes
    tokens = config.soft_tokens + shown * (longest["train"] + 3) + max(longest.values()) + 1
    if tokens > model.l_max:
        raise InputError(
            f"soft_tokens={config.soft_tokens:,} and {shown} shown examples of up to {longest['train']:,} bases make "
            f"up to {tokens:,} tokens, the model's l_max is {model.l_max:,}; lower them, or take a longer model"
        )
