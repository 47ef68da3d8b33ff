from __future__ import annotations

import os
import threading

import joblib
import pytest

from make_agent_ros.checking.scenario import ScenarioError
from make_agent_ros.checking.sweep import sweep


def square(x):
    return x * x


def where(_):
    return os.getpid(), threading.get_ident()


def refuse(x):
    raise ScenarioError(f'no {x}')


@pytest.mark.parametrize('jobs', [1, 2])
def test_results_come_in_the_items_order_and_each_is_reported_once(jobs):
    told = []
    results = sweep(
        square, [3, 1, 2], jobs=jobs, progress=lambda done, item: told.append((done, item))
    )
    assert results == [9, 1, 4]
    assert [done for done, _ in told] == [1, 2, 3]
    assert sorted(item for _, item in told) == [1, 2, 3]


def test_a_single_job_stays_in_this_process():
    assert sweep(where, [0], jobs=1) == [where(0)]


def test_two_jobs_run_in_other_processes():
    assert os.getpid() not in {pid for pid, _ in sweep(where, range(4), jobs=2)}


def test_the_backend_is_chosen_around_the_call():
    with joblib.parallel_config(backend='threading'):
        found = sweep(where, range(4), jobs=2)
    assert {pid for pid, _ in found} == {os.getpid()}
    assert threading.get_ident() not in {thread for _, thread in found}


def test_functions_need_not_be_importable():
    offset = 10
    assert sweep(lambda x: x + offset, [1, 2], jobs=2) == [11, 12]


def test_an_error_arrives_as_it_was_raised():
    with pytest.raises(ScenarioError, match='no 5'):
        sweep(refuse, [5], jobs=2)


def test_dask_runs_the_same_call_on_its_own_workers():
    distributed = pytest.importorskip('distributed', reason='pip install distributed')
    with distributed.Client(
        n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True
    ) as client:
        workers = set(client.run(os.getpid).values())
        with joblib.parallel_config(backend='dask'):
            found = sweep(where, range(6))
    assert {pid for pid, _ in found} <= workers
    assert os.getpid() not in workers
