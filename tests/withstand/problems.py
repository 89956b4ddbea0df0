"""What an answer to a hostile request may look like."""

from __future__ import annotations

import re

from tests.withstand.served import PROBLEM, Answer

# Nothing of how it is made may show: no statement, no traceback, no names of constraints, drivers or classes.
INSIDES = re.compile(
    r"SELECT |INSERT |UPDATE |DELETE FROM|WHERE |Traceback|sqlalchemy|asyncpg|sqlite|pydantic|\.py\b|<class|object at 0x"
    r"|(pk|fk|uq|ck|ix)_[a-z]+|violates|constraint"
)
WORD = re.compile(r"[a-z][a-z0-9_]*")


def refused(answer: Answer) -> Answer:
    """Assert that the caller is told what is wrong, as a problem that shows nothing of the inside."""
    assert 400 <= answer.status < 500, (answer.status, answer.content[:500])
    check_problem(answer)
    return answer


def check_problem(answer: Answer) -> None:
    """Assert that a body is a problem, and that validation names each place."""
    assert answer.headers["content-type"] == PROBLEM
    problem = answer.json()
    assert problem["status"] == answer.status
    assert WORD.fullmatch(problem["code"])
    assert problem["detail"].endswith((".", "?"))
    assert problem["request_id"] == answer.headers["x-request-id"]
    words = [problem["title"], problem["detail"], *(error["message"] for error in problem.get("errors", ()))]
    assert not INSIDES.search(" ".join(words)), words
    if answer.status in (409, 422):
        assert problem["errors"]
    for error in problem.get("errors", ()):
        assert error["loc"][0] in ("path", "query", "header", "body")
        assert WORD.fullmatch(error["code"])
        assert error["message"]
    # Whatever the caller sent, the answer to it stays small.
    assert len(answer.content) < 20_000
    assert ("retry-after" in answer.headers) == (answer.status in (429, 503))
    assert ("www-authenticate" in answer.headers) == (answer.status == 401)


def fine(answer: Answer) -> Answer:
    """Assert that the request was served."""
    assert 200 <= answer.status < 300, (answer.status, answer.content[:500])
    return answer


def not_broken(answer: Answer) -> Answer:
    """Assert that the request was served, redirected, or refused as it should be."""
    return refused(answer) if answer.status >= 400 else answer
