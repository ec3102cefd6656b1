"""Files from a server that breaks off, gives another file, or gives no parts of files."""

from __future__ import annotations

import hashlib

import pytest
from support.web_server import web_server

from vega3d_ros.models.checkpoints.modules import CheckpointError
from vega3d_ros.models.checkpoints.resumable import fetch, part_of

CONTENT = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAME = "weights.onnx"


@pytest.fixture
def web(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with web_server() as web:
        web.files[NAME] = CONTENT
        yield web


@pytest.fixture
def file(tmp_path):
    return tmp_path / "models" / NAME


def get(web, file, sha256=SHA256):
    told = []
    fetch(web.url(NAME), file, sha256=sha256, progress=lambda *now: told.append(now))
    assert not file.exists()  # its user accepts it first
    return told


def kept(file):
    return part_of(file).read_bytes()


def test_a_file_comes_whole_and_its_progress_is_told(web, file):
    told = get(web, file)
    assert kept(file) == CONTENT
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert told[-1] == (len(CONTENT), len(CONTENT))


def test_a_connection_that_breaks_off_is_taken_up_where_it_was(web, file):
    web.breaks = [100_000, 50_000]
    told = get(web, file)
    assert kept(file) == CONTENT
    assert [asked for _, asked in web.asked] == [None, "bytes=100000-", "bytes=150000-"]
    assert {total for _, total in told} == {len(CONTENT)}


def test_what_a_try_before_has_brought_is_not_asked_for_again(web, file):
    web.breaks = [100_000, 0]  # the second brings nothing, so it gives up
    with pytest.raises(
        CheckpointError, match="broke off after 100000 of 256000 bytes; 100000"
    ) as e:
        get(web, file)
    assert str(part_of(file)) in str(e.value)
    assert kept(file) == CONTENT[:100_000]
    get(web, file)
    assert kept(file) == CONTENT
    assert web.asked[-1] == (NAME, "bytes=100000-")


def test_endless_breaking_off_ends(web, file):
    web.breaks = [1] * 1000
    with pytest.raises(CheckpointError, match="broke off 10 times; 10 bytes are kept"):
        get(web, file)


def test_a_server_without_ranges_starts_over(web, file):
    web.ranges, web.breaks = False, [100_000]
    get(web, file)
    assert kept(file) == CONTENT


def test_a_part_that_is_whole_already_is_enough(web, file):
    get(web, file)
    get(web, file)
    assert kept(file) == CONTENT
    assert web.asked[-1] == (NAME, f"bytes={len(CONTENT)}-")


@pytest.mark.parametrize("length", [1000, len(CONTENT), len(CONTENT) + 5])
def test_a_part_of_another_file_does_not_spoil_it(web, file, length):
    part_of(file).parent.mkdir()
    part_of(file).write_bytes(b"x" * length)
    get(web, file)
    assert kept(file) == CONTENT


def test_another_file_is_refused_and_not_kept(web, file):
    web.files[NAME] = b"<html>sign in</html>"
    with pytest.raises(CheckpointError, match=f"its SHA-256 is [0-9a-f]{{64}}, not {SHA256}"):
        get(web, file)
    assert not part_of(file).exists()


def test_without_a_known_checksum_what_comes_is_taken(web, file):
    web.files[NAME] = b"something"
    get(web, file, sha256="")
    assert kept(file) == b"something"


def test_what_is_not_there_is_named(web, file):
    del web.files[NAME]
    with pytest.raises(CheckpointError, match=f"{NAME} cannot be downloaded: .*404"):
        get(web, file)


def test_a_server_that_does_not_answer_is_named(file):
    with web_server() as web:
        pass
    with pytest.raises(CheckpointError, match=r"cannot be downloaded: .*refused"):
        get(web, file)
