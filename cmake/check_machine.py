"""Says what a machine lacks to build vega3d_ros, all at once, before anything is downloaded."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

OLDEST, NEWEST = (3, 10), (3, 13)


def missing() -> Iterator[str]:
    """Yields one line for each thing that is missing, with what to do about it."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        yield (
            f"Python 3.{OLDEST[1]} to 3.{NEWEST[1]}, not {platform.python_version()} as in "
            f"{sys.executable}: name another by make PYTHON=python3.12"
        )
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        yield "Python's venv module; on Debian and Ubuntu: apt install python3-venv"
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.exists():
        yield f"Python's C headers ({header}); on Debian and Ubuntu: apt install python3-dev"
    for language, variable, usual in (("C", "CC", "cc"), ("C++", "CXX", "c++")):
        compiler = os.environ.get(variable, usual).split()[0]
        if shutil.which(compiler) is None:
            yield f"a {language} compiler ({compiler}); on Debian and Ubuntu: apt install g++"
    sourced = os.environ.get("ROS_DISTRO") and os.environ.get("AMENT_PREFIX_PATH")
    machine = f"{platform.system()} {platform.machine()}"
    if not sourced and machine != "Linux x86_64":
        yield f"a sourced ROS 2 here: the wheels of ROS are for Linux x86_64, not {machine}"


def main() -> int:
    """Prints what is missing; returns 1 if anything is."""
    lines = list(missing())
    for line in lines:
        print(f"vega3d_ros needs {line}", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
