"""``vega3d ask``: questions about a recording, a video, pictures, or what a running node sees."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vega3d_ros.core.arguments import positive
from vega3d_ros.core.console import give, remarks, results
from vega3d_ros.core.errors import Vega3dError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from rich.console import Console

    from vega3d_ros.core.frames import Clip
    from vega3d_ros.core.objects import Answer, SceneObject
    from vega3d_ros.perception.scene import Scene

NODE = "/perception"
_VIDEO_HZ = 4.0
_PICTURES = (".png", ".jpg", ".mp4")


class AskError(Vega3dError, RuntimeError):
    """A question that could not be put; the message says why."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares what is asked, and of what."""
    parser.add_argument("question", nargs="+", help="for example: how many chairs are there?")
    of = parser.add_mutually_exclusive_group(required=True)
    of.add_argument("--bag", type=Path, help="a recording of ROS 2 or ROS 1")
    of.add_argument("--video", type=Path, help="a video file; without calibration or poses")
    of.add_argument("--images", type=Path, help="a folder of pictures in the order of names")
    of.add_argument(
        "--node", nargs="?", const=NODE, help=f"a running node ({NODE}), its newest scene"
    )
    parser.add_argument("--model", default="nano", help="name of a model, or a model folder")
    parser.add_argument("--frames", type=positive, default=8, help="frames looked at (8)")
    parser.add_argument("--until", type=float, metavar="S", help="leave out a bag after S seconds")
    parser.add_argument(
        "--out", type=Path, help="the frames with all objects drawn in: a .png, or an .mp4"
    )


def run(args: argparse.Namespace) -> int:
    """Asks, and prints answers with their source and objects."""
    if args.out is not None and args.node is not None:
        msg = "--out draws into frames, which a node does not hand out; ask a --bag instead"
        raise AskError(msg)
    if args.out is not None and args.out.suffix not in _PICTURES:
        msg = f"{args.out} must end in one of {', '.join(_PICTURES)}"
        raise AskError(msg)
    answers = _ask_node(args.node, args.question) if args.node else _ask_clip(args)
    shown = results()
    for answer in answers:
        lines = [f"  {answer.text}  ({answer.source}, {answer.confidence:.0%} sure)"]
        lines += [f"    {_described(found)}" for found in answer.objects]
        _print(shown, "\n".join([answer.question, *lines]))
    give([_plain(answer) for answer in answers])
    return 0


def _print(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def _plain(answer: Answer) -> dict[str, Any]:
    """Its fields; of its objects label, score, frame and box, in metres."""
    objects = [
        {
            "label": found.label,
            "score": found.score,
            "frame_id": found.frame_id,
            "center": found.box.center.tolist(),
            "size": found.box.size.tolist(),
            "yaw": found.box.yaw,
        }
        for found in answer.objects
    ]
    names = ("question", "text", "confidence", "source", "stamp_ns")
    return {**{name: getattr(answer, name) for name in names}, "objects": objects}


def _ask_clip(args: argparse.Namespace) -> list[Answer]:
    from vega3d_ros.perception.perceiver import Perceiver  # noqa: PLC0415 - imports torch

    clip = _read_clip(args)
    scene = Perceiver.from_pretrained(args.model).observe(clip)
    if not clip.fixed_frame:
        _print(remarks(), "No poses: places are those in the newest picture's camera.")
    answers = scene.ask_all(args.question)
    if args.out is not None:
        _draw(scene, args.out)
        _print(remarks(), f"Wrote {args.out}")
    return answers


def _read_clip(args: argparse.Namespace) -> Clip:
    from vega3d_ros.core.frames import Clip  # noqa: PLC0415 - the help needs no NumPy

    if args.bag is not None:
        return Clip.from_bag(args.bag, args.frames, end_s=args.until)
    if args.video is not None:
        return Clip.from_video(args.video, args.frames)
    return Clip.from_images(args.images, args.frames)


def _described(found: SceneObject) -> str:
    x, y, z = found.box.center
    length, width, height = found.box.size
    return (
        f"{found.label} at ({x:.2f}, {y:.2f}, {z:.2f}) m in {found.frame_id}, "
        f"{length:.2f} x {width:.2f} x {height:.2f} m, score {found.score:.2f}"
    )


def _draw(scene: Scene, path: Path) -> None:
    import cv2  # noqa: PLC0415 - the help needs none of these

    from vega3d_ros.viz.drawing import contact_sheet, draw_objects, enlarged  # noqa: PLC0415

    pictures = [
        draw_objects(enlarged(frame.picture), scene.objects, frame) for frame in scene.clip.frames
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".mp4":
        height, width = pictures[0].shape[:2]
        video = cv2.VideoWriter(
            str(path), cv2.VideoWriter.fourcc(*"mp4v"), _VIDEO_HZ, (width, height)
        )
        for picture in pictures:
            video.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        video.release()
        written = path.is_file()
    else:
        sheet = contact_sheet(pictures, min(len(pictures), 4))
        written = cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))
    if not written:
        msg = f"{path} cannot be written; give a folder that may be written, with room on its disk"
        raise AskError(msg)


def _ask_node(name: str, questions: Sequence[str]) -> list[Answer]:
    from vega3d_ros.core.objects import Answer  # noqa: PLC0415 - the help needs no NumPy
    from vega3d_ros.core.stamps import nanoseconds  # noqa: PLC0415
    from vega3d_ros.evaluation.sources.live import scene_objects  # noqa: PLC0415
    from vega3d_ros.replay.client import PerceptionClient  # noqa: PLC0415 - needs ROS
    from vega3d_ros.replay.interrupts import HeldInterrupts  # noqa: PLC0415
    from vega3d_ros.replay.live_run import ros_node  # noqa: PLC0415

    answers = []
    with HeldInterrupts() as interrupts, ros_node("vega3d_ask") as node:
        client = PerceptionClient(node, name, interrupts.check)
        for question in questions:
            reply = client.ask(question)
            if not reply.success:
                msg = f"{name}: {reply.message}"
                raise AskError(msg)
            said = reply.answer
            answers.append(
                Answer(
                    said.question,
                    said.answer,
                    said.confidence,
                    scene_objects(said.objects, said.header.frame_id),
                    nanoseconds(said.header.stamp),
                    said.source,
                )
            )
    return answers
