"""The six steps of the demo, played by an operator that is a program."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from make_agent_ros.demo.measure import Measured, verdict
from make_agent_ros.demo.results import Recorded, measure_prompt, measure_walk
from make_agent_ros.demo.stage import Stage, new_folder
from make_agent_ros.demo.table import console_table
from make_agent_ros.nodes.deploy import Graph

if TYPE_CHECKING:
    from make_agent_ros.nodes.client import Operator

Command = tuple[float, float, float]

FORWARD: Command = (0.5, 0.0, 0.0)
SCRIPT: tuple[tuple[str, Command, float], ...] = (
    ('forward', FORWARD, 7.0),
    ('turn', (0.3, 0.0, 0.6), 5.0),
    ('stop', (0.0, 0.0, 0.0), 3.0),
    ('sideways', (0.0, 0.25, 0.0), 5.0),
)
"""What /cmd_vel says, 20 s: name, vx vy m/s wz rad/s, duration s."""

RECORD_S = 10.0
SETTLE_S = 2.0
"""Walking time before the recording starts, s."""
START_S = 30.0
STAND_S = 15.0
GENERATE_S = 180.0
STOP_S = 3.0


@dataclass
class Bars:
    """Progress of the steps."""

    progress: Progress

    @contextmanager
    def step(self, text: str) -> Iterator[Callable[[str], None]]:
        """Show a step that takes as long as it takes; yields a function that renames it."""
        task = self.progress.add_task(text, total=None)
        yield lambda words: self.progress.update(task, description=f'{text}: {words}')
        self.progress.update(task, total=1, completed=1, description=text)

    def wait(self, text: str, seconds: float, alive: Callable[[], None]) -> None:
        """Show a step of known length while the robot does it."""
        task = self.progress.add_task(text, total=seconds)
        self.follow(task, seconds, alive)

    def follow(self, task: object, seconds: float, alive: Callable[[], None]) -> None:
        """Advance a bar in real time; `alive` raises when there is no point in going on."""
        start_s = time.monotonic()
        while (elapsed_s := time.monotonic() - start_s) < seconds:
            alive()
            self.progress.update(task, completed=elapsed_s)  # type: ignore[arg-type]
            time.sleep(0.05)
        self.progress.update(task, completed=seconds)  # type: ignore[arg-type]


class DemoError(RuntimeError):
    """The demo could not go on; the message says which step and why."""


def run_demo(
    out: Path | None = None,
    *,
    seed: int = 0,
    video: bool = True,
    policy: Path | None = None,
    model: Path | None = None,
) -> int:
    """Run the demo.

    Args:
        out: folder of everything that it writes; `runs/demo-<time>` when omitted.
        seed: of the generator.
        video: render the two short videos.
        policy: demonstration policy instead of the shipped one.
        model: folder of a generator instead of the shipped one.

    Returns:
        Exit code: 0 when the generated policy walked and moves as shown, 1 when not, 130 after
        Ctrl-C.
    """
    console = Console()
    started_s = time.monotonic()
    stage = Stage(new_folder(out), policy, model)
    previous = signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        recorded = _play(stage, console, seed)
        recorded.save(stage.folder)
        code = _report(stage, console, recorded, video)
        console.print(f'The demo took {time.monotonic() - started_s:.0f} s.')
        return code
    except KeyboardInterrupt:
        console.print(f'Stopped. The robot was damped; what was recorded is in {stage.bags}')
        return 130
    except Exception:
        console.print('\n'.join(stage.tail), style='dim', markup=False, highlight=False)
        console.print(f'Everything that the nodes said: {stage.folder / "nodes.log"}')
        raise
    finally:
        signal.signal(signal.SIGTERM, previous)
        stage.close()


def _as_interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _play(stage: Stage, console: Console, seed: int) -> Recorded:
    """Run the graph through the steps and return what was recorded."""
    os.environ.update(stage.environment())
    from make_agent_ros.nodes.client import Operator

    columns = (SpinnerColumn(), TextColumn('{task.description}'), BarColumn(), TimeElapsedColumn())
    with (
        Progress(*columns, console=console) as progress,
        Graph(stage.processes(seed), stage.log, stage.environment()) as graph,
        Operator(stage.ros_domain) as operator,
    ):
        show = _Show(stage, Bars(progress), graph, operator)
        try:
            return show.run()
        finally:
            show.leave_safely()


class _Show:
    """The steps, in order; each talks to the nodes and waits for what they say."""

    def __init__(self, stage: Stage, bars: Bars, graph: Graph, operator: Operator) -> None:
        self.stage, self.bars, self.graph, self.operator = stage, bars, graph, operator
        self.recorded = Recorded(stage.bags)

    def run(self) -> Recorded:
        self.start()
        self.stand_and_walk()
        self.demonstrate()
        self.generate()
        self.walk_generated()
        with self.bars.step('Lie down'):
            self.operator.drive(None)
            self.operator.call('controller/lie_down')
            self._mode('DAMPING', STAND_S)
        self.recorded.track = self.operator.track()
        return self.recorded

    def start(self) -> None:
        with self.bars.step('1 Start simulator, controller, recorder, generator') as say:
            for node in ('simulator', 'controller', 'recorder', 'generator'):
                say(node)
                self.wait_for(node, lambda state: True, START_S, 'ready')

    def stand_and_walk(self) -> None:
        with self.bars.step('2 Stand up and walk with the demonstration policy') as say:
            say('waiting until the controller has armed: it does so alone on a simulator')
            self._mode('DAMPING', START_S)
            for request, mode in (('stand_up', 'STAND'), ('walk', 'WALK')):
                say(request)
                self.operator.call(f'controller/{request}')
                self._mode(mode, STAND_S)
        self.operator.drive(FORWARD)
        self.bars.wait('  settle', SETTLE_S, self.check)

    def demonstrate(self) -> None:
        self.operator.call('recorder/start')
        start_s = time.monotonic()
        self.bars.wait('3 Record 10 s of lowstate', RECORD_S, self.check)
        self.operator.call('recorder/stop')
        self.recorded.shown_s = (start_s, time.monotonic())
        self.recorded.demonstration_s = self._script('  The demonstration policy on the script')
        self.operator.drive(FORWARD)

    def generate(self) -> None:
        before = self.operator.state('controller').get('policy')
        with self.bars.step('4 Generate 16 policies and rank them in simulation') as say:
            watch = self._narrate(say)
            sentence = self.operator.call('generator/generate', GENERATE_S, watch=watch)
        self.recorded.generated = self.operator.state('generator')
        self.stage.log('demo', sentence)
        with self.bars.step('5 Swap the generated policy in while walking'):
            self.recorded.controller = self.wait_for(
                'controller',
                lambda s: s.get('policy') not in (None, '', before) and s.get('mode') == 'WALK',
                STAND_S,
                'new policy in WALK',
            )

    def walk_generated(self) -> None:
        self.bars.wait('  settle', SETTLE_S, self.check)
        self.operator.call('recorder/start')
        self.recorded.generated_s = self._script('6 The generated policy on the script')
        self.operator.call('recorder/stop')

    def _script(self, text: str) -> tuple[float, float]:
        """Drive the script; return its start and end, monotonic, s."""
        total = sum(seconds for _, _, seconds in SCRIPT)
        task = self.bars.progress.add_task(text, total=total)
        start_s = time.monotonic()
        for name, command, seconds in SCRIPT:
            self.bars.progress.update(task, description=f'{text}: {name}')
            self.operator.drive(command)
            end_s = time.monotonic() + seconds
            while time.monotonic() < end_s:
                self.check()
                self.bars.progress.update(task, completed=time.monotonic() - start_s)
                time.sleep(0.05)
        self.bars.progress.update(task, completed=total, description=text)
        return start_s, time.monotonic()

    def check(self) -> None:
        """Raise when a node has died or the controller has stopped the robot."""
        for node, code in self.graph.exit_codes().items():
            if code is not None:
                raise DemoError(f'the {node} has ended with exit code {code}')
        fault = self.operator.state('controller').get('fault')
        if fault:
            raise DemoError(f'the controller damped the robot: {fault["sentence"]}')

    def wait_for(
        self, node: str, condition: Callable[[dict], bool], timeout_s: float, what: str
    ) -> dict:
        """`Operator.wait_for` that also notices a node that died."""
        deadline = time.monotonic() + timeout_s
        while not ((state := self.operator.state(node)) and condition(state)):
            self.check()
            if time.monotonic() > deadline:
                self.operator.wait_for(node, condition, 0.0, what)
            time.sleep(0.02)
        return state

    def _mode(self, mode: str, timeout_s: float) -> None:
        self.wait_for(
            'controller', lambda state: state.get('mode') == mode, timeout_s, f'mode {mode}'
        )

    def _narrate(self, say: Callable[[str], None]) -> Callable[[], None]:
        words = {
            'read': 'reading the bag', 'cut': 'cutting the prompt', 'load': 'loading',
            'sample': 'sampling weights', 'rank': 'rolling the candidates out',
        }  # fmt: skip

        def watch() -> None:
            self.check()
            say(words.get(self.operator.state('generator').get('stage', ''), 'working'))

        return watch

    def leave_safely(self) -> None:
        """Damp the robot, whatever happened; the graph's own stop follows."""
        self.operator.drive(None)
        try:
            self.operator.call('controller/stop', STOP_S)
        except Exception as error:
            # The controller damps on its own when it is told to end, and when it loses us.
            self.stage.log('demo', f'stop: {error}')


def _report(stage: Stage, console: Console, recorded: Recorded, video: bool) -> int:
    from make_agent_ros.demo.page import write_page

    with console.status('Measuring'):
        prompt = measure_prompt(recorded)
        measured: list[Measured] = [
            prompt,
            measure_walk('demonstration policy', recorded, generated=False),
            measure_walk('generated policy', recorded, generated=True),
        ]
    reproduced, sentences = verdict(prompt, measured[-1])
    console.print(console_table(measured))
    console.print(
        'm/s: mean speed going forward; phase: lead over FL in cycles; height: of the body, m; '
        'error: RMSE of velocity, m/s, against the command over 0.5 s windows',
        style='dim',
    )
    for sentence in sentences:
        console.print(f'  {sentence}', highlight=False)
    with console.status('Writing the report') as status:
        page = write_page(
            stage.folder, recorded, measured, (reproduced, sentences),
            progress=status.update if video else None,
        )  # fmt: skip
    console.print(
        '[green]The generated policy walks and moves as shown.[/green]'
        if reproduced
        else '[red]The generated policy does not do what was shown.[/red]'
    )
    console.print(f'Report: {page}', soft_wrap=True)
    for policy in sorted(stage.folder.glob('policy-*.onnx')):
        console.print(f'Next: make-agent check {policy}', soft_wrap=True)
    return 0 if reproduced else 1


if __name__ == '__main__':
    sys.exit(run_demo())
