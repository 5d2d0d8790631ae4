"""A vendor's results of any shape are shown or left out, and never break a page."""

from __future__ import annotations

from typing import Any

import pytest

from proctoring.questions import points, questions_of, safe_html


def results(**question: Any) -> dict[str, Any]:
    options = [{"index": 0, "content": "yes"}, {"index": 1, "content": "no"}]
    return {"items": [{"id": "i-1", "questions": [{"id": "q-1", "options": options, **question}]}]}


class TestQuestions:
    @pytest.mark.parametrize("index", [[], {}, [1], "1", None, 1.5, True])
    def test_leave_out_a_key_that_names_no_option(self, index: Any) -> None:
        (question,) = questions_of(results(keys=[{"index": index}, {"index": 1}]))

        assert [option.is_key for option in question.options] == [False, True]

    def test_show_a_response_of_another_shape_with_what_cannot_be_encoded_replaced(self) -> None:
        (question,) = questions_of(results(response={"text": "a\ud800b"}))

        assert question.raw == '{"text": "a\ufffdb"}'

    @pytest.mark.parametrize("score", [{"max": 10**400}, {"max": "2"}, [], None, {"max": None}])
    def test_say_nothing_of_a_score_that_is_none(self, score: Any) -> None:
        assert points(score) == ""

    def test_say_that_there_is_no_score_where_it_is_beyond_all_measure(self) -> None:
        assert points({"max": 2, "actual": 10**400}) == "no score of 2"


class TestSafeHtml:
    def test_shows_what_cannot_be_encoded_as_a_replacement(self) -> None:
        assert safe_html("<p>a\ud800b\0</p>") == "<p>a\ufffdb\ufffd</p>"
