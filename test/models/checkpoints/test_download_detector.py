"""`vega3d download` of the photo models, from a server and a hub on this machine."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from huggingface_hub.errors import DryRunError
from support.onnx_graphs import write_constant
from support.web_server import web_server

from vega3d_ros.cli import main as cli
from vega3d_ros.models.checkpoints import download as command
from vega3d_ros.models.checkpoints import hub_download, part_download
from vega3d_ros.models.checkpoints.auto_model import PHOTO_MODELS, automatic
from vega3d_ros.models.checkpoints.hub_download import git_blob
from vega3d_ros.models.checkpoints.model_paths import (
    detector_downloads,
    downloads,
    needed_parts,
    shipped,
)
from vega3d_ros.models.checkpoints.published import LICENSES, PUBLISHED, PublishedFile

NANODET, YOLOX = "nanodet-plus-m_416.onnx", "yolox_nano.onnx"


@pytest.fixture
def web(monkeypatch, tmp_path):
    """A server in place of the authors'; the published checksums are those of ``files``."""
    monkeypatch.delenv("VEGA3D_MODELS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with web_server() as web:
        yield web


@pytest.fixture
def published(monkeypatch, web):
    """Publishes files of detectors as their authors do, and what lies on the hub."""

    def publish(name, content):
        at = replace(
            PUBLISHED[name], url=web.url(name), sha256=hashlib.sha256(content).hexdigest()
        )
        monkeypatch.setitem(part_download.PUBLISHED, name, at)

    for name in (NANODET, YOLOX):
        publish(name, b"nothing")
    return publish


@pytest.fixture
def files(tmp_path):
    """Both detectors, as their authors would send them."""
    input_shape = [1, 3, 416, 416]
    nanodet = write_constant(tmp_path / NANODET, np.zeros((1, 3598, 112)), input_shape)
    yolox = write_constant(tmp_path / YOLOX, np.zeros((1, 3549, 85)), input_shape)
    return {NANODET: nanodet.read_bytes(), YOLOX: yolox.read_bytes()}


@pytest.fixture
def both(web, published, files):
    """Both detectors are on the web."""
    web.files |= files
    for name, content in files.items():
        published(name, content)
    return web


def download(name="photo-cpu", *options):
    return cli.main(["download", name, "--yes", *options])


def left():
    folder = detector_downloads()
    return sorted(file.name for file in folder.iterdir()) if folder.is_dir() else []


def test_the_model_is_complete_afterwards(both, files, capsys):
    assert automatic()[0] == "nano"
    assert download() == 0
    assert left() == [NANODET]
    assert (detector_downloads() / NANODET).read_bytes() == files[NANODET]
    assert automatic() == ("photo-cpu", "")
    assert cli.main(["inspect", "photo-cpu"]) == 0
    told = capsys.readouterr().out
    assert told.index("Apache-2.0") < told.index("its SHA-256 is the known one")


def test_without_agreement_the_licence_is_told_and_nothing_asked_for(both, monkeypatch, capsys):
    assert cli.main(["download", "photo-cpu"]) == 2
    said = capsys.readouterr()
    assert "licence Apache-2.0" in said.out
    assert "--yes" in said.err
    assert both.asked == []
    assert left() == []


@pytest.mark.parametrize(("typed", "code"), [("y", 0), ("Yes", 0), ("", 2), ("no", 2)])
def test_somebody_who_is_here_is_asked(both, monkeypatch, typed, code):
    monkeypatch.setattr(command.sys, "stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(command.Console, "input", lambda *_: typed)
    assert cli.main(["download", "photo-cpu"]) == code
    assert left() == ([NANODET] if code == 0 else [])


def test_where_the_first_cannot_be_had_the_next_is(both, capsys):
    del both.files[NANODET]
    assert download() == 0
    assert left() == [YOLOX]
    assert "404" in capsys.readouterr().out


def test_what_is_there_is_not_asked_for_again(both):
    assert download() == 0
    assert download() == 0
    assert cli.main(["download", "photo-cpu"]) == 0  # nothing to agree to
    assert len(both.asked) == 1


def test_a_download_that_broke_off_is_no_detector_and_goes_on(both, capsys):
    del both.files[YOLOX]
    both.breaks = [1000, 0]
    assert download() == 2
    assert "1000 bytes are kept" in capsys.readouterr().err
    assert automatic()[0] == "nano"
    assert download() == 0
    assert left() == [NANODET]
    assert both.asked[-1] == (NANODET, "bytes=1000-")


def test_another_file_than_the_known_one_is_not_kept(both, files, capsys):
    both.files |= {NANODET: files[YOLOX], YOLOX: b"<html>404</html>"}
    assert download() == 2
    assert left() == []
    assert "not give the file that is known" in capsys.readouterr().err


def test_a_known_file_that_is_no_detector_is_not_kept(web, published, capsys):
    for name in (NANODET, YOLOX):
        web.files[name] = b"<html>404</html>"
        published(name, web.files[name])
    assert download() == 2
    assert left() == []
    assert "does not give a detector: what came" in capsys.readouterr().err


def test_without_network_it_says_where_to_copy_a_file(web, published, capsys):
    web.files.clear()
    assert download() == 2
    said = capsys.readouterr().err
    for part in (NANODET, YOLOX, str(detector_downloads()), "without a network"):
        assert part in said


def test_another_folder_is_named_for_later(both, tmp_path, capsys):
    assert download("photo-cpu", "--to", str(tmp_path / "mine")) == 0
    assert (tmp_path / "mine" / NANODET).is_file()
    assert f"VEGA3D_MODELS={tmp_path / 'mine'}" in capsys.readouterr().out


COMMIT = "c" * 40


@pytest.fixture
def hub(monkeypatch, web):
    """A hub; content by repository and file. ``down``: it cannot be reached."""
    hub = SimpleNamespace(files={}, down=False, asked=[], damaged=set(), stops_before=None)

    def snapshot(repository, *, revision, allow_patterns, local_dir, dry_run=False):
        assert not any(one.endswith((".py", ".bin", ".pt")) for one in allow_patterns)
        if hub.down and dry_run:
            raise DryRunError("cannot be accessed") from ConnectionError("no route")
        commit = revision or COMMIT
        hub.asked.append((repository, commit))
        content = hub.files[repository]
        if dry_run:
            return [
                SimpleNamespace(filename=name, file_size=len(data), commit_hash=commit)
                for name, data in content.items()
            ]
        notes = local_dir / ".cache" / "huggingface" / "download"
        notes.mkdir(parents=True, exist_ok=True)
        for name, data in content.items():
            if name == hub.stops_before:
                break
            large = name.endswith(".safetensors")
            etag = hashlib.sha256(data).hexdigest() if large else git_blob(data)
            (notes / f"{name}.metadata").write_text(f"{commit}\n{etag}\n0.0\n")
            (local_dir / name).write_bytes(data[::-1] if name in hub.damaged else data)
        return str(local_dir)

    monkeypatch.setattr(hub_download, "snapshot_download", snapshot)
    for name in ("llmdet_tiny", "EdgeTAM-hf", "sam2.1-hiera-tiny"):
        files = {"config.json": b'{"a": 1}', "model.safetensors": name.encode()}
        hub.files[PUBLISHED[name].repository] = files
    known = {"model.safetensors": hashlib.sha256(b"sam2.1-hiera-tiny").hexdigest()}
    at = replace(PUBLISHED["sam2.1-hiera-tiny"], sha256=known)
    monkeypatch.setitem(part_download.PUBLISHED, "sam2.1-hiera-tiny", at)
    monkeypatch.setattr(hub_download.constants, "HF_HUB_OFFLINE", False)
    return hub


def test_folders_come_at_their_commits_and_are_compared(hub, capsys):
    assert download("photo-8gb") == 0
    assert left() == ["EdgeTAM-hf", "llmdet_tiny"]
    assert sorted(one.name for one in (detector_downloads() / "llmdet_tiny").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    pinned = PUBLISHED["llmdet_tiny"].revision
    assert {commit for name, commit in hub.asked if "llmdet" in name} == {pinned}
    said = capsys.readouterr().out
    assert f"commit {pinned}, as pinned" in said
    assert f"commit {COMMIT}: none is pinned" in said
    assert said.count("every file has the checksum") == 2
    assert said.index("licence Apache-2.0, by https://github.com/facebookresearch/EdgeTAM") < (
        said.index("as pinned")
    )


def test_the_largest_brings_the_released_model_too(hub, monkeypatch):
    brought = []
    monkeypatch.setattr(command, "download", lambda name, to: brought.append((name, to)))
    assert download("photo-24gb") == 0
    assert left() == ["llmdet_tiny", "sam2.1-hiera-tiny"]
    assert brought == [("vega3d-sr-7b", None)]
    (downloads() / "vega3d-sr-7b").mkdir()
    assert cli.main(["download", "photo-24gb"]) == 0
    assert len(brought) == 1


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_damaged_file_of_the_hub_is_fetched_again(hub, name, capsys):
    hub.damaged = {name}
    assert download("photo-8gb") == 2
    assert f"does not give the {name} that is known" in capsys.readouterr().err
    assert left() == ["llmdet_tiny.part"]
    hub.damaged = set()
    assert download("photo-8gb") == 0
    assert left() == ["EdgeTAM-hf", "llmdet_tiny"]


def test_another_file_than_the_one_known_here_is_refused_whatever_the_hub_says(hub, capsys):
    hub.files[PUBLISHED["sam2.1-hiera-tiny"].repository]["model.safetensors"] = b"another"
    assert download("photo-24gb") == 2
    assert "sam2.1-hiera-tiny does not give the model.safetensors" in capsys.readouterr().err


def test_a_folder_that_did_not_come_whole_is_not_taken(hub, capsys):
    """The hub's library returns what is there when the network goes away."""
    hub.stops_before = "model.safetensors"
    assert download("photo-8gb") == 2
    assert "model.safetensors did not come whole" in capsys.readouterr().err
    assert left() == ["llmdet_tiny.part"]


@pytest.mark.parametrize(
    ("variable", "said"), [(False, "hub cannot be reached (ConnectionError"), (True, "HF_HUB_OFF")]
)
def test_a_hub_that_cannot_be_reached_is_named(hub, monkeypatch, capsys, variable, said):
    hub.down = True
    monkeypatch.setattr(hub_download.constants, "HF_HUB_OFFLINE", variable)
    assert download("photo-8gb") == 2
    told = capsys.readouterr().err
    assert said in told
    assert str(detector_downloads()) in told
    assert left() == []


@pytest.mark.parametrize("name", PHOTO_MODELS)
def test_everything_that_a_shipped_model_needs_is_published(name):
    parts = needed_parts(json.loads((shipped() / name / "model.json").read_text()))
    networks = parts.pop("networks", ())
    assert parts
    assert all(one in PUBLISHED for names in parts.values() for one in names)
    assert set(networks) <= set(command.MODELS)


def test_licences_are_free_of_duties_on_what_runs_beside():
    sources = [source for model in command.MODELS.values() for source in model]
    assert LICENSES == ("Apache-2.0",)
    assert {one.license for one in (*PUBLISHED.values(), *sources)} <= set(LICENSES)


def test_checksums_and_commits_have_their_form():
    for one in PUBLISHED.values():
        sums = [one.sha256] if isinstance(one, PublishedFile) else list(one.sha256.values())
        assert all(len(bytes.fromhex(each)) == 32 for each in sums if each)
        if not isinstance(one, PublishedFile) and one.revision:
            assert len(bytes.fromhex(one.revision)) == 20
