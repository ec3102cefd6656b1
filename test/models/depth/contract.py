"""What every source of depth must hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vega3d_ros.models.depth import DEPTHS


class DepthContract:
    """Subclasses say ``kind`` and ``name``, and give fixtures ``source`` and ``frame``.

    The source has depth of the frame.
    """

    kind: str
    name: str

    def test_it_is_what_the_registry_names(self, source):
        assert isinstance(source, DEPTHS.get(self.kind))

    def test_depth_has_the_frames_size_and_says_where_it_comes_from(self, source, frame):
        found = source.depth(frame)
        assert found.metres.shape == frame.image.shape[:2]
        assert found.metres.dtype == np.float32
        assert found.source == self.name
        assert 0 <= found.scale_error < 1

    def test_what_is_unknown_is_nan_and_all_else_positive(self, source, frame):
        metres = source.depth(frame).metres
        assert np.isfinite(metres).any()
        assert (metres[~np.isnan(metres)] > 0).all()
        assert np.isfinite(metres[~np.isnan(metres)]).all()

    def test_it_depends_on_the_frame_alone_and_leaves_it_as_it_is(self, source, frame):
        image = frame.image.copy()
        first = source.depth(frame).metres
        again = source.depth(replace(frame, stamp_ns=frame.stamp_ns + 1)).metres
        np.testing.assert_array_equal(first, again)
        np.testing.assert_array_equal(frame.image, image)
