"""The demo's stage: where its files go, which domains it talks on, how its nodes are started."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from make_agent_ros.nodes import arguments, graph
from make_agent_ros.nodes.network import free_domains
from make_agent_ros.resources import resource_path

DEMONSTRATION = 'models/demonstration.onnx'
LOG_TAIL = 12
AGE_MAX_S = 0.3


@dataclass
class Stage:
    """Folder, domains and log of one run."""

    folder: Path
    policy: Path | None = None
    """Demonstration policy; the shipped one when None."""
    model: Path | None = None
    """Folder of the generator; the shipped one when None."""
    domains: list[int] = field(default_factory=lambda: free_domains(2))
    """ROS domain and robot domain of its own, so that a demo disturbs nobody on this network."""
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=LOG_TAIL))

    def __post_init__(self) -> None:
        """Make the folder and open the log."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._log = (self.folder / 'nodes.log').open('w', encoding='utf-8')

    @property
    def ros_domain(self) -> int:
        """ROS_DOMAIN_ID of the nodes and the operator."""
        return self.domains[0]

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
        policy = str(self.policy or resource_path(DEMONSTRATION))
        settings = arguments.settings_from({'domain': str(self.domains[1]), 'policy': policy})
        return graph.with_parameters(
            graph.plan('deploy', settings),
            # Simulator and controller share this machine with the ranking: when both are held up,
            # physics waits too. A robot would not, so the limits for robots stay where they are.
            controller={'limits.state_age_max_s': AGE_MAX_S, 'limits.policy_age_max_s': AGE_MAX_S},
            recorder={'directory': str(self.bags.resolve())},
            generator={
                'bag': str(self.bags.resolve()),
                'out': str(self.folder.resolve()),
                'seed': seed,
                'model': str(self.model.resolve()) if self.model else '',
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
