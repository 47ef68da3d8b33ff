"""The package's metadata, for `colcon build` (ament_python) and for pip alike."""

from __future__ import annotations

from pathlib import Path

from setuptools import find_packages, setup

NAME = 'make_agent_ros'
HERE = Path(__file__).resolve().parent

SIMULATION = ['mujoco>=3.2', 'joblib>=1.3', 'psutil>=5.9']
GENERATION = ['torch>=2.2', 'safetensors>=0.4']
REPORTS = ['matplotlib>=3.8', 'imageio>=2.33', 'imageio-ffmpeg>=0.5']
TRAINING = ['rsl-rl-lib>=5.0', 'tensordict>=0.7', 'tensorboard>=2.15', 'tyro>=0.9']
SAPIEN_NEEDS = [
    # What SAPIEN's wheel asks for, less OpenCV, which nothing here uses.
    'transforms3d>=0.4', 'lxml>=5', 'requests>=2.28', 'networkx>=3', 'pyperclip>=1.8',
    'importlib_resources>=5',
]  # fmt: skip
PHYSX = ['sapien>=3.0', *SAPIEN_NEEDS]
ROS = [
    # rclpy as wheels, for machines without a ROS 2 installation; elsewhere ROS 2 brings its own.
    'ros-rclpy', 'ros-rmw-fastrtps-cpp', 'ros-sensor-msgs', 'ros-std-msgs', 'ros-std-srvs',
    'ros-geometry-msgs', 'ros-nav-msgs', 'ros-diagnostic-msgs', 'ros-rosgraph-msgs',
]  # fmt: skip
TESTS = [
    *SAPIEN_NEEDS,  # make setup installs sapien itself without its dependencies
    'pytest>=8', 'pytest-timeout>=2.3', 'pytest-xdist>=3.5', 'hypothesis>=6.100',
    'onnxruntime>=1.18', 'ruff>=0.17', 'mypy>=2.0', 'types-PyYAML',
    'vermin>=1.6',  # holds what Isaac Gym's interpreter loads to Python 3.8
    'distributed>=2024.1',  # sweeps through joblib's Dask backend
]  # fmt: skip


def data_files() -> list[tuple[str, list[str]]]:
    """Everything beside the code: ament's index entry, and the folders that `share/` gets."""
    files = [
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (f'share/{NAME}', ['package.xml']),
    ]
    for top in ('launch', 'config', 'sim', 'models'):
        folders = sorted({path.parent for path in (HERE / top).rglob('*') if path.is_file()})
        for folder in folders:
            if '__pycache__' in folder.parts:
                continue
            inside = folder.relative_to(HERE)
            names = [
                str(inside / path.name) for path in sorted(folder.iterdir()) if path.is_file()
            ]
            files.append((f'share/{NAME}/{inside}', names))
    return files


setup(
    name=NAME,
    version='0.1.0',
    description='Show a Unitree Go2 a way of moving; get a neural policy that moves that way',
    long_description=(HERE / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    author='make_agent_ros maintainers',
    maintainer='make_agent_ros maintainers',
    maintainer_email='maintainers@example.org',
    license='Apache-2.0',
    packages=find_packages(include=[NAME, f'{NAME}.*']),
    data_files=data_files(),
    zip_safe=False,
    python_requires='>=3.10',
    install_requires=[
        'setuptools',
        # What the robot's computer needs: codec, bundle, bags, command line. No torch, no MuJoCo.
        'numpy>=1.24',
        'scipy>=1.10',
        'onnx>=1.15',
        'PyYAML>=6.0',
        'mcap>=1.6',
        'rosbags>=0.11',
        'lz4>=4.3',
        'zstandard>=0.22',
        'fastcrc>=0.3',
        'cyclonedds>=0.10.2',
        'typer>=0.12',
        'rich>=13',
        'cryptography>=42',
    ],
    extras_require={
        'sim': SIMULATION,
        'generate': GENERATION,
        'report': REPORTS,
        'train': TRAINING,
        'physx': PHYSX,
        'ros': ROS,
        'all': SIMULATION + GENERATION + REPORTS + TRAINING + ROS,
        'test': TESTS,
    },
    entry_points={
        'console_scripts': [
            'make-agent = make_agent_ros.cli:main',
            'simulator = make_agent_ros.nodes.simulator:main',
            'recorder = make_agent_ros.nodes.recorder:main',
            'generator = make_agent_ros.nodes.generator:main',
            'controller = make_agent_ros.nodes.controller:main',
        ],
    },
)
