from pathlib import Path

import pytest

from hyena_ds.config.load import dump_config, load_config
from hyena_ds.errors import InputError
from hyena_ds.training.config import RunConfig

TEXT = """\
run_directory: runs/x
model: {d_model: 8, n_layer: 1, l_max: 66}
data: {directory: data/x}
batch: {tokens_per_step: 64}
stages: [{length: 32, steps: 2}, {length: 64, tokens: 128}]
"""


def load(tmp_path: Path, text: str = TEXT, *overrides: str) -> RunConfig:
    path = tmp_path / "run.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, RunConfig, overrides)


def message(tmp_path: Path, text: str = TEXT, *overrides: str) -> str:
    with pytest.raises(InputError) as caught:
        load(tmp_path, text, *overrides)
    return str(caught.value)


def test_defaults_are_below_the_file_and_the_file_below_overrides(tmp_path: Path) -> None:
    config = load(tmp_path, TEXT + "optimizer: {weight_decay: 0.2}\n", "optimizer.learning_rate=1e-3", "seed=5")
    assert (config.optimizer.betas, config.optimizer.weight_decay) == ((0.9, 0.999), 0.2)
    assert (config.optimizer.learning_rate, config.seed) == (1e-3, 5)


@pytest.mark.parametrize(("written", "number"), [("6e-4", 6e-4), ("6.0e-4", 6e-4), ("1E3", 1000.0), ("0.5", 0.5)])
def test_numbers_are_read_as_people_write_them(tmp_path: Path, written: str, number: float) -> None:
    assert load(tmp_path, TEXT + f"optimizer: {{learning_rate: {written}}}\n").optimizer.learning_rate == number


def test_an_override_reaches_into_a_list(tmp_path: Path) -> None:
    config = load(tmp_path, TEXT, "stages.1.length=48", "data.species_weights={human: 1, mouse: 2.5}")
    assert [stage.length for stage in config.stages] == [32, 48]
    assert config.data.species_weights == {"human": 1.0, "mouse": 2.5}


def test_a_dumped_config_reads_back_equal(tmp_path: Path) -> None:
    config = load(tmp_path)
    assert load(tmp_path, dump_config(config)) == config


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ("model.d_modle=4", ["model.d_modle", "d_model"]),
        ("optimizer.learning_rat=4", ["optimizer.learning_rat", "learning_rate"]),
        ("stages.0.microbatch=4", ["stages.0.microbatch", "micro_batch"]),
        ("enginee.zero_stage=1", ["enginee", "engine"]),
    ],
)
def test_an_unknown_key_is_told_with_the_nearest_valid_one(tmp_path: Path, extra: str, told: list[str]) -> None:
    text = message(tmp_path, TEXT, extra)
    assert all(part in text for part in told)
    assert f"nearest valid key is {told[1]}" in text


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ("model.d_model=wide", "model.d_model='wide'"),
        ("model.d_model=8.5", "model.d_model=8.5"),
        ("seed='7'", "seed='7'"),
        ("data.reverse_complement=1", "data.reverse_complement=1"),
        ("optimizer.gradient_clipping=-1", "optimizer.gradient_clipping=-1"),
        ("model.l_max=1", "l_max=1"),
        ("stages=[]", "stages=[]"),
        ("stages.1.steps=3", "exactly one"),
        ("stages.1.length=100", "stages.1.length=100 is above model.l_max=66"),
        ("validation.length=100", "validation.length=100"),
        ("model.bidirectional=true", "bidirectional"),
    ],
)
def test_a_wrong_value_is_told_with_its_place(tmp_path: Path, extra: str, told: str) -> None:
    assert told in message(tmp_path, TEXT, extra)


@pytest.mark.parametrize("override", ["seed", "=3", "stages.7.steps=1", "stages.x.steps=1", "run_directory.deep=1"])
def test_an_override_that_cannot_apply_is_quoted(tmp_path: Path, override: str) -> None:
    assert override in message(tmp_path, TEXT, override)


@pytest.mark.parametrize(
    ("override", "blamed"),
    [
        ("optimizer.learning_rate=-1", "override 'optimizer.learning_rate=-1': optimizer.learning_rate=-1"),
        ("optimizer={lr: 1}", "override 'optimizer={lr: 1}': unknown key optimizer.lr"),
        ("stages.0.steps=-1", "override 'stages.0.steps=-1': stages.0.steps=-1"),
    ],
)
def test_a_bad_value_is_blamed_on_the_override_that_set_it(tmp_path: Path, override: str, blamed: str) -> None:
    assert message(tmp_path, TEXT, "seed=3", override).startswith(blamed)
    assert message(tmp_path, TEXT, f"{override.partition('=')[0]}=0", override).startswith(blamed)
    assert "override" not in message(tmp_path, TEXT.replace("d_model: 8", "d_model: -8"), "seed=3")


def test_a_key_that_stands_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    text = message(tmp_path, TEXT + "seed: 1\nseed: 2\n")
    assert "line 7" in text
    assert "'seed' stands twice" in text


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    assert "model.d_model is missing" in message(tmp_path, TEXT.replace("d_model: 8, ", ""))
    assert "batch is missing" in message(tmp_path, TEXT.replace("batch: {tokens_per_step: 64}\n", ""))


def test_yaml_runs_no_code(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    text = message(tmp_path, TEXT + f"seed: !!python/object/apply:os.system ['touch {victim}']\n")
    assert "plain YAML" in text
    assert not victim.exists()


def test_files_that_are_no_config_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no config file at"):
        load_config(tmp_path / "none.yaml", RunConfig)
    assert "no config sections" in message(tmp_path, "- a\n- b\n")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        load_config(tmp_path / "binary.yaml", RunConfig)


@pytest.mark.parametrize("name", ["5e7", "1e3", "2024-01-01", "null", "a: b", "é"])
def test_a_dumped_config_keeps_text_that_looks_like_something_else(tmp_path: Path, name: str) -> None:
    config = load(tmp_path, TEXT.replace("runs/x", repr(name)))
    assert config.run_directory == name
    assert load(tmp_path, dump_config(config)) == config


def test_a_section_that_contradicts_itself_is_named_without_its_contents(tmp_path: Path) -> None:
    assert message(tmp_path, TEXT, "model.order=1").endswith("run.yaml: model: order=1 must be at least 2")


def test_only_fields_are_offered_as_keys(tmp_path: Path) -> None:
    assert "nearest valid key is __" not in message(tmp_path, TEXT, "model.__pydantic_config=1")


@pytest.mark.parametrize("key", ["optimizer.learning_rate", "model.activation_freq", "model.filter_shift"])
@pytest.mark.parametrize("value", [".inf", "-.inf", ".nan", "1e999"])
def test_a_number_is_finite(tmp_path: Path, key: str, value: str) -> None:
    assert f"{key}=" in message(tmp_path, TEXT, f"{key}={value}")


@pytest.mark.parametrize("value", ["2024-13-45", "0x_", "!!int abc", "!!bool abc", "!!timestamp abc", "9" * 5000])
def test_a_value_that_yaml_cannot_build_is_no_traceback(tmp_path: Path, value: str) -> None:
    assert "not what it looks like" in message(tmp_path, TEXT, f"seed={value}")


@pytest.mark.parametrize("key", ["[1, 2]", "{a: 1}", "1", "null", "2024-01-01"])
def test_a_key_is_text(tmp_path: Path, key: str) -> None:
    assert "line 6: " in message(tmp_path, TEXT + f"? {key}\n: 3\n")


def test_an_alias_that_holds_itself_is_refused(tmp_path: Path) -> None:
    assert "an alias holds itself" in message(tmp_path, TEXT + "seed: &a [*a]\n")
