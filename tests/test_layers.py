"""The layers of the code (README, "The map"): who may import whom, and which room alone touches what."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# From the ground up; a room imports from lines below its own.
LINES = [
    ["errors"],
    ["genome", "config"],
    ["ops", "parallel"],
    ["engine", "data", "model"],
    ["hub"],
    ["training", "inference"],
    ["downstream"],
    ["api"],
]
LEVEL = {room: number for number, line in enumerate(LINES) for room in line}
LONGEST_FILE = 400

SOURCES = sorted(
    path for folder in ("hyena_ds", "preprocessing", "launch", "benchmarks") for path in (ROOT / folder).rglob("*.py")
)
PACKAGE = [path for path in SOURCES if path.is_relative_to(ROOT / "hyena_ds") and path.name != "__init__.py"]


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{_name(path)} line {node.lineno}: write the whole name, hyena_ds.room.file"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _room(path: Path) -> str:
    return path.relative_to(ROOT / "hyena_ds").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", PACKAGE, ids=_name)
def test_a_room_imports_only_from_lines_below_its_own(path: Path) -> None:
    room = _room(path)
    assert room in LEVEL, f"{_name(path)}: {room} is no room of the design; move the file into one of {sorted(LEVEL)}"
    for module in _imports(path):
        if not module.startswith("hyena_ds."):
            continue
        other = module.split(".")[1]
        assert other == room or LEVEL[other] < LEVEL[room], (
            f"{_name(path)} imports {module}: {room} may import only from lines below its own; "
            "move the shared part down or the caller up"
        )


@pytest.mark.parametrize(
    ("package", "place"),
    [
        ("deepspeed", "hyena_ds/engine"),
        ("webdataset", "hyena_ds/genome/tar.py"),
        ("transformers", "hyena_ds/hub"),
        ("mpi4py", "hyena_ds/genome/ranks.py"),
    ],
)
def test_a_heavy_package_stays_in_one_room(package: str, place: str) -> None:
    for path in SOURCES:
        used = any(module.split(".")[0] == package for module in _imports(path))
        assert not used or _name(path).startswith(place), (
            f"{_name(path)} imports {package}, which only {place} may: call what {place} offers instead"
        )


def test_the_genome_room_and_preprocessing_import_no_torch() -> None:
    code = (
        "import pkgutil, importlib, sys, hyena_ds.genome, hyena_ds.config, preprocessing\n"
        "for package in (hyena_ds.genome, hyena_ds.config):\n"
        "    for module in pkgutil.iter_modules(package.__path__, package.__name__ + '.'):\n"
        "        importlib.import_module(module.name)\n"
        "import hyena_ds.parallel.environment, preprocessing.shard, preprocessing.verify\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert result.returncode == 0, "genome, config, preprocessing or parallel/environment imports torch; take it out"


@pytest.mark.parametrize("path", sorted((ROOT / "preprocessing").glob("*.py")), ids=_name)
def test_preprocessing_uses_genome_config_and_the_environment_only(path: Path) -> None:
    allowed = ("hyena_ds.genome", "hyena_ds.config", "hyena_ds.parallel.environment", "hyena_ds.errors")
    for module in _imports(path):
        assert not module.startswith("hyena_ds") or module.startswith(allowed), (
            f"{_name(path)} imports {module}; preprocessing uses genome, config and parallel/environment only"
        )


@pytest.mark.parametrize("path", PACKAGE, ids=_name)
def test_environment_variables_are_read_in_one_place(path: Path) -> None:
    if path == ROOT / "hyena_ds" / "parallel" / "environment.py":
        return
    attributes = {
        f"os.{node.attr}"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
    }
    assert not {*attributes, *_imports(path)} & {"os.environ", "os.getenv", "os.putenv", "os.unsetenv"}, (
        f"{_name(path)} touches environment variables; only hyena_ds/parallel/environment.py may"
    )


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_a_file_is_short_enough_to_be_one_idea(path: Path) -> None:
    length = len(path.read_text(encoding="utf-8").splitlines())
    assert length <= LONGEST_FILE, f"{_name(path)} has {length} lines, over {LONGEST_FILE}: it is two files"
