"""What every grounder must hold, whatever it finds things with."""

from __future__ import annotations

import numpy as np
import pytest

from vega3d_ros.core.objects import why_unfit
from vega3d_ros.models.grounders import GROUNDERS


class GrounderContract:
    """Subclasses say ``kind`` and give fixtures ``grounder``, ``clip``, ``reading`` and ``texts``.

    The clip has several frames with poses in one fixed frame; each text means something in it.
    """

    kind: str

    def find(self, grounder, clip, reading, texts, threshold=0.0):
        evidence = [grounder.look(frame) for frame in clip.frames]
        return grounder.find(clip, evidence, texts, threshold, reading)

    @pytest.fixture
    def found(self, grounder, clip, reading, texts):
        return self.find(grounder, clip, reading, texts)

    def test_it_is_what_the_registry_names(self, grounder):
        assert isinstance(grounder, GROUNDERS.get(self.kind))

    def test_each_text_is_answered_in_order_with_its_own_query(self, found, texts):
        assert len(found) == len(texts)
        for text, detections in zip(texts, found, strict=True):
            assert detections
            assert {one.query for one in detections} == {text}

    def test_detections_are_sound_objects_of_the_output_frame(self, found, clip):
        for one in (one for detections in found for one in detections):
            item = one.scene_object(clip)
            assert why_unfit(item) == ""
            assert item.frame_id == clip.output_frame
            assert np.linalg.eigvalsh(item.covariance).min() > 0
            assert item.source in ("depth", "network", "floor", "head")
            assert clip.start_ns <= item.stamp_ns <= clip.stamp_ns
            assert 0 <= item.depth_coverage <= 1
            assert all(0 < share <= 1 for _, share in item.alternatives)

    def test_views_say_where_a_thing_shows(self, found, clip):
        for one in (one for detections in found for one in detections):
            assert one.views
            for view in one.views:
                height, width = clip.frames[view.frame].image.shape[:2]
                assert 0 <= view.score <= 1
                assert view.pixels.shape[1:] == (2,)
                assert (view.pixels >= 0).all()
                assert (view.pixels < [width, height]).all()
                assert len(view.pixels) or view.box is not None

    def test_a_threshold_leaves_out_what_is_below_it(self, grounder, clip, reading, texts, found):
        scores = sorted(one.score for detections in found for one in detections)
        threshold = scores[len(scores) // 2]
        kept = self.find(grounder, clip, reading, texts, threshold)
        assert all(one.score >= threshold for detections in kept for one in detections)
        assert any(kept)
        assert not any(self.find(grounder, clip, reading, texts, 1.1))

    def test_the_same_clip_gives_the_same_bit_for_bit(self, grounder, clip, reading, texts, found):
        again = self.find(grounder, clip, reading, texts)
        for one, other in zip(found, again, strict=True):
            assert [a.score for a in one] == [b.score for b in other]
            for a, b in zip(one, other, strict=True):
                assert np.array_equal(a.box.center, b.box.center)
                assert np.array_equal(a.covariance, b.covariance)

    def test_no_text_finds_nothing(self, grounder, clip, reading):
        assert self.find(grounder, clip, reading, []) == []

    def test_what_it_knows_by_name_can_be_asked(self, grounder, texts):
        assert grounder.vocabulary is None or set(texts) <= set(grounder.vocabulary)
