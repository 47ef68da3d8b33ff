"""ROS parameters from a dataclass: declared once, with type, bounds, unit and description.

A node's configuration is a frozen dataclass. Its fields are made with `param`, or are plain fields
with a docstring under each. The same class is the node's parameters, its YAML file under `config/`
and its table in the documentation. A field that is itself such a dataclass (`group`) becomes a
group of parameters with a dotted name.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import sys
import textwrap
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from rcl_interfaces.msg import ParameterDescriptor
    from rclpy.node import Node

Config = TypeVar('Config')


class ParameterError(ValueError):
    """A parameter value that the node refuses; the message says what it accepts."""


def param(
    default: Any,
    description: str,
    minimum: float | None = None,
    maximum: float | None = None,
    *,
    unit: str = '',
    choices: Sequence[str] = (),
    dynamic: bool = False,
) -> Any:
    """Return a dataclass field that describes a ROS parameter.

    Args:
        default: value when nothing else is given; its type is the field's annotation.
        description: one sentence.
        minimum: smallest value allowed, for numbers.
        maximum: largest value allowed, for numbers.
        unit: SI unit, shown with the description.
        choices: the strings allowed.
        dynamic: may be changed while the node runs; all others are read-only after start.
    """
    metadata = {
        'description': description,
        'unit': unit,
        'min': minimum,
        'max': maximum,
        'choices': tuple(choices),
        'dynamic': dynamic,
    }
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def group(config_class: type[Any]) -> Any:
    """Return a dataclass field that holds a group of parameters, `<field>.<parameter>`."""
    return dataclasses.field(default_factory=config_class)


@dataclass(frozen=True)
class ParameterInfo:
    """One parameter of a configuration class."""

    name: str
    """ROS name; groups are joined by dots."""
    type: Any
    default: Any
    description: str
    unit: str = ''
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    dynamic: bool = False

    @property
    def accepts(self) -> str:
        """Type, bounds, choices and unit in words."""
        kind = getattr(self.type, '__name__', str(self.type))
        if typing.get_origin(self.type) is list:
            kind = f'list of {typing.get_args(self.type)[0].__name__}'
        low, high = self.minimum, self.maximum
        if low is not None and high is not None:
            kind += f' {low:g}..{high:g}'
        elif low is not None:
            kind += f' >= {low:g}'
        elif high is not None:
            kind += f' <= {high:g}'
        if self.choices:
            kind += f' ({", ".join(repr(c) for c in self.choices)})'
        return f'{kind}{f" {self.unit}" if self.unit else ""}'


def _field_docs(config_class: type[Any]) -> dict[str, str]:
    """Return field -> the docstring under it, on one line."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(config_class))).body[0]
    assert isinstance(tree, ast.ClassDef)
    return {
        line.target.id: ' '.join(str(after.value.value).split())
        for line, after in zip(tree.body, tree.body[1:], strict=False)
        if isinstance(line, ast.AnnAssign)
        and isinstance(line.target, ast.Name)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
    }


def parameter_infos(config_class: type[Any], prefix: str = '') -> list[ParameterInfo]:
    """List the parameters of a configuration class, groups flattened, in field order."""
    hints = typing.get_type_hints(config_class)
    docs: dict[str, str] | None = None
    infos: list[ParameterInfo] = []
    for field in dataclasses.fields(config_class):
        name, kind, meta = f'{prefix}{field.name}', hints[field.name], field.metadata
        if dataclasses.is_dataclass(kind):
            infos += parameter_infos(typing.cast('type[Any]', kind), f'{name}.')
            continue
        factory = field.default_factory
        default = field.default if factory is dataclasses.MISSING else factory()
        if meta:
            infos.append(
                ParameterInfo(
                    name,
                    kind,
                    default,
                    meta['description'],
                    meta['unit'],
                    meta['min'],
                    meta['max'],
                    meta['choices'],
                    meta['dynamic'],
                )
            )
        else:
            docs = _field_docs(config_class) if docs is None else docs
            infos.append(ParameterInfo(name, kind, default, docs.get(field.name, '')))
    return infos


def check(info: ParameterInfo, value: Any) -> None:
    """Raise ParameterError unless a parameter accepts the value.

    ROS checks scalar types and bounds itself; choices, NaN and list items are only checked here.
    """
    low = -float('inf') if info.minimum is None else info.minimum
    high = float('inf') if info.maximum is None else info.maximum
    for item in value if isinstance(value, (list, tuple)) else [value]:
        # Negated, so that NaN is refused too.
        if isinstance(item, (int, float)) and not low <= item <= high:
            raise ParameterError(f'parameter {info.name} is {item}; it accepts {info.accepts}')
    if info.choices and value not in info.choices:
        raise ParameterError(f'parameter {info.name} is {value!r}; it accepts {info.accepts}')


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


def _yaml_value(value: Any) -> str:
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, list):
        return '[' + ', '.join(_yaml_value(item) for item in value) + ']'
    # json keeps the dot of a float; without it ROS would read an integer and refuse it.
    return json.dumps(value)


def yaml_text(config_class: type[Any], node_name: str) -> str:
    """Return the ROS parameter file of a node with every default and its description.

    Args:
        config_class: the configuration dataclass.
        node_name: node that the file is for, in whatever namespace it runs.
    """
    lines = [f'/**/{node_name}:', '  ros__parameters:']
    open_groups: list[str] = []
    for info in parameter_infos(config_class):
        *groups, leaf = info.name.split('.')
        lines += [
            '    ' + '  ' * depth + f'{name}:'
            for depth, name in enumerate(groups)
            if groups[: depth + 1] != open_groups[: depth + 1]
        ]
        open_groups = groups
        indent = '    ' + '  ' * len(groups)
        comment = f'{info.description} ({info.accepts})'
        lines += textwrap.wrap(
            comment, 97, initial_indent=f'{indent}# ', subsequent_indent=f'{indent}# '
        )
        lines.append(f'{indent}{leaf}: {_yaml_value(info.default)}')
    return '\n'.join(lines) + '\n'


def markdown_table(config_class: type[Any]) -> str:
    """Return the documentation table of a configuration class."""
    rows = ['| parameter | default | accepts | meaning |', '|---|---|---|---|']
    rows += [
        f'| `{i.name}`{" (live)" if i.dynamic else ""} | `{_yaml_value(i.default)}` '
        f'| {i.accepts} | {i.description} |'
        for i in parameter_infos(config_class)
    ]
    return '\n'.join(rows) + '\n'


declare = load_parameters
