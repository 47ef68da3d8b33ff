"""Thin ROS 2 nodes: parameters -> dataclass, messages -> pure call -> messages.

The only room that imports rclpy. `graph` lists the nodes for launch files and `make-agent deploy`.
"""

from __future__ import annotations
