"""The pinned versions are ones that pyproject.toml allows, and all that installs takes them."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
TESTED_EXTRAS = ("dev", "mpi", "vcf")


def requirements() -> list[Requirement]:
    """Of the project and of the extras that its tests install."""
    extras = [line for extra in TESTED_EXTRAS for line in PROJECT["optional-dependencies"][extra]]
    return [Requirement(line) for line in PROJECT["dependencies"] + extras]


@pytest.fixture(scope="module")
def pins() -> dict[str, str]:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    found = [re.fullmatch(r"([\w.-]+)==([\w.]+)", line) for line in lines]
    assert all(found), "constraints.txt holds more than exact public versions"
    names = [canonicalize_name(match[1]) for match in found if match]
    assert len(set(names)) == len(names)
    return dict(zip(names, (match[2] for match in found if match), strict=True))


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_a_requirement_has_a_pin_within_its_range(requirement: Requirement, pins: dict[str, str]) -> None:
    name = canonicalize_name(requirement.name)
    assert name in pins, f"constraints.txt does not pin {name}: make constraints"
    assert requirement.specifier.contains(pins[name]), f"{name}=={pins[name]} is outside {requirement.specifier}"


@pytest.mark.parametrize("file", ["Dockerfile", "Makefile", "README.md"])
def test_what_installs_names_the_pins(file: str) -> None:
    assert "constraints.txt" in (ROOT / file).read_text(encoding="utf-8")


def test_the_dockerfile_has_a_python_that_the_project_takes() -> None:
    base = re.search(r"^FROM python:(3\.\d+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert base is not None
    assert SpecifierSet(PROJECT["requires-python"]).contains(base[1])
    assert f"Programming Language :: Python :: {base[1]}" in PROJECT["classifiers"]
