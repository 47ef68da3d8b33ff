"""The sim-to-real check of one policy: verdict on the console, report as HTML and JSON."""

from launch import LaunchDescription

from make_agent_ros.nodes.launching import describe_check


def generate_launch_description() -> LaunchDescription:
    """Return the description that `ros2 launch` runs."""
    return describe_check()
