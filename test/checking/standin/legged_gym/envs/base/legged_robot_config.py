"""Entries of legged_gym's configuration that the check's task reads or sets."""


class _Config:
    """As legged_gym's: nested classes become instances."""

    def __init__(self):
        self._instantiate(self)

    @classmethod
    def _instantiate(cls, owner):
        for name in dir(owner):
            value = getattr(owner, name)
            if not name.startswith('_') and isinstance(value, type):
                setattr(owner, name, value())
                cls._instantiate(getattr(owner, name))


class LeggedRobotCfg(_Config):
    class env:  # noqa: N801
        num_envs = 1
        num_observations = 235
        num_actions = 12

    class terrain:  # noqa: N801
        mesh_type = 'trimesh'
        measure_heights = True
        curriculum = True

    class init_state:  # noqa: N801
        pos = (0.0, 0.0, 1.0)

    class control:  # noqa: N801
        decimation = 4

    class asset:  # noqa: N801
        file = ''
        name = 'legged_robot'
        self_collisions = 0

    class rewards:  # noqa: N801
        soft_dof_pos_limit = 1.0

    class sim:  # noqa: N801
        dt = 0.005
        substeps = 1
        gravity = (0.0, 0.0, -9.81)
        up_axis = 1

        class physx:  # noqa: N801
            num_threads = 10


class LeggedRobotCfgPPO(_Config):
    class runner:  # noqa: N801
        experiment_name = 'test'
