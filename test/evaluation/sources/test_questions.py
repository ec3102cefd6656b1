"""What is asked, and when."""

from __future__ import annotations

import json

import pytest

from vega3d_ros.evaluation.schema import RunError
from vega3d_ros.evaluation.sources.questions import default_plan, load_plan, load_truth


def test_truth_beside_a_bag(drive_bag):
    truth = load_truth(drive_bag.path)
    assert truth.fixed_frame == "map"
    assert truth.seen == {"chair_0", "table_0"}  # the bed shows too few pixels
    assert truth.objects["table_0"].box.yaw == pytest.approx(0.3)
    assert [(q.kind, q.answer, q.ask_at_s) for q in truth.questions] == [
        ("count", "2", 1.0),
        ("size", "100", 1.3),
        ("relation", None, truth.questions[2].ask_at_s),
    ]
    assert truth.questions[2].subject_id == "chair_0"


def test_no_truth_is_none(tmp_path):
    assert load_truth(tmp_path) is None


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"objects": [{"id": "a"}]}', '{"objects": 3}'])
def test_damaged_truth_is_one_clear_error(tmp_path, text):
    (tmp_path / "truth.json").write_text(text)
    with pytest.raises(RunError, match=r"truth\.json"):
        load_truth(tmp_path)


def test_default_plan_asks_ten_questions_and_three_relations_during_the_recording():
    plan = default_plan(20.0)
    assert sum(not item.is_relation for item in plan) >= 10
    assert sum(item.is_relation for item in plan) >= 3
    times = [item.ask_at_s for item in plan]
    assert times == sorted(times)
    assert times[0] >= 4.0
    assert times[-1] < 20.0
    # They are spread among the questions.
    assert sum(item.is_relation for item in plan[:6]) == 1


def test_an_answer_that_is_scored_as_a_number_must_be_one(tmp_path):
    path = tmp_path / "questions.json"
    asked = {"question": "How many?", "kind": "count", "answer": "two"}
    path.write_text(json.dumps({"questions": [asked]}))
    with pytest.raises(RunError, match=r"could not convert string to float: 'two'"):
        load_plan(path, 10.0)
    for answer in ("2", "unknown"):
        path.write_text(json.dumps({"questions": [asked | {"answer": answer}]}))
        assert load_plan(path, 10.0)[0].answer == answer


def test_own_questions(tmp_path):
    path = tmp_path / "questions.json"
    record = {
        "questions": [{"question": "a?"}, {"question": "b?", "answer": 3, "ask_at_s": 1.5}],
        "relations": [{"subject": "chair", "object": "bed"}],
    }
    path.write_text(json.dumps(record))
    plan = load_plan(path, 10.0)
    timed, first, relation = plan
    assert (timed.text, timed.answer, timed.ask_at_s) == ("b?", "3", 1.5)
    assert (first.text, first.answer) == ("a?", None)
    assert (relation.subject, relation.object) == ("chair", "bed")
    assert 1.5 < first.ask_at_s < relation.ask_at_s < 10.0


@pytest.mark.parametrize(
    "text", ["no", '{"questions": ["a?"]}', '{"relations": [{"subject": "a"}]}']
)
def test_unusable_questions_name_the_form(tmp_path, text):
    path = tmp_path / "questions.json"
    path.write_text(text)
    with pytest.raises(RunError, match=r"questions\.json"):
        load_plan(path, 10.0)


def test_missing_questions(tmp_path):
    with pytest.raises(RunError, match="cannot be read"):
        load_plan(tmp_path / "none.json", 10.0)
