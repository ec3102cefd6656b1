import argparse

import pytest

from vega3d_ros.core.arguments import natural, positive


def test_whole_numbers_pass():
    assert (positive("1"), natural("0")) == (1, 0)


@pytest.mark.parametrize(("kind", "text"), [(positive, "0"), (positive, "-3"), (natural, "-1")])
def test_what_is_too_small_is_refused_with_its_value(kind, text):
    with pytest.raises(argparse.ArgumentTypeError, match=text):
        kind(text)
