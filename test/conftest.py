"""Fixtures for the whole test suite."""

from __future__ import annotations

import json
import os
import signal
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, Phase, settings
from support.drive_bags import START_NS, TRUTH, write_drive

# For this process and those it starts: nothing is downloaded, and messages check the types of
# what they are given.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("ROS_PYTHON_CHECK_FIELDS", "1")
# The same examples in every run, and no judgement of speed on a machine that does something else
# too.
settings.register_profile(
    "vega3d", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "first_failure",  # of `make mutants`: that a test fails is enough
    settings.get_profile("vega3d"),
    phases=[Phase.explicit, Phase.generate],
)
settings.load_profile("vega3d")

# A job in the background ignores interrupts, and so would every process that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def drive_bag(tmp_path_factory):
    """A two second drive with truth; do not write to it."""
    folder = tmp_path_factory.mktemp("drive") / "bag"
    write_drive(folder)
    (folder / "truth.json").write_text(json.dumps(TRUTH))
    return SimpleNamespace(path=folder, frames=30, start_ns=START_NS, truth=TRUTH)
