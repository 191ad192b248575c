"""docs/performance.md holds the tables of the kept profiles, and a table leaves no millisecond out."""

from typing import Any

import pytest

from benchmarks.performance_page import BEGIN, END, PAGE, RESULTS, page_with, read_profiles, short_name

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


def test_the_page_is_in_step_with_the_profiles() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == page_with(page, read_profiles(RESULTS)), "run python benchmarks/performance_page.py"


def test_the_parts_and_idle_time_make_the_step() -> None:
    page = page_with(f"before {BEGIN} old {END} after", [ROW])
    assert page.startswith("before ")
    assert page.endswith(" after")
    assert " old " not in page
    assert "| long convolution | 7.0 | 70% | 2.0 | 5.0 | 7 | elementwise_kernel 3.5, rows_filtered 3.0 |" in page
    assert "| all | 10.0 | 100% | 2.0 | 8.0 | | |" in page
    assert page_with(page, [ROW]) == page


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks"):
        page_with("no markers", [ROW])


def test_long_names_are_cut() -> None:
    assert short_name("Memcpy DtoD (Device -> Device)") == "Memcpy DtoD"
    assert len(short_name("nvjet_sm90_tst_128x256_64x4_2x1_v_bz_coopA_bias_TNN")) == 32
