"""Answers from a video or a folder of pictures, without ROS.

A video has no calibration, depth or poses, so nothing is placed in 3D; questions are answered all
the same.

python examples/ask_a_video.py VIDEO.mp4 "Is there a sofa?"
"""

import argparse
from pathlib import Path

from vega3d_ros import Clip, Perceiver

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("video", type=Path, help="video file, or folder of pictures")
parser.add_argument("question", nargs="+")
parser.add_argument("--model", default="nano", help="name of a model, or a model folder")
args = parser.parse_args()

read = Clip.from_images if args.video.is_dir() else Clip.from_video
scene = Perceiver.from_pretrained(args.model).observe(read(args.video))
for answer in scene.ask_all(args.question):
    print(f"{answer.question}  {answer.text}  ({answer.confidence:.0%} sure)")
