from __future__ import annotations

from pathlib import Path

from vega3d_ros.core.nearest import did_you_mean, nearest

PACKAGE = Path(__file__).parents[2] / "vega3d_ros"
PRESETS = ("cpu", "gpu_8gb", "gpu_24gb")


def test_the_nearest_name_is_found_whatever_its_case():
    assert nearest("gpu8gb", PRESETS) == "gpu_8gb"
    assert nearest("CPU", PRESETS) == "cpu"
    assert nearest("Min_Scor", ["Min_Score"]) == "Min_Score"
    assert did_you_mean("gpu_24", PRESETS) == " (did you mean 'gpu_24gb'?)"


def test_nothing_is_proposed_where_nothing_is_like_it():
    assert nearest("toaster", PRESETS) == ""
    assert did_you_mean("toaster", PRESETS) == did_you_mean("cpu", []) == ""


def test_there_is_one_place_that_looks_for_the_nearest_name():
    users = [path.name for path in PACKAGE.rglob("*.py") if "difflib" in path.read_text()]
    assert users == ["nearest.py"]
