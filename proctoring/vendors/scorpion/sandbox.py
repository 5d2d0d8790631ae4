"""Caveon Scorpion as its page describes it: apps, exams, examinees and deliveries.

Follows "Broad Basics: Creating Exam Deliveries via API" (support.caveon.com article 43529967960724). Reading routes and
the `messages` list of errors are known from public clients only.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, quote
from uuid import uuid4

from proctoring.sandbox.simulator import (
    Control,
    Document,
    Parameter,
    Problem,
    Reply,
    Request,
    Route,
    Simulator,
    is_uuid,
)
from proctoring.vendors.scorpion import sandbox_exam as sitting
from proctoring.vendors.scorpion import sandbox_pages as pages

PERMISSIONS = ("create", "view", "proctor", "edit", "delete")
UUID_FIELDS = ("examinee_id", "external_id", "form_id")
CREATE_FIELDS = {"examinee_info", "meta", *UUID_FIELDS}
INCLUDES = {
    "accommodations",
    "breakdown_objects",
    "cached_exam_settings",
    "change_logs",
    "content_area_breakdown",
    "exam",
    "examinee",
    "form",
    "item_responses",
    "logs",
    "score_token",
}
LIST_PARAMETERS = {"include", "modified_after", "modified_before", "only", "page", "per_page", "sort", "status"}
PER_PAGE, MOST_PER_PAGE = 30, 100

DEMO_SPONSOR = "0e4f6a52-90f3-4f0e-9a39-5d1c60c4f001"
YES_NO = ("yes", "no")
BROWSER_COOKIE = "scorpion_browser"
BROWSER_DAYS = 30


class ScorpionSimulator(Simulator):
    """The demo app's ID is DEMO_ID, its secret DEMO_SECRET, its token DEMO_TOKEN; it may create and view.

    DEMO_EXAM asks for First Name, Last Name and Email, all required. DEMO_EXAM_OTHER_FIELDS asks for firstName,
    lastName and Candidate ID, all required, and has an optional email. Each has two forms.
    """

    vendor = "scorpion"
    title = "Caveon Scorpion"
    default_port = 8101
    page_prefixes = ("/take", "/proctor/")

    DEMO_ID = "6f0f2c1e-7a55-4d39-8f0e-2b7b9f1a0001"
    DEMO_SECRET = "c2b1a9d4-3e6f-4b58-9c7d-5a4e8f2d0002"  # noqa: S105  published on purpose
    DEMO_TOKEN = base64.b64encode(f"{DEMO_ID}:{DEMO_SECRET}".encode()).decode()
    DEMO_EXAM = "b5a7c9d0-1f2e-4a3b-8c4d-000000000101"
    DEMO_EXAM_OTHER_FIELDS = "b5a7c9d0-1f2e-4a3b-8c4d-000000000202"
    DEMO_FORMS = ("f0a1b2c3-d4e5-4f60-8172-000000001011", "f0a1b2c3-d4e5-4f60-8172-000000001012")
    DEMO_FORMS_OTHER_FIELDS = ("f0a1b2c3-d4e5-4f60-8172-000000002021", "f0a1b2c3-d4e5-4f60-8172-000000002022")

    def seed(self) -> None:
        app = {
            "id": self.DEMO_ID,
            "secret": self.DEMO_SECRET,
            "token": self.DEMO_TOKEN,
            "expired_tokens": [],
            "permissions": ["create", "view"],
            "takes_accommodations": False,
            "takes_free_external_ids": False,
        }
        self.store.put("apps", self.DEMO_ID, app)
        widget = {"First Name": True, "Last Name": True, "Email": True}
        self._put_exam(self.DEMO_EXAM, "Certified Widget Inspector", widget, self.DEMO_FORMS)
        gadget = {"firstName": True, "lastName": True, "Candidate ID": True, "email": False}
        self._put_exam(self.DEMO_EXAM_OTHER_FIELDS, "Gadget Safety Basics", gadget, self.DEMO_FORMS_OTHER_FIELDS)

    def _put_exam(self, id: str, name: str, fields: Mapping[str, bool], forms: Iterable[str]) -> Document:
        exam: Document = {
            "id": id,
            "name": name,
            "sponsor_id": DEMO_SPONSOR,
            "app_ids": [self._app()["id"]],
            "examinee_schema": [{"key": key, "required": is_required} for key, is_required in fields.items()],
            "forms": [{"id": form, "name": f"Form {letter}"} for form, letter in zip(forms, LETTERS, strict=False)],
        }
        self.store.put("exams", id, exam)
        return exam

    def _app(self) -> Document:
        return self.store.all("apps")[0]

    def routes(self) -> Sequence[Route]:
        delivery = "/api/exams/{exam_id}/deliveries/{delivery_id}"
        return (
            Route("POST", "/api/exams/{exam_id}/deliveries", self._create),
            Route("GET", "/api/exams/{exam_id}/deliveries", self._list),
            Route("GET", delivery, self._read),
            Route("DELETE", delivery, self._delete),
            Route("GET", f"{delivery}/get_launch_token", self._launch_token),
            Route("GET", f"{delivery}/get_proctor_token", self._proctor_token),
            Route("GET", "/api/exams/{exam_id}", self._read_exam),
            *self._page_routes(),
        )

    def _page_routes(self) -> Sequence[Route]:
        return (
            *(Route(method, "/take", self._take) for method in ("GET", "HEAD")),
            *(Route(method, "/take/answers", self._back_to_take) for method in ("GET", "HEAD")),
            Route("POST", "/take/answers", self._answer),
            Route("POST", "/take/interruption", self._interrupt),
            *(Route(method, "/proctor/{token}", self._watch) for method in ("GET", "HEAD")),
            Route("POST", "/proctor/{token}/{act}", self._proctor),
        )

    def problem(self, status: int, message: str) -> Problem:
        return Problem(status, {"messages": [message]})

    # Who asks, and about what

    def _authorize(self, request: Request, permission: str) -> Document:
        scheme, _, token = request.header("authorization").partition(" ")
        if scheme != "Basic" or not token or token != token.strip() or " " in token:
            raise self.problem(401, "Missing or invalid authentication: send Authorization: Basic <token>.")
        found = self.store.find("apps", token=token)
        if not found:
            is_old = any(token in app["expired_tokens"] for app in self.store.all("apps"))
            raise self.problem(401, "Expired token." if is_old else "Invalid token.")
        if permission not in found[0]["permissions"]:
            raise self.problem(403, f"This app does not have the {permission} permission.")
        return found[0]

    def _exam(self, app: Document, exam_id: str) -> Document:
        exam = self._existing("exams", "exam", exam_id)
        if app["id"] not in exam["app_ids"]:
            raise self.problem(403, "This app is not integrated into the exam's project.")
        return exam

    def _delivery(self, app: Document, exam_id: str, delivery_id: str) -> Document:
        exam = self._exam(app, exam_id)
        delivery = self._existing("deliveries", "delivery", delivery_id)
        if delivery["exam_id"] != exam["id"]:
            raise self.problem(404, "No such delivery.")
        return delivery

    def _existing(self, kind: str, noun: str, id: str) -> Document:
        if not is_uuid(id):
            raise self.problem(400, f"{noun}_id is not a valid UUID.")
        found = self.store.get(kind, id.lower())
        if found is None:
            raise self.problem(404, f"No such {noun}.")
        return found

    # Creating a delivery

    def _create(self, request: Request, exam_id: str) -> Reply:
        app = self._authorize(request, "create")
        exam = self._exam(app, exam_id)
        body = self.read_object(request)
        self._check(app, exam, body)
        examinee = self._examinee(exam, body)
        form = str(body.get("form_id", "")).lower() or self._next_form(exam, examinee["id"])
        delivery = self._new_delivery(app, exam, examinee, body, form)
        self.store.put("examinees", examinee["id"], examinee)
        self.store.put("deliveries", delivery["id"], delivery)
        return Reply(
            json={
                "delivery_id": delivery["id"],
                "examinee_id": examinee["id"],
                "launch_token": delivery["launch_token"],
                "proctor_token": delivery["proctor_token"],
            }
        )

    def _check(self, app: Document, exam: Document, body: Document) -> None:
        messages = [
            *self._unknown_fields(app, body),
            *_examinee_info_messages(exam["examinee_schema"], body.get("examinee_info")),
            *_uuid_messages(app, body),
            *_object_messages(body),
        ]
        if messages:
            raise Problem(400, {"messages": messages})
        if "form_id" in body and body["form_id"].lower() not in {form["id"] for form in exam["forms"]}:
            raise self.problem(400, "form_id is not a form of this exam.")

    def _unknown_fields(self, app: Document, body: Document) -> list[str]:
        known = CREATE_FIELDS | ({"accommodations"} if app["takes_accommodations"] else set())
        return [f"Unknown field: {name}." for name in body if name not in known]

    def _examinee(self, exam: Document, body: Document) -> Document:
        """The examinee the request means: by examinee_id, else by external_id, else a new one."""
        external_id = _canonical(body.get("external_id"))
        found = (
            self._by_id(exam, body["examinee_id"]) if "examinee_id" in body else self._by_external(exam, external_id)
        )
        if found is None:
            found = {"id": str(uuid4()), "sponsor_id": exam["sponsor_id"], "external_id": None}
        if external_id and found["external_id"] not in (None, external_id):
            raise self.problem(400, "external_id belongs to another examinee than examinee_id.")
        return {**found, "external_id": external_id or found["external_id"], "info": body["examinee_info"]}

    def _by_id(self, exam: Document, examinee_id: str) -> Document:
        found = self.store.get("examinees", examinee_id.lower())
        if found is None or found["sponsor_id"] != exam["sponsor_id"]:
            raise self.problem(400, "examinee_id is not an examinee of this organization.")
        return found

    def _by_external(self, exam: Document, external_id: str | None) -> Document | None:
        if external_id is None:
            return None
        found = self.store.find("examinees", external_id=external_id, sponsor_id=exam["sponsor_id"])
        return found[0] if found else None

    def _next_form(self, exam: Document, examinee_id: str) -> str | None:
        """The form this examinee had least often: on a retake, an alternate form."""
        earlier = self.store.find("deliveries", exam_id=exam["id"], examinee_id=examinee_id)
        used = [delivery["form_id"] for delivery in earlier]
        forms = [form["id"] for form in exam["forms"]]
        return min(forms, key=used.count) if forms else None

    def _new_delivery(
        self, app: Document, exam: Document, examinee: Document, body: Document, form: str | None
    ) -> Document:
        now = self.clock().isoformat()
        return {
            **sitting.UNSTARTED,
            "id": str(uuid4()),
            "exam_id": exam["id"],
            "examinee_id": examinee["id"],
            "examinee_info": body["examinee_info"],
            "external_id": examinee["external_id"],
            "form_id": form,
            "meta": body.get("meta", {}),
            "accommodations": body.get("accommodations", {}),
            "created_at": now,
            "modified_at": now,
            "created_by_id": app["id"],
            "launch_token": secrets.token_urlsafe(24),
            "proctor_token": secrets.token_urlsafe(24),
        }

    # Reading, new tokens, deleting

    def _read_exam(self, request: Request, exam_id: str) -> Reply:
        exam = self._exam(self._authorize(request, "view"), exam_id)
        shown = {"id": exam["id"], "name": exam["name"], "examinee_schema": exam["examinee_schema"]}
        if "settings" in _names(request, "include"):
            shown["settings"] = {"examinee_schema": exam["examinee_schema"]}
        return Reply(json=_only(request, shown))

    def _list(self, request: Request, exam_id: str) -> Reply:
        exam = self._exam(self._authorize(request, "view"), exam_id)
        unknown = sorted({name for name, _ in request.query} - LIST_PARAMETERS)
        if unknown:
            raise self.problem(400, f"Unknown parameters: {', '.join(unknown)}.")
        page, per_page = self._positive(request, "page", 1), self._positive(request, "per_page", PER_PAGE)
        per_page = min(per_page, MOST_PER_PAGE)
        found = self._sorted(request, self._filtered(request, self.store.find("deliveries", exam_id=exam["id"])))
        shown = found[(page - 1) * per_page : page * per_page]
        results = [self._shown(request, exam, delivery) for delivery in shown]
        return Reply(json={"results": results, "total": len(found), "has_next": page * per_page < len(found)})

    def _positive(self, request: Request, name: str, default: int) -> int:
        text = request.first(name, str(default))
        if not (text.isascii() and text.isdigit() and int(text[:9]) > 0):
            raise self.problem(400, f"{name} must be a positive whole number.")
        return int(text[:9])

    def _filtered(self, request: Request, deliveries: list[Document]) -> list[Document]:
        status = request.first("status")
        after, before = self._moment(request, "modified_after"), self._moment(request, "modified_before")
        return [
            delivery
            for delivery in deliveries
            if (not status or delivery["status"] == status)
            and (after is None or datetime.fromisoformat(delivery["modified_at"]) > after)
            and (before is None or datetime.fromisoformat(delivery["modified_at"]) < before)
        ]

    def _moment(self, request: Request, name: str) -> datetime | None:
        text = request.first(name)
        try:
            moment = datetime.fromisoformat(text) if text else None
        except ValueError as error:
            raise self.problem(400, f"{name} must be a date and time.") from error
        return moment.replace(tzinfo=moment.tzinfo or UTC) if moment else None

    def _sorted(self, request: Request, deliveries: list[Document]) -> list[Document]:
        sort = request.first("sort", "created_at")
        key = sort.removeprefix("-")
        if key not in ("created_at", "modified_at"):
            raise self.problem(400, "sort must be created_at or modified_at.")
        return sorted(deliveries, key=lambda delivery: str(delivery[key]), reverse=sort.startswith("-"))

    def _read(self, request: Request, exam_id: str, delivery_id: str) -> Reply:
        app = self._authorize(request, "view")
        delivery = self._delivery(app, exam_id, delivery_id)
        return Reply(json=self._shown(request, self._exam(app, exam_id), delivery))

    def _shown(self, request: Request, exam: Document, delivery: Document) -> Document:
        includes = _names(request, "include")
        unknown = sorted(includes - INCLUDES)
        if unknown:
            raise self.problem(400, f"Unknown include: {', '.join(unknown)}.")
        delivery = sitting.UNSTARTED | delivery
        used = sitting.used_seconds(delivery, self.clock())
        parts: Document = {
            "accommodations": delivery["accommodations"],
            "exam": {"id": exam["id"], "name": exam["name"]},
            "examinee": self.store.get("examinees", delivery["examinee_id"]) if "examinee" in includes else None,
            "form": next((form for form in exam["forms"] if form["id"] == delivery["form_id"]), None),
            "item_responses": sitting.item_responses(delivery),
            "logs": delivery["events"],
        }
        shown = {key: value for key, value in delivery.items() if key not in HIDDEN_FIELDS}
        shown["used_seconds"] = int(used) if delivery["started_at"] else None
        return _only(request, shown | {name: parts.get(name, []) for name in sorted(includes)})

    def _launch_token(self, request: Request, exam_id: str, delivery_id: str) -> Reply:
        delivery = sitting.UNSTARTED | self._delivery(self._authorize(request, "view"), exam_id, delivery_id)
        token = secrets.token_urlsafe(24)
        self._keep(sitting.reissue(delivery, self.clock(), token=token))
        return Reply(json={"launch_token": token})

    def _proctor_token(self, request: Request, exam_id: str, delivery_id: str) -> Reply:
        delivery = self._delivery(self._authorize(request, "proctor"), exam_id, delivery_id)
        return Reply(json={"proctor_token": delivery["proctor_token"]})

    def _delete(self, request: Request, exam_id: str, delivery_id: str) -> Reply:
        delivery = self._delivery(self._authorize(request, "delete"), exam_id, delivery_id)
        self.store.delete("deliveries", delivery["id"])
        return Reply(204)

    def _keep(self, delivery: Document) -> Document:
        self.store.put("deliveries", delivery["id"], delivery)
        return delivery

    # What a candidate opens

    def _take(self, request: Request) -> Reply:
        """The vendor's secure mode: any visit uses the token, and only the browser that came first may come back."""
        delivery = self._with("launch_token", request.first("launch_token"))
        if delivery is None:
            return pages.invalid_launch_token()
        browser = _browser(request)
        if not delivery["is_launch_token_used"]:
            browser = browser or secrets.token_urlsafe(24)
            delivery = self._keep(sitting.enter(delivery, self.clock(), browser=browser))
        if not browser or browser != delivery["browser"]:
            self._keep(sitting.refuse_browser(delivery, self.clock()))
            return pages.invalid_launch_token()
        shown = pages.take(self._name(delivery), delivery)
        return replace(shown, headers={**shown.headers, "Set-Cookie": _cookie(browser)})

    def _with(self, kind_of_token: str, token: str) -> Document | None:
        found = self.store.find("deliveries", **{kind_of_token: token}) if token else []
        return sitting.UNSTARTED | found[0] if found else None

    def _name(self, delivery: Document) -> str:
        exam = self.store.get("exams", delivery["exam_id"]) or {}
        return str(exam.get("name", ""))

    def _back_to_take(self, request: Request) -> Reply:
        return Reply(303, headers={"Location": f"/take?launch_token={quote(request.first('launch_token'))}"})

    def _sat_here(self, request: Request) -> Document | None:
        """The delivery whose exam this browser has open."""
        delivery = self._with("launch_token", request.first("launch_token"))
        browser = _browser(request)
        return delivery if delivery and browser and delivery["browser"] == browser else None

    def _answer(self, request: Request) -> Reply:
        delivery = self._sat_here(request)
        if delivery is None:
            return pages.invalid_launch_token()
        if delivery["status"] != sitting.IN_PROGRESS:
            return self._back_to_take(request)
        form = _form(request)
        # While the exam is paused, what was written when the pause began is kept, but nothing is submitted.
        delivery = self._keep(sitting.save(delivery, self.clock(), given=form))
        intent = "" if delivery["is_paused"] else form.get("intent", "")
        if intent == "submit" and sitting.unanswered(delivery):
            return pages.take(self._name(delivery), delivery, asks_for_missing=True)
        if intent in ("submit", "submit_anyway"):
            self._keep(sitting.submit(delivery, self.clock()))
        return self._back_to_take(request)

    def _interrupt(self, request: Request) -> Reply:
        delivery = self._sat_here(request)
        if delivery is None:
            return pages.invalid_launch_token()
        if delivery["status"] == sitting.IN_PROGRESS:
            self._keep(sitting.interrupt(delivery, self.clock()))
        return self._back_to_take(request)

    # What a proctor opens

    def _watch(self, request: Request, token: str) -> Reply:
        delivery = self._with("proctor_token", token)
        if delivery is None:
            return pages.invalid_proctor_token()
        return pages.proctor(self._name(delivery), delivery, now=self.clock())

    def _proctor(self, request: Request, token: str, act: str) -> Reply:
        delivery = self._with("proctor_token", token)
        if delivery is None or act not in sitting.ACTS:
            return pages.invalid_proctor_token()
        if act not in sitting.possible_acts(delivery):
            return pages.proctor(self._name(delivery), delivery, now=self.clock(), refused=act)
        self._keep(sitting.ACTS[act](delivery, self.clock()))
        return Reply(303, headers={"Location": f"/proctor/{quote(token)}"})

    # What an administrator does at the vendor

    def controls(self) -> Sequence[Control]:
        return (
            Control(
                "regenerate_credentials",
                "Get API credentials",
                "New credentials for the demo app; the token in use until now stops working at once.",
                self._regenerate,
            ),
            Control(
                "set_permission",
                "Set a permission",
                "Grants or withdraws one permission of the demo app.",
                self._set_permission,
                (
                    Parameter("permission", "Permission", "create", PERMISSIONS),
                    Parameter("is_granted", "Granted", "yes", YES_NO),
                ),
            ),
            self._switch("accommodations", "Accept accommodations", "takes_accommodations"),
            self._switch("free_external_ids", "Accept external ids that are no UUIDs", "takes_free_external_ids"),
            Control(
                "add_exam",
                "Add an exam",
                "An exam with its own examinee fields, separated by commas; a * marks a required one.",
                self._add_exam,
                (
                    Parameter("name", "Name", "Practice Exam"),
                    Parameter("fields", "Examinee fields", "First Name*, Last Name*, Email"),
                    Parameter("forms", "Number of forms", "2", tuple("123456789")),
                ),
            ),
            Control(
                "interrupt_exam",
                "Interrupt an exam",
                "Breaks an exam under way off; the proctor must restart it, or a new launch token is needed.",
                self._interrupt_exam,
                (Parameter("delivery_id", "Delivery"),),
            ),
            Control(
                "set_delivery",
                "Change a delivery",
                "Sets the status of a delivery and, if given, its score.",
                self._set_delivery,
                (
                    Parameter("delivery_id", "Delivery"),
                    Parameter("status", "Status", "complete"),
                    Parameter("score", "Score", is_required=False),
                ),
            ),
            *super().controls(),
        )

    def _switch(self, name: str, title: str, field: str) -> Control:
        def act(values: Mapping[str, str]) -> Document:
            app = {**self._app(), field: values["is_on"] == "yes"}
            self.store.put("apps", app["id"], app)
            return {field: app[field]}

        parameter = Parameter("is_on", "On", "yes", YES_NO)
        return Control(f"set_{name}", title, "A switch of the demo app; off at first.", act, (parameter,))

    def _regenerate(self, values: Mapping[str, str]) -> Document:
        app, secret = self._app(), str(uuid4())
        token = base64.b64encode(f"{app['id']}:{secret}".encode()).decode()
        expired = [*app["expired_tokens"], app["token"]]
        self.store.put("apps", app["id"], {**app, "secret": secret, "token": token, "expired_tokens": expired})
        return {"id": app["id"], "secret": secret, "token": token, "authorization": f"Basic {token}"}

    def _set_permission(self, values: Mapping[str, str]) -> Document:
        app = self._app()
        permissions = set(app["permissions"]) - {values["permission"]}
        if values["is_granted"] == "yes":
            permissions.add(values["permission"])
        self.store.put("apps", app["id"], {**app, "permissions": [name for name in PERMISSIONS if name in permissions]})
        return {"permissions": self._app()["permissions"]}

    def _add_exam(self, values: Mapping[str, str]) -> Document:
        named = [name.strip() for name in values["fields"].split(",") if name.strip()]
        fields = {name.removesuffix("*").strip(): name.endswith("*") for name in named}
        forms = [str(uuid4()) for _ in range(int(values["forms"]))]
        exam = self._put_exam(str(uuid4()), values["name"], fields, forms)
        return {"exam_id": exam["id"], "form_ids": ", ".join(forms)}

    def _interrupt_exam(self, values: Mapping[str, str]) -> Document:
        delivery = sitting.UNSTARTED | self._existing("deliveries", "delivery", values["delivery_id"])
        if delivery["status"] != sitting.IN_PROGRESS:
            raise self.problem(400, "This exam is not under way.")
        self._keep(sitting.interrupt(delivery, self.clock()))
        return {"delivery_id": delivery["id"], "status": sitting.INTERRUPTED}

    def _set_delivery(self, values: Mapping[str, str]) -> Document:
        delivery = sitting.UNSTARTED | self._existing("deliveries", "delivery", values["delivery_id"])
        try:
            score = float(values["score"]) if values["score"] else delivery["score"]
        except ValueError as error:
            raise self.problem(400, "score must be a number.") from error
        self._keep(sitting.set_status(delivery, self.clock(), status=values["status"], score=score))
        return {"delivery_id": delivery["id"], "status": values["status"]}


LETTERS = "ABCDEFGHI"
TOKEN = re.compile(r"[A-Za-z0-9_-]{32}")
HIDDEN_FIELDS = {
    "accommodations",
    "answers",
    "browser",
    "events",
    "examinee_info",
    "external_id",
    "is_launch_token_used",
    "last_activity_at",
    "launch_token",
    "proctor_token",
    "running_since",
}


def _examinee_info_messages(schema: Sequence[Document], info: Any) -> list[str]:
    if not isinstance(info, dict):
        return ["examinee_info is required and must be an object."]
    known = {field["key"] for field in schema}
    required = [field["key"] for field in schema if field["required"]]
    return [
        *(f"Unknown examinee_info field: {key}." for key in info if key not in known),
        *(f"examinee_info.{key} must be text." for key, value in info.items() if not isinstance(value, str)),
        *(f"examinee_info.{key} is required." for key in required if info.get(key, "") == ""),
    ]


def _uuid_messages(app: Document, body: Document) -> list[str]:
    return [
        f"{name} is not a valid UUID."
        for name in UUID_FIELDS
        if name in body and not is_uuid(body[name]) and not _is_free_text(app, name, body[name])
    ]


def _canonical(external_id: str | None) -> str | None:
    return external_id.lower() if external_id and is_uuid(external_id) else external_id


def _is_free_text(app: Document, name: str, value: Any) -> bool:
    return name == "external_id" and bool(app["takes_free_external_ids"]) and isinstance(value, str) and value != ""


def _object_messages(body: Document) -> list[str]:
    messages = [
        f"{name} must be an object." for name in ("meta", "accommodations") if not isinstance(body.get(name, {}), dict)
    ]
    if messages or "accommodations" not in body:
        return messages
    given = body["accommodations"]
    messages = [f"Unknown accommodation: {name}." for name in given if name != "time_limit"]
    limit = given.get("time_limit", 1)
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        messages.append("accommodations.time_limit must be a whole number of seconds.")
    return messages


def _names(request: Request, parameter: str) -> set[str]:
    return {name for value in request.values(parameter) for name in value.split(",") if name}


def _only(request: Request, shown: Document) -> Document:
    names = _names(request, "only")
    return {key: value for key, value in shown.items() if key in names} if names else shown


def _form(request: Request) -> dict[str, str]:
    return dict(parse_qsl(request.body.decode("utf-8", errors="replace"), keep_blank_values=True))


def _browser(request: Request) -> str:
    """The fingerprint of this browser: what its cookie says, "" where it has none."""
    # Other services of the same host share its cookies, some in forms that a strict parser gives up at.
    pairs = (pair.strip().partition("=") for pair in request.header("cookie").split(";"))
    return next((value for name, _, value in pairs if name == BROWSER_COOKIE and TOKEN.fullmatch(value)), "")


def _cookie(browser: str) -> str:
    return f"{BROWSER_COOKIE}={browser}; Path=/take; Max-Age={BROWSER_DAYS * 86_400}; HttpOnly; SameSite=Lax"
