"""Objects and answers from a recording, without ROS.

python examples/ask_a_bag.py BAG "How many chairs are there?" "How far is the bed from the door?"
"""

import argparse

from vega3d_ros import Clip, Perceiver

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("bag", help="folder or file of a recording of ROS 2 or ROS 1")
parser.add_argument("question", nargs="*", help="what to ask about the recording")
parser.add_argument("--model", default="nano", help="name of a model, or a model folder")
args = parser.parse_args()

perceiver = Perceiver.from_pretrained(args.model)
scene = perceiver.observe(Clip.from_bag(args.bag))

print(f"In {scene.clip.output_frame!r}:")
for found in scene.objects:
    x, y, z = found.box.center
    print(f"  {found.label:<14} score {found.score:.2f}  at x {x:.2f}, y {y:.2f}, z {z:.2f} m")
for answer in scene.ask_all(args.question):
    print(f"{answer.question}  {answer.text}  ({answer.confidence:.0%} sure)")
