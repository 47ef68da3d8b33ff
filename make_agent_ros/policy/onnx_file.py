"""Bytes from anyone to an ONNX model, without stopping the world.

The parser holds Python's interpreter lock from the first byte to the last. A file of a few
megabytes that consists of nothing but tiny fields keeps it for a third of a second, and with it
the control loop. So the fields are counted first, by a walk over the wire format that can
be interrupted after each of them.
"""

from __future__ import annotations

from typing import Any

import onnx

from make_agent_ros.policy.onnx_mlp import BundleError

MAX_FIELDS = 8192
"""More than any exporter needs for an MLP (ours writes about 150); parsed within 2 ms."""
_MAX_DEPTH = 12
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_VARINT_TYPES = frozenset({3, 4, 5, 8, 13, 14, 17, 18})
"""Types of google.protobuf.FieldDescriptor whose packed lists are parsed value by value."""


def read_model(data: bytes) -> onnx.ModelProto:
    """Parse an ONNX file.

    Raises:
        BundleError: none, an empty or too large one, or one that refers to other files.
    """
    demand_few_fields(data)
    model: onnx.ModelProto
    try:
        model = onnx.ModelProto.FromString(bytes(data))
    except Exception as error:
        raise BundleError(f'not an ONNX file ({error}); export the policy again') from error
    if not model.graph.node:
        raise BundleError('not an ONNX policy: the graph is empty (truncated file?)')
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise BundleError(
                f'tensor {tensor.name} refers to an external file; export with the weights inside'
            )
    return model


def demand_few_fields(data: bytes, limit: int = MAX_FIELDS) -> None:
    """Refuse an ONNX file that takes long to parse, or is none.

    Raises:
        BundleError: more than `limit` fields, or not the wire format of protobuf.
    """
    try:
        _walk(memoryview(data), onnx.ModelProto.DESCRIPTOR, limit, 0)
    except BundleError:
        raise
    except (IndexError, ValueError) as error:
        message = f'not an ONNX file ({error}); export the policy again'
        raise BundleError(message) from error


def _walk(data: memoryview, message: Any, left: int, depth: int) -> int:
    """Count the fields of one message and of those inside it; return what is left of the limit."""
    known = message.fields_by_number
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        left -= 1
        field, wire = known.get(tag >> 3), tag & 7
        if wire == _VARINT:
            _, position = _varint(data, position)
        elif wire in (_FIXED64, _FIXED32):
            position += 8 if wire == _FIXED64 else 4
        elif wire == _BYTES:
            size, position = _varint(data, position)
            part = data[position : position + size]
            if len(part) != size or depth > _MAX_DEPTH:
                raise ValueError('cut off, or nested too deep')
            position += size
            if field is not None and field.message_type is not None:
                left = _walk(part, field.message_type, left, depth + 1)
            elif field is not None and field.type in _VARINT_TYPES:
                left -= size
        else:
            raise ValueError(f'wire type {wire} in it')
        if left < 0:
            raise BundleError(
                f'more than {MAX_FIELDS} fields in the ONNX file; an MLP needs a few hundred. '
                'Export the policy alone, without training or debug information'
            )
    if position != len(data):
        raise ValueError('cut off')
    return left


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError('a number too long')
