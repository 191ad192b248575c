"""Config files: one safe YAML file a run, overridden by `section.key=value`, checked against a type."""

import dataclasses
import difflib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from hyena_ds.config.section import Section
from hyena_ds.errors import InputError

ConfigType = TypeVar("ConfigType", bound=Section)


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML that refuses keys that are no text or stand twice, and reads `6e-4` as a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} needs quotes", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


# YAML 1.2 floats; PyYAML's YAML 1.1 rule asks for a dot and a signed exponent.
_FLOAT = re.compile(r"^[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)([eE][-+]?\d+)$")
_StrictLoader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


class _StrictDumper(yaml.SafeDumper):
    """Quotes the text that `_StrictLoader` would read as a number, such as a directory named 1e3."""


_StrictDumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))


def _parse_yaml(text: str, place: str) -> Any:
    try:
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise InputError(f"{place}{line}: {problem}; the file must be plain YAML") from None
    except (ValueError, KeyError, AttributeError) as error:  # what PyYAML lets through: the date 2024-13-45, !!bool x
        raise InputError(f"{place}: a value is not what it looks like ({error}); put text in quotes") from None


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping of a YAML file; raises InputError where it is missing, malformed or no mapping."""
    if not path.is_file():
        raise InputError(f"no config file at {path}; configs/ holds one for each published size")
    try:
        text = path.read_text(encoding="utf-8")
    except PermissionError:
        raise InputError(f"{path} cannot be read; check its permissions") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text; give a YAML config file") from None
    return read_yaml_text(text, str(path))


def read_yaml_text(text: str, place: str) -> dict[str, Any]:
    """The mapping that YAML `text` is; errors name `place`."""
    values = _parse_yaml(text, place)
    if not isinstance(values, dict):
        raise InputError(f"{place} holds no config sections; see configs/demo.yaml")
    return values


def apply_override(values: dict[str, Any], override: str) -> None:
    """Set one `section.key=value` (list items by number: `stages.0.steps=10`) in `values`, in place."""
    dotted, equals, text = override.partition("=")
    if not equals or not dotted:
        raise InputError(f"override {override!r} must read section.key=value")
    place = f"override {override!r}"
    set_value(values, dotted, _parse_yaml(text, place), place)


def set_value(values: dict[str, Any], dotted: str, value: Any, place: str) -> None:
    """Set the value at a path such as `section.key` or `stages.0.steps`, in place; errors name `place`."""
    *parents, last = dotted.split(".")
    target: Any = values
    for name in parents:
        if isinstance(target, list):
            target = target[_list_position(target, name, place)]
        elif isinstance(target, dict):
            target = target.setdefault(name, {})
        if not isinstance(target, dict | list):
            raise InputError(f"{place}: {name} is a value and holds no keys")
    if isinstance(target, list):
        target[_list_position(target, last, place)] = value
    else:
        target[last] = value


def _list_position(items: list[Any], name: str, place: str) -> int:
    if not name.isdigit() or int(name) >= len(items):
        raise InputError(f"{place}: {name!r} is no position in a list of {len(items)} (0 is the first)")
    return int(name)


def _section_types(annotation: Any) -> list[type]:
    """The classes that an annotation such as `tuple[Stage, ...] | None` is made of."""
    if isinstance(annotation, type) and not get_args(annotation):
        return [annotation]
    return [found for argument in get_args(annotation) for found in _section_types(argument)]


def _fields(section: type) -> dict[str, Any]:
    """The annotations of a section's fields by name; empty for what is no section."""
    if issubclass(section, BaseModel):
        return {name: field.annotation for name, field in section.model_fields.items()}
    if dataclasses.is_dataclass(section):
        return {field.name: field.type for field in dataclasses.fields(section)}
    return {}


def _valid_keys(config_type: type, location: Sequence[str | int]) -> list[str]:
    """The field names at `location`, walking through nested sections and lists of them."""
    types = [config_type]
    for part in location:
        if isinstance(part, str):
            types = [nested for section in types for nested in _section_types(_fields(section).get(part))]
    return sorted({name for section in types for name in _fields(section)})


def _explain(error: ValidationError, config_type: type[BaseModel], place: str, overrides: Sequence[str]) -> str:
    first = error.errors()[0]
    location = [part for part in first["loc"] if not (isinstance(part, str) and "[" in part)]
    dotted = ".".join(str(part) for part in location)
    for override in overrides:  # the last that set it
        if f"{dotted}.".startswith(override.partition("=")[0] + "."):
            place = f"override {override!r}"
    if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        keys = _valid_keys(config_type, location[:-1])
        nearest = difflib.get_close_matches(str(location[-1]), keys, n=1, cutoff=0.0)
        return f"{place}: unknown key {dotted}; the nearest valid key is {nearest[0] if nearest else 'none'}"
    if first["type"] in ("missing", "missing_argument"):
        return f"{place}: {dotted} is missing; add it to the file or the command line"
    message = first["msg"].removeprefix("Value error, ")
    if not dotted:
        return f"{place}: {message}"
    if first["type"] == "value_error" and _valid_keys(config_type, location):
        return f"{place}: {dotted}: {message}"  # a whole section, too long to show
    return f"{place}: {dotted}={first['input']!r}: {message}"


def build_config(
    values: dict[str, Any], config_type: type[ConfigType], place: str, overrides: Sequence[str] = ()
) -> ConfigType:
    """`values` as `config_type`; raises InputError with the dotted path, the bad value and the remedy.

    `place` is where the values come from, but for those that one of `overrides` set.
    """
    # In JSON mode strict types still take a mapping for a section and a list for a tuple.
    try:
        text = json.dumps(config_type.completed(values), default=str)
    except ValueError:
        raise InputError(f"{place}: an alias holds itself; write its values out") from None
    try:
        return config_type.model_validate_json(text)
    except ValidationError as error:
        raise InputError(_explain(error, config_type, place, overrides)) from None


def load_config(path: Path, config_type: type[ConfigType], overrides: Sequence[str] = ()) -> ConfigType:
    """The config of a run: defaults < file < overrides."""
    values = read_yaml(path)
    for override in overrides:
        apply_override(values, override)
    return build_config(values, config_type, str(path), overrides)


def dump_config(config: BaseModel) -> str:
    """`config` as YAML text that `load_config` reads back to an equal config."""
    values = config.model_dump(mode="json")
    text: str = yaml.dump(values, Dumper=_StrictDumper, sort_keys=False, default_flow_style=False)
    return text
