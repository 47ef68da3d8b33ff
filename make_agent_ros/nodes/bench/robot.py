"""The simulated robot of the benchmark; its figures are those of the robot's side of the wire."""

from __future__ import annotations

import gc
import sys
from dataclasses import asdict
from typing import Any

from make_agent_ros.control.realtime import prepare_helpers
from make_agent_ros.go2.link import SimulatedRobotLink
from make_agent_ros.nodes.bench.child import serve
from make_agent_ros.simulation.realtime import RealTimeRobot
from make_agent_ros.simulation.robot import SimulatedRobot


def main() -> None:
    """Run the robot on the DDS domain given as the first argument."""
    # It stands for hardware, which other programs on this computer cannot delay.
    prepare_helpers(2)
    link = SimulatedRobotLink('lo', int(sys.argv[1]))
    sim = RealTimeRobot(SimulatedRobot(), link)
    gc.collect()
    gc.freeze()

    def figures() -> dict[str, Any]:
        report = sim.report()
        wire = {} if report.wire is None else asdict(report.wire)
        height_m = float(sim.robot.data.qpos[2])
        return {'rate': report.real_time_factor, 'late_s': report.late_s_max,
                'overruns': report.overruns, 'height_m': height_m, **wire}  # fmt: skip

    with sim:
        serve({'reset': sim.reset_figures, 'figures': figures})


if __name__ == '__main__':
    main()
