"""A vendor made up for these tests: it counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from proctoring.sandbox.simulator import Control, Document, Parameter, Problem, Reply, Request, Route, Simulator


class CounterSimulator(Simulator):
    vendor = "counter"
    title = "Counter & Co"
    default_port = 0
    page_prefixes = ("/page",)

    def seed(self) -> None:
        self.store.put("accounts", "demo", {"id": "demo", "name": "<Demo>"})

    def routes(self) -> Sequence[Route]:
        return (
            Route("POST", "/things", self._add),
            Route("GET", "/things/{id}", self._read),
            Route("POST", "/defect", self._defect),
        )

    def page(self, request: Request) -> Reply | None:
        return Reply(text="<h1>Page</h1>") if request.path == "/page" else None

    def controls(self) -> Sequence[Control]:
        parameter = Parameter("colour", "Colour", "red", ("red", "blue"))
        return (Control("paint", "Paint", "Paints the demo account.", self._paint, (parameter,)), *super().controls())

    def _add(self, request: Request) -> Reply:
        values = self.read_object(request)
        if "id" not in values:
            raise Problem(422, {"message": "id is required"})
        self.store.put("things", values["id"], values)
        return Reply(201, json={"id": values["id"], "made": True})

    def _read(self, request: Request, id: str) -> Reply:
        return Reply(json={"id": id, "colours": list(request.values("colour"))})

    def _defect(self, request: Request) -> Reply:
        raise RuntimeError("a defect of the simulator")

    def _paint(self, values: Mapping[str, str]) -> Document:
        self.store.put("accounts", "demo", {"id": "demo", "name": "<Demo>", **values})
        return {"painted": values["colour"]}
