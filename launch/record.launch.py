"""The recorder alone: raw rt/lowstate and rt/lowcmd of any Go2, moved by anyone, into a bag."""

from launch import LaunchDescription

from make_agent_ros.nodes.launching import describe


def generate_launch_description() -> LaunchDescription:
    """Return the description that `ros2 launch` runs."""
    return describe('record')
