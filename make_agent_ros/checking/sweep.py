"""Work that outgrows one core: a function over many items through joblib.

joblib's own processes (loky) are the default. Another of its backends is chosen around the call,
and the same call then runs on threads, on Dask or on Ray, on one machine or many:

    with joblib.parallel_config(backend='threading'):   # no new processes
    with joblib.parallel_config(backend='dask'):        # after dask.distributed.Client(...)
    with joblib.parallel_config(backend='ray'):         # after ray.util.joblib.register_ray()
        reports = check_many(bundles)                   # in checking/many.py

Items and results travel between machines; files do not. See docs/check.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

Item = TypeVar('Item')
Result = TypeVar('Result')


def sweep(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    jobs: int | None = -1,
    progress: Callable[[int, Item], None] = lambda done, item: None,
    keep: Callable[[Item, Result], None] = lambda item, result: None,
) -> list[Result]:
    """Apply `function` to each item and return the results in the items' order.

    Args:
        function: of one item; it runs in another process or on another machine.
        items: what to apply it to.
        jobs: at a time; -1 for one per core (of the cluster with Dask or Ray), 1 for none but
            this process, None for what `joblib.parallel_config` says.
        progress: called with the number of items done and the item that was just finished.
        keep: called with every item and its result as they arrive, in this process: what it
            writes is there when the rest is stopped.
    """
    if jobs == 1:
        results = []
        for done, item in enumerate(items, 1):
            results.append(function(item))
            keep(item, results[-1])
            progress(done, item)
        return results
    from joblib import Parallel, delayed

    found: dict[int, Result] = {}
    tasks = (delayed(_numbered)(function, index, item) for index, item in enumerate(items))
    finished: Any = Parallel(n_jobs=jobs, batch_size=1, return_as='generator_unordered')(tasks)
    for index, result in finished:
        found[index] = result
        keep(items[index], result)
        progress(len(found), items[index])
    return [found[index] for index in range(len(items))]


def _numbered(function: Callable[[Item], Result], index: int, item: Item) -> tuple[int, Result]:
    return index, function(item)
