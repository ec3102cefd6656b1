"""The objects of one clip, looked up by name: what measured answers are measured from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vega3d_ros.core.objects import Answer, SceneObject
from vega3d_ros.perception.described_objects import find_described, meant
from vega3d_ros.perception.measured_answers import ObjectView, in_words, measure, parse_question
from vega3d_ros.perception.relations import RelationError, Viewpoint

if TYPE_CHECKING:
    from vega3d_ros.core.frames import Clip
    from vega3d_ros.models.grounders.base import Detection, View
    from vega3d_ros.perception.finder import Finder


class ClipObjects:
    """Looks names up and measures.

    Args:
        clip: The clip.
        finder: Finds things in it.
        threshold: Score from which on an object counts as found.
        recall: See ``ObjectView``.
    """

    def __init__(self, clip: Clip, finder: Finder, *, threshold: float, recall: float) -> None:
        self._clip = clip
        self._finder = finder
        self._found: dict[str, list[SceneObject] | None] = {}
        self._views: dict[int, tuple[View, ...]] = {}  # by the box, which every copy has
        self._view = ObjectView(
            self._find,
            recall=recall,
            threshold=threshold,
            camera=_camera(clip),
            first_seen_ns=self._first_seen_ns,
        )

    def answer(self, question: str) -> Answer | None:
        """A measured answer; None where the question is not one that can be measured here."""
        parsed = parse_question(question)
        measured = None if parsed is None else measure(parsed, self._view)
        if parsed is None or measured is None:
            return None
        return Answer(
            question,
            in_words(parsed, measured),
            measured.confidence,
            measured.objects,
            self._clip.stamp_ns,
            source="measured",
        )

    def described(self, text: str) -> tuple[SceneObject, ...] | None:
        """What a relational description means; None where it is none or names unknown words."""
        items = self.ranked(text)
        return None if items is None else meant(text, items, self._view.threshold)

    def ranked(self, text: str) -> tuple[SceneObject, ...] | None:
        """All that a relational description may mean, likeliest first; else as ``described``."""
        return find_described(text, self._find, self._view.camera)

    def view(self, item: SceneObject) -> View:
        """What shows an object that was found here best."""
        return max(self._views[id(item.box)], key=lambda view: view.score)

    def _first_seen_ns(self, item: SceneObject) -> int | None:
        views = self._views.get(id(item.box), ())
        return min((self._clip.frames[view.frame].stamp_ns for view in views), default=None)

    def _find(self, name: str) -> list[SceneObject] | None:
        if name not in self._found:
            self._found[name] = self._look_up(name)
        return self._found[name]

    def _look_up(self, name: str) -> list[SceneObject] | None:
        word = self._finder.word_of(name)
        if word is None:
            return None
        found: list[Detection]
        if self._finder.vocabulary is None:
            found = self._finder.find([name], 0.0)[0]
        else:  # each thing has one of all names
            found = [one for one in self._finder.known if one.query == word]
        items = []
        for one in sorted(found, key=lambda one: -one.probability_or_score):
            item = one.scene_object(self._clip)
            items.append(replace(item, score=one.probability_or_score))
            self._views[id(one.box)] = one.views
        return items


def _camera(clip: Clip) -> Viewpoint | None:
    """The newest camera's viewpoint in the frame of the objects."""
    pose = clip.frames[-1].pose if clip.fixed_frame else None
    try:
        return Viewpoint.camera(clip.output_frame, pose)
    except RelationError:  # it looks straight up or down
        return None
