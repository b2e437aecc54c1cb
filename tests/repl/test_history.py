from __future__ import annotations

from pathlib import Path

import pytest

from ssm_cli.repl.prompt import history
from ssm_cli.repl.prompt.history import PersistentHistory, history_path


def kept(path: Path) -> list[str]:
    """What a new session finds, oldest first."""
    notices: list[str] = []
    found = list(PersistentHistory(path, notices.append).load_history_strings())
    assert notices == []
    return found[::-1]


def written(path: Path, *lines: str) -> None:
    store = PersistentHistory(path, pytest.fail)
    for line in lines:
        store.store_string(line)


def test_commands_are_found_again_newest_first(tmp_path: Path) -> None:
    path = tmp_path / "ssm" / "history"
    written(path, "kv1 Store x 1", "kv1 Lookup é数")
    written(path, "tree")
    assert kept(path) == ["kv1 Store x 1", "kv1 Lookup é数", "tree"]
    assert path.read_text().splitlines()[0] == "kv1 Store x 1"


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "ssm" / "history"
    written(path, "kv1 Store password 1")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0


def test_no_file_is_no_history_and_no_complaint(tmp_path: Path) -> None:
    assert kept(tmp_path / "ssm" / "history") == []


def test_a_torn_last_line_does_not_swallow_the_next(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_bytes(b"tree\nkv1 Sto")
    written(path, "log")
    assert kept(path) == ["tree", "kv1 Sto", "log"]


def test_bytes_that_are_no_text_do_not_hurt(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_bytes(b"\xff\xfe\x00tree\nlog\n")
    assert kept(path)[-1] == "log"


def test_the_file_is_trimmed_to_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "KEPT_LINES", 3)
    path = tmp_path / "history"
    written(path, *(f"line {i}" for i in range(10)))
    assert kept(path) == ["line 7", "line 8", "line 9"]
    assert path.read_text() == "line 7\nline 8\nline 9\n"
    assert [file.name for file in tmp_path.iterdir()] == ["history"]


def test_of_a_huge_file_only_the_end_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "READ_BYTES", 20)
    path = tmp_path / "history"
    path.write_text("".join(f"line {i}\n" for i in range(100)))
    assert kept(path) == ["line 98", "line 99"]


def test_what_is_too_long_or_of_several_lines_is_not_kept(tmp_path: Path) -> None:
    path = tmp_path / "history"
    written(path, "tree", "x" * 20_000, "two\nlines")
    assert kept(path) == ["tree"]


def test_a_folder_in_its_place_is_told_once_and_what_was_typed_stays(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.mkdir()
    notices: list[str] = []
    store = PersistentHistory(path, notices.append)
    assert list(store.load_history_strings()) == []
    store.append_string("tree")
    store.append_string("log")
    assert store.get_strings() == ["tree", "log"]
    assert len(notices) == 1
    assert notices[0].startswith(f"the history in {path} is not kept: ")


def test_a_full_disk_is_told_once() -> None:
    notices: list[str] = []
    store = PersistentHistory(Path("/dev/full"), notices.append)
    store.append_string("tree")
    store.append_string("log")
    assert [notice.partition(": ")[2] for notice in notices] == [
        "No space left on device; this session goes on without"
    ]


def test_it_lives_in_the_users_state_folder(tmp_path: Path) -> None:
    assert history_path({"XDG_STATE_HOME": str(tmp_path)}) == tmp_path / "ssm" / "history"
    assert history_path({}).parts[-2:] == ("ssm", "history")


def test_a_command_behind_a_blank_is_not_remembered(tmp_path: Path) -> None:
    path = tmp_path / "history"
    store = PersistentHistory(path, pytest.fail)
    store.append_string(" kv1 Store token 1")
    store.append_string("tree")
    assert store.get_strings() == ["tree"]
    assert path.read_text() == "tree\n"


def test_a_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_text("tree\n")
    path.chmod(0o644)
    assert list(PersistentHistory(path, pytest.fail).load_history_strings()) == ["tree"]
    assert path.stat().st_mode & 0o777 == 0o600
