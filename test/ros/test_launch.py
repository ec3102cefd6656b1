"""The launch file against the real launch API, where that is installed."""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILE = ROOT / "launch" / "perception.launch.py"


def test_the_file_compiles_and_declares_what_is_documented():
    tree = ast.parse(FILE.read_text())
    arguments = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "ARGUMENTS"
    )
    assert {
        "namespace",
        "image",
        "camera_info",
        "depth",
        "models",
        "model",
        "device",
        "threads",
        "log_level",
        "autostart",
        "rviz",
    } <= set(arguments)
    assert all(isinstance(default, str) and text for default, text in arguments.values())
    parameters = yaml.safe_load((ROOT / "config" / "perception.yaml").read_text())
    assert {"model", "device", "autostart", "fixed_frame"} <= set(
        parameters["/**"]["ros__parameters"]
    )
    for name in ("config/fastdds_large_images.xml", "rviz/perception.rviz"):
        assert (ROOT / name).is_file()
        assert Path(name).name in FILE.read_text()


def test_the_rviz_file_shows_what_the_node_publishes():
    displays = yaml.safe_load((ROOT / "rviz" / "perception.rviz").read_text())[
        "Visualization Manager"
    ]["Displays"]
    topics = {display["Topic"]["Value"] for display in displays if "Topic" in display}
    assert topics == {"perception/markers", "perception/debug_image", "perception/gate_image"}


@pytest.fixture
def module(monkeypatch):
    """The launch file with a stand-in for launch, whose actions are their keyword arguments."""
    for name in (
        "launch",
        "launch.actions",
        "launch.substitutions",
        "launch_ros",
        "launch_ros.actions",
        "launch_ros.parameter_descriptions",
        "launch_ros.substitutions",
    ):
        monkeypatch.setitem(sys.modules, name, MagicMock())
    return runpy.run_path(str(FILE))


def started(module, function):
    """What one of its functions starts, by the launch arguments that were given."""

    def start(**given):
        values = {name: default for name, (default, _) in module["ARGUMENTS"].items()} | given
        names = module[function].__globals__
        names["LaunchConfiguration"] = lambda name: SimpleNamespace(
            perform=lambda _: values.get(name, "")
        )
        names["ParameterValue"] = lambda value, value_type: value_type(value.perform(None))
        names["Node"] = names["LogInfo"] = dict
        return module[function](None)

    return start


@pytest.fixture
def launched(module):
    """The keyword arguments of the node, by the launch arguments that were given."""
    return lambda **given: started(module, "_node")(**given)[0]


def test_an_empty_argument_leaves_the_value_of_the_files(launched):
    node = launched()
    assert {"model", "device", "threads"}.isdisjoint(node["parameters"][-1])
    assert node["parameters"][-1]["fixed_frame"] == "map"
    assert node["ros_arguments"] == []


def test_arguments_that_are_given_are_typed(launched):
    node = launched(threads="2", model="1", log_level="debug", fixed_frame="")
    assert node["parameters"][-1] | {"threads": 2, "model": "1"} == node["parameters"][-1]
    assert node["parameters"][-1]["fixed_frame"] == ""
    assert node["ros_arguments"] == ["--log-level", "debug"]


def test_rviz_that_is_not_installed_is_told_and_the_node_goes_on(module, monkeypatch):
    def prefix(name):
        raise module["PackageNotFoundError"](name)

    rviz = started(module, "_rviz")
    assert rviz() == []
    monkeypatch.setitem(module["_rviz"].__globals__, "get_package_prefix", prefix)
    (told,) = rviz(rviz="true")
    assert "rviz2 is not installed" in told["msg"]
    monkeypatch.setitem(module["_rviz"].__globals__, "get_package_prefix", lambda _: "/opt/ros")
    (opened,) = rviz(rviz="True")
    assert opened["package"] == "rviz2"


def test_a_node_that_dies_is_started_again_where_asked_for(launched):
    assert launched()["respawn"] is False
    assert launched(respawn="true")["respawn"] is True


def test_the_description_is_one_of_launch():
    launch = pytest.importorskip("launch", reason="the ROS package `launch` is not installed")
    pytest.importorskip("launch_ros", reason="the ROS package `launch_ros` is not installed")
    import importlib.util

    spec = importlib.util.spec_from_file_location("perception_launch", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    description = module.generate_launch_description()
    assert isinstance(description, launch.LaunchDescription)
    names = {argument.name for argument in description.get_launch_arguments()}
    assert names == {*module.ARGUMENTS, "params_file"}
