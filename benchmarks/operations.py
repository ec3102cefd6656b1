"""Operations and bytes at true sizes, counted on meta tensors, and the time they take at a rate.

    python benchmarks/operations.py --tflops 790 --tbytes 4.3

No GPU and no weights are needed; the rates are those of your machine (the defaults: a matrix
product of bfloat16 and memory of an H200).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import measure
import torch
from prior_speed import flop, flop_by_part, shapes
from sizes import SIZES, build_modules

TERA = 1e12


def count_priors(report: measure.Report, tflops: float) -> None:
    """Per frame: the reference, the fast form, its floor, and the shares of its parts."""
    size = SIZES["1.3b"]
    for working in size.working:
        reference = flop("1.3b", size.blocks[0], working, reference=True)
        for block in size.blocks:
            parts = flop_by_part("1.3b", block, working, reference=False)
            total = sum(parts.values())
            report.add(
                "prior 1.3b, a frame",
                **{
                    "working size": f"{working[0]}x{working[1]}",
                    "block": block,
                    "reference, TFLOP": reference / TERA,
                    "fast, TFLOP": total / TERA,
                    "floor, ms": 1e3 * total / TERA / tflops,
                    "autoencoder, %": 100 * parts["autoencoder"] / total,
                    "attention, %": 100 * parts["attention"] / total,
                },
            )


def count_language(report: measure.Report, tflops: float, tbytes: float) -> None:
    """To read a clip, and to say one token; causal attention computes half of all pairs."""
    for name in ("3b", "7b"):
        size = SIZES[name]
        prior = shapes(name).prior(size.blocks[0], size.working[0])
        language = build_modules(size, prior, "meta", torch.bfloat16).language
        text = language.model.model.language_model
        rows, columns = language.grid
        count = size.frames * rows * columns
        with torch.device("meta"):
            embedded = torch.empty(1, count, text.config.hidden_size, dtype=torch.bfloat16)
            where = torch.zeros(3, 1, count, dtype=torch.long)
        counted = measure.count_flop(
            lambda text=text, embedded=embedded, where=where: text(
                inputs_embeds=embedded, position_ids=where, use_cache=False
            )
        )
        read = sum(counted.values()) - counted["aten.bmm"] / 2
        # Of the embedding one row is read; the output layer, which may share it, is read whole.
        layers = [p for key, p in text.named_parameters() if not key.startswith("embed_tokens")]
        weights = sum(p.nbytes for p in (*layers, language.model.lm_head.weight))
        report.add(
            "language model, a clip and a token",
            **{
                "size": name,
                "tokens of a clip": count,
                "read, TFLOP": read / TERA,
                "read, ms": 1e3 * read / TERA / tflops,
                "weights, GB": weights / 1e9,
                "a token, ms": 1e3 * weights / TERA / tbytes,
            },
        )


def main() -> None:
    """Count, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tflops", type=float, default=790.0, help="operations (default: 790)")
    parser.add_argument("--tbytes", type=float, default=4.3, help="memory, TB/s (default: 4.3)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    args = parser.parse_args()
    about = {"TFLOP/s": args.tflops, "TB/s": args.tbytes}
    report = measure.Report(args.out / "operations", about)
    count_language(report, args.tflops, args.tbytes)
    count_priors(report, args.tflops)


if __name__ == "__main__":
    main()
