"""What lies on disk tells which detector reads it."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module

import pytest

from vega3d_ros.models.detectors import DETECTORS, DetectorError, load_detector


@pytest.mark.parametrize("target", DETECTORS.values())
def test_every_registered_class_is_there(target):
    module, _, name = target.partition(":")
    assert hasattr(getattr(import_module(module), name), "detect")


def test_nothing_heavy_is_imported_before_it_is_used():
    code = (
        "import sys, vega3d_ros.models.detectors;"
        "print([m for m in ('torch', 'transformers', 'cv2') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"architectures": ["LlamaForCausalLM"], "model_type": "llama"}, "LlamaForCausalLM"),
        ({"model_type": "bert"}, "bert"),
        ([], "JSON object"),
    ],
)
def test_another_kind_of_network_is_refused(tmp_path, config, said):
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(DetectorError, match=said):
        load_detector(tmp_path)


def test_an_unclear_path_tells_what_to_give(tmp_path):
    with pytest.raises(DetectorError, match=r"holds no config.json .*download it again"):
        load_detector(tmp_path)
    (tmp_path / "a.onnx").write_bytes(b"")
    with pytest.raises(DetectorError, match=r"give one of its files \(a.onnx\)"):
        load_detector(tmp_path)
    (tmp_path / "a.pt").write_bytes(b"")
    with pytest.raises(DetectorError, match=r"a.pt is no detector"):
        load_detector(tmp_path / "a.pt")
