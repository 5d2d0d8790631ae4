from __future__ import annotations

import json
from pathlib import Path

import pytest

from proctoring.sandbox.simulator import Problem, Reply, Request, Route, Store, is_uuid
from tests.sandbox.counter import CounterSimulator


def counter() -> CounterSimulator:
    return CounterSimulator(Store(), base_url="http://counter.test")


class TestRequest:
    def test_keeps_repeated_and_empty_parameters_in_order(self) -> None:
        request = Request("GET", "/", "a=1&b=&a=%C3%A9+x")

        assert request.query == (("a", "1"), ("b", ""), ("a", "é x"))
        assert request.values("a") == ("1", "é x")
        assert request.first("missing", "-") == "-"

    @pytest.mark.parametrize("body", [b"", b"{", b'{"a": NaN}', b'{"a": 1, "a": 2}', b"\xff", b"[" * 100_000])
    def test_refuses_a_body_that_is_not_json(self, body: bytes) -> None:
        with pytest.raises(Problem) as problem:
            Request("POST", "/", body=body).json()

        assert problem.value.reply.status == 400


class TestReply:
    def test_chooses_the_content_type_by_what_it_holds(self) -> None:
        assert Reply(json=[]).content_type() == "application/json"
        assert Reply(text="").content_type() == "text/html; charset=utf-8"
        assert Reply(204).content_type() == ""
        assert Reply(text="a,b", headers={"Content-Type": "text/csv"}).content_type() == "text/csv"

    def test_writes_a_lone_surrogate_as_json_does_and_as_a_question_mark_in_text(self) -> None:
        assert json.loads(Reply(json={"name": "é\ud800"}).body()) == {"name": "é\ud800"}
        assert Reply(text="é\ud800").body() == "é?".encode()


class TestRoute:
    def test_decodes_the_parts_and_takes_no_slash_for_one(self) -> None:
        route = Route("GET", "/a.b/{first}/{second}", lambda: Reply())

        assert route.match("/a.b/x%2Fy/z") == {"first": "x/y", "second": "z"}
        assert route.match("/aXb/x/z") is None
        assert route.match("/a.b/x/y/z") is None


class TestStore:
    def test_keeps_the_order_of_arrival_when_a_document_is_replaced(self) -> None:
        store = Store()
        store.put("thing", "b", {"n": 1})
        store.put("thing", "a", {"n": 2})

        store.put("thing", "b", {"n": 3})

        assert store.all("thing") == [{"n": 3}, {"n": 2}]

    def test_returns_copies(self) -> None:
        store = Store()
        store.put("thing", "a", {"parts": [{"n": 1}]})

        found = store.get("thing", "a")
        assert found is not None
        found["parts"][0]["n"] = 2

        assert store.get("thing", "a") == {"parts": [{"n": 1}]}

    def test_finds_by_fields(self) -> None:
        store = Store()
        store.put("thing", "a", {"id": "a", "colour": "red", "size": 1})
        store.put("thing", "b", {"id": "b", "colour": "red", "size": 2})

        assert [found["id"] for found in store.find("thing", colour="red", size=2)] == ["b"]
        assert store.find("nothing", colour="red") == []

    def test_finds_in_the_order_of_arrival_as_documents_change(self) -> None:
        store = Store()
        for id in "abc":
            store.put("thing", id, {"id": id, "colour": "red", "size": None})
        store.find("thing", colour="red")

        store.put("thing", "a", {"id": "a", "colour": "blue"})
        store.put("thing", "a", {"id": "a", "colour": "red"})
        store.put("thing", "b", {"id": "b", "colour": "blue"})
        store.delete("thing", "missing")

        assert [found["id"] for found in store.find("thing", colour="red")] == ["a", "c"]
        assert [found["id"] for found in store.find("thing", colour="red", size=None)] == ["a", "c"]
        assert [found["id"] for found in store.find("thing", colour="blue")] == ["b"]
        store.delete("thing", "b")
        assert store.find("thing", colour="blue") == []
        store.clear()
        assert store.find("thing", colour="red") == []

    def test_survives_being_opened_again(self, tmp_path: Path) -> None:
        path = tmp_path / "store.sqlite3"
        store = Store(path)
        store.put("thing", "b", {"n": 1})
        store.put("thing", "a", {"n": 2})
        store.put("thing", "gone", {"n": 3})
        store.delete("thing", "gone")
        store.close()

        again = Store(path)

        assert again.all("thing") == [{"n": 1}, {"n": 2}]
        assert again.kinds() == ["thing"]

    def test_is_empty_once_cleared(self, tmp_path: Path) -> None:
        store = Store(tmp_path / "store.sqlite3")
        store.put("thing", "a", {})

        store.clear()
        store.close()

        assert Store(tmp_path / "store.sqlite3").is_empty()


class TestSimulator:
    def test_answers_404_for_an_unknown_address_and_405_for_a_wrong_method(self) -> None:
        simulator = counter()

        assert simulator.answer(Request("GET", "/nothing")).status == 404
        wrong = simulator.answer(Request("DELETE", "/things"))
        assert (wrong.status, wrong.headers) == (405, {"Allow": "POST"})

    def test_answers_with_the_reply_of_a_problem(self) -> None:
        request = Request("POST", "/things", headers={"content-type": "application/json"}, body=b"{}")

        assert counter().answer(request) == Reply(422, json={"message": "id is required"})

    def test_refuses_a_body_that_does_not_say_that_it_is_json(self) -> None:
        assert counter().answer(Request("POST", "/things", body=b'{"id": "a"}')).status == 415

    def test_clears_everything_and_seeds_again(self) -> None:
        simulator = counter()
        simulator.store.put("things", "a", {"id": "a"})

        simulator.control("clear", {})

        assert simulator.state() == {"accounts": [{"id": "demo", "name": "<Demo>"}]}

    @pytest.mark.parametrize(
        ("name", "values", "status"),
        [
            ("missing", {}, 404),
            ("paint", {"colour": "green"}, 400),
            ("paint", {"colour": ""}, 400),
            ("paint", {"shade": "red"}, 400),
        ],
    )
    def test_refuses_controls_and_values_it_does_not_have(self, name: str, values: dict[str, str], status: int) -> None:
        with pytest.raises(Problem) as problem:
            counter().control(name, values)

        assert problem.value.reply.status == status

    def test_takes_a_default_for_a_value_not_given(self) -> None:
        assert counter().control("paint", {}) == {"painted": "red"}


class TestIsUuid:
    def test_takes_only_the_written_form_with_hyphens(self) -> None:
        assert is_uuid("40cabced-6377-41cf-9020-befd582fa956")
        assert is_uuid("40CABCED-6377-41CF-9020-BEFD582FA956")
        assert not is_uuid("40cabced637741cf9020befd582fa956")
        assert not is_uuid("40cabced-6377-41cf-9020-befd582fa956\n")
        assert not is_uuid(None)
