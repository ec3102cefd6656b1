"""Questions for a recording, each about what the camera saw just before it is asked.

A node answers from its newest clip, the last few seconds, and its latency decides which clip that
is. So a question is asked only at moments at which all clips that may be the newest show the same
objects: then one answer is right for each of them.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vega3d_ros.core.frames import Frame, KeyframePolicy
from vega3d_ros.core.geometry import SE3
from vega3d_ros.core.objects import SceneObject
from vega3d_ros.perception.relations import OPPOSITE, Viewpoint, relate
from vega3d_ros.simulation.questions import make_questions
from vega3d_ros.simulation.visibility import GLIMPSED_PIXELS, SEEN_PIXELS, ClipVisibility

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from vega3d_ros.simulation.questions import Question
    from vega3d_ros.simulation.visibility import VisibleObject

CLIP_LENGTH = 8
LAG_S = (0.1, 1.2)
"""Least and greatest time from the end of the newest clip to a question, seconds."""

_FIRST_S = 2.5
_SPACES_S = (3.0, 2.0, 1.5, 1.2, 1.0, 0.8, 0.6, 0.5)
_RELATION_EVERY = 4
_MIN_SEEN = 2
_DIRECTIONS = frozenset(OPPOSITE) - {"near", "touching"}


class _Moment(NamedTuple):
    """A time to ask, and the keyframes (indices of images) of the clips that may be the newest."""

    at_s: float
    clips: tuple[tuple[int, ...], ...]


def sample_questions(
    truth: Mapping[str, Any], rng: np.random.Generator, wanted: int = 18
) -> dict[str, list[dict[str, Any]]]:
    """Questions and relations for a recording.

    There are ``wanted`` of them, as far apart as the recording allows, fewer if it shows little.

    Returns:
        ``questions`` as in a truth record and ``relations`` (``subject``, ``object``,
        ``subject_id``, ``object_id``), each with ``ask_at_s``, seconds after the first image.
    """
    questions: list[dict[str, Any]] = []
    relations: list[dict[str, Any]] = []
    asked: Counter[str] = Counter()
    for number, moment in enumerate(_spread(_stable_moments(truth), wanted)):
        when = {"ask_at_s": round(moment.at_s, 2)}
        relation = None
        if number % _RELATION_EVERY == _RELATION_EVERY - 1:
            relation = _relation(truth, moment, rng, asked)
        if relation is not None:
            relations.append(relation | when)
            continue
        question = _question(truth, moment, rng, asked)
        if question is not None:
            asked[question.kind] += 1
            asked[_topic(question)] += 1
            questions.append(question.record() | when)
    return {"questions": questions, "relations": relations}


def _spread(moments: Sequence[_Moment], wanted: int) -> list[_Moment]:
    """``wanted`` moments, as far apart as possible."""
    chosen: list[_Moment] = []
    for space_s in _SPACES_S:
        chosen = []
        for moment in moments:
            if not chosen or moment.at_s >= chosen[-1].at_s + space_s:
                chosen.append(moment)
        if len(chosen) >= wanted:
            break
    ranks = np.linspace(0, len(chosen) - 1, min(wanted, len(chosen)))
    return [chosen[round(float(rank))] for rank in ranks]


def _topic(question: Question) -> str:
    """What the question is about, whatever its wording."""
    return f"{question.kind} {sorted(question.objects) or question.question}"


def keyframes(truth: Mapping[str, Any], policy: KeyframePolicy | None = None) -> list[int]:
    """Indices of the images that a clip buffer keeps as keyframes."""
    policy = policy or KeyframePolicy()
    blank = np.zeros((1, 1, 3), np.uint8)
    kept: list[int] = []
    last: Frame | None = None
    for i, (stamp_ns, pose) in enumerate(zip(truth["stamps_ns"], truth["poses"], strict=True)):
        frame = Frame(stamp_ns, blank, "camera", pose=SE3.from_matrix(pose), fixed_frame="map")
        if last is None or policy.wants(last, frame):
            kept.append(i)
            last = frame
    return kept


def _stable_moments(truth: Mapping[str, Any]) -> list[_Moment]:
    stamps_s = (np.array(truth["stamps_ns"]) - truth["stamps_ns"][0]) * 1e-9
    kept = keyframes(truth)
    pixels = np.array([item["visible_pixels"] for item in truth["objects"]])
    moments = []
    for at_s in stamps_s[stamps_s >= _FIRST_S]:
        ends = [
            number
            for number, i in enumerate(kept)
            if at_s - LAG_S[1] <= stamps_s[i] <= at_s - LAG_S[0]
        ]
        # The clip before the first of these may still be the newest.
        first = ends[0] - 1 if ends else int(np.searchsorted(stamps_s[kept], at_s - LAG_S[1])) - 1
        ends = [first, *ends]
        if first + 1 < CLIP_LENGTH:
            continue
        clips = tuple(tuple(kept[end + 1 - CLIP_LENGTH : end + 1]) for end in ends)
        shown = {_shown(pixels[:, clip]) for clip in clips}
        if len(shown) == 1 and sum(level == 2 for level in next(iter(shown))) >= _MIN_SEEN:
            moments.append(_Moment(float(at_s), clips))
    return moments


def _shown(pixels: NDArray[np.int64]) -> tuple[int, ...]:
    """For each object: 2 seen, 1 glimpsed, 0 not in the clip. ``pixels`` is [objects, frames]."""
    most = pixels.max(axis=1)
    return tuple(((most >= SEEN_PIXELS).astype(int) + (most >= GLIMPSED_PIXELS)).tolist())


def _objects_in(truth: Mapping[str, Any], clip: Sequence[int]) -> list[dict[str, Any]]:
    """The truth's objects with the pixels that a clip shows of them."""
    return [
        {**item, "visible_pixels": [item["visible_pixels"][i] for i in clip]}
        for item in truth["objects"]
    ]


def _question(
    truth: Mapping[str, Any],
    moment: _Moment,
    rng: np.random.Generator,
    asked: Counter[str],
) -> Question | None:
    """A question of the kind asked least so far, right for every clip of the moment."""
    made = make_questions(_objects_in(truth, moment.clips[-1]), rng)
    fresh = [
        question
        for question in made
        if not asked[_topic(question)]
        and (question.kind != "appearance_order" or _order_holds(truth, moment, question))
    ]
    return min(fresh, key=lambda question: asked[question.kind], default=None)


def _order_holds(truth: Mapping[str, Any], moment: _Moment, question: Question) -> bool:
    """Whether its objects appear in the same order in every clip of the moment."""
    orders = set()
    for clip in moment.clips:
        pixels = [
            np.array([item["visible_pixels"][i] for i in clip])
            for name in question.objects
            for item in truth["objects"]
            if item["id"] == name
        ]
        # A model may already know an object that is only glimpsed.
        first = [int(np.argmax(shown >= GLIMPSED_PIXELS)) for shown in pixels]
        orders.add(tuple(np.sign(np.diff(first)).tolist()))
    return len(orders) == 1 and 0 not in next(iter(orders))


def _relation(
    truth: Mapping[str, Any], moment: _Moment, rng: np.random.Generator, asked: Counter[str]
) -> dict[str, Any] | None:
    """Two objects whose clearest direction is the same from every clip's camera."""
    visibility = ClipVisibility(_objects_in(truth, moment.clips[-1]))
    named = [
        (item, names[0]) for item in visibility.seen if (names := visibility.unique_names(item))
    ]
    cameras = [SE3.from_matrix(truth["poses"][clip[-1]]) for clip in moment.clips]
    pairs = [(a, b) for a in named for b in named if a is not b]
    for number in rng.permutation(len(pairs)):
        (subject, subject_name), (object_, object_name) = pairs[int(number)]
        clearest = {_direction(subject, object_, camera) for camera in cameras}
        if len(clearest) == 1 and None not in clearest and not asked[subject_name + object_name]:
            asked[subject_name + object_name] += 1
            return {
                "subject": subject_name,
                "object": object_name,
                "subject_id": subject.id,
                "object_id": object_.id,
            }
    return None


def _direction(subject: VisibleObject, object_: VisibleObject, map_from_camera: SE3) -> str | None:
    found = relate(
        SceneObject.certain(subject.label, subject.box, "map"),
        SceneObject.certain(object_.label, object_.box, "map"),
        Viewpoint.camera("map", map_from_camera),
    )
    return next((word for word in found.predicates if word in _DIRECTIONS), None)
