import ast
import sys
from pathlib import Path

import pytest

from hyena_ds.hub import modeling_source as generator
from hyena_ds.hub.modeling_source import MODEL_SOURCES, modeling_source, module_body


def test_the_file_stands_alone() -> None:
    tree = ast.parse(modeling_source())
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [("." * node.level) + (node.module or "")]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported - set(sys.stdlib_module_names) == {"torch", "transformers", ""}
    compile(tree, "modeling_hyena.py", "exec")


@pytest.mark.parametrize("path", MODEL_SOURCES, ids=lambda path: path.stem)
def test_every_definition_stands_in_the_file_to_the_letter(path: Path) -> None:
    source, generated = path.read_text(), modeling_source()
    definitions = [node for node in ast.parse(source).body if not isinstance(node, ast.Import | ast.ImportFrom)][1:]
    assert definitions
    for node in definitions:
        text = ast.get_source_segment(source, node)
        assert text is not None
        assert generated.count(text) == 1
    assert module_body(source)[0] in generated


def test_every_internal_import_of_the_model_is_in_the_file() -> None:
    modules = {".".join(path.relative_to(generator._ROOT.parent).with_suffix("").parts) for path in MODEL_SOURCES}
    modules.add("hyena_ds.hub.configuration_hyena")
    for path in MODEL_SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hyena_ds"):
                assert node.module in modules, f"add {node.module}, which {path.name} imports, to MODEL_SOURCES"


def test_modules_stand_after_those_they_use() -> None:
    seen = {"hyena_ds.hub.configuration_hyena"}
    for path in MODEL_SOURCES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("hyena_ds"):
                assert node.module in seen, f"{path.name} comes before {node.module}"
        seen.add(".".join(path.relative_to(generator._ROOT.parent).with_suffix("").parts))


def test_a_name_defined_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator, "_ROOT", tmp_path / "hyena_ds")
    monkeypatch.setattr(generator, "MODEL_SOURCES", tuple(tmp_path / name for name in ("a.py", "b.py")))
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text('"""Module."""\n\nSIZE = 1\n')
    with pytest.raises(ValueError, match=r"SIZE stands in a.py and b.py"):
        modeling_source()
    (tmp_path / "b.py").write_text('"""Module."""\n\ndef late():\n    from hyena_ds.a import SIZE\n')
    with pytest.raises(ValueError, match=r"b.py line 4 imports hyena_ds.a inside a block"):
        modeling_source()
