"""Where the package's data files are: models, simulation assets, configuration."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = 'make_agent_ros'


def _roots() -> list[Path]:
    here = Path(__file__).resolve()
    prefixes = [p for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    # colcon, pip in a virtual environment, pip --user and pip --target all put share/ beside or
    # above the folder that holds the code; a checkout has no share/ at all.
    return [
        here.parent.parent,
        *(parent / 'share' / PACKAGE for parent in here.parents),
        *(Path(prefix) / 'share' / PACKAGE for prefix in prefixes),
    ]


def resource_path(relative: str) -> Path:
    """Return the path of a data file such as `sim/go2/go2.xml`.

    Looks in the checkout, then in the share folder that pip or colcon made, then in each ament
    prefix's.

    Raises:
        FileNotFoundError: naming the file and the folders searched.
    """
    roots = _roots()
    for root in roots:
        if (root / relative).exists():
            return root / relative
    searched = ', '.join(str(root) for root in roots if root.is_dir())
    raise FileNotFoundError(f'{relative} is in none of {searched}; install the package again')
