"""The whole graph: simulated or real Go2, controller, recorder, generator.

Without arguments it starts on the simulator. `make-agent deploy` starts the same nodes where
ROS 2's launch is not installed; both read `make_agent_ros.nodes.graph`.
"""

from launch import LaunchDescription

from make_agent_ros.nodes.launching import describe


def generate_launch_description() -> LaunchDescription:
    """Return the description that `ros2 launch` runs."""
    return describe('deploy')
