from __future__ import annotations

import pytest

from ssm_cli.behaviour.reasons import (
    KILLED,
    NOPROC,
    NORMAL,
    SHUTDOWN,
    Crash,
    ExitReason,
    FailedToStart,
    Other,
    Shutdown,
    is_abnormal,
    plain,
    reason_of,
    term_of,
)


@pytest.mark.parametrize(
    ("value", "reason", "shown"),
    [
        ("normal", NORMAL, "normal"),
        (None, NORMAL, "normal"),
        ("shutdown", SHUTDOWN, "shutdown"),
        ({"shutdown": "x"}, Shutdown("x"), "shutdown:x"),
        (("shutdown", "x"), Shutdown("x"), "shutdown:x"),
        ("oops", Other("oops"), "stop:oops"),
        ({"a": 1, "shutdown": 2}, Shutdown(2), "shutdown:2"),
        (7, Other(7), "stop:7"),
        (KILLED, KILLED, "killed"),
        (NOPROC, NOPROC, "noproc"),
    ],
)
def test_plain_values_stand_for_reasons(value: object, reason: ExitReason, shown: str) -> None:
    assert reason_of(value) == reason
    assert str(reason_of(value)) == shown


def test_an_exception_is_a_crash_of_its_kind() -> None:
    error = ValueError("x")
    assert reason_of(error) == Crash(error)
    assert [str(Crash(error, kind)) for kind in ("crash", "step_timeout", "bad_return_value")] == [
        "crash", "step_timeout", "bad_return_value",
    ]  # fmt: skip


@pytest.mark.parametrize("reason", [NORMAL, SHUTDOWN, Shutdown("x"), Shutdown(None)])
def test_normal_and_shutdown_in_either_form_are_not_abnormal(reason: ExitReason) -> None:
    assert not is_abnormal(reason)


@pytest.mark.parametrize("reason", [KILLED, NOPROC, Crash(ValueError()), Other("normal")])
def test_all_other_reasons_are_abnormal(reason: ExitReason) -> None:
    assert is_abnormal(reason)


@pytest.mark.parametrize(
    ("reason", "term"),
    [
        (NORMAL, "normal"),
        (Shutdown("x"), {"shutdown": "x"}),
        (Other({"a": 1}), {"a": 1}),
        (Crash(ValueError("x")), "crash"),
        (
            Shutdown(FailedToStart("a", Shutdown(FailedToStart("b", Other("no"))))),
            {
                "shutdown": {
                    "failed_to_start_child": [
                        "a",
                        {"shutdown": {"failed_to_start_child": ["b", "no"]}},
                    ]
                }
            },
        ),
    ],
)
def test_terms_are_plain_values(reason: ExitReason, term: object) -> None:
    assert term_of(reason) == term


def test_terms_are_shown_in_at_most_two_hundred_characters() -> None:
    assert plain("x" * 200) == "x" * 200
    assert len(plain("x" * 201)) == 200
    assert plain("x" * 201).endswith("x…")


def test_a_term_that_cannot_be_shown_does_not_hurt() -> None:
    class Mute:
        def __str__(self) -> str:
            raise RuntimeError

    assert str(Other(Mute())) == "stop:<Mute that cannot be shown: RuntimeError>"
