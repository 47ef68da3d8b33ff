"""Runs one check scenario in Isaac Gym: bundle and scenario in, report JSON out.

`make-agent check --backend isaacgym` starts it with the interpreter that has Isaac Gym:

    python sim/isaac_gym/runner.py --policy policy.onnx --config check.json --out report.json

Observation, network, noise, commands, metrics and JSON are the shared code of make_agent_ros; here
is only what moves the bodies. Needs Python 3.8, isaacgym, legged_gym, numpy and onnx.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
for folder in (ROOT, Path(__file__).resolve().parent):
    sys.path.insert(0, str(folder))

import isaacgym  # noqa: E402  (before torch, which legged_gym imports)
import numpy as np  # noqa: E402
import torch  # noqa: E402
from go2_task import CheckTask, Go2FlatCfg  # noqa: E402
from isaacgym import gymapi, gymutil  # noqa: E402
from legged_gym.utils.helpers import class_to_dict  # noqa: E402

from make_agent_ros.checking.episode import Truth  # noqa: E402
from make_agent_ros.checking.result import run_backend  # noqa: E402
from make_agent_ros.checking.scenario import CheckConfig  # noqa: E402
from make_agent_ros.checking.trials import Trials  # noqa: E402
from make_agent_ros.go2.constants import JOINT_NAMES, LEGS  # noqa: E402
from make_agent_ros.go2.state import RobotState  # noqa: E402
from make_agent_ros.policy.bundle import load  # noqa: E402
from make_agent_ros.recording.gait import Gait  # noqa: E402

CONTACT_FORCE_N = 3.0


class IsaacEngine:
    """All trials of a scenario as environments of one simulation."""

    def __init__(self, trials: Trials, control_dt_s: float, device: str) -> None:
        cfg = Go2FlatCfg()
        cfg.env.num_envs = len(trials)
        cfg.control.decimation = max(1, int(np.ceil(control_dt_s / cfg.sim.dt - 1e-9)))
        cfg.sim.dt = control_dt_s / cfg.control.decimation
        params = gymapi.SimParams()
        params.physx.use_gpu = params.use_gpu_pipeline = device.startswith('cuda')
        gymutil.parse_sim_config(class_to_dict(cfg)['sim'], params)
        self.task = CheckTask(trials, cfg, params, device, headless=True)
        self.control_dt_s = control_dt_s
        self.mass_kg = self.task.mass_kg
        self._strength = trials.strength
        latency = np.mod(trials.latency_s + 1e-9, control_dt_s)
        self.task.late[:, 0] = self._tensor(np.round(latency / cfg.sim.dt)).long()
        names = self.task.gym.get_actor_rigid_body_names(
            self.task.envs[0], self.task.actor_handles[0]
        )
        self._feet = [names.index(leg + '_foot') for leg in LEGS]

    def _tensor(self, values: np.ndarray) -> torch.Tensor:
        return torch.as_tensor(values, dtype=torch.float, device=self.task.device)

    @staticmethod
    def _array(tensor: torch.Tensor) -> np.ndarray:
        return tensor.detach().cpu().numpy().astype(np.float64)

    def reset(self, joint_pos: np.ndarray, position_w: np.ndarray, quat_wxyz: np.ndarray) -> None:
        """Place the robots at rest."""
        task = self.task
        task.root_states[:, :3] = self._tensor(position_w) + task.env_origins
        task.root_states[:, 3:7] = self._tensor(np.roll(quat_wxyz, -1, axis=1))  # xyzw here
        task.root_states[:, 7:] = 0.0
        task.dof_pos[:] = self._tensor(joint_pos[:, task.from_package])
        task.dof_vel[:] = 0.0
        task.previous_target = task.dof_pos.clone()
        task.motor_torque = torch.zeros_like(task.dof_pos)
        task.write_state()

    def set_gains(self, stiffness: np.ndarray, damping: np.ndarray) -> None:
        """Set the motors' gains, (B, 12), package order."""
        order = self.task.from_package
        self.task.kp = self._tensor((stiffness * self._strength)[:, order])
        self.task.kd = self._tensor((damping * self._strength)[:, order])

    def step(self, target: np.ndarray) -> None:
        """Advance one control step."""
        self.task.step(self._tensor(target[:, self.task.from_package]))

    def push(self, velocity_w: np.ndarray) -> None:
        """Add to the trunks' velocities, m/s, (B, 2)."""
        self.task.root_states[:, 7:9] += self._tensor(velocity_w)
        self.task.write_state()

    def observe(self) -> RobotState:
        """Return perfect proprioception."""
        task = self.task
        order = task.to_package
        quat = np.roll(self._array(task.root_states[:, 3:7]), 1, axis=1)
        return RobotState(
            quat_wxyz=quat,
            base_ang_vel=_to_body(quat, self._array(task.root_states[:, 10:13])),
            joint_pos=self._array(task.dof_pos)[:, order],
            joint_vel=self._array(task.dof_vel)[:, order],
        )

    def truth(self) -> Truth:
        """Return what only the simulator knows."""
        task = self.task
        force = np.linalg.norm(self._array(task.contact_forces[:, self._feet]), axis=-1)
        return Truth(
            position_w=self._array(task.root_states[:, :3] - task.env_origins),
            lin_vel_w=self._array(task.root_states[:, 7:10]),
            foot_contact=force > CONTACT_FORCE_N,
            joint_torque=self._array(task.motor_torque)[:, task.to_package],
        )


def _to_body(quat_wxyz: np.ndarray, vector_w: np.ndarray) -> np.ndarray:
    w, q = quat_wxyz[:, :1], -quat_wxyz[:, 1:]
    t = 2.0 * np.cross(q, vector_w)
    return vector_w + w * t + np.cross(q, t)


def main() -> int:
    """Run the scenario and write the report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--policy', type=Path, required=True)
    parser.add_argument('--config', type=Path, required=True, help='CheckConfig.to_json()')
    parser.add_argument('--gait', type=Path, help='gait of the prompt as JSON')
    parser.add_argument('--out', type=Path, required=True)
    parser.add_argument('--device', default='cuda:0' if torch.cuda.is_available() else 'cpu')
    arguments = parser.parse_args()
    bundle = load(arguments.policy)
    config = CheckConfig.from_json(arguments.config.read_text())
    wanted = None
    if arguments.gait:
        fields = json.loads(arguments.gait.read_text())
        wanted = Gait(**{name: np.array(value) for name, value in fields.items()})
    version = getattr(isaacgym, '__version__', 'Preview')
    report = run_backend(
        'isaacgym',
        f'Isaac Gym {version} on {arguments.device}, {len(JOINT_NAMES)} joints',
        lambda trials: IsaacEngine(trials, bundle.control_dt, arguments.device),
        bundle,
        config,
        wanted,
    )
    arguments.out.write_text(json.dumps(report))
    return 0


if __name__ == '__main__':
    sys.exit(main())
