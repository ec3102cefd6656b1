"""The hub's own library against a hub on this machine: commits, checksums, folders made whole."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from vega3d_ros.models.checkpoints.hub_download import git_blob

COMMIT, REPOSITORY = "c" * 40, "lab/words"
FILES = {"config.json": b'{"model_type": "words"}', "model.safetensors": bytes(range(256)) * 40}
PROGRAM = """
import sys
from pathlib import Path
from vega3d_ros.models.checkpoints.hub_download import fetch_folder
from vega3d_ros.models.checkpoints.modules import CheckpointError
from vega3d_ros.models.checkpoints.published import PublishedFolder
part = PublishedFolder("lab/words", "Apache-2.0", "", revision="")
try:
    fetch_folder(part, Path(sys.argv[1]), print)
except CheckpointError as error:
    sys.exit(str(error))
"""


def large(name):
    return name.endswith(".safetensors")


def tree():
    """As the hub lists a repository."""
    listed = []
    for name, content in {**FILES, "run.py": b"never fetched"}.items():
        entry = {"type": "file", "path": name, "size": len(content), "oid": git_blob(content)}
        if large(name):
            digest = hashlib.sha256(content).hexdigest()
            entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 134}
        listed.append(entry)
    return listed


class Hub(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = self.path.split("?")[0]
        if path == f"/api/models/{REPOSITORY}" or "/revision/" in path:
            self.reply(json.dumps({"id": REPOSITORY, "sha": COMMIT, "siblings": []}).encode())
        elif path.startswith(f"/api/models/{REPOSITORY}/tree/"):
            self.reply(json.dumps(tree()).encode())
        elif (name := path.rpartition("/")[2]) in FILES:
            content = FILES[name]
            digest = hashlib.sha256(content).hexdigest() if large(name) else git_blob(content)
            self.reply(content, ETag=f'"{digest}"', **{"X-Repo-Commit": COMMIT})
        else:
            self.send_error(404)

    def reply(self, content, **headers):
        self.send_response(200)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


@pytest.fixture
def hub():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def fetch(hub, folder):
    proxies = {"http_proxy", "https_proxy", "all_proxy"}
    environment = {k: v for k, v in os.environ.items() if k.lower() not in proxies}
    environment |= {
        "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_address[1]}",
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(folder.parent / "home"),
    }
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder)],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )


def test_a_folder_comes_whole_and_compared(hub, tmp_path):
    done = fetch(hub, tmp_path / "words")
    assert done.returncode == 0, done.stderr
    assert "every file has the checksum" in done.stdout
    assert f"commit {COMMIT}" in done.stdout
    found = {file.name: file.read_bytes() for file in (tmp_path / "words").iterdir()}
    assert found == FILES
    assert not (tmp_path / "words.part").exists()
