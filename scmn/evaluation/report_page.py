"""The frame of the report's page: markup, style sheet for light and dark, and sorting of tables.

The content security policy forbids every request: the page is the same wherever it is opened.
"""

from __future__ import annotations

from string import Template

PAGE = Template("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<link rel="icon" href="data:,">
<title>$title</title>
<style>
$style</style>
</head>
<body>
<header><h1>$title</h1><p>$subtitle</p></header>
<main>
$content
</main>
<script>
$script</script>
</body>
</html>
""")

STYLE = """\
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --panel: #ffffff; --text: #16191d; --muted: #5c6570; --edge: #dfe3e8;
  --accent: #1d4ed8; --bar: #dbe6fd; --warning: #fdf3d7; --warning-edge: #e3b341;
  --line0: #1d4ed8; --line1: #d9480f; --line2: #04865c; --line3: #7c3aed;
  --line4: #c81e3a; --line5: #0a7f97; --line6: #8a6100; --line7: #b8327f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #101317; --panel: #181c22; --text: #e7eaee; --muted: #9aa4b0; --edge: #2c333c;
    --accent: #7cabff; --bar: #213a66; --warning: #2f2811; --warning-edge: #8a6d1f;
    --line0: #7cabff; --line1: #ff9a5c; --line2: #3fd6a0; --line3: #b79bff;
    --line4: #ff7d8f; --line5: #45cfe6; --line6: #e8c14a; --line7: #f58cc4;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
}
header, main { max-width: 1120px; margin: 0 auto; padding: 0 24px; }
header { padding-top: 40px; padding-bottom: 20px; }
h1 {
  margin: 0; font-size: 28px; line-height: 1.2; letter-spacing: -0.01em; overflow-wrap: anywhere;
}
header p, .hint { margin: 6px 0 0; color: var(--muted); }
section { margin: 36px 0; }
h2 { margin: 0 0 12px; font-size: 18px; }
.hint { margin: -8px 0 12px; font-size: 13px; }
.cards { display: grid; gap: 16px; grid-template-columns: repeat(auto-fit, minmax(220px, 1fr)); }
.card, .facts, .scroll, .plot, .empty, .pictures figure {
  background: var(--panel); border: 1px solid var(--edge); border-radius: 10px;
}
.card { padding: 16px 20px; }
.card .label { font-weight: 600; color: var(--muted); }
.card .value { font-size: 40px; font-weight: 650; line-height: 1.2; letter-spacing: -0.02em; }
.card .detail { color: var(--muted); font-size: 13px; }
.card.main { border-color: var(--accent); }
.card.main .value { color: var(--accent); }
.value, td, .legend b { font-variant-numeric: tabular-nums; }
.empty { margin: 0; padding: 16px 20px; color: var(--muted); }
.facts {
  margin: 0; padding: 16px 20px; display: grid; gap: 12px 24px;
  grid-template-columns: repeat(auto-fill, minmax(230px, 1fr));
}
dt { color: var(--muted); font-size: 13px; }
dd { margin: 0; overflow-wrap: anywhere; }
.notes {
  margin: 0; padding: 12px 20px 12px 36px; border-radius: 10px;
  background: var(--warning); border: 1px solid var(--warning-edge);
}
.scroll { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-size: 14px; }
th, td { padding: 6px 12px; text-align: right; white-space: nowrap; }
th:first-child { text-align: left; font-weight: 500; }
tbody tr { border-top: 1px solid var(--edge); }
tbody tr:hover { background: color-mix(in srgb, var(--bar) 35%, transparent); }
thead button {
  all: unset; cursor: pointer; color: var(--muted); font-weight: 600; font-size: 13px;
}
thead button:hover, thead button:focus-visible { color: var(--text); text-decoration: underline; }
thead th[aria-sort="ascending"] button::after { content: " \\2191"; }
thead th[aria-sort="descending"] button::after { content: " \\2193"; }
td.bar {
  font-weight: 600;
  background: linear-gradient(90deg, var(--bar) var(--share), transparent var(--share));
}
.pictures, .plots { display: grid; gap: 16px; }
.pictures { grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); }
.plots { grid-template-columns: repeat(auto-fill, minmax(320px, 1fr)); }
figure { margin: 0; }
.pictures figure { overflow: hidden; }
.pictures img { display: block; width: 100%; height: auto; }
.pictures figcaption { padding: 8px 12px; font-size: 13px; color: var(--muted); }
.plot { padding: 12px 14px; break-inside: avoid; }
.plot figcaption { font-weight: 600; margin-bottom: 6px; overflow-wrap: anywhere; }
.plot svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--muted); font-size: 10px; }
svg .end { text-anchor: end; }
svg .grid { stroke: var(--edge); stroke-width: 1; }
svg polyline { fill: none; stroke: currentColor; stroke-width: 1.6; stroke-linejoin: round; }
svg circle { fill: currentColor; }
.legend {
  list-style: none; margin: 6px 0 0; padding: 0; display: flex; flex-wrap: wrap; gap: 2px 14px;
  font-size: 13px;
}
.legend li::before {
  content: ""; display: inline-block; width: 12px; height: 3px; border-radius: 2px;
  background: currentColor; margin-right: 6px; vertical-align: middle;
}
.line0 { color: var(--line0); } .line1 { color: var(--line1); } .line2 { color: var(--line2); }
.line3 { color: var(--line3); } .line4 { color: var(--line4); } .line5 { color: var(--line5); }
.line6 { color: var(--line6); } .line7 { color: var(--line7); }
@media print { body { background: none; } thead button { text-decoration: none; } }
"""

SCRIPT = """\
for (const head of document.querySelectorAll("thead th")) {
  head.querySelector("button").addEventListener("click", () => {
    const text = row => row.cells[head.cellIndex].textContent;
    const compare = (a, b) => {
      const difference = Number(text(a)) - Number(text(b));
      return Number.isNaN(difference)
        ? text(a).localeCompare(text(b), undefined, { numeric: true }) : difference;
    };
    const ascending = head.getAttribute("aria-sort") !== "ascending";
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const body = head.closest("table").tBodies[0];
    const rows = [...body.rows].sort(compare);
    body.append(...(ascending ? rows : rows.reverse()));
  });
}
"""
