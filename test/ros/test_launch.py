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


LAUNCH = (
    "launch",
    "launch.actions",
    "launch.event_handlers",
    "launch.events",
    "launch.events.process",
    "launch.launch_description_sources",
    "launch.substitutions",
    "launch_ros",
    "launch_ros.actions",
    "launch_ros.parameter_descriptions",
    "launch_ros.substitutions",
)


class Launched:
    """A launch file with a stand-in for launch, whose actions are their keyword arguments."""

    def __init__(self, file):
        self.names = runpy.run_path(str(file))["generate_launch_description"].__globals__
        self.names["ParameterValue"] = lambda value, value_type: value_type(
            value.perform(None) if hasattr(value, "perform") else value
        )
        self.names["LogInfo"] = lambda msg: msg
        self.names["LifecycleNode"] = self.names["Node"] = dict
        self.lacking = ()
        self.names["ExecutableInPackage"] = lambda executable, _: SimpleNamespace(
            perform=lambda context: self._find(executable)
        )

    def _find(self, executable):
        if executable in self.lacking:
            raise RuntimeError(f"{executable} is not there")
        return executable

    def start(self, function="_actions", **given):
        values = {name: default for name, (default, _) in self.names["ARGUMENTS"].items()} | given
        self.names["LaunchConfiguration"] = lambda name: SimpleNamespace(
            perform=lambda _: values.get(name, "")
        )
        return self.names[function](SimpleNamespace(launch_configurations=values))


@pytest.fixture
def launched(monkeypatch):
    """The launch file of the node, started as by ``ros2 launch``."""
    for name in LAUNCH:
        monkeypatch.setitem(sys.modules, name, MagicMock())
    monkeypatch.setattr(sys, "argv", ["ros2", "launch", "vega3d_ros", FILE.name])
    return Launched(FILE)


def node_of(actions):
    (node,) = (action for action in actions if isinstance(action, dict) and "on_exit" in action)
    return node


def test_nothing_is_passed_on_that_was_not_given(launched):
    node = node_of(launched.start())
    assert node["parameters"] == [str(ROOT / "config" / "launch.yaml"), {}]
    assert node["ros_arguments"] == node["remappings"] == []
    assert node["respawn"] is False


def test_the_node_starts_by_itself_unless_somebody_says_otherwise(launched, tmp_path):
    first, *_ = node_of(launched.start())["parameters"]
    assert yaml.safe_load(Path(first).read_text()) == {
        "/**": {"ros__parameters": {"autostart": True}}
    }
    file = tmp_path / "mine.yaml"
    file.touch()
    _, mine, values = node_of(launched.start(params_file=str(file), autostart="false"))[
        "parameters"
    ]
    assert mine == str(file)
    assert values == {"autostart": bool("false")}  # launch itself reads the word


def test_arguments_that_are_given_are_typed(launched):
    node = node_of(
        launched.start(threads="2", model="1", log_level="debug", queries="[cup, red box]")
    )
    assert node["parameters"][-1] == {"threads": 2, "model": "1", "queries": ["cup", "red box"]}
    assert node["ros_arguments"] == ["--log-level", "debug"]


@pytest.mark.parametrize("word", ["none", "''"])
def test_an_empty_fixed_frame_can_be_asked_for(launched, word):
    assert node_of(launched.start(fixed_frame=word))["parameters"][-1] == {"fixed_frame": ""}
    assert node_of(launched.start(fixed_frame="odom"))["parameters"][-1] == {"fixed_frame": "odom"}


def test_topics_and_transforms_of_several_robots_are_remapped(launched):
    node = node_of(launched.start(image="/cam/color", tf="/robot1/tf"))
    assert node["remappings"] == [
        ("image", "/cam/color"), ("/tf", "/robot1/tf"), ("/tf_static", "/robot1/tf_static"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"imge": "/x"}, "argument 'imge' .did you mean 'image'"),
        ({"modell": "nano"}, "argument 'modell' .did you mean 'model'"),
        ({"xyz": "1"}, "no launch argument 'xyz'; "),
        ({"models": "gpu8gb"}, "models is 'gpu8gb' .did you mean 'gpu_8gb'.*cpu"),
        ({"models": "xyz"}, "models is 'xyz'; give one of: cpu"),
        ({"params_file": "/no/such.yaml"}, "params_file is '/no/such.yaml', which is no file"),
        ({"rviz": "yes"}, "rviz is 'yes'; give true or false"),
        ({"autostart": "flase"}, "autostart is 'flase' .did you mean 'false'"),
        ({"log_level": "warning"}, "log_level is 'warning' .did you mean 'warn'"),
        ({"threads": "two"}, "threads is 'two'; give a number"),
    ],
)
def test_what_is_misspelt_is_refused_before_anything_is_started(launched, given, words):
    with pytest.raises(RuntimeError, match=words):
        launched.start(**given)


def test_a_launch_file_around_it_has_arguments_of_its_own(launched, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["ros2", "launch", "my_robot", "bringup.launch.py"])
    told, _ = launched.start(imge="/x", robot="turtle")
    assert "no launch argument 'imge' (did you mean 'image'?)" in told


def test_rviz_that_is_not_installed_is_told_and_the_node_goes_on(launched):
    launched.lacking = ("rviz2",)
    told, node = launched.start(rviz="true")
    assert "rviz2 is not installed" in told
    assert node["executable"] == "perception_node"
    launched.lacking = ()
    opened, _ = launched.start(rviz="True", use_sim_time="true")
    assert opened["package"] == "rviz2"
    assert opened["parameters"] == [{"use_sim_time": True}]


def test_nothing_is_left_behind_where_the_node_cannot_be_started(launched):
    launched.lacking = ("perception_node",)
    with pytest.raises(RuntimeError, match="perception_node is not there"):
        launched.start(rviz="true")  # raised by the action that would start both


def test_a_node_that_dies_is_started_again_but_not_one_that_refused_its_parameters(launched):
    node = node_of(launched.start(respawn="true"))
    assert node["respawn"] is True
    assert node["on_exit"](SimpleNamespace(returncode=-9), None) == []
    assert len(node["on_exit"](SimpleNamespace(returncode=1), None)) == 1


def test_launch_files_import_nothing_but_launch_and_the_standard_library():
    for file in FILE.parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [getattr(node, "module", None) or node.names[0].name]
                roots = {name.split(".")[0] for name in names}
                allowed = {"launch", "launch_ros", "ament_index_python", *sys.stdlib_module_names}
                assert roots <= allowed, file.name


def test_a_replay_asks_the_nodes_interpreter_for_the_topics(monkeypatch, drive_bag):
    for name in LAUNCH:
        monkeypatch.setitem(sys.modules, name, MagicMock())
    replay = Launched(FILE.with_name("replay.launch.py"))
    given = replay.names["_topics"](str(ROOT / "scripts" / "vega3d"), str(drive_bag.path))
    assert ("image", "/cam/image_raw") in given
    assert ("fixed_frame", "map") in given
    with pytest.raises(RuntimeError, match="no_such_bag"):
        replay.names["_topics"](str(ROOT / "scripts" / "vega3d"), "no_such_bag")


def test_a_replay_declares_what_it_uses_and_what_it_passes_on(monkeypatch):
    for name in LAUNCH:
        monkeypatch.setitem(sys.modules, name, MagicMock())
    names = Launched(FILE.with_name("replay.launch.py")).names
    declared = {"model", "threads", "rate", "start", "loop", "pause", "questions"}
    assert declared <= set(names["ARGUMENTS"])
    assert {*names["PASSED_ON"], *names["OPTIONS"]} <= set(names["ARGUMENTS"])
    assert all(isinstance(default, str) and text for default, text in names["ARGUMENTS"].values())


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
    assert names == set(module.ARGUMENTS)
