"""Configuration dataclasses that describe themselves: bounds, unit, meaning of every field.

A configuration is a frozen dataclass. Its fields are made with `param`, or are plain fields with a
docstring under each. The same class is a node's ROS parameters (`nodes.parameters`), its YAML file
under `config/` and its table in the documentation. A field that is itself such a dataclass
(`group`) becomes a group of parameters with a dotted name. Standard library only.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import textwrap
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


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
