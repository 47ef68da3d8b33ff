"""What `from isaacgym.torch_utils import *` brings into legged_gym."""

import torch


def to_torch(values, dtype=torch.float, device='cpu', requires_grad=False):
    return torch.tensor(values, dtype=dtype, device=device, requires_grad=requires_grad)


def get_axis_params(value, axis_index):
    axis = [0.0, 0.0, 0.0]
    axis[axis_index] = value
    return axis


def quat_rotate_inverse(quat_xyzw, vector):
    w, q = quat_xyzw[:, 3:], -quat_xyzw[:, :3]
    t = 2.0 * torch.cross(q, vector, dim=-1)
    return vector + w * t + torch.cross(q, t, dim=-1)


def torch_rand_float(lower, upper, shape, device):
    return lower + (upper - lower) * torch.rand(*shape, device=device)
