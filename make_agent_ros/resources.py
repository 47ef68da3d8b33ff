"""Where the package's data files are: models, simulation assets, configuration."""

from __future__ import annotations

import os
import sys
from pathlib import Path

PACKAGE = 'make_agent_ros'


def _roots() -> list[Path]:
    checkout = Path(__file__).resolve().parent.parent
    prefixes = [p for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    return [
        checkout,
        *(Path(prefix) / 'share' / PACKAGE for prefix in prefixes),
        Path(sys.prefix) / 'share' / PACKAGE,
    ]


def resource_path(relative: str) -> Path:
    """Return the path of a data file such as `sim/go2/go2.xml`.

    Looks in the checkout, then in each ament prefix's share folder, then in pip's.

    Raises:
        FileNotFoundError: naming the file and every folder searched.
    """
    roots = _roots()
    for root in roots:
        if (root / relative).exists():
            return root / relative
    searched = ', '.join(str(root) for root in roots)
    raise FileNotFoundError(f'{relative} is in none of {searched}; install the package again')
