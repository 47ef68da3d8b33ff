"""Flat JSON, medians and words for what was not measured."""

from __future__ import annotations

import json
import math

from hypothesis import given
from hypothesis import strategies as st

from make_agent_ros.nodes.bench.figures import clean, median_and_max, shown, write

numbers = st.floats(-1e12, 1e12) | st.sampled_from([math.nan, math.inf, -math.inf])


@given(st.dictionaries(st.text(max_size=8), st.one_of(numbers, st.text(max_size=8), st.none())))
def test_whatever_was_measured_becomes_json_that_every_reader_takes(figures):
    read = json.loads(json.dumps(clean(figures)), parse_constant=lambda word: 1 / 0)
    assert set(read) == set(figures)


def test_figures_are_written_only_where_a_file_is_named(tmp_path):
    write({'gap': math.inf, 'ms': 1.23456789}, tmp_path / 'figures.json')
    assert json.loads((tmp_path / 'figures.json').read_text()) == {'gap': None, 'ms': 1.2346}
    write({'ms': 1.0}, None)


@given(st.lists(numbers))
def test_median_and_maximum_leave_out_what_was_not_measured(values):
    finite = sorted(value for value in values if math.isfinite(value))
    median, longest = median_and_max(values)
    if not finite:
        assert math.isnan(median)
        assert math.isnan(longest)
    else:
        assert finite[0] <= median <= longest == finite[-1]


def test_a_table_shows_a_dash_for_what_was_not_measured():
    assert shown(math.nan) == '-'
    assert shown(math.inf, 'ms') == 'for ever'
    assert shown(3.14159, 'ms') == '3.1 ms'
