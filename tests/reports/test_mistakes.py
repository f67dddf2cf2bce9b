"""Counts of missed pictures and false alarms are those of the matrix, and name their classes."""

import numpy as np

from regraft.reports.mistakes import CLASSES_COUNTED, Counted, counted

TWO = np.array([[40, 3], [1, 56]])


def test_of_two_classes_none_is_the_positive_one_unless_it_is_looked_for() -> None:
    assert counted(TWO, ["infected", "healthy"]) == [
        Counted(3, 43, "infected called healthy"),
        Counted(1, 57, "healthy called infected"),
    ]
    assert counted(TWO, ["infected", "healthy"], "healthy") == [
        Counted(1, 57, "healthy missed"),
        Counted(3, 43, "infected called healthy: false alarms"),
    ]


def test_of_many_classes_those_with_the_most_mistakes_are_counted() -> None:
    matrix = np.diag([9, 9, 9, 9, 9])
    matrix[4, 0], matrix[4, 1], matrix[2, 0] = 5, 2, 1
    found = counted(matrix, list("abcde"))
    assert len(found) == 2 * CLASSES_COUNTED
    assert found[:4] == [
        Counted(7, 16, "e missed"),
        Counted(0, 37, "others called e"),
        Counted(0, 9, "a missed"),
        Counted(6, 44, "others called a"),
    ]


def test_a_class_that_was_not_tested_has_no_count() -> None:
    assert counted(np.array([[5, 2], [0, 0]]), ["a", "b"]) == [Counted(2, 7, "a called b")]
