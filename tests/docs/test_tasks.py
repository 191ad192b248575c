"""Every command and link on the pages of the published tasks is one that this project takes."""

import re
import shlex
from pathlib import Path

import pytest

from hyena_ds.config.load import load_config
from hyena_ds.downstream.config import FineTuneConfig
from hyena_ds.downstream.in_context.config import InContextConfig
from hyena_ds.downstream.tasks.catalogue import find_published

ROOT = Path(__file__).resolve().parents[2]
OVERVIEW = ROOT / "docs" / "tasks" / "README.md"
PAGES = sorted(set(OVERVIEW.parent.glob("*.md")) - {OVERVIEW})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_run(page: Path) -> None:
    blocks = re.findall(r"```\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    commands = [shlex.split(line) for block in blocks for line in block.splitlines() if "launch/" in line]
    assert commands
    for _, script, *words in commands:
        if script == "launch/finetune.py":
            assert words[0] == "--config"
            load_config(ROOT / words[1], FineTuneConfig, words[2:])
        elif script == "launch/in_context.py":
            load_config(ROOT / words[1], InContextConfig, words[2:])
        elif script == "launch/probe_table.py":
            assert words[::2] == ["--model", "--output"]
        elif script == "launch/biotypes.py":
            assert words[::2] == ["--model", "--input", "--output"]
        else:
            assert script == "launch/fetch.py"
            assert words == ["hg38"] or [find_published(name).name for name in words] == words


def test_every_page_is_linked() -> None:
    text = OVERVIEW.read_text(encoding="utf-8")
    assert set(re.findall(r"\]\(([\w-]+)\.md\)", text)) == {page.stem for page in PAGES}
