"""Messages that wait in a subscription, taken all at once.

rclpy's executor takes one message of a subscription, then prepares its wait for all of the node's
subscriptions, services and timers anew, which costs a millisecond. On a busy machine that is too
slow for /tf, and images would wait in vain for transforms that have long arrived.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rclpy.subscription import Subscription


def backlog(subscription: Subscription, most: int) -> Iterator[Any]:
    """Take what waits, oldest first; call it in the callback that got the message before.

    Args:
        subscription: Whose callback runs.
        most: Messages at most; what comes meanwhile waits for the next turn.
    """
    with subscription.handle:
        for _ in range(most):
            taken = subscription.handle.take_message(subscription.msg_type, subscription.raw)
            if taken is None:
                return
            yield taken[0]
