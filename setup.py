"""Builds the ROS interfaces with CMake and packs them beside the Python package.

``CMakeLists.txt`` alone says what is built and what is installed where, for colcon as for pip.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


def ament_prefixes() -> str:
    """Returns where ROS is installed: what a sourced ROS names, and where the wheels are."""
    prefixes = [p for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    for module in ("rosidl_adapter", "std_msgs"):
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            if prefixes:
                continue
            sys.exit(f"vega3d_ros: found no ROS ({module}); source one, or build in isolation")
        # PREFIX/lib/pythonX.Y/site-packages/MODULE/__init__.py
        prefix = str(Path(spec.origin).resolve().parents[4])
        if prefix not in prefixes:
            prefixes.append(prefix)
    return os.pathsep.join(prefixes)


class BuildWithInterfaces(build_py):
    """Adds what CMake installs: modules to the package, everything else to the environment."""

    def run(self) -> None:
        """Builds the Python package, then the interfaces."""
        super().run()
        if self.editable_mode:
            sys.exit("vega3d_ros: editable installs would lack the interfaces; use `make build`")
        work = Path(self.get_finalized_command("build").build_temp).resolve() / "interfaces"
        shutil.rmtree(work, ignore_errors=True)
        stage = work / "stage"
        self._cmake(work / "cmake", stage)
        for file in stage.rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                self._pack(file, file.relative_to(stage))

    def _cmake(self, build: Path, stage: Path) -> None:
        prefixes = ament_prefixes()
        env = dict(os.environ, AMENT_PREFIX_PATH=prefixes, CMAKE_PREFIX_PATH=prefixes)
        options = {
            "CMAKE_BUILD_TYPE": "Release",
            "CMAKE_INSTALL_PREFIX": stage,
            "BUILD_TESTING": "OFF",
            "Python3_EXECUTABLE": sys.executable,
        }
        arguments = [f"-D{name}={value}" for name, value in options.items()]
        configure = ["cmake", "-S", ROOT, "-B", build, "-G", "Ninja", *arguments]
        subprocess.check_call(configure, env=env)
        subprocess.check_call(["cmake", "--build", build, "--target", "install"], env=env)

    def _pack(self, file: Path, path: Path) -> None:
        for folder in ("site-packages", "dist-packages"):
            if folder in path.parts:
                inside = path.parts[path.parts.index(folder) + 1 :]
                if inside[0].endswith(".egg-info"):  # the wheel has its own
                    return
                target = Path(self.build_lib, *inside)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, target)
                return
        if path.parts[0] != "bin":  # [project.scripts] writes those, with the right interpreter
            self.distribution.data_files.append((str(path.parent), [str(file)]))


class PlatformDistribution(Distribution):
    """A distribution with compiled code that setuptools does not see."""

    def has_ext_modules(self) -> bool:
        """Makes the wheel one for this platform and Python."""
        return True


setup(cmdclass={"build_py": BuildWithInterfaces}, distclass=PlatformDistribution, data_files=[])
