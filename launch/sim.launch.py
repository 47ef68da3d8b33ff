"""The simulated Go2 alone, behind the robot's own DDS interface: for any client of a Go2."""

from launch import LaunchDescription

from make_agent_ros.nodes.launching import describe


def generate_launch_description() -> LaunchDescription:
    """Return the description that `ros2 launch` runs."""
    return describe('sim')
