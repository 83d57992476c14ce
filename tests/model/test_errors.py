import pytest

from proxy.model.errors import ConfigError, Problem


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("a.b", "wrong", "f.yaml", 3), "f.yaml:3: a.b: wrong"),
        (Problem("a.b", "wrong", "", 3), "a.b: wrong, line 3"),
        (Problem("a.b", "wrong", "f.yaml"), "a.b: wrong"),
        (Problem("", "wrong", "f.yaml", 3), "f.yaml:3: wrong"),
    ],
)
def test_problem(problem: Problem, text: str) -> None:
    assert str(problem) == text
    assert str(ConfigError([problem, problem])) == f"{text}\n{text}"
