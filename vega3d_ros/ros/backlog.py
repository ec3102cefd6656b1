"""Takes all messages that wait in a subscription at once.

rclpy's executor takes one message of a subscription, then waits again for all of the node's
subscriptions, services and timers, which costs a millisecond. On a busy machine that is too slow
for /tf: images would wait for transforms that have arrived already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rclpy.subscription import Subscription


def backlog(subscription: Subscription, most: int) -> Iterator[Any]:
    """Take the waiting messages, oldest first; call it in the callback of the message before.

    Args:
        subscription: The subscription whose callback runs.
        most: Messages at most.
    """
    with subscription.handle:
        for _ in range(most):
            taken = subscription.handle.take_message(subscription.msg_type, subscription.raw)
            if taken is None:
                return
            yield taken[0]
