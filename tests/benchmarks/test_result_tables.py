"""The documents hold the tables of the kept results, and a table leaves no millisecond out."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.result_tables import (
    BEGIN,
    END,
    PAGES,
    RESULTS,
    ROOT,
    downstream_table,
    page_with,
    profile_tables,
    short_name,
    written,
)
from benchmarks.step_floor import convolution_passes_milliseconds

KERNELS = [
    {"name": "void at::native::elementwise_kernel<128, 4>(int)", "milliseconds": 2.0, "launches": 3},
    {"name": "rows_filtered", "milliseconds": 3.0, "launches": 1},
    {"name": "void at::native::(anonymous namespace)::elementwise_kernel<2>(int)", "milliseconds": 1.5, "launches": 3},
]
ROW: dict[str, Any] = {
    "length": 1024,
    "batch": 1,
    "overrides": [],
    "seconds": 0.01,
    "tokens_per_second": 102_400.0,
    "peak_gib": 1.0,
    "groups": {"long convolution": {"milliseconds": 7.0, "launches": 7, "kernels": KERNELS}},
    "idle_milliseconds": 3.0,
    "floor_milliseconds": {"long convolution": 2.0},
    "machine": {"device": "card", "torch": "2", "commit": "c"},
}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_in_step_with_the_results(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert text == written(page, text, RESULTS), "run python benchmarks/result_tables.py"


def test_the_parts_and_idle_time_make_the_step(tmp_path: Path) -> None:
    (tmp_path / "profile_step_x.json").write_text(json.dumps({"rows": [ROW], "machine": ROW["machine"]}))
    table = profile_tables(tmp_path)
    assert "| long convolution | 7.0 | 70% | 2.0 | 5.0 | 7 | elementwise_kernel 3.5, rows_filtered 3.0 |" in table
    assert "| all | 10.0 | 100% | 2.0 | 8.0 | | |" in table


def test_a_downstream_table_leaves_empty_what_is_not_done(tmp_path: Path) -> None:
    done = {"mean": 0.812, "deviation": 0.0061}
    curve = {"250": {"mean": 0.5, "deviation": 0.01}, "1000": {"mean": 0.6, "deviation": 0.02}}
    models = {
        "pretrained": {**done, "curve": {}, "over_scratch": {"mean": -0.03, "deviation": 0.002}},
        "CNN": {**done, "curve": curve},
    }
    rows = [{"machine": {"device": "card", "torch": "2", "commit": commit}} for commit in "ab"]
    result = {"summary": {"ocr": {"metric": "accuracy", "models": models}}, "rows": rows}
    (tmp_path / "downstream_ocr.json").write_text(json.dumps(result))
    lines = downstream_table(("ocr",), tmp_path).splitlines()
    assert lines[2:5] == [
        "| ocr, accuracy | all | 81.2 ± 0.6 |  | 81.2 ± 0.6 |  | -3.0 ± 0.2 |",
        "|  | 1,000 |  |  | 60.0 ± 2.0 |  |  |",
        "|  | 250 |  |  | 50.0 ± 1.0 |  |  |",
    ]
    assert lines[6] == "card, torch 2; the commit of each run is in its row."


def test_a_table_takes_the_place_of_the_one_before() -> None:
    page = page_with(f"before {BEGIN.format('x')} old {END} after", "x", "new")
    assert page == f"before {BEGIN.format('x')}\n\nnew{END} after"
    assert page_with(page, "x", "new") == page
    with pytest.raises(ValueError, match="lacks"):
        page_with(page, "y", "new")


def test_the_passes_of_a_convolution_move_what_they_read_and_write() -> None:
    gigabyte = 1e3 / 4.2e3  # milliseconds
    signal, filters = 2**28 / 1e9, 2**20 / 1e9
    assert convolution_passes_milliseconds(4096, 256, 256) == pytest.approx((12 * signal + 8 * filters) * gigabyte)
    assert convolution_passes_milliseconds(65536, 16, 256) == pytest.approx(
        (52 * signal + 36 * 16 * filters) * gigabyte
    )


def test_long_names_are_cut() -> None:
    assert short_name("Memcpy DtoD (Device -> Device)") == "Memcpy DtoD"
    assert len(short_name("nvjet_sm90_tst_128x256_64x4_2x1_v_bz_coopA_bias_TNN")) == 32
