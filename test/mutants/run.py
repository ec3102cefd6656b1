"""Makes one-line changes to a copy of the tree, which tests must notice: `make mutants`.

Each change of ``changes.txt`` is made alone, its tests run, and the line is put back. A change
that its tests let pass is a survivor; so is one whose tests end otherwise than by failing. Both,
and a change that no longer applies, end the run with status 1.

`--only WORD` takes the changes whose file or tests hold the word; `--tell` prints what fails.
"""

from __future__ import annotations

import argparse
import importlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from changes import Change, read_changes

ROOT = Path(__file__).parents[2]
# Read once for all runs, which fork; nothing of the package itself, and nothing that starts
# threads.
SLOW_TO_IMPORT = (
    "cv2",
    "diffusers.models.autoencoders.autoencoder_kl_wan",
    "diffusers.models.transformers.transformer_wan",
    "hypothesis.extra.numpy",
    "pytest",
    "rosbags.typesys",
    "scipy.optimize",
    "scipy.spatial.transform",
    "scipy.stats",
    "shapely",
    "transformers.models.qwen2_5_vl.modeling_qwen2_5_vl",
)
LONGEST_S = 600
PASSED, FAILED = 0, 1


def copy_tree(to: Path) -> None:
    """All that git knows or would add, as it is now."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


def pytest_there(tree: Path, tests: list[str], log: Path) -> int | None:
    """Exit status of pytest in a copy; None where it had to be stopped."""
    process = multiprocessing.get_context("fork").Process(target=_run, args=(tree, tests, log))
    process.start()
    process.join(LONGEST_S)
    if process.exitcode is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
        return None
    return process.exitcode


def _run(tree: Path, tests: list[str], log: Path) -> None:
    os.setsid()  # nodes and workers of a test end with it
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(tree)
    # A changed line of equal length within a second would be taken from stale bytecode.
    sys.dont_write_bytecode = True
    os.environ |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(tree)}
    sys.path[:] = [str(tree), *(path for path in sys.path if Path(path) not in (ROOT, Path()))]
    import pytest

    options = ["-qx", "--no-header", "-p", "no:cacheprovider", "-rfE", "--tb=line"]
    sys.exit(pytest.main([*options, "--hypothesis-profile=first_failure", *tests]))


def verdict(tree: Path, change: Change, log: Path) -> tuple[bool, str]:
    """Whether the tests notice a change, and a word for it."""
    file = tree / change.path
    text = file.read_text()
    if (count := text.count(change.old)) != 1:
        return False, f"does not apply: {count} places"
    file.write_text(text.replace(change.old, change.new))
    status = pytest_there(tree, change.tests, log)
    file.write_text(text)
    if status is None:
        return True, "noticed: the tests did not end"
    if status == FAILED:
        return True, "noticed"
    return False, "SURVIVED" if status == PASSED else f"pytest ended with {status}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="changes whose file or tests hold this word")
    parser.add_argument("--tell", action="store_true", help="print which tests fail")
    args = parser.parse_args()
    chosen = [c for c in read_changes() if args.only in " ".join((c.path, *c.tests))]
    os.environ["HF_HUB_OFFLINE"] = "1"
    for name in SLOW_TO_IMPORT:
        importlib.import_module(name)
    begin_s = time.monotonic()
    survivors = []
    with tempfile.TemporaryDirectory(prefix="vega3d_mutants_") as scratch:
        tree, log = Path(scratch) / "tree", Path(scratch) / "log"
        copy_tree(tree)
        tests = sorted({test for change in chosen for test in change.tests})
        if pytest_there(tree, tests, log) != PASSED:
            print(log.read_text(), "\nThe tests fail without any change.", sep="")
            return 1
        print(f"{len(tests)} tests pass without changes, {time.monotonic() - begin_s:.0f} s")
        for number, change in enumerate(chosen, 1):
            start_s = time.monotonic()
            noticed, word = verdict(tree, change, log)
            spent = f"{time.monotonic() - start_s:.0f} s"
            print(f"{number:3}/{len(chosen)} {word:9} {change.shown()}  {spent}", flush=True)
            if args.tell or not noticed:
                print(*(f"      {row}" for row in log.read_text().splitlines()[-8:]), sep="\n")
            if not noticed:
                survivors.append(change)
    spent_s = time.monotonic() - begin_s
    print(f"{len(chosen)} changes, {len(survivors)} not noticed, {spent_s:.0f} s")
    for change in survivors:
        print(f"  {change.shown()}")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
