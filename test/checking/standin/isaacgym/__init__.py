"""A stand-in for Isaac Gym on SAPIEN's PhysX: what legged_gym and our task call, nothing else.

It has Isaac Gym's conventions where ours differ, so that a mix-up makes robots fall: quaternions
are xyzw, tensors are flat over all robots, and joints come in an order of their own.
"""
