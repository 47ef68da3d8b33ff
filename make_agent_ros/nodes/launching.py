"""The graph as a ROS 2 launch description. The only module that imports `launch`."""

from __future__ import annotations

from typing import Any

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    ExecuteProcess,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from make_agent_ros.nodes import graph
from make_agent_ros.nodes.arguments import (
    CHECK_ARGUMENTS,
    Argument,
    arguments_of,
    settings_from,
)

STOP_S = '5.0'
"""Time that a node has for damping the robot and closing its bag before SIGTERM follows, s."""


def describe(group: str) -> LaunchDescription:
    """Declare a group's arguments and start its nodes (`graph.GROUPS`)."""
    arguments = arguments_of(group)

    def start(context: LaunchContext) -> list[Any]:
        values = {a.name: LaunchConfiguration(a.name).perform(context) for a in arguments}
        actions: list[Any] = []
        for process in graph.plan_and_probe(group, settings_from(values)):
            node = _action(process)
            actions.append(node)
            if process.essential:
                stop_all = EmitEvent(event=Shutdown(reason=f'{process.node} has ended'))
                watch = OnProcessExit(target_action=node, on_exit=[stop_all])
                actions.append(RegisterEventHandler(watch))
        return actions

    return LaunchDescription([*_declared(arguments), OpaqueFunction(function=start)])


def describe_check() -> LaunchDescription:
    """Run `make-agent check` with the launch file's arguments."""

    def start(context: LaunchContext) -> list[Any]:
        values = {a.name: LaunchConfiguration(a.name).perform(context) for a in CHECK_ARGUMENTS}
        return [ExecuteProcess(cmd=graph.check_command(values), output='screen')]

    return LaunchDescription([*_declared(CHECK_ARGUMENTS), OpaqueFunction(function=start)])


def _declared(arguments: tuple[Argument, ...]) -> list[DeclareLaunchArgument]:
    return [
        DeclareLaunchArgument(
            argument.name,
            default_value=argument.default,
            description=argument.description,
            choices=list(argument.choices) or None,
        )
        for argument in arguments
    ]


def _action(process: graph.Process) -> Node:
    return Node(
        package=graph.PACKAGE,
        executable=process.node,
        name=process.node,
        namespace=process.namespace,
        parameters=[*map(str, process.params_files), process.parameters],
        ros_arguments=process.own_arguments(),
        additional_env=process.environment,
        output='screen',
        emulate_tty=True,
        sigterm_timeout=STOP_S,
    )
