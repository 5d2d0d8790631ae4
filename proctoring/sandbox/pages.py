"""The sandbox's own pages, each complete in itself."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from html import escape
from typing import Any

from proctoring.sandbox.faults import ECHOES, KINDS, Fault
from proctoring.sandbox.simulator import Control, Document, Parameter, Reply, Simulator

SHOWN_DOCUMENTS = 50  # of each kind, the newest
SHOWN_REQUESTS = 50

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5d6878; --line: #dfe3e9; --paper: #fff; --ground: #f4f6f8;
  --accent: #7c3aed; --bad: #b42318; --good: #067647; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7ebf0; --soft: #9aa5b4; --line: #323b47; --paper: #1b222b;
  --ground: #12171d; --accent: #a78bfa; --bad: #f97066; --good: #47cd89; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 0 0 .75rem; }
h3 { font-size: .95rem; margin: 0 0 .25rem; }
p { margin: .25rem 0 .75rem; } .soft { color: var(--soft); } a { color: var(--accent); }
section { background: var(--paper); border: 1px solid var(--line); border-radius: .75rem;
  padding: 1.1rem; margin-top: 1rem; }
.row { display: flex; flex-wrap: wrap; gap: .6rem; align-items: end; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)); gap: 1rem; }
.card { border: 1px solid var(--line); border-radius: .6rem; padding: .8rem; }
label { display: grid; gap: .15rem; font-size: .85rem; color: var(--soft); }
input, select { font: inherit; color: var(--ink); background: var(--paper); border: 1px solid var(--line);
  border-radius: .4rem; padding: .35rem .5rem; min-width: 7rem; }
button { font: inherit; border: 1px solid var(--accent); background: var(--accent); color: #fff; border-radius: .4rem;
  padding: .38rem .9rem; cursor: pointer; } button.plain { background: none; color: var(--accent); }
@media (prefers-color-scheme: dark) { button { color: #12171d; } }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .85rem; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
td { overflow-wrap: anywhere; min-width: 5rem; max-width: 26rem; }
code, pre { font: .82rem/1.45 ui-monospace, monospace; }
pre { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
.notice { border-color: var(--accent); } .bad { color: var(--bad); } .good { color: var(--good); }
summary { cursor: pointer; color: var(--accent); } ul { margin: 0; padding-left: 1.1rem; }
"""
# A vendor's page for people who have never seen the sandbox, often on a phone.
PLAIN_STYLE = """
body.plain { font-size: 1.0625rem; } .plain main { max-width: 44rem; padding-top: .5rem; }
.plain .top { max-width: 44rem; margin: 0 auto; padding: 1rem 1rem 0; font-size: .9rem; color: var(--soft); }
.plain h1 { font-size: 1.6rem; line-height: 1.25; margin-bottom: .5rem; overflow-wrap: anywhere; }
fieldset { border: 0; margin: 0; padding: 0; min-width: 0; }
legend, .plain .question { padding: 0; font-weight: 600; font-size: 1.0625rem; color: var(--ink); }
.plain label { color: var(--ink); font-size: 1rem; }
.plain .choice { display: flex; align-items: center; gap: .7rem; min-height: 2.75rem; }
.choice input { margin: 0; min-width: 0; width: 1.25rem; height: 1.25rem; accent-color: var(--accent); }
.plain input[type=text] { width: 100%; max-width: 22rem; min-height: 2.75rem; border-color: var(--soft);
  margin-top: .5rem; }
.plain button { min-height: 2.75rem; padding: .5rem 1.25rem; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.plain [role=alert] { border-color: var(--bad); border-left-width: .4rem; }
.plain dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1rem; margin: 0; }
.plain dt { color: var(--soft); } .plain dd { margin: 0; overflow-wrap: anywhere; }
.plain .row, #saved { margin-top: 1rem; } .plain summary { min-height: 2.75rem; padding: .6rem 0; }
.events { list-style: none; padding: 0; } .events li { padding: .45rem 0; border-top: 1px solid var(--line); }
.events time { color: var(--soft); font-size: .9rem; display: block; }
.state { font-size: 1.2rem; font-weight: 600; margin: 0; }
@media (max-width: 30rem) { .plain .row > *, .plain .row button { width: 100%; }
  .plain dl { grid-template-columns: 1fr; gap: 0; } .plain dd { margin-bottom: .5rem; } }
"""


def plain(
    title: str, body: str, *, vendor: str, status: int = 200, script: str = "", home: str = "", seconds: int = 0
) -> Reply:
    """A vendor's page for a candidate or a proctor: complete in itself, readable on a phone, kept by nobody.

    `body` is HTML. `script` alone may run. Without JavaScript the page loads `home` again every `seconds`.
    """
    again = f"<noscript><meta http-equiv='refresh' content='{seconds};url={escape(home)}'></noscript>"
    head = f"<style>{PLAIN_STYLE}</style>{again if seconds else ''}"
    top = f"<header class='top'>{escape(vendor)} · a simulation: nothing here reaches the real vendor</header>"
    end = f"<script>{script}</script>" if script else ""
    text = (
        f"<!doctype html><html lang='en'><head>{HEAD}<title>{escape(title)}</title><style>{STYLE}</style>{head}</head>"
        f"<body class='plain'>{top}{body}{end}</body></html>"
    )
    return Reply(status, text=text, headers={**PRIVATE, "Content-Security-Policy": _policy(script)})


HEAD = (
    "<meta charset='utf-8'><meta name='viewport' content='width=device-width, initial-scale=1'>"
    "<link rel='icon' href='data:,'>"
)
PRIVATE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Robots-Tag": "noindex, nofollow"}


def _policy(script: str) -> str:
    allowed = f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" if script else "'none'"
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src {allowed}; connect-src 'self';"
        " form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def moment(at: str | None) -> str:
    """An ISO time as HTML, in UTC; a dash for none."""
    if not at:
        return "–"
    shown = datetime.fromisoformat(at).astimezone(UTC).strftime("%d %b %Y, %H:%M:%S UTC")
    return f"<time datetime='{escape(at)}'>{shown}</time>"


@dataclass(frozen=True)
class View:
    """What one vendor's page shows."""

    home: str
    simulator: Simulator
    notice: str
    state: dict[str, list[Document]]
    faults: Sequence[Fault]
    requests: dict[str, Any]


def index(vendors: Iterable[tuple[Simulator, Sequence[Fault]]]) -> str:
    cards = "".join(_card(simulator, faults) for simulator, faults in vendors)
    return _document(
        "Sandbox",
        "<h1>Sandbox</h1><p class='soft'>Simulated vendors, to practise with and to test against."
        f" Nothing here reaches a real vendor.</p><section><div class='cards'>{cards}</div></section>",
    )


def _card(simulator: Simulator, faults: Sequence[Fault]) -> str:
    state = f"<p class='bad'>{len(faults)} faults set</p>" if faults else "<p class='good'>No faults set</p>"
    home = f"/{simulator.vendor}/_sandbox/"
    return (
        f"<div class='card'><h3><a href='{escape(home)}'>{escape(simulator.title)}</a></h3>"
        f"<code>{escape(simulator.base_url)}</code>{state}</div>"
    )


def vendor(view: View) -> str:
    title = view.simulator.title
    head = (
        f"<h1>{escape(title)} · sandbox</h1>"
        f"<p class='soft'>A simulation at <code>{escape(view.simulator.base_url)}</code>."
        " Nothing here reaches the real vendor.</p>"
    )
    notice = f"<section class='notice' role='status'><pre>{escape(view.notice)}</pre></section>" if view.notice else ""
    return _document(
        f"{title} · sandbox", head + notice + _faults(view) + _controls(view) + _requests(view) + _state(view)
    )


def _document(title: str, body: str) -> str:
    return (
        f"<!doctype html><html lang='en'><head>{HEAD}"
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>"
    )


def _faults(view: View) -> str:
    rows = "".join(f"<li>{escape(fault.describe())} {_clear_form(view, fault)}</li>" for fault in view.faults)
    listed = f"<ul>{rows}</ul>" if rows else "<p class='good'>None: every call is answered as the vendor would.</p>"
    kinds = "".join(
        f"<option value='{escape(name)}'>{escape(name)}: {escape(kind.sentence.format(seconds='…'))}</option>"
        for name, kind in {**KINDS, **ECHOES}.items()
    )
    fields = (
        f"<label>What goes wrong<select name='kind'>{kinds}</select></label>"
        "<label>Next calls<input name='calls' type='number' min='1' placeholder='until cleared'></label>"
        "<label>or share of calls, 0–1<input name='rate' type='number' min='0' max='1' step='any'></label>"
        "<label>Seconds<input name='seconds' type='number' min='0' step='any'></label>"
        "<label>Only calls containing<input name='match' placeholder='POST /api'></label>"
    )
    form = f"<form method='post' action='{view.home}/faults' class='row'>{fields}<button>Set fault</button></form>"
    clear = (
        f"<form method='post' action='{view.home}/faults/clear'><button class='plain'>Clear all faults</button></form>"
    )
    return f"<section><h2>Faults</h2>{listed}<p></p>{form}{f'<p></p>{clear}' if view.faults else ''}</section>"


def _clear_form(view: View, fault: Fault) -> str:
    return (
        f"<form method='post' action='{view.home}/faults/clear' style='display:inline'>"
        f"<input type='hidden' name='number' value='{fault.number}'><button class='plain'>Clear</button></form>"
    )


def _controls(view: View) -> str:
    cards = "".join(_control(view, control) for control in view.simulator.controls())
    return f"<section><h2>At the vendor</h2><div class='cards'>{cards}</div></section>"


def _control(view: View, control: Control) -> str:
    fields = "".join(_parameter(parameter) for parameter in control.parameters)
    return (
        f"<form class='card' method='post' action='{view.home}/controls/{escape(control.name)}'>"
        f"<h3>{escape(control.title)}</h3><p class='soft'>{escape(control.description)}</p>"
        f"<div class='row'>{fields}<button>{escape(control.title)}</button></div></form>"
    )


def _parameter(parameter: Parameter) -> str:
    name, default = escape(parameter.name), escape(parameter.default)
    required = " required" if parameter.is_required else ""
    if not parameter.choices:
        return f"<label>{escape(parameter.title)}<input name='{name}' value='{default}'{required}></label>"
    options = "".join(
        f"<option{' selected' if choice == parameter.default else ''}>{escape(choice)}</option>"
        for choice in parameter.choices
    )
    return f"<label>{escape(parameter.title)}<select name='{name}'>{options}</select></label>"


def _requests(view: View) -> str:
    entries = list(reversed(view.requests["requests"]))[:SHOWN_REQUESTS]
    rows = "".join(_request_row(entry) for entry in entries)
    table = (
        "<div class='scroll'><table><thead><tr><th>#</th><th>Time (UTC)</th><th>Request</th><th>Status</th>"
        f"<th>Fault</th><th>Body</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )
    title = f"<h2>Requests received: {view.requests['count']}</h2>"
    return f"<section>{title}{table if rows else '<p>None yet.</p>'}</section>"


def _request_row(entry: dict[str, Any]) -> str:
    at = datetime.fromtimestamp(entry["at"], UTC).strftime("%H:%M:%S.%f")[:-3]
    line = f"{entry['method']} {entry['path']}{'?' + entry['query'] if entry['query'] else ''}"
    is_good = entry["status"] is not None and entry["status"] < 400
    status = entry["status"] if entry["status"] is not None else "no answer"
    body = (
        f"<details><summary>show</summary><pre>{escape(entry['body'][:10_000])}</pre></details>"
        if entry["body"]
        else ""
    )
    return (
        f"<tr><td>{entry['number']}</td><td>{at}</td><td><code>{escape(line)}</code></td>"
        f"<td class='{'good' if is_good else 'bad'}'>{status}</td><td>{escape(entry['fault'])}</td><td>{body}</td></tr>"
    )


def _state(view: View) -> str:
    parts = "".join(_kind(kind, documents) for kind, documents in view.state.items())
    return f"<section><h2>What exists here</h2>{parts or '<p>Nothing.</p>'}</section>"


def _kind(kind: str, documents: Sequence[Document]) -> str:
    shown = list(reversed(documents))[:SHOWN_DOCUMENTS]
    columns = list(dict.fromkeys(key for document in shown for key in document))
    head = "".join(f"<th>{escape(column)}</th>" for column in columns)
    rows = "".join(f"<tr>{''.join(_cell(document.get(column)) for column in columns)}</tr>" for document in shown)
    more = f" (the newest {SHOWN_DOCUMENTS})" if len(documents) > SHOWN_DOCUMENTS else ""
    return (
        f"<h3>{escape(kind)}: {len(documents)}{more}</h3><div class='scroll'><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div><p></p>"
    )


def _cell(value: Any) -> str:
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"<td>{escape(text)}</td>"
