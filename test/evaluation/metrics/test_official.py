"""Every metric against what the official evaluators compute (``data/official_metrics.json``)."""

from __future__ import annotations

import json
import os
import shutil
import sys
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vega3d_ros.evaluation.metrics import (
    multi3drefer,
    scan2cap,
    scanqa,
    scanrefer,
    sqa3d,
    vsi_bench,
)
from vega3d_ros.evaluation.metrics.boxes import overlap, overlap_with_headings
from vega3d_ros.evaluation.metrics.captions import corpus_scores

pytestmark = pytest.mark.numeric

OFFICIAL = json.loads((Path(__file__).parents[2] / "data/official_metrics.json").read_text())
BOX = [1.0, 2.0, 0.5, 0.6, 0.8, 1.0]
FAR = [9.0, 9.0, 0.5, 0.6, 0.8, 1.0]


def test_axis_aligned_overlap():
    for case in OFFICIAL["axis_aligned_iou"]:
        assert float(overlap(case["a"], case["b"])) == pytest.approx(case["iou"], rel=1e-12)


def test_overlap_with_headings():
    turned = [0, 0, 0, 2, 2, 2, np.pi / 4]
    # The octagon that two unit squares share at 45 degrees has 0.8284 of their area.
    shared = 8 * (2**0.5 - 1) / 2 * 2
    assert overlap_with_headings([0, 0, 0, 2, 2, 2], turned) == pytest.approx(
        shared / (8 - shared), abs=1e-3
    )
    assert overlap_with_headings([0, 0, 0, 0, 2, 2], turned) == 0


def test_multi3drefer_f1():
    for case in OFFICIAL["multi3drefer"]:
        assert multi3drefer.f1(case["predicted"], case["true"]) == (case["f1_25"], case["f1_50"])


@pytest.mark.parametrize("count", [*range(12), 40, 333])
def test_scores_made_of_boxes_select_exactly_them(count):
    boxes = [[float(i), 0.0, 0.0, 1.0, 1.0, 1.0] for i in range(count)]
    scores, objects = multi3drefer.as_scores(boxes)
    assert len(scores) == len(objects) + 1
    assert multi3drefer.select(scores, objects) == boxes


def test_selection_of_boxes():
    objects = [[float(i)] * 6 for i in range(3)]
    assert multi3drefer.select([0.1, 0.9, 0.2, 0.3], objects) == [objects[1]]
    assert multi3drefer.select([0.1, 0.2, 0.1, 0.3], objects) == []
    # The mass of "none of them" is left out, so that 0.4 may never be reached.
    assert multi3drefer.select([0.5, 0.5, 0.5, 0.4999], objects) == objects[:2]


def test_multi3drefer_selection():
    for case in OFFICIAL["multi3drefer_selection"]:
        objects = [[float(i)] for i in range(len(case["scores"]) - 1)]
        chosen = multi3drefer.select(case["scores"], objects)
        assert [int(box[0]) for box in chosen] == case["chosen"], case


_SIDE = st.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0])
_BOX = st.lists(_SIDE, min_size=6, max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.lists(_BOX, max_size=4), st.lists(_BOX, max_size=4))
def test_multi3drefer_f1_by_trying_every_pairing(predicted, true):
    """Of all pairings those of the greatest overlap; equally great ones may hit differently."""
    found = multi3drefer.f1(predicted, true)
    if not predicted or not true:
        assert found == (float(predicted == true),) * 2
        return
    few, many = sorted([predicted, true], key=len)
    pairings = [
        [_shared(one, other) for one, other in zip(few, order, strict=True)]
        for order in permutations(many, len(few))
    ]
    most = max(map(sum, pairings))
    best = [pairs for pairs in pairings if sum(pairs) > most - 1e-6]
    for got, k in zip(found, (0.25, 0.5), strict=True):
        hits = [sum(iou >= k for iou in pairs) for pairs in best]
        assert got in [2 * count / (len(predicted) + len(true)) for count in hits]


def test_multi3drefer_pairs_by_the_sum_of_overlaps_and_not_by_hits():
    """Pairing each with the other's would hit twice at a quarter; the greatest sum hits once."""

    def along_x(center):
        return [center, 0.0, 0.0, 1.0, 1.0, 1.0]

    predicted, true = [along_x(0.55), along_x(0.0)], [along_x(0.5), along_x(1.05)]
    assert multi3drefer.f1(predicted, true) == (0.5, 0.5)


def _shared(a, b):
    """Overlap of two axis-aligned boxes, one axis after the other."""
    inner = whole_a = whole_b = 1.0
    for i in range(3):
        low = max(a[i] - a[i + 3] / 2, b[i] - b[i + 3] / 2)
        high = min(a[i] + a[i + 3] / 2, b[i] + b[i + 3] / 2)
        inner, whole_a, whole_b = (
            inner * max(0.0, high - low),
            whole_a * a[i + 3],
            whole_b * b[i + 3],
        )
    return float(np.float32(inner / (whole_a + whole_b - inner + 1e-8)))


def test_a_box_of_no_numbers_overlaps_nothing():
    broken = [np.nan, *BOX[1:]]
    assert multi3drefer.f1([broken, BOX], [BOX]) == (2 / 3, 2 / 3)
    assert multi3drefer.f1([[*broken, 0.0]], [BOX], headings=True) == (0, 0)
    row = {"gt_response": BOX, "pred_response": broken, "question_type": "unique", "scene": 0}
    assert scanrefer.summarise([row])["Acc@0.25"].value == 0


def test_multi3drefer_types():
    scores, chosen = multi3drefer.as_scores([BOX])
    rows = [
        {"scores": [0.0], "objects": [], "gt_response": [], "question_type": "zt_w_d"},
        {"scores": scores, "objects": chosen, "gt_response": [], "question_type": "zt_w_d"},
        {"scores": scores, "objects": chosen, "gt_response": [BOX, FAR], "question_type": "mt"},
    ]
    rows = [row | {"scene": i} for i, row in enumerate(rows)]
    figures = multi3drefer.summarise(rows)
    assert figures["zt_w_d: F1@0.25"].value == 0.5
    assert figures["mt: F1@0.5"].value == pytest.approx(2 / 3)
    assert figures["F1@0.25"].value == pytest.approx((1 + 0 + 2 / 3) / 3)
    assert not figures["st_w_d: F1@0.25"].count
    turned = [row | {"pred_boxes": [[*b, 0.0] for b in row["objects"][:1]]} for row in rows]
    assert multi3drefer.summarise(turned)["F1@0.5 with headings"].value == pytest.approx(5 / 9)


def test_scanrefer_gives_both_overlaps():
    thin = [0.0, 0.0, 0.5, 2.0, 0.2, 1.0]
    around = [0.0, 0.0, 0.5, 1.56, 1.56, 1.0]
    rows = [
        {"pred_response": around, "pred_box": [*thin, np.pi / 4], "gt_response": around},
        {"pred_response": FAR, "pred_box": [*FAR, 0.0], "gt_response": BOX},
    ]
    kinds = ("unique", "multiple")
    rows = [row | {"question_type": kinds[i], "scene": i} for i, row in enumerate(rows)]
    figures = scanrefer.summarise(rows)
    assert figures["Acc@0.5"].value == 0.5
    assert figures["unique: Acc@0.5"].value == 1.0
    assert figures["multiple: Acc@0.25"].value == 0.0
    assert figures["unique: Acc@0.25 with headings"].value == 0.0
    official = [{k: v for k, v in row.items() if k != "pred_box"} for row in rows]
    assert "Acc@0.5 with headings" not in scanrefer.summarise(official)
    snapped = scanrefer.summarise([row | {"pred_proposal": row["gt_response"]} for row in rows])
    assert snapped["Acc@0.5 of the nearest proposal"].value == 1.0


def test_unique_means_once_among_the_described():
    nyu40 = {"chair": 5, "office chair": 5, "table": 7, "floor mat": 20, "wall": 1}
    names = ["chair", "office_chair", "table", "table", "floor mat", "unheard of", "wall"]
    ids = ["0", "1", "2", "2", "3", "4", "5"]
    items = [
        {"scene_id": "s", "object_id": i, "object_name": n}
        for i, n in zip(ids, names, strict=True)
    ]
    found = scanrefer.unique_or_multiple(items, nyu40)
    assert found == [*["multiple"] * 2, *["unique"] * 2, *["multiple"] * 2, "unique"]


def test_sqa3d_cleaning():
    for case in OFFICIAL["sqa3d_clean_answer"]:
        assert sqa3d.clean_answer(case["raw"]) == case["clean"]


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("The letf  side.", "left side"),
        ("11 oclock", "eleven o'clock"),
        ("22 or 23", "22 or twenty-three"),
        ("None", "zero"),
        ("a 2", "two"),
        ("the", "the"),
        ("chair3 backwards", "chair backward"),
        ("TV", "TV"),
        (" left \n", "left\n"),
    ],
)
def test_sqa3d_cleaning_by_hand(raw, clean):
    assert sqa3d.clean_answer(raw) == clean


def test_sqa3d_empty_answers():
    rows = [
        {"pred_response": said, "gt_response": truth, "question_type": kind, "scene": i}
        for i, (said, truth, kind) in enumerate(
            [
                ("", "left", "what"),
                ("behind left", "left", "what"),
                ("Two.", "2", "how"),
                ("no", "yes", "is"),
            ]
        )
    ]
    # An answer and a truth of nothing but signs are equal; a word and such a truth are not.
    signs = {"gt_response": "?!", "question_type": "others", "scene": 9}
    both = sqa3d.summarise([signs | {"pred_response": said} for said in ("", "left")])
    assert (both["EM"].value, both["EM-R"].value) == (0.5, 0.5)
    assert both["EM-R, empty answers right"].value == 1.0
    figures = sqa3d.summarise(rows)
    assert figures["EM"].value == 0.25
    assert figures["EM-R, empty answers right"].value == 0.75
    assert figures["EM-R"].value == 0.5
    assert figures["how: EM"].value == 1.0
    assert not figures["can: EM"].count


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        (" What is it", "what"),
        ("IS it", "is"),
        ("canned?", "can"),
        ("Which", "which"),
        ("If", "others"),
    ],
)
def test_sqa3d_types(question, kind):
    assert sqa3d.question_type(question) == kind


def _vsi_rows():
    return [row | {"scene": i % 40} for i, row in enumerate(OFFICIAL["vsibench"]["rows"])]


def test_vsi_bench_scores():
    for row in OFFICIAL["vsibench"]["rows"]:
        found = vsi_bench.score(row["question_type"], row["prediction"], row["ground_truth"])
        assert found == row["score"], row


def test_vsi_bench_overall():
    figures = vsi_bench.summarise(_vsi_rows())
    assert 100 * figures["overall"].value == pytest.approx(
        OFFICIAL["vsibench"]["overall"], abs=1e-9
    )
    assert figures["overall"].low < figures["overall"].value < figures["overall"].high
    lenient = figures["lenient: overall of what was asked"]
    assert lenient.value > figures["overall of what was asked"].value


def test_vsi_bench_overall_needs_every_direction():
    rows = [row for row in _vsi_rows() if not row["question_type"].endswith("_hard")]
    figures = vsi_bench.summarise(rows)
    assert not figures["overall"].count
    means = [figures[kind].value for kind in (*vsi_bench.NUMBERS, *vsi_bench.CHOICES[3:])]
    means.append(figures["object_rel_direction"].value)
    assert figures["overall of what was asked"].value == pytest.approx(np.mean(means))


@pytest.mark.parametrize(
    ("kind", "said", "truth", "strict", "lenient"),
    [
        ("object_counting", "12", "10", 0.6, 0.7),  # 1 - 0.8 < 0.2 in floating point
        ("object_counting", "about 2", "2", 0, 1),
        ("object_counting", "two", "2", 0, 1),
        ("room_size_estimation", "20m", "20", 0, 1),
        ("object_counting", "many", "2", 0, 0),
        ("route_planning", "The answer is A", "A", 0, 1),
        ("route_planning", "b.", "B", 1, 1),
        ("route_planning", "the tall lamp", "C", 0, 1),
        ("route_planning", "a lamp", "A", 1, 1),  # the article passes for the letter
        ("route_planning", "lamp", "C", 0, 0),
        ("object_counting", "0", "0", 1, 1),
    ],
)
def test_vsi_bench_strict_and_lenient(kind, said, truth, strict, lenient):
    options = ["A. sofa", "B. stove", "C. tall lamp"]
    assert vsi_bench.score(kind, said, truth) == pytest.approx(strict)
    assert vsi_bench.lenient_score(kind, said, truth, options) == pytest.approx(lenient)


@given(
    st.one_of(st.text(max_size=12), st.floats().map(str), st.integers(-9, 99).map("{} m".format)),
    st.floats(0.01, 100),
)
def test_vsi_bench_numbers_threshold_by_threshold(said, truth):
    try:
        number = float(said.split(" ")[0].rstrip("."))
    except ValueError:
        number = np.nan
    thresholds = np.linspace(0.5, 0.95, 10)
    hits = sum(abs(number - truth) / truth <= 1 - threshold for threshold in thresholds)
    assert vsi_bench.score("object_abs_distance", said, str(truth)) == pytest.approx(hits / 10)
    lenient = vsi_bench.lenient_score("object_abs_distance", said, str(truth))
    assert 0 <= lenient <= 1


def test_vsi_bench_unknown_type():
    with pytest.raises(ValueError, match="colour"):
        vsi_bench.score("colour", "red", "red")


@pytest.mark.parametrize("corpus", ["sentences", "scan2cap", "scanqa"])
def test_captions(corpus, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    case = OFFICIAL["captions"][corpus]
    said = {key: texts[0] for key, texts in case["candidates"].items()}
    scenes = {key: int(key) % 5 for key in said}
    figures = corpus_scores(case["references"], said, scenes).figures
    assert figures["CIDEr"].value == pytest.approx(case["cider"], rel=1e-12)
    assert figures["ROUGE-L"].value == pytest.approx(case["rouge_l"], rel=1e-12)
    for order in range(4):
        bleu = figures[f"BLEU-{order + 1}"]
        assert bleu.value == pytest.approx(case["bleu"][order], rel=1e-12)
        assert bleu.low <= bleu.value <= bleu.high
    assert not figures["METEOR"].count


METEOR_STAND_IN = """#!{python}
# Speaks as meteor-1.5.jar does with -stdio: the score is the share of the reference's words.
import sys
for line in sys.stdin:
    kind, *rest = line.rstrip("\\n").split(" ||| ")
    if kind == "SCORE":
        said, right = rest[-1].split(), rest[0].split()
        print(len(set(said) & set(right)) / len(right), flush=True)
    else:
        scores = [float(value) for value in rest]
        print(*scores, sum(scores) / len(scores), sep="\\n", flush=True)
"""


def test_meteor_is_asked_of_java(tmp_path, monkeypatch):
    java = tmp_path / "java"
    java.write_text(METEOR_STAND_IN.format(python=sys.executable))
    java.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    references = {"0": ["a red chair"], "1": ["the lamp"]}
    found = corpus_scores(references, {"0": "a red sofa", "1": ""}, {"0": 0, "1": 1})
    assert found.items["METEOR"].tolist() == pytest.approx([2 / 3, 0])
    assert found.figures["METEOR"].value == pytest.approx(1 / 3)
    assert np.isnan(found.figures["METEOR"].low)


def test_meteor_gets_one_line_for_each_text(tmp_path, monkeypatch):
    java = tmp_path / "java"
    java.write_text(METEOR_STAND_IN.format(python=sys.executable))
    java.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    references = {"0": ["a red\nchair"], "1": ["the lamp"]}
    said = {"0": "a red chair\nand more", "1": "the lamp"}
    found = corpus_scores(references, said, {"0": 0, "1": 1})
    assert found.items["METEOR"].tolist() == pytest.approx([1, 1])


def test_a_java_that_fails_costs_meteor_alone(tmp_path, monkeypatch, caplog):
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\nexit 1\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    found = corpus_scores({"0": ["a lamp"]}, {"0": "a lamp"}, {"0": 0})
    assert not found.figures["METEOR"].count
    assert found.figures["ROUGE-L"].value == pytest.approx(1)
    assert "Java program failed" in caplog.text


def test_no_captions_have_no_scores():
    assert not any(figure.count for figure in scanqa.summarise([]).values())
    assert not any(figure.count for figure in scan2cap.summarise([]).values())


def _captioned(said, hit, number):
    return {
        "sample_id": number,
        "pred_response": said,
        "gt_response": ["This is a red chair, near the door."],
        "scene": number,
        "hit": hit,
    }


def test_scan2cap_counts_missed_boxes_both_ways(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert scan2cap.wrapped("A chair, red.") == "sos a chair ,  red .  eos"
    rows = [_captioned("This is a red chair, near the door.", True, 0), _captioned("", False, 1)]
    figures = scan2cap.summarise(rows)
    assert figures["missed boxes: share"].value == 0.5
    # The empty caption shares "sos" and "eos" with every reference.
    assert figures["ROUGE-L@0.5"].value > 0.5
    assert figures["missed boxes as 0: ROUGE-L@0.5"].value == pytest.approx(0.5)
    assert not figures["METEOR@0.5"].count


def test_scanqa_exact_match_sees_the_full_stop(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    answers = {"0": "brown chair", "1": "Brown chair.", "2": "table"}
    rows = [
        {"sample_id": key, "pred_response": said, "answers": ["brown chair"], "scene": key}
        for key, said in answers.items()
    ]
    figures = scanqa.summarise(rows)
    assert figures["EM"].value == pytest.approx(1 / 3)
    assert figures["EM forgiving case and full stop"].value == pytest.approx(2 / 3)
    assert figures["BLEU-1"].value == pytest.approx(3 / 5 * np.exp(1 - 6 / 5))
