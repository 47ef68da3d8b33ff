"""ROS parameters from a dataclass: declared once, with type, default and description."""

from __future__ import annotations

import ast
import inspect
import textwrap
from dataclasses import fields
from typing import TYPE_CHECKING, TypeVar

from rcl_interfaces.msg import ParameterDescriptor

if TYPE_CHECKING:
    from rclpy.node import Node

Config = TypeVar('Config')


def field_docs(config: type) -> dict[str, str]:
    """Return field -> the docstring under it, on one line."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(config))).body[0]
    assert isinstance(tree, ast.ClassDef)
    docs = {}
    for line, after in zip(tree.body, tree.body[1:], strict=False):
        if (
            isinstance(line, ast.AnnAssign)
            and isinstance(line.target, ast.Name)
            and isinstance(after, ast.Expr)
            and isinstance(after.value, ast.Constant)
        ):
            docs[line.target.id] = ' '.join(str(after.value.value).split())
    return docs


def declare(node: Node, config: type[Config]) -> Config:
    """Declare one parameter per field of a flat dataclass and return it filled in.

    Its `__post_init__` may refuse values; the error then says which.
    """
    docs = field_docs(config)
    values = {}
    for field in fields(config):  # type: ignore[arg-type]
        descriptor = ParameterDescriptor(description=docs.get(field.name, ''))
        values[field.name] = node.declare_parameter(field.name, field.default, descriptor).value
    return config(**values)
