"""
A report as one file of HTML with its charts, which needs no network.

Plotly's script is in the file, so it has some 5 MB. A Content-Security-Policy in it allows its own two scripts only.
"""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Sequence

import orjson

from ..exceptions import KochavaBotError
from .report import Report
from .tables import ReportTable, tables_of

_DRAW = """
const dark = matchMedia("screen and (prefers-color-scheme: dark)");
function draw() {
  const text = dark.matches ? "#e6e6e6" : "#222", grid = dark.matches ? "#444" : "#ddd";
  for (const chart of JSON.parse(document.getElementById("charts").textContent)) {
    const layout = {
      barmode: "group", height: 320, margin: {l: 48, r: 12, t: 12, b: 80},
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: {color: text, family: "system-ui, sans-serif"},
      colorway: dark.matches ? ["#7cb7ff", "#8fd694"] : ["#1d5fa8", "#3c8d40"],
      xaxis: {type: "category", automargin: true}, yaxis: {gridcolor: grid, rangemode: "tozero"},
      legend: {orientation: "h", y: 1.15}, showlegend: chart.data.length > 1,
    };
    Plotly.react(chart.id, chart.data, layout, {displayModeBar: false, responsive: true});
  }
}
draw();
dark.addEventListener("change", draw);
"""

_STYLE = """
:root { color-scheme: light dark; --ink: #222; --paper: #fff; --line: #ddd; }
@media screen and (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --paper: #181a1b; --line: #444; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto;
  max-width: 60rem; padding: 1rem; }
section { break-inside: avoid; margin-block: 2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid var(--line); overflow-wrap: anywhere; }
th:first-child, td:first-child { text-align: left; }
@media print { :root { color-scheme: light; } body { max-width: none; } }
"""


def to_html(report: Report) -> str:
    """
    The page.

    Raises:
        KochavaBotError: The charting library is not installed.
    """
    library = _library()
    tables = tables_of(report)
    # What a text holds must not end the element.
    charts = orjson.dumps([_chart(number, each) for number, each in enumerate(tables) if each.chart]).decode()
    charts = charts.replace("<", "\\u003c")
    scripts = " ".join(f"'{_hash(script)}'" for script in (library, _DRAW))
    policy = f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data:"
    since = "the beginning" if report.since is None else report.since.isoformat()
    until = "now" if report.until is None else report.until.isoformat()
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>Report of the bot</title>
<style>{_STYLE}</style>
</head>
<body>
<main>
<h1>Report of the bot</h1>
<p>From {since} to {until}. Days are in UTC; a day without events is left out.</p>
{"".join(_section(number, each) for number, each in enumerate(tables)) or "<p>Nothing was counted.</p>"}
</main>
<script type="application/json" id="charts">{charts}</script>
<script>{library}</script>
<script>{_DRAW}</script>
</body>
</html>
"""


def _library() -> str:
    try:
        # Only needed for this format, and it takes a second.
        from plotly.offline import get_plotlyjs  # noqa: PLC0415
    except ModuleNotFoundError:
        msg = "--format html needs plotly: pip install 'kochava-bot-middleware[report]'"
        raise KochavaBotError(msg) from None
    return str(get_plotlyjs()).replace("</script", "<\\/script")


def _hash(script: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _chart(number: int, table: ReportTable) -> dict[str, object]:
    names = [str(row[0]) for row in table.rows]
    return {
        "id": f"chart-{number}",
        "data": [
            {"type": "bar", "name": table.heads[column], "x": names, "y": [_number(row[column]) for row in table.rows]}
            for column in table.chart
        ],
    }


def _number(cell: object) -> float:
    return float(str(cell))


def _section(number: int, table: ReportTable) -> str:
    chart = f'<div id="chart-{number}" role="img" aria-label="Chart: {html.escape(table.name)}"></div>'
    return f"""<section>
<h2>{html.escape(table.name)}</h2>
{chart if table.chart else ""}
<div class="scroll"><table>
<thead><tr>{_cells("th", table.heads)}</tr></thead>
<tbody>{"".join(f"<tr>{_cells('td', row)}</tr>" for row in table.rows)}</tbody>
</table></div>
</section>
"""


def _cells(tag: str, cells: Sequence[object]) -> str:
    return "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells)
