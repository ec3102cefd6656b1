"""What is built and installed, by pip and by colcon, and what the files at the root promise."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import vega3d_ros

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "vega3d_ros"
SHARED_FOLDERS = ("launch", "config", "rviz")
SHIPPED = ("*.safetensors", "*.mcap", "*.npy", "*.npz", "*.png", "*.json")
MB = 1_000_000

INTERFACES = (
    "import os, sys; os.chdir('/'); sys.path = [p for p in sys.path if p not in ('', CHECKOUT)];"
    "import vega3d_ros; from vega3d_ros.msg import GroundedObjectArray;"
    "from vega3d_ros.srv import AskSpatial; from vega3d_ros.action import AskScene;"
    "from tf2_msgs.msg import TFMessage; from rclpy.serialization import serialize_message as to;"
    "to(GroundedObjectArray()), to(AskSpatial.Request()), to(AskScene.Goal()), to(TFMessage());"
    "print(vega3d_ros.__file__)"
).replace("CHECKOUT", repr(str(ROOT)))


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def pins():
    """Name -> the requirements that constraints.txt has of it."""
    found = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


def run(*command, **options):
    done = subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def build_environment():
    # Optimised code takes longer to compile, and no test here measures it.
    return {**os.environ, "CFLAGS": "-O0", "CXXFLAGS": "-O0", "MAKEFLAGS": "-j2"}


def test_one_version():
    assert ET.parse(ROOT / "package.xml").findtext("version") == vega3d_ros.__version__
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == vega3d_ros.__version__


def test_one_licence():
    assert ET.parse(ROOT / "package.xml").findtext("license") == "Apache-2.0"
    assert project()["project"]["license"] == "Apache-2.0"
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in (ROOT / "LICENSE").read_text()


def test_only_constraints_pin_exactly():
    table = project()
    lists = [table["build-system"]["requires"], table["project"]["dependencies"]]
    lists += table["project"]["optional-dependencies"].values()
    assert not [r for requirements in lists for r in requirements if "==" in r.split(";")[0]]


def test_package_xml_is_whole():
    manifest = ET.parse(ROOT / "package.xml").getroot()
    urls = project()["project"]["urls"]
    assert {url.text for url in manifest.iter("url")} == {urls["Homepage"], urls["Issues"]}
    (author,) = project()["project"]["authors"]
    assert manifest.find("maintainer").get("email") == author["email"]
    assert manifest.findtext("author")


def test_every_pin_is_exact_and_there_is_one_for_each_python():
    for name, requirements in pins().items():
        for requirement in requirements:
            assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)), requirement
        for python in ("3.10", "3.11", "3.12", "3.13"):
            environment = {"python_version": python, "python_full_version": f"{python}.0"}
            here = [r for r in requirements if not r.marker or r.marker.evaluate(environment)]
            assert len(here) <= 1, f"{name} is pinned twice for Python {python}"


def test_pins_hold_what_the_package_requires():
    table = project()
    required = [
        *table["build-system"]["requires"],
        *table["project"]["dependencies"],
        *(r for extra in table["project"]["optional-dependencies"].values() for r in extra),
    ]
    for python in ("3.10", "3.11", "3.13"):
        environment = {"python_version": python, "python_full_version": f"{python}.0"}
        for requirement in map(Requirement, required):
            if requirement.marker and not requirement.marker.evaluate(environment):
                continue
            versions = [
                str(pin.specifier).removeprefix("==")
                for pin in pins()[canonicalize_name(requirement.name)]
                if not pin.marker or pin.marker.evaluate(environment)
            ]
            assert len(versions) == 1, requirement
            assert requirement.specifier.contains(versions[0]), requirement


def test_import_needs_neither_torch_nor_ros():
    code = "import sys, vega3d_ros; print({'torch', 'numpy', 'rclpy'} & set(sys.modules))"
    assert run(sys.executable, "-c", code).strip() == "set()"


def test_every_public_name_is_what_its_room_defines():
    assert set(vega3d_ros.__all__) <= set(dir(vega3d_ros))
    for name in vega3d_ros.__all__:
        assert getattr(vega3d_ros, name).__name__ == name
    assert vega3d_ros.Perceiver.__module__ == "vega3d_ros.perception.perceiver"


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Percever'"):
        vega3d_ros.Percever  # noqa: B018


def test_every_error_of_the_package_has_the_one_base():
    bases = {
        node.name: {ast.unparse(base) for base in node.bases}
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ClassDef) and re.fullmatch(r"[A-Z]\w*Error", node.name)
    }
    rooted = {"Vega3dError"}
    while more := {name for name, above in bases.items() if above & rooted} - rooted:
        rooted |= more
    assert bases.keys() == rooted


def test_all_but_the_node_works_without_ros():
    names = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for file in PACKAGE.rglob("*.py")
        if file.relative_to(PACKAGE).parts[0] not in ("ros", "replay")
    }
    # None in sys.modules makes an import fail.
    code = (
        "import importlib, sys\n"
        "for name in ('rclpy', 'std_msgs', 'vega3d_ros.msg'): sys.modules[name] = None\n"
        f"for name in {sorted(names)}: importlib.import_module(name.removesuffix('.__init__'))\n"
    )
    run(sys.executable, "-c", code, cwd=ROOT)


def test_the_top_level_holds_rooms_only():
    assert [file.name for file in PACKAGE.glob("*.py")] == ["__init__.py"]


def test_no_module_hides_the_interfaces():
    # From a checkout they are found elsewhere, through __path__; these names would hide them.
    for name in ("msg", "srv", "action"):
        assert not list(PACKAGE.glob(f"{name}*"))
    assert len(vega3d_ros.__path__) > 1 or Path(vega3d_ros.__path__[0]) != PACKAGE


@pytest.mark.parametrize("folder", SHARED_FOLDERS)
def test_shared_folders_hold_something(folder):
    # Git keeps no empty folders, and CMake installs none that do not exist.
    assert list((ROOT / folder).iterdir())


def test_what_is_shipped_stays_small():
    weights = sum(file.stat().st_size for file in PACKAGE.rglob("*.safetensors"))
    shipped = {
        file for top in (PACKAGE, ROOT / "test") for kind in SHIPPED for file in top.rglob(kind)
    }
    assert weights <= 25 * MB
    assert sum(file.stat().st_size for file in shipped) <= 40 * MB


def test_a_machine_without_a_compiler_is_told_so():
    env = {**os.environ, "CC": "no-such-cc", "CXX": "no-such-c++"}
    done = subprocess.run(
        [sys.executable, ROOT / "cmake" / "check_machine.py"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "needs a C compiler (no-such-cc)" in done.stderr
    assert "needs a C++ compiler (no-such-c++)" in done.stderr


def test_this_machine_has_all_it_takes():
    assert run(sys.executable, ROOT / "cmake" / "check_machine.py") == ""


@pytest.mark.slow
def test_colcon_builds_a_workspace(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "vega3d_ros").symlink_to(ROOT)
    prefixes = os.environ.get("AMENT_PREFIX_PATH") or sys.prefix
    env = {
        **build_environment(),
        "AMENT_PREFIX_PATH": prefixes,
        "CMAKE_PREFIX_PATH": prefixes,
        "COLCON_HOME": str(tmp_path / "home"),
    }
    run(
        *(sys.executable, "-m", "colcon", "build", "--cmake-args", "-GNinja"),
        *("-DBUILD_TESTING=OFF", f"-DPython3_EXECUTABLE={sys.executable}"),
        cwd=tmp_path,
        env=env,
    )
    installed = tmp_path / "install" / "vega3d_ros"
    for name in ("perception_node", "vega3d"):
        assert os.access(installed / "lib" / "vega3d_ros" / name, os.X_OK)
    for folder in SHARED_FOLDERS:
        assert (installed / "share" / "vega3d_ros" / folder).is_dir()
    sourced = f"source {tmp_path}/install/setup.bash && "
    imported = run("bash", "-c", sourced + f'{sys.executable} -c "{INTERFACES}"', env=env)
    assert imported.splitlines()[-1].startswith(str(installed))
    version = run("bash", "-c", sourced + "vega3d --version", env=env)
    assert version.split()[-1] == vega3d_ros.__version__


@pytest.mark.slow
def test_pip_builds_a_wheel(tmp_path):
    # setup.py leaves its build folder beside the sources, so it gets a copy of them.
    source = tmp_path / "source"
    ours = {"build", "demo", "runs", "data", *(path.name for path in ROOT.glob(".*"))}
    shutil.copytree(
        ROOT,
        source,
        ignore=lambda folder, names: (
            ours & set(names) if Path(folder) == ROOT else ["__pycache__"]
        ),
    )
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    run(
        *(
            *pip,
            "wheel",
            "--no-deps",
            "--no-index",
            "--no-build-isolation",
            "-w",
            tmp_path,
            source,
        ),
        env=build_environment(),
    )
    (wheel,) = tmp_path.glob("*.whl")
    prefix = tmp_path / "prefix"
    run(
        *pip, "install", "--no-deps", "--no-index", "--prefix", prefix, "--ignore-installed", wheel
    )
    (site,) = prefix.glob("lib/python*/site-packages")
    for name in ("perception_node", "vega3d"):
        assert os.access(prefix / "lib" / "vega3d_ros" / name, os.X_OK)
    assert (prefix / "bin" / "vega3d").exists()
    for folder in SHARED_FOLDERS:
        assert (prefix / "share" / "vega3d_ros" / folder).is_dir()
    modules = {file.relative_to(ROOT).as_posix() for file in PACKAGE.rglob("*") if file.is_file()}
    modules = {name for name in modules if "__pycache__" not in name}
    assert modules <= set(zipfile.ZipFile(wheel).namelist())
    env = {**os.environ, "PYTHONPATH": str(site)}
    env["LD_LIBRARY_PATH"] = f"{prefix / 'lib'}:{env.get('LD_LIBRARY_PATH', '')}"
    assert run(sys.executable, "-c", INTERFACES, env=env).splitlines()[-1].startswith(str(site))


def test_with_launch_testing_installed_equally_named_test_modules_are_collected(tmp_path):
    """Its plugin, which comes with every ROS, imports test modules by their basenames."""
    (tmp_path / "by_basename.py").write_text(
        "from _pytest.pathlib import import_path\n"
        "def pytest_pycollect_makemodule(module_path, parent):\n"
        "    import_path(module_path, root=None, consider_namespace_packages=False)\n"
    )
    metadata = tmp_path / "launch_testing-3.4.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: launch_testing\nVersion: 3.4\n"
    )
    (metadata / "entry_points.txt").write_text("[pytest11]\nlaunch_testing = by_basename\n")
    equal = [str(path) for path in sorted(ROOT.glob("test/**/test_settings.py"))]
    assert len(equal) > 1
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    output = run(
        sys.executable, "-m", "pytest", "--collect-only", "-q", *equal,
        cwd=ROOT, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert "tests collected" in output
