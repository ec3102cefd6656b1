"""Parameters that are given at the start and that ROS would ignore without a word."""

from __future__ import annotations

from dataclasses import fields

import pytest
from robot_harness import START_S, NodeProcess
from support.patience import patience

from vega3d_ros.perception.parameter_file import ParameterFileError
from vega3d_ros.perception.settings import ParameterError, Parameters
from vega3d_ros.ros.given_parameters import check_given, with_empty_values

NODE = "/cam/perception"
KNOWN = [item.name for item in fields(Parameters)]


@pytest.fixture
def check(tmp_path):
    """What is said of a parameter file."""

    def check(text, node=NODE):
        file = tmp_path / "mine.yaml"
        file.write_text(text)
        return check_given(["perception_node", "--params-file", str(file)], node, KNOWN)

    return check


def values(section, *names):
    lines = "".join(f"    {name}: 1\n" for name in names)
    return f"{section}:\n  ros__parameters:\n{lines}"


@pytest.mark.parametrize(
    "section", ["/**", "/cam/perception", "cam/perception", "/*/perception", "/**/perception"]
)
def test_what_the_node_reads_is_taken(check, section):
    names = ("min_score", "use_sim_time", "qos_overrides./tf.subscription.depth")
    assert check(values(section, *names)) == []


def test_a_namespace_above_the_node_is_read_too(check):
    assert check("cam:\n  perception:\n    ros__parameters: {min_score: 0.5}\n") == []
    with pytest.raises(ParameterError, match=r"'min_scor' \(did you mean 'min_score'\?\)"):
        check("cam:\n  perception:\n    ros__parameters: {min_scor: 0.5}\n")


@pytest.mark.parametrize("section", ["/**", "/cam/perception"])
def test_a_misspelt_parameter_is_refused_with_the_nearest(check, section):
    with pytest.raises(ParameterError, match=r"mine\.yaml.*'clip_lenght'.*did you mean 'clip_len"):
        check(values(section, "min_score", "clip_lenght"))


def test_a_parameter_that_is_like_none_is_refused_where_no_other_node_reads_it(check):
    with pytest.raises(ParameterError, match="no parameter 'robot_radius'"):
        check(values(NODE, "robot_radius"))
    (line,) = check(values("/**", "robot_radius"))
    assert "no parameter 'robot_radius'" in line


@pytest.mark.parametrize(
    "section", ["percepton", "/cam/percption", "perception", "/cm/perception"]
)
def test_a_section_for_a_node_of_another_name_is_refused_with_the_right_one(check, section):
    with pytest.raises(ParameterError, match=r"is not read by this node; call it /cam/perception"):
        check(values(section, "min_score"))


@pytest.mark.parametrize("section", ["percepton", "perception"])
def test_a_misspelt_section_is_refused_beside_one_for_all_nodes(check, section):
    with pytest.raises(ParameterError, match="call it /cam/perception"):
        check(values("/**", "use_sim_time") + values(section, "min_score"))


def test_other_nodes_have_their_sections_in_the_same_file(check):
    others = values("amcl", "alpha1") + values("/back/perception", "min_score")
    assert check(others + values(NODE, "min_score")) == []
    assert check(others + values("/**", "use_sim_time")) == []
    (line,) = check(values("amcl", "alpha1"))
    assert f"has nothing for {NODE}; it has parameters for /amcl" in line


def test_a_list_as_launch_writes_it_is_read(check):
    text = "/cam/perception:\n  ros__parameters:\n    queries: !!python/tuple\n    - chair\n"
    assert check(text) == []


@pytest.mark.parametrize("option", ["-p", "--param"])
def test_a_misspelt_parameter_of_the_command_line_is_refused(option):
    with pytest.raises(ParameterError, match="did you mean 'min_score'"):
        check_given([option, "min_scor:=0.3"], NODE, KNOWN)
    assert check_given([option, "min_score:=0.3"], NODE, KNOWN) == []
    assert check_given([option, "perception:min_score:=0.3"], NODE, KNOWN) == []


@pytest.mark.parametrize("text", ["- 1", "/**:\n  ros_parameters:\n    min_score: 1\n", "a: ["])
def test_a_file_without_parameters_is_named(check, text):
    with pytest.raises(ParameterFileError, match=r"mine\.yaml holds no parameters"):
        check(text)


def test_an_empty_value_is_an_empty_text():
    assert with_empty_values(["-p", "fixed_frame:=", "-r", "a:="]) == [
        "-p", "fixed_frame:=''", "-r", "a:=",
    ]  # fmt: skip


@pytest.mark.ros
def test_the_process_ends_with_the_sentence(domain, logs, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(values("/**", "clip_lenght"))
    given = {
        "did you mean 'clip_length'": ("--params-file", str(file)),
        "did you mean 'min_score'": ("-p", "min_scores:=0.3"),
        "params file": ("--params-file", str(tmp_path / "none.yaml")),
    }
    nodes = {words: NodeProcess(logs, domain, given) for words, given in given.items()}
    for words, node in nodes.items():
        assert node.process.wait(patience(START_S)) == 1, node.output
        assert words in node.output
        assert "Traceback" not in node.output
