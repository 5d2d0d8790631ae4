"""What a candidate and a proctor see at the simulated Scorpion. Every page works without JavaScript."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape
from urllib.parse import quote

from proctoring.sandbox.pages import moment, plain
from proctoring.sandbox.simulator import Document, Reply
from proctoring.vendors.scorpion import sandbox_exam as sitting
from proctoring.vendors.scorpion.sandbox_exam import QUESTIONS, Question

VENDOR = "Caveon Scorpion"
REFRESH_SECONDS = 5

# Answers are kept as they are given, and what the proctor does shows by itself.
TAKE_SCRIPT = """
const main = document.querySelector("main"), form = document.getElementById("exam"), home = main.dataset.home;
const save = () => fetch(form.action, {method: "POST", body: new URLSearchParams(new FormData(form))});
const follow = async load => {
  const saved = document.getElementById("saved");
  try {
    const text = await (await load()).text();
    const now = new DOMParser().parseFromString(text, "text/html").querySelector("main");
    if (now.dataset.state !== main.dataset.state) { if (form) await save(); location.replace(home); return; }
    const count = now.querySelector("#saved");
    if (saved && count && saved.textContent !== count.textContent) saved.textContent = count.textContent;
  } catch { if (saved) saved.textContent = "Not saved: there is no connection."; }
};
if (form) form.addEventListener("change", () => follow(save));
setInterval(() => document.hidden || follow(() => fetch(home)), SECONDS * 1000);
""".replace("SECONDS", str(REFRESH_SECONDS))

PROCTOR_SCRIPT = """
const home = document.querySelector("main").dataset.home;
const refresh = async () => {
  const text = await (await fetch(home)).text();
  const now = new DOMParser().parseFromString(text, "text/html");
  for (const part of document.querySelectorAll("[data-live]")) {
    const next = now.getElementById(part.id), held = part.contains(document.activeElement);
    if (!next || next.innerHTML === part.innerHTML) continue;
    part.innerHTML = next.innerHTML;
    if (held) part.focus();
  }
};
setInterval(() => document.hidden || refresh().catch(() => {}), SECONDS * 1000);
""".replace("SECONDS", str(REFRESH_SECONDS))

STATES = {
    sitting.CREATED: "Not started",
    sitting.IN_PROGRESS: "Under way",
    sitting.INTERRUPTED: "Interrupted",
    sitting.RESTARTED: "Restarted, the candidate is not back yet",
    sitting.SUSPENDED: "Suspended",
    sitting.COMPLETE: "Complete",
}
BUTTONS = {
    "pause": "Pause the exam",
    "resume": "Resume the exam",
    "restart": "Restart the exam",
    "suspend": "Suspend the exam",
}
CLOSED = {
    sitting.COMPLETE: ("Exam submitted", 200, "Your answers have arrived. You may close this page."),
    sitting.SUSPENDED: (
        "Exam suspended",
        403,
        "The proctor has suspended this exam. This link no longer opens it: you need a new one."
        " The answers saved so far are kept.",
    ),
    sitting.INTERRUPTED: (
        "Exam interrupted",
        403,
        "Your exam was broken off. Your proctor must restart it, or you need a new link. The answers saved so far are"
        " kept. Once it is restarted, this page goes on by itself.",
    ),
}


def invalid_launch_token() -> Reply:
    text = "This launch token is not valid, or it was already used in another browser. Ask whoever sent you the link."
    return _message("Invalid token", text, status=403)


def invalid_proctor_token() -> Reply:
    return _message("Invalid token", "This proctor token is not valid.", status=404)


def _message(title: str, text: str, *, status: int) -> Reply:
    body = f"<main><section><h1>{escape(title)}</h1><p>{escape(text)}</p></section></main>"
    return plain(title, body, vendor=VENDOR, status=status)


# The candidate's page


def take(exam_name: str, delivery: Document, *, asks_for_missing: bool = False) -> Reply:
    """The exam where it is under way, else why it cannot be sat now."""
    if delivery["status"] != sitting.IN_PROGRESS:
        return _closed(exam_name, delivery)
    if delivery["is_paused"]:
        return _paused(exam_name, delivery)
    missing = sitting.unanswered(delivery) if asks_for_missing else []
    body = (
        f"<h1>{escape(exam_name)}</h1>{_people(delivery)}{_missing(missing)}"
        f"<p id='saved' role='status'>{sitting.answered(delivery)} of {len(QUESTIONS)} answers saved.</p>"
        f"{_questions(delivery, missing)}{_break_off(delivery)}"
    )
    title = f"{'Error: ' if missing else ''}{exam_name}"
    return plain(title, _main(delivery, body), vendor=VENDOR, status=422 if missing else 200, script=TAKE_SCRIPT)


def _main(delivery: Document, body: str) -> str:
    state = escape(f"{delivery['status']} {delivery['is_paused']}")
    return f"<main data-state='{state}' data-home='{_address('/take', delivery)}'>{body}</main>"


def _address(path: str, delivery: Document) -> str:
    return escape(f"{path}?launch_token={quote(delivery['launch_token'])}")


def _people(delivery: Document) -> str:
    named = "".join(f"<dt>{escape(key)}</dt><dd>{escape(text)}</dd>" for key, text in delivery["examinee_info"].items())
    return f"<section aria-label='Candidate'><dl>{named}</dl></section>"


def _missing(missing: Sequence[Question]) -> str:
    if not missing:
        return ""
    links = "".join(
        f"<li><a href='#{question.name}'>{escape(f'{number}. {question.text}')}</a></li>"
        for number, question in enumerate(QUESTIONS, 1)
        if question in missing
    )
    return (
        "<section role='alert'><h2>Nothing is submitted yet: these questions have no answer</h2>"
        f"<ul>{links}</ul><p class='row'><button form='exam' name='intent' value='submit_anyway' class='plain'>"
        "Submit without these answers</button></p></section>"
    )


def _questions(delivery: Document, missing: Sequence[Question]) -> str:
    asked = "".join(
        f"<section>{_question(number, question, delivery, is_missing=question in missing)}</section>"
        for number, question in enumerate(QUESTIONS, 1)
    )
    return (
        f"<form id='exam' method='post' action='{_address('/take/answers', delivery)}' autocomplete='off'>{asked}"
        "<p class='row'><button name='intent' value='submit'>Submit the exam</button>"
        "<button name='intent' value='save' class='plain'>Save the answers</button></p></form>"
    )


def _question(number: int, question: Question, delivery: Document, *, is_missing: bool) -> str:
    answer = delivery["answers"].get(question.name, "")
    text = escape(f"{number}. {question.text}")
    if question.choices:
        return f"<fieldset><legend>{text}</legend>{_choices(question, answer)}</fieldset>"
    mode = " inputmode='numeric'" if question.is_number else ""
    invalid = " aria-invalid='true'" if is_missing else ""
    return (
        f"<label class='question' for='{question.name}'>{text}</label><input type='text' id='{question.name}'"
        f" name='{question.name}' value='{escape(answer)}' maxlength='{sitting.LONGEST_ANSWER}'{mode}{invalid}>"
    )


def _choices(question: Question, answer: str) -> str:
    return "".join(
        f"<label class='choice'><input type='radio' name='{question.name}' value='{escape(choice)}'"
        f"{' checked' if choice == answer else ''}{f' id={question.name!r}' if place == 0 else ''}>"
        f"{escape(choice)}</label>"
        for place, choice in enumerate(question.choices)
    )


def _break_off(delivery: Document) -> str:
    return (
        "<details><summary>Practise an exam that is broken off</summary><p>As if this computer had crashed: the exam is"
        " interrupted, and the proctor must restart it.</p>"
        f"<form method='post' action='{_address('/take/interruption', delivery)}'>"
        "<p class='row'><button class='plain'>Break the exam off</button></p></form></details>"
    )


def _paused(exam_name: str, delivery: Document) -> Reply:
    text = "The proctor has paused this exam. Your answers are kept. Wait here: this page goes on by itself."
    return _standing(exam_name, delivery, "Exam paused", text, status=200, is_waiting=True)


def _closed(exam_name: str, delivery: Document) -> Reply:
    status = delivery["status"]
    unknown = ("This exam cannot be taken now", 403, f"Its state is “{status}”. Ask your proctor.")
    heading, code, text = CLOSED.get(status, unknown)
    return _standing(exam_name, delivery, heading, text, status=code, is_waiting=status == sitting.INTERRUPTED)


def _standing(exam_name: str, delivery: Document, heading: str, text: str, *, status: int, is_waiting: bool) -> Reply:
    count = f"{sitting.answered(delivery)} of {len(QUESTIONS)} answers are kept."
    body = f"<section><h1>{heading}</h1><p>{escape(exam_name)}</p><p>{escape(text)}</p><p>{count}</p></section>"
    return plain(
        f"{heading} · {exam_name}",
        _main(delivery, body),
        vendor=VENDOR,
        status=status,
        script=TAKE_SCRIPT if is_waiting else "",
        home=f"/take?launch_token={quote(delivery['launch_token'])}",
        seconds=REFRESH_SECONDS if is_waiting else 0,
    )


# The proctor's page


def proctor(exam_name: str, delivery: Document, *, now: datetime, refused: str = "") -> Reply:
    """The session as it is now; `refused` is what was asked for and cannot be done."""
    home = f"/proctor/{quote(delivery['proctor_token'])}"
    sentence = f"Not possible now: {BUTTONS[refused].lower()}." if refused else ""
    problem = f"<section role='alert'><p>{escape(sentence)}</p></section>" if refused else ""
    body = (
        f"<main data-home='{escape(home)}'><h1>Proctor: {escape(exam_name)}</h1>{_people(delivery)}{problem}"
        f"<section><h2>State</h2>{_part('state', _state(delivery), is_announced=True)}"
        f"{_part('facts', _facts(delivery, now))}{_part('acts', _acts(home, delivery))}</section>"
        f"<section><h2>Events, the latest first</h2>{_part('events', _events(delivery))}</section></main>"
    )
    return plain(
        f"Proctor: {exam_name}",
        body,
        vendor=VENDOR,
        status=409 if refused else 200,
        script=PROCTOR_SCRIPT,
        home=home,
        seconds=REFRESH_SECONDS,
    )


def _part(name: str, html: str, *, is_announced: bool = False) -> str:
    role = " role='status'" if is_announced else ""
    return f"<div id='{name}' data-live tabindex='-1'{role}>{html}</div>"


def _state(delivery: Document) -> str:
    status = str(delivery["status"])
    shown = "Paused" if delivery["is_paused"] else STATES.get(status, status)
    return f"<p class='state'>{escape(shown)}</p><p class='soft'>In the API: <code>{escape(status)}</code></p>"


def _facts(delivery: Document, now: datetime) -> str:
    minutes, seconds = divmod(int(sitting.used_seconds(delivery, now)), 60)
    facts = {
        "Answers": f"{sitting.answered(delivery)} of {len(QUESTIONS)}",
        "Started": moment(delivery["started_at"]),
        "Last activity": moment(delivery["last_activity_at"]),
        "Time used": f"{minutes} min {seconds} s",
        "Submitted": moment(delivery["submitted_at"]),
    }
    return f"<dl>{''.join(f'<dt>{name}</dt><dd>{html}</dd>' for name, html in facts.items())}</dl>"


def _acts(home: str, delivery: Document) -> str:
    buttons = "".join(
        f"<form method='post' action='{escape(home)}/{act}'>"
        f"<button{' class=plain' if act == 'suspend' else ''}>{BUTTONS[act]}</button></form>"
        for act in sitting.possible_acts(delivery)
    )
    return f"<div class='row'>{buttons}</div>" if buttons else ""


def _events(delivery: Document) -> str:
    rows = "".join(
        f"<li{' class=bad' if event['by'] == 'warning' else ''}>{moment(event['at'])}"
        f"<strong>{escape(event['by'].capitalize())}</strong>: {escape(event['what'])}</li>"
        for event in reversed(delivery["events"])
    )
    return f"<ul class='events'>{rows}</ul>" if rows else "<p>Nothing has happened yet.</p>"
