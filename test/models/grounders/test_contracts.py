"""The contract of grounders, kept by each kind."""

from dataclasses import replace

import pytest
from models.grounders.contract import GrounderContract
from support.box_scenes import BoxScene, around, chair_like
from support.planted_masks import PlantedMasks
from support.tiny_models import LABELS, make_clip, shared_modules

from vega3d_ros.core.frames import Clip
from vega3d_ros.models.detectors.masked import MaskedDetector
from vega3d_ros.models.fusion.clip_tokens import ClipTokens
from vega3d_ros.models.grounders import GrounderError
from vega3d_ros.models.grounders.lifted import LiftedGrounder
from vega3d_ros.models.grounders.token_head.grounder import TokenHeadGrounder
from vega3d_ros.models.mllms.clip_reading import ClipReading
from vega3d_ros.perception.keyframe_encoder import encode_frames


class TestLifted(GrounderContract):
    kind = "lifted"

    @pytest.fixture(scope="class")
    def room(self):
        things = [
            ("sofa", chair_like(0.0, 0.0, 0.3, (1.6, 0.8, 0.7))),
            ("table", chair_like(0.3, 1.5, 0.2, (1.2, 0.7, 0.7))),
        ]
        return BoxScene(things, around((0.1, 0.6, 0.4), 4, radius=3.0, height=1.5, start=-1.4))

    @pytest.fixture
    def grounder(self, room):
        return room.grounder()

    @pytest.fixture
    def clip(self, room):
        return room.clip

    @pytest.fixture
    def reading(self):
        return None

    @pytest.fixture
    def texts(self):
        return ["table", "sofa"]


class TestLiftedWithMasks(TestLifted):
    @pytest.fixture
    def grounder(self, room):
        masks = PlantedMasks()
        for frame, instance in zip(room.clip.frames, room.instances, strict=True):
            masks.plant(frame.image, instance)
        return LiftedGrounder(MaskedDetector(room.detector, masks))


class TestTokenHead(GrounderContract):
    kind = "token_head"

    @pytest.fixture(scope="class")
    def clip(self):
        return make_clip(3)

    @pytest.fixture(scope="class")
    def reading(self, clip):
        modules = shared_modules()
        tokens = ClipTokens.of(clip, [f.tokens for f in encode_frames(modules, clip.frames)])
        return ClipReading(modules.language, tokens, tokens.visual(modules.positions))

    @pytest.fixture
    def grounder(self):
        return TokenHeadGrounder(shared_modules().grounding)

    @pytest.fixture
    def texts(self):
        return LABELS

    def test_without_a_language_model_it_says_what_it_needs(self, grounder, clip):
        with pytest.raises(GrounderError, match="language model"):
            self.find(grounder, clip, None, ["chair"])

    def test_without_depth_votes_change_nothing(self, clip, reading):
        plain, voting = (
            TokenHeadGrounder(shared_modules().grounding, votes=v) for v in (False, True)
        )
        blind = Clip(tuple(replace(frame, depth_m=None) for frame in clip.frames))
        found = [self.find(one, blind, reading, LABELS[:1])[0] for one in (plain, voting)]
        assert [one.box.center.tolist() for one in found[0]] == [
            one.box.center.tolist() for one in found[1]
        ]

    def test_the_token_pointed_at_has_the_best_score(self, grounder, clip, reading):
        (pointed,) = grounder.point(clip, [None] * len(clip), ["chair"], reading)
        frame, row, column = pointed.place
        assert 0 <= frame < len(clip)
        assert (row, column) < tuple(reading.tokens.grid)
        assert pointed.score >= max(one.score for one in pointed.detections)
