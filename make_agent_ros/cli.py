"""`make-agent`: one verb per job. Thin: each verb calls one function of a room.

Rooms are imported inside the verbs, so that `make-agent --help` answers at once and verbs for the
robot's computer need neither torch nor MuJoCo.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from make_agent_ros import benches

USER_ERROR = 2
"""Exit code when the input is at fault; 1 means that the answer is no (fell, check failed)."""

app = typer.Typer(
    name='make-agent',
    help='Show a Unitree Go2 a way of moving; get a neural policy that moves that way.',
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={'help_option_names': ['-h', '--help']},
)
Verb = TypeVar('Verb', bound=Callable[..., Any])

BagPath = Annotated[Path, typer.Argument(help='Bag: a folder or a .mcap or .db3 file.')]
PolicyPath = Annotated[Path, typer.Argument(help='Policy bundle (.onnx).')]
JsonFile = Annotated[Path | None, typer.Option('--json', help='Write the figures to this file.')]


def _is_sentence(error: BaseException) -> bool:
    """Tell whether an error was written for the user: one of ours, or the file system's."""
    ours = type(error).__module__.startswith('make_agent_ros')
    return ours or isinstance(error, OSError)


def _fail(sentence: str) -> typer.Exit:
    typer.echo(f'make-agent: {sentence}', err=True)
    return typer.Exit(USER_ERROR)


def verb(function: Verb) -> Verb:
    """Turn the rooms' errors into one sentence and exit code 2; anything else is a bug.

    MAKE_AGENT_TRACEBACK=1 shows where a sentence came from.
    """

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except ModuleNotFoundError as error:
            missing = (error.name or '').partition('.')[0]
            if missing == 'make_agent_ros' or os.environ.get('MAKE_AGENT_TRACEBACK'):
                raise
            raise _fail(
                f'this verb needs {missing}, which is not installed here; '
                "pip install 'make_agent_ros[all]', or make setup in the checkout"
            ) from error
        except Exception as error:
            if os.environ.get('MAKE_AGENT_TRACEBACK') or not _is_sentence(error):
                raise
            raise _fail(str(error)) from error

    return guarded  # type: ignore[return-value]


@app.command()
@verb
def demo(
    out: Annotated[
        Path | None, typer.Option(help='Folder of the report. Default: runs/demo-<time>.')
    ] = None,
    seed: Annotated[int, typer.Option(help='Seed of the generator.')] = 0,
    video: Annotated[bool, typer.Option(help='Render the two short videos.')] = True,
    policy: Annotated[
        Path | None, typer.Option(help='Show the gait of this policy instead of the shipped one.')
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help='Folder of a generator that you trained.')
    ] = None,
) -> None:
    """Do the whole loop on a simulated Go2: record, generate, swap, walk, compare, report."""
    from make_agent_ros.demo import run_demo

    raise typer.Exit(run_demo(out, seed=seed, video=video, policy=policy, model=model))


@app.command()
@verb
def record(
    out: Annotated[Path, typer.Argument(help='Folder for the bag.')] = Path('runs/bags'),
    robot: Annotated[str, typer.Option(help='sim or go2.')] = 'go2',
    interface: Annotated[str, typer.Option(help='Network interface; see doctor.')] = '',
    seconds: Annotated[float, typer.Option(help='Stop after this long; 0: until Ctrl-C.')] = 0.0,
) -> None:
    """Record rt/lowstate and rt/lowcmd, undecoded, into a bag. Sends nothing to the robot."""
    from make_agent_ros.nodes import arguments, graph
    from make_agent_ros.nodes import deploy as processes

    values = {'robot': robot, 'interface': interface, 'record': 'true'}
    planned = graph.plan('record', arguments.settings_from(values))
    planned = graph.with_parameters(planned, recorder={'directory': str(out.resolve())})
    raise typer.Exit(processes.run(planned, for_s=seconds))


@app.command(name='import')
@verb
def import_(
    source: Annotated[
        Path, typer.Argument(help='rosbag2 (.mcap, .db3), CSV or NPZ of somebody else.')
    ],
    out: Annotated[Path, typer.Option('-o', '--out', help='Trajectory to write (.npz).')],
) -> None:
    """Turn a foreign recording into a trajectory that generate and info take."""
    from make_agent_ros.recording.importing import import_recording

    trajectory = import_recording(source)
    trajectory.save(out)
    typer.echo(f'{out}: {trajectory.duration_s:.1f} s at {trajectory.rate_hz:.0f} Hz')


@app.command()
@verb
def info(path: Annotated[Path, typer.Argument(help='A bag or a policy bundle (.onnx).')]) -> None:
    """Say what a bag shows (gait, quality, steady segments) or what a policy bundle holds."""
    if path.suffix == '.onnx':
        from make_agent_ros.console import print_bundle

        print_bundle(path)
        return
    from make_agent_ros.recording.info import print_info

    print_info(path)


@app.command()
@verb
def generate(
    bags: Annotated[
        list[Path], typer.Argument(metavar='BAG...', help='Bags of one style; one is enough.')
    ],
    out: Annotated[Path, typer.Option('-o', '--out', help='Bundle to write.')],
    candidates: Annotated[int, typer.Option(help='Policies to sample and rank.')] = 16,
    refine: Annotated[
        int, typer.Option(help='Rounds that steer candidates to the gait, at most.', min=0, max=10)
    ] = 2,
    prompt_s: Annotated[float, typer.Option(help='Length of the prompt, s.')] = 4.0,
    seed: Annotated[int, typer.Option(help='Seed of sampling and ranking.')] = 0,
    allow_novel: Annotated[
        bool, typer.Option(help='Go on with a prompt unlike anything seen in training.')
    ] = False,
    model: Annotated[
        Path | None, typer.Option(help='Folder of a generator instead of the shipped one.')
    ] = None,
) -> None:
    """Generate a policy that moves like the robot in the bags: the best of CANDIDATES by rollout.

    Each round of --refine steers the candidates by what their gaits lack, and ranks again; from
    the second on, only while the best is not good enough.
    """
    from rich.console import Console

    from make_agent_ros.nodes.generation import GeneratorConfig, generate_best
    from make_agent_ros.policy import save

    config = GeneratorConfig(
        bag=str(bags[0]), candidates=candidates, refine=refine, prompt_s=prompt_s, seed=seed,
        allow_novel=allow_novel, model=str(model or ''),
    )  # fmt: skip
    with Console(stderr=True).status('generating') as status:
        generated = generate_best(config, status.update, bags[1:])
    save(generated.bundle, out)
    typer.echo(f'{out}: {generated.summary}')
    typer.echo(f'Next: make-agent check {out} --prompt {bags[0]}')


@app.command()
@verb
def check(
    policy: Annotated[
        list[Path], typer.Argument(help='Policy bundles (.onnx), or folders of them.')
    ],
    prompt: Annotated[Path | None, typer.Option(help='Bag that the style came from.')] = None,
    backend: Annotated[
        str, typer.Option(help='mujoco, menagerie, physx, isaacgym; commas.')
    ] = 'mujoco',
    out: Annotated[Path | None, typer.Option(help='Folder; default: <policy>.check.')] = None,
    isaacgym_python: Annotated[str, typer.Option(help='Interpreter with Isaac Gym.')] = '',
    scenario: Annotated[list[str] | None, typer.Option(help='Only this one; repeatable.')] = None,
    config: Annotated[Path | None, typer.Option(help='Default: config/check.yaml.')] = None,
    quick: Annotated[bool, typer.Option(help='Fewer scenarios and trials.')] = False,
    video: Annotated[
        bool | None, typer.Option(help='Render videos for the report. Default: for one policy.')
    ] = None,
    jobs: Annotated[int, typer.Option(help='Processes; -1: one per core, 1: only this one.')] = -1,
    replay: Annotated[
        str, typer.Option(metavar='SCENARIO:SEED', help='Render one trial of a report again.')
    ] = '',
) -> None:
    """Walk policies through worlds they were not trained in; verdict, report. Exit 1: FAIL."""
    from make_agent_ros.checking import command

    if replay:
        film = (out or Path()) / f'{replay.replace(":", "-")}.mp4'
        typer.echo(command.replay(policy[0], replay, film, backend=backend, config=config))
        return
    code = command.check_policies(
        policy, prompt, backend.split(','), out, isaacgym_python,
        quick=quick, scenarios=scenario, config=config, video=video, jobs=jobs,
    )  # fmt: skip
    raise typer.Exit(code)


def _start(group: str, words: list[str], show_args: bool) -> None:
    from make_agent_ros.nodes import arguments, graph
    from make_agent_ros.nodes import deploy as processes

    if show_args:
        typer.echo(arguments.manual(group))
        return
    values = arguments.parse_arguments(group, words)
    raise typer.Exit(processes.run(graph.plan_and_probe(group, arguments.settings_from(values))))


Words = Annotated[
    list[str] | None, typer.Argument(metavar='[NAME:=VALUE]...', help='See --show-args.')
]
ShowArgs = Annotated[
    bool, typer.Option('--show-args', '-s', help='List the arguments, as ros2 launch does.')
]


@app.command()
@verb
def deploy(arguments: Words = None, show_args: ShowArgs = False) -> None:
    """Start the whole graph without ROS 2's launch; the arguments of deploy.launch.py."""
    _start('deploy', arguments or [], show_args)


@app.command()
@verb
def sim(arguments: Words = None, show_args: ShowArgs = False) -> None:
    """Start the simulated Go2 alone; the arguments of sim.launch.py."""
    _start('sim', arguments or [], show_args)


PASS_ON = {
    'allow_extra_args': True,
    'ignore_unknown_options': True,
    'help_option_names': ['-h'],  # --help goes to the stage, which knows its options
}


@app.command(context_settings=PASS_ON)
@verb
def train(
    context: typer.Context,
    stage: Annotated[
        str,
        typer.Argument(help='teacher, zoo, familiar, generator, measured, all, other, ship, add.'),
    ] = '',
) -> None:
    """Train a stage; what it takes: make-agent train STAGE --help."""
    if not stage or stage.startswith('-'):
        typer.echo(context.get_help())
        return
    from make_agent_ros.training import main

    raise typer.Exit(main(stage, context.args))


@app.command(context_settings=PASS_ON)
@verb
def bench(
    context: typer.Context,
    what: Annotated[str, typer.Argument(help=f'{", ".join(benches.ALL)}.')] = '',
    json: JsonFile = None,
    load: Annotated[bool, typer.Option(help='controller: also with every core busy.')] = False,
    seconds: Annotated[float, typer.Option(help='controller: per measurement.')] = 30.0,
    repeats: Annotated[int, typer.Option(min=1, help='faults: times each.')] = 5,
    only: Annotated[list[str] | None, typer.Option(help='faults: this one; repeatable.')] = None,
    count: Annotated[
        int | None, typer.Option(min=0, help='How many kills; kills: 100, recorder: 20.')
    ] = None,
    minutes: Annotated[
        float, typer.Option(min=0.1, help='soak, recorder: length of walk or recording.')
    ] = 10.0,
    seed: Annotated[int, typer.Option(help='faults, kills, recorder: of random moments.')] = 0,
) -> None:
    """Measure a part of the package; --json writes the figures as one flat object."""
    if not what or what.startswith('-'):
        typer.echo(context.get_help())
        return
    if what not in benches.ALL:
        raise _fail(f'nothing to measure called {what!r}; there are {", ".join(benches.ALL)}')
    if context.args and what not in benches.TRAINING:
        raise _fail(f'bench {what} does not take {" ".join(context.args)}; see bench --help')
    options = benches.Options(
        load, seconds, repeats, tuple(only or ()), count, seed, minutes, tuple(context.args)
    )
    benches.run(what, options, json)


@app.command()
@verb
def doctor(
    robot: Annotated[str, typer.Option(help='sim or go2.')] = 'sim',
    interface: Annotated[str, typer.Option(help='Network interface of the robot link.')] = '',
    domain: Annotated[int, typer.Option(help='DDS domain; -1: 1 for sim, 0 for go2.')] = -1,
    json: Annotated[bool, typer.Option('--json', help='Print JSON.')] = False,
) -> None:
    """Look at everything between this machine and a walking robot; one line and remedy each."""
    from make_agent_ros.nodes.doctor import run_doctor

    raise typer.Exit(run_doctor(robot, interface, domain, as_json=json))


@app.command()
@verb
def sign(
    policy: PolicyPath,
    key: Annotated[Path, typer.Option(help='Private key (ed25519, PEM).')],
    new_key: Annotated[bool, typer.Option(help='Make the key first.')] = False,
    out: Annotated[Path | None, typer.Option('-o', '--out', help='Default: in place.')] = None,
) -> None:
    """Sign a policy bundle; controllers with `trusted_keys` admit only signed ones."""
    from make_agent_ros.policy import signing

    if new_key:
        signing.new_key(key)
    public = signing.sign_file(policy, key, out or policy)
    typer.echo(f'{out or policy}: signed; for trusted_keys: {public}')


def main() -> None:
    """Run the command line (entry point `make-agent`)."""
    app()


if __name__ == '__main__':
    sys.exit(main())
