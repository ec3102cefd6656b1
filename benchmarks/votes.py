"""What votes for clusters of depth points and measured relations bring to a model's token head.

    vega3d simulate clips --out clips --split heldout --count 200 --seed 1 --furniture FOLDER
    python benchmarks/votes.py --data clips --split heldout

Four columns: learned boxes and votes with relations, each with the exact depth of the renderer and
with that of a poor sensor (2 % noise, torn edges, 5 % holes). Parameters were chosen on
``--split train --seed 7``. Overlap as ``vega3d evaluate`` reports it, of the likeliest box; per
cent with the 95 % interval over resampled clips.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from lifting_rooms import worn

from vega3d_ros.evaluation.metrics.intervals import mean_over_clips
from vega3d_ros.evaluation.schema import GroundingRow
from vega3d_ros.evaluation.sim_eval import evaluate
from vega3d_ros.evaluation.sources.clips import Grounding, Responses
from vega3d_ros.perception.perceiver import Perceiver
from vega3d_ros.simulation.dataset import ClipDataset, to_clip

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vega3d_ros.evaluation.schema import Question
    from vega3d_ros.simulation.dataset import ClipRecord

NOISE, HOLES = 0.02, 0.05
KINDS = ("nearest", "farthest", "largest", "smallest")
ROWS: dict[str, Callable[[GroundingRow], bool]] = {
    "all": lambda row: bool(row.text),
    "labels": lambda row: row.kind == "label",
    "descriptions": lambda row: row.kind == "described",
    **{
        word: lambda row, word=word: row.kind == "described" and word in row.text.split()
        for word in KINDS
    },
}


class Arm:
    """One column: a perceiver and the depth that it is given."""

    def __init__(self, name: str, perceiver: Perceiver, *, votes: bool, poor: bool) -> None:
        self.name, self._perceiver, self._votes, self._poor = name, perceiver, votes, poor

    def respond(
        self, record: ClipRecord, questions: Sequence[Question], texts: Sequence[str]
    ) -> Responses:
        """Ground the texts; no question is answered."""
        del questions
        clip, perceiver = to_clip(record), self._perceiver
        if self._poor:
            clip = worn(clip, NOISE, HOLES, record.truth["index"])
        if not self._votes:
            perceiver.reset()  # the arms of one depth share its keyframes
        perceiver.depth_votes = perceiver.described_objects = self._votes
        perceiver._looked.clear()  # noqa: SLF001 - without votes nothing is kept of depth
        groundings = []
        for best in perceiver.observe(clip).likeliest_all(texts):
            proposal = best.found.box if best.found else None
            here = best.score >= perceiver.threshold
            groundings.append(Grounding(proposal if here else None, best.place, proposal))
        return Responses(None, groundings, perceiver.modules.language.grid)


def interval(rows: Sequence[GroundingRow], hit: Callable[[GroundingRow], bool]) -> str:
    """Share of hits and its interval, per cent, clips resampled."""
    return mean_over_clips([hit(row) for row in rows], [row.source for row in rows]).shown()


def table(results: dict[str, list[GroundingRow]]) -> str:
    """A Markdown table of rows of each arm."""
    lines = [f"| thick objects, Acc@ | {' | '.join(results)} |", "|---|" + "---:|" * len(results)]

    def line(name: str, cells: list[str]) -> None:
        lines.append(f"| {name} | {' | '.join(cells)} |")

    for name, wanted in ROWS.items():
        for least in (0.25, 0.5):
            cells = []
            for rows in results.values():
                own = [row for row in rows if row.thick and row.kind != "absent" and wanted(row)]
                cells.append(interval(own, lambda row, least=least: row.iou_proposal >= least))
            line(f"{name}, {least}", cells)
    for least in (0.25, 0.5):
        own = [[r for r in rows if r.thick and r.kind != "absent"] for rows in results.values()]
        cells = [interval(rows, lambda row, least=least: row.iou >= least) for rows in own]
        line(f"returned, {least}", cells)
    for name, kinds in (("present", ("label", "described")), ("absent", ("absent",))):
        own = [[r for r in rows if r.kind in kinds] for rows in results.values()]
        line(f"not here, said of {name}", [interval(r, lambda row: not row.found) for r in own])
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of simulated clips")
    parser.add_argument("--split", default="heldout", choices=("train", "heldout"))
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--exact", action="store_true", help="exact depth alone")
    parser.add_argument("--rows", type=Path, help="JSON of the rows: written, and read if there")
    parser.add_argument("--join", type=Path, nargs="*", default=(), help="print such files only")
    args = parser.parse_args()
    results: dict[str, list[GroundingRow]] = {}
    if args.join:
        for file in args.join:
            for name, rows in json.loads(file.read_text()).items():
                results.setdefault(name, []).extend(GroundingRow(**row) for row in rows)
        print(table(results))
        return
    perceiver = Perceiver.from_pretrained(args.model)
    perceiver.queries = ()
    arms = [
        Arm(f"{what}, {depth}", perceiver, votes=votes, poor=poor)
        for depth, poor in (("exact depth", False), ("poor depth", True))
        if not (poor and args.exact)
        for what, votes in (("learned boxes", False), ("votes and relations", True))
    ]
    clips = ClipDataset(args.data, args.split)
    last = min(args.first + args.count, len(clips))
    records = (clips[index] for index in range(args.first, last))
    for done, found in enumerate(evaluate(arms, records), 1):
        results = {one.name: one.rows.groundings for one in found}
        if args.rows and (done % 10 == 0 or done == last - args.first):
            held = {
                name: [{**vars(row), "source": f"{args.first}: {row.source}"} for row in rows]
                for name, rows in results.items()
            }
            args.rows.write_text(json.dumps(held))
    print(table(results))


if __name__ == "__main__":
    main()
