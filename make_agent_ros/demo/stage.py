"""The demo's stage: where its files go, which domains it talks on, how its nodes are started."""

from __future__ import annotations

import os
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from make_agent_ros.nodes import arguments, graph
from make_agent_ros.resources import resource_path

DEMONSTRATION = 'models/demonstration.onnx'
LOG_TAIL = 12


@dataclass
class Stage:
    """Folder, domains and log of one run."""

    folder: Path
    ros_domain: int = field(default_factory=lambda: 1 + os.getpid() % 100)
    """Own domains, so that a demo disturbs no other ROS 2 graph or simulator on this network."""
    robot_domain: int = field(default_factory=lambda: 101 + os.getpid() % 100)
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=LOG_TAIL))

    def __post_init__(self) -> None:
        """Make the folder and open the log."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._log = (self.folder / 'nodes.log').open('w', encoding='utf-8')

    @property
    def bags(self) -> Path:
        """Where the recorder puts its bags."""
        return self.folder / 'bags'

    def environment(self) -> dict[str, str]:
        """Return what the nodes' environment gets."""
        return {
            'ROS_DOMAIN_ID': str(self.ros_domain),
            'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
            # Networks of 64 units: a second BLAS thread costs more than it brings.
            'OMP_NUM_THREADS': '1',
            'OPENBLAS_NUM_THREADS': '1',
        }

    def processes(self, seed: int) -> list[graph.Process]:
        """Return the graph of `deploy.launch.py` with this run's folders and domains."""
        policy = str(resource_path(DEMONSTRATION))
        settings = arguments.settings_from({'domain': str(self.robot_domain), 'policy': policy})
        return graph.with_parameters(
            graph.plan('deploy', settings),
            recorder={'directory': str(self.bags)},
            generator={
                'bag': str(self.bags),
                'out': str(self.folder),
                'seed': seed,
            },
        )

    def log(self, node: str, line: str) -> None:
        """Keep a line that a node printed."""
        text = f'[{node}] {line}'
        self.tail.append(text)
        if not self._log.closed:
            self._log.write(f'{time.time():.3f} {text}\n')
            self._log.flush()

    def close(self) -> None:
        """Close the log."""
        self._log.close()


def new_folder(out: Path | None) -> Path:
    """Return the folder of a new run."""
    return out or Path('runs') / time.strftime('demo-%Y%m%d-%H%M%S')
