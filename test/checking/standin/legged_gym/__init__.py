"""A stand-in for legged_gym: `LeggedRobot` in the order of calls that the check relies on."""

LEGGED_GYM_ROOT_DIR = ''
