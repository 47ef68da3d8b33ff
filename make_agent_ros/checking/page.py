"""Building blocks of a self-contained HTML page: sections, tables, figures, video, one stylesheet.

Text is escaped unless it is `Html`. A page loads nothing from anywhere: style, figures and video
are inside it, so that it can be mailed and read years later.
"""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

VERDICTS = ('PASS', 'WARN', 'FAIL')


class Html(str):
    """A string that is already HTML."""


def escape(value: object) -> Html:
    """Return `value` as HTML: floats to three significant digits, other text escaped."""
    if isinstance(value, Html):
        return value
    if isinstance(value, float):
        return Html('–' if value != value else f'{value:.3g}')
    return Html(html.escape(str(value)))


@dataclass(frozen=True)
class Section:
    """One card of the page."""

    title: str
    body: str
    """HTML, from the functions below."""
    lead: str = ''
    """One or two sentences that say what the reader sees; escaped."""


def pill(verdict: str) -> Html:
    """Return a coloured label for PASS, WARN, FAIL or any other word (grey)."""
    kind = verdict.lower() if verdict in VERDICTS else 'none'
    return Html(f'<span class="pill {kind}">{html.escape(verdict)}</span>')


def table(
    headers: Sequence[object], rows: Iterable[Sequence[object]], *, caption: str = ''
) -> Html:
    """Return a table; the first column is the row's name, numbers are set right."""
    head = ''.join(f'<th>{escape(cell)}</th>' for cell in headers)
    lines = []
    for row in rows:
        cells = [f'<th scope="row">{escape(row[0])}</th>'] if row else []
        for cell in row[1:]:
            number = isinstance(cell, (int, float)) and not isinstance(cell, bool)
            cells.append(f'<td{" class=number" if number else ""}>{escape(cell)}</td>')
        lines.append(f'<tr>{"".join(cells)}</tr>')
    title = f'<caption>{html.escape(caption)}</caption>' if caption else ''
    return Html(
        f'<div class="scroll"><table>{title}<thead><tr>{head}</tr></thead>'
        f'<tbody>{"".join(lines)}</tbody></table></div>'
    )


def paragraph(text: str) -> Html:
    """Return a paragraph."""
    return Html(f'<p>{escape(text)}</p>')


def columns(*parts: str) -> Html:
    """Set parts side by side where the window is wide enough."""
    return Html('<div class="columns">' + ''.join(f'<div>{p}</div>' for p in parts) + '</div>')


def figure_to_svg(figure: Figure) -> Html:
    """Return a matplotlib figure as inline SVG, scaled to the width of its column."""
    buffer = io.StringIO()
    with _svg_settings():
        figure.savefig(buffer, format='svg', bbox_inches='tight', metadata={'Date': None})
    text = buffer.getvalue()
    svg = text[text.index('<svg') :]
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r'\1', svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r'\1', svg, count=1)
    return Html(svg)


def figure(content: Figure | Html, caption: str = '') -> Html:
    """Return a matplotlib figure or ready HTML with a caption below it."""
    body = figure_to_svg(content) if isinstance(content, Figure) else content
    below = f'<figcaption>{escape(caption)}</figcaption>' if caption else ''
    return Html(f'<figure>{body}{below}</figure>')


def video(mp4: bytes, caption: str = '') -> Html:
    """Return a video that is inside the page and plays in a loop without sound."""
    data = base64.b64encode(mp4).decode()
    return figure(
        Html(
            '<video controls autoplay loop muted playsinline '
            f'src="data:video/mp4;base64,{data}"></video>'
        ),
        caption,
    )


def html_page(
    title: str,
    sections: Iterable[Section],
    *,
    verdict: str = '',
    reason: str = '',
    advice: str = '',
    facts: Mapping[str, object] | None = None,
    lead: str = '',
) -> str:
    """Return the whole page.

    Args:
        title: of the page.
        sections: cards, in reading order.
        verdict: PASS, WARN or FAIL, shown first; no banner when empty.
        reason: the sentence beside the verdict.
        advice: what to do about it, below the reason.
        facts: short name -> value pairs shown under the title.
        lead: what the page is about, under the title; escaped.
    """
    kind = verdict.lower() if verdict in VERDICTS else 'none'
    below = f'<small>{escape(advice)}</small>' if advice else ''
    banner = (
        f'<div class="verdict {kind}"><b>{html.escape(verdict)}</b>'
        f'<span>{escape(reason)}{below}</span></div>'
        if verdict
        else ''
    )
    about = f'<p class="lead">{escape(lead)}</p>' if lead else ''
    listed = ''.join(
        f'<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>'
        for name, value in (facts or {}).items()
    )
    cards = []
    for section in sections:
        lead = f'<p class="lead">{escape(section.lead)}</p>' if section.lead else ''
        cards.append(f'<section><h2>{escape(section.title)}</h2>{lead}{section.body}</section>')
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body><main>'
        f'<header><h1>{html.escape(title)}</h1>{about}{banner}<dl>{listed}</dl></header>'
        f'{"".join(cards)}</main></body></html>'
    )


def _svg_settings():  # noqa: ANN202 - matplotlib's context manager has no public type
    from matplotlib import rc_context

    return rc_context({'svg.fonttype': 'none', 'svg.hashsalt': 'make_agent_ros'})


_STYLE = """
:root{--ink:#1b2430;--soft:#5a6675;--line:#e3e7ec;--pass:#18794e;--warn:#9a6700;--fail:#b42318}
*{box-sizing:border-box}
body{margin:0;background:#f4f6f8;color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1120px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:26px;margin:0 0 14px;letter-spacing:-.01em}
h2{font-size:18px;margin:0 0 6px}
section{background:#fff;border:1px solid var(--line);border-radius:10px;padding:20px 22px;
margin-top:18px}
.lead{color:var(--soft);margin:0 0 14px;max-width:80ch}
.verdict{display:flex;gap:18px;align-items:center;border-radius:10px;padding:14px 20px;color:#fff}
.verdict b{font-size:26px;letter-spacing:.03em}
.verdict small{display:block;margin-top:4px;font-size:14px;opacity:.92}
.verdict.pass{background:var(--pass)}.verdict.warn{background:var(--warn)}
.verdict.fail{background:var(--fail)}.verdict.none{background:#5a6675}
dl{display:flex;flex-wrap:wrap;gap:10px 28px;margin:16px 0 0}
dt{color:var(--soft);font-size:12px}dd{margin:0;font-variant-numeric:tabular-nums}
.pill{display:inline-block;border-radius:99px;padding:1px 10px;font-size:12px;font-weight:600}
.pill.pass{color:var(--pass);background:#e3f4eb}.pill.warn{color:var(--warn);background:#fdf1d3}
.pill.fail{color:var(--fail);background:#fde7e4}.pill.none{color:#5a6675;background:#eceff2}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px}
caption{text-align:left;color:var(--soft);padding:0 0 6px}
th,td{text-align:left;padding:6px 12px 6px 0;border-bottom:1px solid var(--line);
vertical-align:top}
thead th{color:var(--soft);font-weight:500;font-size:12.5px;border-bottom:1.5px solid #cbd2da}
tbody th{font-weight:500;white-space:nowrap}
td{font-variant-numeric:tabular-nums}
td small,th small{color:var(--soft);white-space:nowrap;font-weight:400}
td small.wrap{white-space:normal}
.columns figure{max-width:560px}
.columns{display:grid;grid-template-columns:repeat(auto-fit,minmax(320px,1fr));gap:22px}
figure{margin:8px 0 4px}
figure svg,video{width:100%;height:auto;display:block}
video{border-radius:8px;background:#dfe5ea}
.again{font-size:13px;margin:4px 0 0;overflow-wrap:anywhere}
figcaption{color:var(--soft);font-size:13px;margin-top:6px}
code{font:13px ui-monospace,Menlo,Consolas,monospace;background:#f0f2f5;border-radius:4px;
padding:1px 5px}
details{margin-top:10px}summary{cursor:pointer;font-weight:600;padding:6px 0}
@media print{body{background:#fff}section{break-inside:avoid}}
"""
