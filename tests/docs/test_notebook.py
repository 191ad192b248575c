"""The notebook runs from its first cell to its last, and is kept without outputs."""

import os
from pathlib import Path

import nbclient
import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "docs" / "using-weights.ipynb"


def results(notebook: nbformat.NotebookNode) -> list[str]:
    """What the last line of each code cell shows, where it shows something."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [" ".join(output.data["text/plain"].split()) for output in outputs if output.output_type == "execute_result"]


@pytest.mark.filterwarnings("default::DeprecationWarning", "default::ResourceWarning")
def test_the_notebook_runs(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
    client = nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(NOTEBOOK.parent)}})
    client.execute(env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path), "HF_HUB_OFFLINE": "1"})
    l_max, shape, difference, shapes, *_ = found = results(notebook)
    assert (l_max, shape) == ("258", "(120, 64)")
    assert float(difference) < 1e-5
    assert "(8, 64), (1, 64)" in shapes
    assert any(text.startswith("(True, '") for text in found), "the same seed draws the same bases"
    assert any("auroc" in text for text in found)
    assert "confusion.png" in found[-2]
