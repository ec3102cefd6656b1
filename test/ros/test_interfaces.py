from __future__ import annotations

import re
from pathlib import Path

import pytest

from vega3d_ros import action, msg, srv

ROOT = Path(__file__).parents[2]
DEFINITIONS = sorted(
    file for kind in ("msg", "srv", "action") for file in (ROOT / kind).iterdir() if file.is_file()
)
NAMES = [file.stem for file in DEFINITIONS]


def sections(file):
    """The parts of a definition, each a list of (line, comment above it included) per field."""
    for text in re.split(r"^---$", file.read_text(), flags=re.MULTILINE):
        comment, fields = "", []
        for line in text.splitlines():
            if line.startswith("#"):
                comment += line
            elif line.strip():
                fields.append((line, comment))
            else:
                comment = ""
        yield fields


def replies():
    yield from (getattr(srv, file.stem).Response for file in DEFINITIONS if file.suffix == ".srv")
    yield action.AskScene.Result


def requests():
    yield from (getattr(srv, file.stem).Request for file in DEFINITIONS if file.suffix == ".srv")
    yield action.AskScene.Goal


def test_every_definition_is_built():
    built = {name for module in (msg, srv, action) for name in dir(module)}
    assert set(NAMES) <= built


def test_every_definition_is_listed_for_the_build():
    cmake = (ROOT / "CMakeLists.txt").read_text()
    assert re.findall(r'^  "((?:msg|srv|action)/\S+)"$', cmake, re.MULTILINE) == [
        *(f"msg/{file.name}" for file in DEFINITIONS if file.suffix == ".msg"),
        *(f"srv/{file.name}" for file in DEFINITIONS if file.suffix == ".srv"),
        *(f"action/{file.name}" for file in DEFINITIONS if file.suffix == ".action"),
    ]


@pytest.mark.parametrize("file", DEFINITIONS, ids=NAMES)
def test_every_field_is_explained(file):
    bare = [
        line
        for fields in sections(file)
        for line, comment in fields
        if "#" not in line and not comment
    ]
    assert bare == []


def test_error_codes_are_distinct_and_none_is_zero():
    text = (ROOT / "msg" / "ErrorCode.msg").read_text()
    written = {
        name: int(code)
        for name, code in re.findall(r"^uint16 ([A-Z_]+)=(\d+)", text, re.MULTILINE)
    }
    assert {name: getattr(msg.ErrorCode, name) for name in written} == written
    assert len(set(written.values())) == len(written) > 10
    assert written["NONE"] == 0
    assert written["UNKNOWN"] == max(written.values())


@pytest.mark.parametrize("reply", replies(), ids=lambda kind: kind.__name__)
def test_every_reply_begins_alike(reply):
    assert list(reply.get_fields_and_field_types().items())[:5] == [
        ("header", "std_msgs/Header"),
        ("success", "boolean"),
        ("error_code", "uint16"),
        ("message", "string"),
        ("latency", "builtin_interfaces/Duration"),
    ]
    assert not reply().success


@pytest.mark.parametrize("request_", requests(), ids=lambda kind: kind.__name__)
def test_times_of_requests_are_durations(request_):
    fields = request_.get_fields_and_field_types()
    for name in {"max_age", "timeout"} & set(fields):
        assert fields[name] == "builtin_interfaces/Duration"


def test_objects_carry_no_header_of_their_own():
    # One frame per message: a header of their own could say another.
    assert "header" not in msg.GroundedObject.get_fields_and_field_types()
    for kind in (msg.GroundedObjectArray, msg.SpatialAnswer, msg.SpatialRelation):
        assert kind.get_fields_and_field_types()["header"] == "std_msgs/Header"


def test_an_answer_survives_the_wire():
    rclpy_serialization = pytest.importorskip("rclpy.serialization")
    answer = msg.SpatialAnswer(question="Wo ist die Tür?", answer="links", confidence=0.5)
    answer.objects.append(msg.GroundedObject(label="door", observations=3))
    data = rclpy_serialization.serialize_message(answer)
    assert rclpy_serialization.deserialize_message(data, msg.SpatialAnswer) == answer
