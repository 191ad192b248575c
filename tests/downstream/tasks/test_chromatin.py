"""The chromatin profile: rows of coordinates and labels, X and Y among the chromosomes, medians by group."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from hyena_ds.config.load import load_config
from hyena_ds.downstream.config import FineTuneConfig
from hyena_ds.downstream.example import Example
from hyena_ds.downstream.labels import LabelEncoder
from hyena_ds.downstream.metrics import Predictions, score
from hyena_ds.downstream.read import named_classes, read_examples
from hyena_ds.downstream.task import TaskConfig, TaskDataConfig
from hyena_ds.errors import InputError
from hyena_ds.genome.alphabet import decode

ROOT = Path(__file__).resolve().parents[3]
CHROMOSOMES = ("chr1", "chr2", "chr22", "chrX")
BASES = {
    name: "".join(np.random.default_rng(number).choice(list("ACGT"), 3000)) for number, name in enumerate(CHROMOSOMES)
}
COLUMNS = ["y_8988T|DNase|None", "y_AoSMC|DNase|None", "y_HepG2|CTCF|None", "y_H1-hESC|H3K4me1|None"]
TASK = TaskConfig(name="chromatin", kind="multilabel", groups={"DHS": 2, "TF": 1, "histone": 1})


def write(directory: Path, rows: list[str], header: list[str] | None = None) -> TaskDataConfig:
    """A table as the published code reads it, and the toy genome; both in `directory`."""
    (directory / "hg38.fa").write_text("".join(f">{name}\n{bases}\n" for name, bases in BASES.items()))
    path = directory / "train_hg38_coords_targets.csv"
    path.write_text("\n".join([",".join(header or ["Chr_No", "Start", "End", *COLUMNS]), *rows]) + "\n")
    return TaskDataConfig(train=str(path), format="coordinates", fasta=str(directory / "hg38.fa"))


def read(data: TaskDataConfig, cache: Path) -> list[Example]:
    return read_examples(TASK, data, cache, lambda line: None)


ROWS = ["0,100,1100,1,0,0,0", "22,1000,2000,0,1,0,1", "21,0,1000,0,0,0,0", "1,500,1500,True,False,True,False"]


def test_rows_are_read_with_their_labels_in_published_order(tmp_path: Path) -> None:
    data = write(tmp_path, ROWS)
    found = read(data, tmp_path)
    assert [str(one.interval) for one in found] == [
        "chr1:100-1,100",
        "chrX:1,000-2,000",
        "chr22:0-1,000",
        "chr2:500-1,500",
    ]
    assert decode(found[1].tokens[:]) == BASES["chrX"][1000:2000]
    classes = named_classes(TASK, data)
    assert classes == ("8988T_DNase_None", "AoSMC_DNase_None", "HepG2_CTCF_None", "H1-hESC_H3K4me1_None")
    targets = np.stack(LabelEncoder(TASK, classes).encode(found))
    assert targets.tolist() == [[1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 0, 0], [1, 0, 1, 0]]


def test_a_gzip_table_is_read_alike(tmp_path: Path) -> None:
    data = write(tmp_path, ROWS)
    plain = [(one.place.split(" ")[-1], one.label, one.interval) for one in read(data, tmp_path)]
    packed = Path(f"{data.train}.gz")
    packed.write_bytes(gzip.compress(Path(data.train).read_bytes()))
    found = read(data.model_copy(update={"train": str(packed)}), tmp_path)
    assert [(one.place.split(" ")[-1], one.label, one.interval) for one in found] == plain


def test_a_window_keeps_its_centre(tmp_path: Path) -> None:
    data = write(tmp_path, ROWS).model_copy(update={"window": 2000})
    found = read(data, tmp_path)
    assert [str(one.interval) for one in found] == [  # shifted inside where the chromosome ends
        "chr1:0-2,000",
        "chrX:500-2,500",
        "chr22:0-2,000",
        "chr2:0-2,000",
    ]
    assert decode(found[1].tokens[500:1500]) == BASES["chrX"][1000:2000]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("24,0,1000,0,0,0,0", "Chr_No 24 is no human chromosome"),
        ("0,2500,3500,0,0,0,0", "ends beyond chr1.*another assembly"),
        ("5,0,1000,0,0,0,0", "no sequence '6'.*another assembly"),
        ("0,0,,0,0,0,0", "is no table of coordinates and labels"),
        ("0,0,1000,0,2,0,0", "is no table of coordinates and labels"),
    ],
)
def test_a_bad_row_is_named(row: str, told: str, tmp_path: Path) -> None:
    data = write(tmp_path, [*ROWS, row])
    with pytest.raises(InputError, match=told):
        read(data, tmp_path)


def test_a_table_without_its_columns_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="lacks one of the columns Chr_No"):
        read(write(tmp_path, ["1,0,10,1"], ["chromosome", "Start", "End", "y_a"]), tmp_path)
    with pytest.raises(InputError, match="has no columns y_"):
        read(write(tmp_path, ["1,0,10,1"], ["Chr_No", "Start", "End", "a"]), tmp_path)


def test_the_median_auroc_is_of_each_group() -> None:
    """One label of the second group is never true; it does not count."""
    generator = np.random.default_rng(0)
    targets = (generator.random((200, 8)) < 0.3).astype(np.uint8)
    targets[:, 5] = 0
    outputs = generator.normal(size=(200, 8)) + targets * np.arange(8)
    found = score(Predictions("multilabel", list(targets), list(outputs), {"DHS": 3, "TF": 3, "histone": 2}))
    areas = [roc_auc_score(targets[:, column], outputs[:, column]) for column in (0, 1, 2, 3, 4, 6, 7)]
    assert found["median_auroc_DHS"] == pytest.approx(np.median(areas[:3]))
    assert found["median_auroc_TF"] == pytest.approx(np.mean(areas[3:5]))
    assert found["median_auroc_histone"] == pytest.approx(np.mean(areas[5:]))
    assert found["auroc"] == pytest.approx(np.mean(areas))


@pytest.mark.parametrize("name", ["chromatin_1k", "chromatin_8k"])
def test_the_groups_of_the_configs_are_the_published_919(name: str) -> None:
    groups = load_config(ROOT / f"configs/finetune/{name}.yaml", FineTuneConfig).task.groups
    assert groups == {"DHS": 125, "TF": 690, "histone": 104}
    assert sum(groups.values()) == 919
