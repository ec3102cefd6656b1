"""A perception node without a model: sees one chair wherever it looks, answers "2"."""

import sys
from contextlib import suppress

import numpy as np
import rclpy
from geometry_msgs.msg import PoseWithCovariance
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from sensor_msgs.msg import CompressedImage, Image
from vega3d_ros.msg import ErrorCode, GroundedObject, GroundedObjectArray
from vega3d_ros.srv import AskSpatial, ListObjects, QueryRelation

from vega3d_ros.viz.drawing import draw_gate


class Stub(LifecycleNode):
    def __init__(self, mode):
        super().__init__("perception")
        self.mode, self.count, self.header, self.image = mode, 0, None, Image
        self.objects = self.create_publisher(GroundedObjectArray, "~/objects", 10)
        self.gate = self.create_publisher(Image, "~/gate_image", 2)
        self.create_service(AskSpatial, "~/ask", self.ask)
        self.create_service(QueryRelation, "~/query_relation", self.relation)
        self.create_service(ListObjects, "~/list_objects", self.list)
        kind = CompressedImage if mode == "compressed" else Image
        self.create_subscription(kind, "image", self.see, 10)

    def on_configure(self, state):
        return TransitionCallbackReturn.SUCCESS

    def chair(self):
        pose = PoseWithCovariance()
        pose.pose.position.x, pose.pose.position.y, pose.pose.position.z = 2.0, 0.1, 0.5
        pose.covariance = np.eye(6).ravel() * 0.01
        item = GroundedObject(
            id="1", label="chair", query="chair", score=0.9, pose=pose, observations=3
        )
        item.size.x, item.size.y, item.size.z = 0.6, 0.6, 1.0
        return item

    def see(self, image):
        self.count += 1
        if self.mode == "dies" and self.count == 5:
            print("the stub dies as it was told to", file=sys.stderr, flush=True)
            sys.exit(7)
        if self.count % 3:
            return
        self.header = image.header
        message = GroundedObjectArray(header=image.header, clip_frames=3, sequence=self.count // 3)
        message.header.frame_id = "map"
        message.latency.nanosec = 40_000_000
        message.objects = [self.chair()]
        self.objects.publish(message)
        picture = draw_gate(np.zeros((240, 320, 3), np.uint8), np.linspace(0, 1, 12).reshape(3, 4))
        self.gate.publish(
            Image(
                header=image.header,
                height=240,
                width=320,
                encoding="rgb8",
                step=960,
                data=picture.tobytes(),
            )
        )

    def ask(self, request, response):
        response.success = self.header is not None
        response.error_code = ErrorCode.NONE if response.success else ErrorCode.NO_SCENE
        response.message = "" if response.success else "no scene yet"
        response.answer.answer, response.answer.confidence = "2", 0.5
        return response

    def relation(self, request, response):
        response.success = self.header is not None
        response.message = "" if response.success else "no scene yet"
        if self.header is not None:
            response.header = self.header
        response.relation.predicates, response.relation.distance_m = ["left of"], 1.0
        return response

    def list(self, request, response):
        response.success, response.header.frame_id, response.objects = True, "map", [self.chair()]
        return response


def main():
    rclpy.init()
    node = Stub(sys.argv[1])
    if sys.argv[1] == "fails":
        print("the model folder is missing", file=sys.stderr, flush=True)
        return 3
    node.trigger_configure()
    node.trigger_activate()
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(node)
    node.destroy_node()
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
