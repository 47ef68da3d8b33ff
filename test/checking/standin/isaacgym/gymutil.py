"""Helpers with Isaac Gym's names."""


def parse_device_str(device):
    kind, _, index = device.partition(':')
    return kind, int(index or 0)


def parse_sim_config(config, params):
    """Copy a nested dict onto the parameters; an entry that does not exist is an error."""
    for name, value in config.items():
        if isinstance(value, dict):
            parse_sim_config(value, getattr(params, name))
        else:
            assert hasattr(params, name), name
            setattr(params, name, value)
