"""ROS parameters from a dataclass: declared once, with type, bounds, unit and description.

The dataclass's fields are made with `param` (see `make_agent_ros.fields`).
"""

from __future__ import annotations

import dataclasses
import sys
import typing
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from make_agent_ros.fields import (
    ParameterError,
    ParameterInfo,
    check,
    group,
    markdown_table,
    param,
    parameter_infos,
    yaml_text,
)

if TYPE_CHECKING:
    from rcl_interfaces.msg import ParameterDescriptor
    from rclpy.node import Node

__all__ = [
    'ParameterError',
    'follow_parameters',
    'group',
    'load_parameters',
    'markdown_table',
    'param',
    'yaml_text',
]

Config = TypeVar('Config')


def _descriptor(info: ParameterInfo) -> ParameterDescriptor:
    from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

    unit = f' [{info.unit}]' if info.unit else ''
    descriptor = ParameterDescriptor(
        description=info.description + unit,
        additional_constraints=info.accepts,
        read_only=not info.dynamic,
    )
    if info.minimum is None and info.maximum is None:
        return descriptor
    low, high = info.minimum, info.maximum
    if info.type is float:
        descriptor.floating_point_range = [
            FloatingPointRange(
                from_value=-sys.float_info.max if low is None else float(low),
                to_value=sys.float_info.max if high is None else float(high),
            )
        ]
    elif info.type is int:
        descriptor.integer_range = [
            IntegerRange(
                from_value=-(2**63) if low is None else int(low),
                to_value=2**63 - 1 if high is None else int(high),
            )
        ]
    return descriptor


def _list_type(info: ParameterInfo) -> Any:
    from rclpy.parameter import Parameter

    (item,) = typing.get_args(info.type)
    return {
        bool: Parameter.Type.BOOL_ARRAY,
        int: Parameter.Type.INTEGER_ARRAY,
        float: Parameter.Type.DOUBLE_ARRAY,
        str: Parameter.Type.STRING_ARRAY,
    }[item]


def load_parameters(node: Node, config_class: type[Config]) -> Config:
    """Declare every parameter of `config_class` on the node and return the values given.

    Raises:
        ParameterError: a value of the wrong type or out of bounds, from a file or the command
            line; the message names it and what is accepted.
    """
    from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException

    values: dict[str, Any] = {}
    for info in parameter_infos(config_class):
        try:
            # An empty list has no type of its own, so lists are declared by type.
            declared = _list_type(info) if isinstance(info.default, list) else info.default
            parameter = node.declare_parameter(info.name, declared, _descriptor(info))
        except (InvalidParameterTypeException, InvalidParameterValueException) as error:
            raise ParameterError(
                f'parameter {info.name}: {error}; it accepts {info.accepts}'
            ) from error
        value = info.default if parameter.value is None else parameter.value
        value = list(value) if isinstance(info.default, list) else value
        check(info, value)
        values[info.name] = value
    config: Config = _build(config_class, values, '')
    return config


def _build(config_class: type[Any], values: dict[str, Any], prefix: str) -> Any:
    hints = typing.get_type_hints(config_class)
    arguments: dict[str, Any] = {}
    for field in dataclasses.fields(config_class):
        name, kind = f'{prefix}{field.name}', hints[field.name]
        if dataclasses.is_dataclass(kind):
            arguments[field.name] = _build(typing.cast('type[Any]', kind), values, f'{name}.')
        else:
            arguments[field.name] = values[name]
    return config_class(**arguments)


def follow_parameters(
    node: Node, config_class: type[Any], apply: Callable[[str, Any], None]
) -> None:
    """Call `apply(name, value)` whenever a dynamic parameter of `config_class` is set.

    `apply` may raise ValueError to refuse; the sentence reaches whoever set the parameter.
    """
    from rcl_interfaces.msg import SetParametersResult

    infos = {info.name: info for info in parameter_infos(config_class) if info.dynamic}

    def on_set(parameters: list[Any]) -> SetParametersResult:
        try:
            for parameter in parameters:
                if parameter.name in infos:
                    check(infos[parameter.name], parameter.value)
                    apply(parameter.name, parameter.value)
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(on_set)
