"""Folders show their public names, and import them when they are first used."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

import vega3d_ros
from vega3d_ros.core.lazy_names import lazily

FOLDERS = [
    name
    for _, name, is_package in pkgutil.walk_packages(vega3d_ros.__path__[:1], "vega3d_ros.")
    if is_package and hasattr(importlib.import_module(name), "__all__")
]


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_public_name_of_a_folder_is_there(folder):
    package = importlib.import_module(folder)
    for name in package.__all__:
        assert getattr(package, name) is not None


def test_a_name_that_is_not_public_is_refused():
    with pytest.raises(AttributeError, match=r"'vega3d_ros\.core' has no attribute 'Frames'"):
        lazily("vega3d_ros.core", {"frames": ("Frame",)})("Frames")


def test_a_room_is_imported_without_what_its_names_need():
    code = (
        "import sys, vega3d_ros.core, vega3d_ros.perception, vega3d_ros.ros;"
        "sys.exit(bool({'torch', 'numpy', 'rclpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
