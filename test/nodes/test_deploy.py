"""`make-agent deploy`: real processes, their output, their end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from make_agent_ros.nodes import deploy
from make_agent_ros.nodes.deploy import Graph


@dataclass(frozen=True)
class Script:
    """A stand-in for `graph.Process` that runs a line of Python."""

    node: str
    code: str
    essential: bool = True
    environment: dict[str, str] = field(default_factory=dict)

    def command(self):
        return [sys.executable, '-c', self.code]


PATIENT = 'import time\ntry: print("up", flush=True); time.sleep(60)\nexcept KeyboardInterrupt: '


def said(lines, text, timeout_s=20.0):
    deadline = time.monotonic() + timeout_s
    while not any(text in line for line in lines):
        assert time.monotonic() < deadline, lines
        time.sleep(0.02)


def test_lines_are_prefixed_with_the_node_and_exit_codes_reported(capfd):
    # A signal that meets an interpreter still starting is not what this is about.
    brief = 'import time; time.sleep(3); print("hello")'
    assert deploy.run([Script('a', brief), Script('b', PATIENT + 'pass')]) == 1
    out = capfd.readouterr().out
    assert '[a] hello' in out
    assert '[a] has ended (exit code 0); stopping the rest' in out
    assert '[b] exit code 0' in out


def test_a_node_gets_its_own_environment_on_top_of_the_starters():
    lines: list[str] = []
    code = 'import os; print(os.environ["MINE"], os.environ["HOME"])'
    scripts = [Script('a', code, environment={'MINE': 'this'}), Script('b', PATIENT + 'pass')]
    with Graph(scripts, lambda node, line: lines.append(line)):
        said(lines, f'this {os.environ["HOME"]}')


def test_a_node_that_is_not_essential_may_end():
    scripts = [Script('camera', 'pass', essential=False), Script('b', PATIENT + 'pass')]
    with Graph(scripts, lambda node, line: None) as graph:
        while graph.exit_codes()['camera'] is None:
            time.sleep(0.02)
        assert graph.ended() == []


def test_a_node_that_is_not_essential_is_missed_aloud_once():
    lines: list[str] = []
    scripts = [
        Script('generator', 'import os; os.abort()', essential=False),
        Script('controller', 'import time; time.sleep(3)'),
    ]
    deploy.run(scripts, lambda node, line: lines.append(f'[{node}] {line}'))
    told = [line for line in lines if 'go on without it' in line]
    assert len(told) == 1
    assert told[0].startswith('[generator] has ended (exit code -6)')
    assert any('[controller] has ended (exit code 0); stopping the rest' in line for line in lines)


def test_the_simulator_ends_last_so_that_the_controller_can_damp():
    lines: list[str] = []
    end = 'print("ended", flush=True)'
    scripts = [
        Script('simulator', PATIENT + end),
        Script('controller', PATIENT + 'time.sleep(0.5); ' + end),
    ]
    with Graph(scripts, lambda node, line: lines.append(f'{node} {line}')):
        said(lines, 'simulator up')
        said(lines, 'controller up')
    assert lines.index('controller ended') < lines.index('simulator ended')


def test_a_node_that_ignores_every_signal_is_killed(monkeypatch):
    monkeypatch.setattr(deploy, 'STOP_S', 0.5)
    code = (
        'import signal, time; [signal.signal(s, signal.SIG_IGN) for s in (2, 15)];'
        'print("up", flush=True); time.sleep(60)'
    )
    lines: list[str] = []
    with Graph([Script('stubborn', code)], lambda node, line: lines.append(line)) as graph:
        said(lines, 'up')
    assert graph.exit_codes() == {'stubborn': -signal.SIGKILL}
    assert any('SIGTERM' in line for line in lines)


def test_an_error_while_starting_leaves_no_process_behind():
    started: list[Graph] = []

    @dataclass(frozen=True)
    class Broken(Script):
        def command(self):
            return ['/nowhere/python']

    graph = Graph([Script('a', PATIENT + 'pass'), Broken('b', '')], lambda node, line: None)
    started.append(graph)
    with pytest.raises(FileNotFoundError), graph:
        pass
    assert graph.exit_codes()['a'] is not None


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nodes_end_with_make_agent_deploy_whatever_ends_it(number):
    """Even kill -9 of the parent: no controller stays alone with the robot."""
    code = (
        'from make_agent_ros.nodes import deploy\n'
        'from test_deploy import PATIENT, Script\n'
        'import sys; sys.exit(deploy.run([Script("a", "import os; print(os.getpid());"'
        ' + PATIENT + "pass")]))'
    )
    here = Path(__file__).resolve()
    paths = os.pathsep.join([str(here.parent), str(here.parents[2])])
    with subprocess.Popen(
        [sys.executable, '-c', code], stdout=subprocess.PIPE, text=True,
        env={**os.environ, 'PYTHONPATH': paths},
    ) as process:  # fmt: skip
        pid = int(process.stdout.readline().removeprefix('[a] '))
        assert 'up' in process.stdout.readline()
        process.send_signal(number)
        process.wait(timeout=20.0)
    deadline = time.monotonic() + 20.0
    while Path(f'/proc/{pid}').exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert process.returncode == (0 if number != signal.SIGKILL else -signal.SIGKILL)
