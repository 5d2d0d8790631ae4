"""What every port answers below `/_sandbox`: a vendor's state, faults, requests, load and controls, and their page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol
from urllib.parse import parse_qsl

from proctoring.sandbox import pages
from proctoring.sandbox.faults import Fault, FaultPlan
from proctoring.sandbox.simulator import Document, Problem, Reply, Request, Simulator
from proctoring.sandbox.traffic import Traffic

PREFIX = "/_sandbox"


class Vendor(Protocol):
    """One simulated vendor as the console sees it."""

    simulator: Simulator
    faults: FaultPlan
    traffic: Traffic
    notice: str

    def state(self) -> dict[str, list[Document]]: ...
    def control(self, name: str, values: Mapping[str, str]) -> Document: ...
    def set_fault(self, values: Mapping[str, Any]) -> Fault: ...
    def clear_faults(self, number: int | None = None) -> None: ...


def respond(vendor: Vendor, request: Request, *, home: str) -> Reply:
    """Answers a request below `home`, the console's own path. Raises Problem."""
    if not request.path.startswith(home):
        raise Problem(404, {"message": "There is nothing at this address."})
    if request.header("sec-fetch-site") == "cross-site" and request.method != "GET":
        raise Problem(403, {"message": "Another web site may not change the sandbox."})
    place = request.path.removeprefix(home).strip("/")
    name, _, rest = place.partition("/")
    answer = ANSWERS.get((request.method, name))
    if answer is None:
        raise Problem(404, {"message": "There is nothing at this address."})
    if not place:
        return _page(vendor, home)
    found = answer(vendor, request, rest)
    return Reply(303, headers={"Location": f"{home}/"}) if _is_form(request) else found


def index(vendors: Iterable[Vendor]) -> Reply:
    return Reply(text=pages.index((vendor.simulator, vendor.faults.all()) for vendor in vendors))


def _page(vendor: Vendor, home: str) -> Reply:
    notice, vendor.notice = vendor.notice, ""
    view = pages.View(
        home=home,
        simulator=vendor.simulator,
        notice=notice,
        state=vendor.state(),
        faults=vendor.faults.all(),
        requests=vendor.traffic.requests(),
    )
    return Reply(text=pages.vendor(view))


def _home(vendor: Vendor, request: Request, rest: str) -> Reply:
    raise Problem(404)


def _state(vendor: Vendor, request: Request, rest: str) -> Reply:
    return Reply(json=vendor.state())


def _requests(vendor: Vendor, request: Request, rest: str) -> Reply:
    return Reply(json=vendor.traffic.requests())


def _load(vendor: Vendor, request: Request, rest: str) -> Reply:
    return Reply(json=vendor.traffic.load())


def _forget(vendor: Vendor, request: Request, rest: str) -> Reply:
    vendor.traffic.clear()
    return Reply(204)


def _faults(vendor: Vendor, request: Request, rest: str) -> Reply:
    return Reply(json={"faults": [fault.as_json() for fault in vendor.faults.all()]})


def _set_fault(vendor: Vendor, request: Request, rest: str) -> Reply:
    if rest == "clear":
        return _clear_faults(vendor, request, rest)
    try:
        fault = vendor.set_fault(_values(request))
    except ValueError as error:
        raise Problem(400, {"message": str(error)}) from error
    return Reply(201, json=fault.as_json())


def _clear_faults(vendor: Vendor, request: Request, rest: str) -> Reply:
    number = request.first("number") or (_values(request).get("number", "") if request.body else "")
    if number and not str(number).isdigit():
        raise Problem(400, {"message": "number must be a fault's number."})
    vendor.clear_faults(int(number) if number else None)
    return Reply(204)


def _control(vendor: Vendor, request: Request, rest: str) -> Reply:
    answered = vendor.control(rest, {key: str(value) for key, value in _values(request).items()})
    if _is_form(request):
        vendor.notice = "\n".join(f"{key}: {value}" for key, value in answered.items())
    return Reply(json=answered)


def _values(request: Request) -> dict[str, Any]:
    """The values of a form or a JSON object; an empty body is an empty object."""
    if _is_form(request):
        return dict(parse_qsl(request.body.decode("utf-8", errors="replace")))
    values = request.json() if request.body.strip() else {}
    if not isinstance(values, dict):
        raise Problem(400, {"message": "A JSON object is expected."})
    return values


def _is_form(request: Request) -> bool:
    return request.method == "POST" and request.content_type == "application/x-www-form-urlencoded"


ANSWERS: Mapping[tuple[str, str], Callable[[Vendor, Request, str], Reply]] = {
    ("GET", ""): _home,
    ("GET", "state"): _state,
    ("GET", "requests"): _requests,
    ("DELETE", "requests"): _forget,
    ("GET", "load"): _load,
    ("DELETE", "load"): _forget,
    ("GET", "faults"): _faults,
    ("POST", "faults"): _set_fault,
    ("DELETE", "faults"): _clear_faults,
    ("POST", "controls"): _control,
}
