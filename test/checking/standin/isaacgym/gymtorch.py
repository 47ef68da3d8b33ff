"""Tensors of the simulator are torch tensors here already."""


def wrap_tensor(tensor):
    return tensor


def unwrap_tensor(tensor):
    return tensor
