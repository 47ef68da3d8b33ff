"""How the process of a node begins and ends."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import rclpy
from rclpy.executors import ExternalShutdownException

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def ros() -> Iterator[None]:
    """ROS for what is inside, until Ctrl-C or SIGTERM, however often they come.

    rclpy shuts its context down at the first signal, which ends `spin`, and hands the signal on to
    Python. Python's own handler would raise KeyboardInterrupt wherever the main thread is by then:
    at the second Ctrl-C, in the middle of damping the robot or of closing a bag. Here signals only
    end `spin`; what is done afterwards is done to its end.
    """
    asked = []

    def note(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    for number in SIGNALS:
        signal.signal(number, note)
    rclpy.init()
    try:
        if asked:  # before rclpy listened
            rclpy.try_shutdown()
        yield
    except ExternalShutdownException:
        pass
    except Exception:
        # A signal shuts ROS down at any moment, also while a callback publishes or a node is being
        # made: what fails after that is the end that was asked for.
        if rclpy.ok():
            raise
    finally:
        rclpy.try_shutdown()
