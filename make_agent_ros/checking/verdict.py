"""Verdicts: figures against the limits of their scenario, scenarios into one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from make_agent_ros.checking.result import Report
from make_agent_ros.checking.scenario import Scenario

PASS, WARN, FAIL = 'PASS', 'WARN', 'FAIL'
SHOWN = 3
"""So many scenarios are named in the verdict's sentence."""

FIGURE_TEXT = {
    'falls': ('of the robots fell', '%'),
    'velocity_rmse_m_s': ('velocity error', 'm/s'),
    'yaw_rmse_rad_s': ('yaw rate error', 'rad/s'),
    'torque_saturation': ('of torques at the limit', '%'),
    'joint_limit': ('of the time a joint on its limit', '%'),
    'frequency_rel': ('step frequency off', '%'),
    'phase_cycles': ('leg phases off', 'cycles'),
    'height_m': ('body height off', 'm'),
    'swing_m': ('swing height off', 'm'),
}
"""Figure -> its words in a reason, and unit."""


def judge(scenario: Scenario, result: Report) -> tuple[str, str]:
    """Hold one scenario's figures against its limits: verdict and reason."""
    means = {name: values['value'] for name, values in result['figures'].items()}
    means['falls'] = result['falls']['value']
    failed, warned = [], []
    for name, limit in scenario.limits.items():
        value = means.get(name)
        if value is None:
            continue
        if value > limit.fail:
            failed.append(_sentence(name, value, limit.fail))
        elif value > limit.warn:
            warned.append(_sentence(name, value, limit.warn))
    if failed and not scenario.advisory:
        return FAIL, '; '.join(failed)
    if failed or warned:
        return WARN, '; '.join(failed + warned)
    stayed = result['trials'] - result['falls']['count']
    return PASS, f'{stayed} of {result["trials"]} stayed up'


def _sentence(name: str, value: float, limit: float) -> str:
    words, unit = FIGURE_TEXT.get(name, (name, ''))
    if unit == '%':
        text = (
            f'{100 * value:.3g} % {words}' if 'of ' in words else f'{words} by {100 * value:.3g} %'
        )
        return f'{text} (limit {100 * limit:.3g} %)'
    if words.endswith(' off'):
        return f'{words} by {value:.2g} {unit} (limit {limit:.2g})'
    return f'{words} {value:.2f} {unit} (limit {limit:.2f})'.replace('  ', ' ')


def overall(reports: Mapping[str, Report]) -> tuple[str, str]:
    """Return the verdict over all backends, and the sentence that says why."""
    ran = {name: r for name, r in reports.items() if 'error' not in r}
    missing = [f'{name} did not run: {r["error"]}' for name, r in reports.items() if 'error' in r]
    if not ran:
        return FAIL, '; '.join(missing)
    found: dict[str, dict[str, dict[str, str]]] = {PASS: {}, WARN: {}, FAIL: {}}
    for name, report in ran.items():
        for scenario, result in report['scenarios'].items():
            found[result['verdict']].setdefault(scenario, {})[name] = result['reason']
    total = len({scenario for report in ran.values() for scenario in report['scenarios']})
    if found[FAIL]:
        return FAIL, _listed(total, 'failed', found[FAIL])
    if found[WARN]:
        return WARN, '; '.join([_listed(total, 'with a warning', found[WARN]), *missing])
    if missing:
        return WARN, '; '.join(missing)
    return PASS, f'all {total} scenarios passed in {_and(list(ran))}'


def _listed(total: int, what: str, scenarios: Mapping[str, Mapping[str, str]]) -> str:
    """Say in which scenarios and engines it went wrong, each with its first reason."""
    texts = [
        f'{name} in {_and(list(reasons))}: {next(iter(reasons.values())).partition("; ")[0]}'
        for name, reasons in scenarios.items()
    ]
    more = f'; and {len(texts) - SHOWN} more' if len(texts) > SHOWN else ''
    return f'{len(texts)} of {total} scenarios {what}: {"; ".join(texts[:SHOWN])}{more}'


def _and(words: Sequence[str]) -> str:
    return ' and '.join(part for part in (', '.join(words[:-1]), words[-1]) if part)
