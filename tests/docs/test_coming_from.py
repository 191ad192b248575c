"""Every command and every piece of Python on the page for newcomers is one that this project takes."""

import ast
import re
import shlex
from pathlib import Path

import pytest

from hyena_ds.config.load import load_config
from hyena_ds.downstream.config import FineTuneConfig
from hyena_ds.downstream.in_context.config import InContextConfig
from hyena_ds.training.config import RunConfig

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "coming-from.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = [line for kind, block in BLOCKS if kind == "" for line in block.splitlines()]
CONFIG_TYPES = {
    "launch/finetune.py": FineTuneConfig,
    "launch/pretrain.py": RunConfig,
    "launch/in_context.py": InContextConfig,
}


@pytest.mark.parametrize("command", [line for line in COMMANDS if "--config" in line])
def test_a_run_of_the_page_has_a_config(command: str) -> None:
    _, script, _, config, *words = shlex.split(command)
    overrides = [word for word in words if not word.startswith("--")]
    loaded = load_config(ROOT / config, CONFIG_TYPES[script], overrides)
    assert loaded.run_directory.startswith("runs/")


def test_the_python_of_the_page_parses() -> None:
    pieces = [block for kind, block in BLOCKS if kind == "python"]
    assert len(pieces) == 2
    for piece in pieces:
        ast.parse(piece)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\((\.\./[^)#]+|[\w/-]+\.md)\)", TEXT))))
def test_a_link_of_the_page_leads_somewhere(path: str) -> None:
    assert (ROOT / "docs" / path).exists()
