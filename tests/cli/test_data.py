"""Trees whose state outlives them, as their user meets them: `--data`, `ssm data`, two runs."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests import program

ROOT = Path(__file__).parents[2]
DEADLINE_S = 120.0

TREE = """\
supervisor: root
intensity: 9
children:
  - worker: snap
    start: ssm_cli.machines.kv:kv_store
    persist: snapshot
    on_crash: saved
  - worker: book
    start: ssm_cli.machines.kv:kv_store
    persist: journal
    on_crash: last_good
    quarantine: 2
  - worker: fresh
    start: ssm_cli.machines.kv:kv_store
    persist: journal
"""


def test_a_list_that_is_empty_says_where_else_data_may_be(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    told = ssm(tmp_path, "data", "ls").splitlines()
    where = f"ssm: there is no data in {tmp_path}/state/ssm/data"
    assert told[1:] == [f"{where}; a folder of `run --data DIR` is seen by --data DIR"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "shop.yaml").write_text(TREE, encoding="utf-8")
    (tmp_path / "run").mkdir(mode=0o700)
    return tmp_path


def ssm(place: Path, *words: str, code: int = 0) -> str:
    """What the program prints, on either stream."""
    ran = program.ssm(*words, cwd=place, env=environ(place), timeout_s=DEADLINE_S)
    assert ran.returncode == code, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def environ(place: Path) -> dict[str, str]:
    more = {"XDG_STATE_HOME": str(place / "state"), "XDG_RUNTIME_DIR": str(place / "run")}
    return {**os.environ, **more, "PYTHONPATH": str(ROOT)}


def run(place: Path, *commands: str, code: int = 0) -> list[str]:
    """What the tree answers, started here and stopped in order."""
    given = [word for command in commands for word in ("-c", command)]
    said = ssm(place, "run", "shop.yaml", "--quiet", "--keep-going", *given, code=code)
    return said.splitlines()


def listed(place: Path, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ssm(place, "data", "ls", *words, "-o", "json"))
    return found


def test_states_are_back_after_a_stop_and_the_default_folder_is_by_name(place: Path) -> None:
    run(place, "snap Store a 1", "book Store b 2")
    assert run(place, "snap Lookup a", "book Lookup b") == ["Result 1", "Result 2"]
    assert (place / "state" / "ssm" / "data" / "shop" / "journal.db").exists()


def test_a_restart_after_a_crash_begins_as_on_crash_says(place: Path) -> None:
    run(place, "snap Store a 1")
    lines = ["Store a 2", "Lookup crash", "Lookup a"]
    told = run(place, *(f"{w} {line}" for w in ("snap", "book", "fresh") for line in lines), code=1)
    assert [line for line in told if line.startswith("Result")] == [
        "Result 1",  # saved at the last orderly stop
        "Result 2",  # the last good state
        "Result None",  # init
    ]


def test_the_journal_is_back_after_kill_9_and_a_request_is_answered_once(place: Path) -> None:
    ssm(place, "run", "shop.yaml", "--headless", "--detach")
    ssm(place, "call", "snap", "Store a 1")
    assert ssm(place, "call", "book", "--request-id", "r1", "Store b 2") == "Ok\n"
    os.kill(json.loads(ssm(place, "ls", "-o", "json"))["pid"], signal.SIGKILL)
    ssm(place, "run", "shop.yaml", "--headless", "--detach")
    assert "Ok" in ssm(place, "call", "book", "--request-id", "r1", "Store b 2")
    assert json.loads(ssm(place, "stats", "book", "-o", "json"))["steps"] == 0
    assert "belongs to another input" in ssm(
        place, "call", "book", "--request-id", "r1", "Store b 3", code=6
    )
    assert ssm(place, "call", "book", "Lookup b") == "Result 2\n"
    assert ssm(place, "call", "snap", "Lookup a") == "Result None\n"
    ssm(place, "stop")


def test_a_second_process_on_the_folder_is_refused_with_the_first_ones_number(place: Path) -> None:
    ssm(place, "run", "shop.yaml", "--headless", "--detach")
    pid = json.loads(ssm(place, "ls", "-o", "json"))["pid"]
    folder = str(place / "state" / "ssm" / "data" / "shop")
    said = ssm(
        place, "run", "shop.yaml", "--name", "other", "--data", folder, "-c", "tree", code=74
    )
    assert f"is in use by process {pid}" in said
    assert ssm(place, "call", "book", "Store b 1") == "Ok\n"
    ssm(place, "stop")


def test_quarantine_is_listed_and_an_input_is_let_in_again_while_the_tree_runs(place: Path) -> None:
    ssm(place, "run", "shop.yaml", "--headless", "--detach")
    for _ in range(2):
        ssm(place, "call", "book", "Lookup crash", code=1)
    assert "in quarantine as 1" in ssm(place, "call", "book", "Lookup crash", code=8)
    assert "Lookup crash (2x ZeroDivisionError" in ssm(place, "data", "quarantine")
    assert "crashed" in ssm(place, "data", "quarantine", "--retry", "1", "--yes", code=1)
    assert "no input is in quarantine" in ssm(place, "data", "quarantine", "shop")
    assert "has the number 1" in ssm(place, "data", "quarantine", "--drop", "1", code=74)
    ssm(place, "stop")


def test_an_input_is_let_in_again_while_the_tree_is_down(place: Path) -> None:
    run(place, "book Lookup crash", "book Lookup crash", code=1)
    assert listed(place, "shop")["refused"][0]["input"] == "Lookup crash"
    assert "takes Lookup crash again" in ssm(place, "data", "quarantine", "--retry", "1", "--yes")
    assert listed(place, "shop")["refused"] == []
    assert "has the number 1" in ssm(place, "data", "quarantine", "--drop", "1", code=74)


def test_what_forgets_an_input_for_good_is_asked_about(place: Path) -> None:
    run(place, "book Lookup crash", "book Lookup crash", code=1)
    said = ssm(place, "data", "quarantine", "--drop", "1", code=2)
    assert "book takes Lookup crash again, which has crashed it 2 times" in said
    assert "nothing was changed" in said
    assert "--yes" in said
    assert len(listed(place, "shop")["refused"]) == 1
    ssm(place, "data", "quarantine", "--drop", "1", "--yes")
    assert listed(place, "shop")["refused"] == []


def test_a_state_that_is_put_back_or_dropped_is_shown_and_asked_about(place: Path) -> None:
    run(place, "book Store a 1")
    ssm(place, "data", "repair", "book", "--forget", "--yes")
    run(place, "book Store b 2")
    for way, shown in (
        ("--retry", ("begins with this state: {'a': 1}", "set aside as 1: {'b': 2}")),
        ("--drop", ("is gone for good: {'a': 1}", "why: repair: forget")),
    ):
        said = ssm(place, "data", "quarantine", way, "1", code=2)
        assert all(line in said for line in (*shown, "nothing was changed")), said
    ssm(place, "data", "quarantine", "--retry", "1", "--yes")
    assert run(place, "book Lookup a") == ["Result 1"]
    assert listed(place, "shop")["aside"][0]["state"] == {"b": 2}
    ssm(place, "data", "quarantine", "--drop", "1", "--yes")
    assert listed(place, "shop")["aside"] == []


def test_the_quarantine_of_a_tree_that_runs_is_found_by_its_folder(place: Path) -> None:
    ssm(place, "run", "shop.yaml", "--headless", "--detach", "--data", "here", "--name", "other")
    for _ in range(2):
        ssm(place, "call", "book", "Lookup crash", code=1)
    said = ssm(place, "data", "quarantine", "--data", "here", "--drop", "1", code=2)
    assert "book Lookup crash is taken again" in said
    said = ssm(place, "data", "quarantine", "--data", "here", "--drop", "1", "--yes")
    assert "1 is forgotten: book Lookup crash" in said
    ssm(place, "stop")


def test_what_is_kept_can_be_looked_at_while_the_tree_runs(place: Path) -> None:
    ssm(place, "run", "shop.yaml", "--headless", "--detach")
    ssm(place, "call", "book", "Store b 2")
    assert "shop" in ssm(place, "data", "ls")
    assert listed(place)["in_use"] is True
    assert "ok," in ssm(place, "data", "verify", "--tree", "shop.yaml")
    records = [json.loads(line) for line in ssm(place, "data", "export").splitlines()]
    assert [r["seq"] for r in records] == list(range(1, len(records) + 1))
    assert [r["input"] for r in records if r["record"] == "in"] == ["Store b 2"]
    assert "is in use" in ssm(place, "data", "compact", code=74)
    ssm(place, "data", "backup", "copy")
    ssm(place, "call", "book", "Store b 3")
    ssm(place, "stop")
    told = ssm(place, "run", "shop.yaml", "--data", "copy", "--quiet", "-c", "book Lookup b")
    assert told == "Result 2\n"
    assert run(place, "book Lookup b") == ["Result 3"]
    assert "is there already" in ssm(place, "data", "backup", "copy", code=74)


def flip(place: Path, what: bytes) -> None:
    """Change a bit where these bytes stand in the database."""
    file = place / "state" / "ssm" / "data" / "shop" / "journal.db"
    data = bytearray(file.read_bytes())
    data[data.rindex(what)] ^= 1
    file.write_bytes(data)


def test_a_flipped_byte_in_a_saved_state_keeps_the_tree_from_starting(place: Path) -> None:
    run(place, "book Store apples 2")
    flip(place, b"apples")
    said = ssm(place, "run", "shop.yaml", "-c", "tree", code=74)
    assert "not what was written" in said
    assert "not what was written" in ssm(place, "data", "verify", code=74)


def test_a_flipped_byte_in_the_history_is_found_by_verify(place: Path) -> None:
    run(place, "book Store b 2")
    flip(place, b"Store b 2")
    assert "not what was written" in ssm(place, "data", "verify", code=74)


def test_verify_names_the_first_input_that_gives_something_else(place: Path) -> None:
    (place / "odd.py").write_text(
        "from pathlib import Path\n"
        "from ssm_cli import StateMachine\n"
        "def step(message: str, state: list[str]) -> tuple[list[str], str]:\n"
        "    return [*state, message + Path('salt').read_text()], 'Ok'\n"
        "odd = StateMachine(step=step, init=lambda name, args: [])\n",
        encoding="utf-8",
    )
    (place / "odd.yaml").write_text(
        "supervisor: root\nchildren: [{worker: w, start: './odd.py:odd', persist: journal}]\n",
        encoding="utf-8",
    )
    (place / "salt").write_text("1", encoding="utf-8")
    ssm(place, "run", "odd.yaml", "--headless", "--detach")
    replies = [json.loads(ssm(place, "call", "w", line, "-o", "json")) for line in "abc"]
    assert [reply["record"] for reply in replies] == [1, 2, 3]
    os.kill(json.loads(ssm(place, "ls", "-o", "json"))["pid"], signal.SIGKILL)
    wait_for(lambda: not listed(place)["in_use"])
    assert listed(place)["records"] == 3  # of which none is in a saved state
    assert "ok," in ssm(place, "data", "verify", "--tree", "odd.yaml")
    (place / "salt").write_text("2", encoding="utf-8")
    said = ssm(place, "data", "verify", "--tree", "odd.yaml", code=74)
    assert "w does not start (differs): record 1: it comes to another state" in said
    assert "\\n" not in said
    assert "w does not start (differs): record 1: " in ssm(
        place, "run", "odd.yaml", "-c", "call w d", code=4
    )


def wait_for(met: Any) -> None:
    end = time.monotonic() + DEADLINE_S
    while not met():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_compaction_keeps_the_state_and_forgets_history(place: Path) -> None:
    for i in range(3):
        run(place, *(f"book Store k{n} {i}" for n in range(20)))
    before = len(ssm(place, "data", "export").splitlines())
    ssm(place, "data", "compact")
    assert 0 < len(ssm(place, "data", "export").splitlines()) < before
    assert "ok," in ssm(place, "data", "verify")
    assert run(place, "book Lookup k7") == ["Result 2"]


ODD = """
from ssm_cli import StateMachine
ODD = 'x\\x9b31m\\u202e\\x7f\\u2028\\ud800'
machine = StateMachine(step=lambda m, s: ([*s, ODD], 'Ok'), init=lambda n, a: [])
"""
BY_REPAIR: tuple[list[str], ...] = ([], ["--from-saved"], ["--forget"])


@pytest.mark.parametrize("way", BY_REPAIR, ids=str)
@pytest.mark.parametrize("yes", [["--yes"], []])
def test_what_does_not_print_is_escaped_in_a_repair(
    place: Path, way: list[str], yes: list[str]
) -> None:
    (place / "odd.py").write_text(ODD, encoding="utf-8")
    (place / "shop.yaml").write_text(
        TREE.replace("ssm_cli.machines.kv:kv_store", "./odd.py:machine")
    )
    run(place, "book a")
    for output in ([], ["-o", "json"]):
        words = ["data", "repair", "book", "shop", *way, *(yes if way else []), *output]
        said = ssm(place, *words, code=0 if yes or not way else 2)
        assert all(line.isprintable() for line in said.split("\n")), ascii(said)
        assert "31m" in said or way == ["--forget"]


@pytest.mark.parametrize(("verb", "first"), [("backup", "copy"), ("repair", "book")])
def test_a_name_in_front_of_the_other_argument_is_told_where_it_goes(
    place: Path, verb: str, first: str
) -> None:
    run(place, "book Store a 1")
    said = ssm(place, "data", verb, "shop", first, code=2)
    why = f"no tree called {first} has data, but shop has; the name of the tree comes last"
    assert f"{why}: `ssm data {verb} {first} shop`" in said
    ssm(place, "data", verb, first, "shop")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("data", "ls", "nobody"), 74, "holds no data"),
        (("data", "verify"), 2, "there is no data of any tree"),
        (("data", "ls", "a", "--data", "b"), 2, "give a name or --data, not both"),
        (("data", "quarantine", "--retry", "1", "--drop", "2"), 2, "not both"),
        (("run", "shop.yaml", "--data", "/proc/nowhere", "-c", "tree"), 74, "cannot write in"),
    ],
)
def test_wrong_words_are_refused_in_a_line(
    place: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    assert said in ssm(place, *words, code=code)


@pytest.mark.parametrize("script", ["typo.ssm", "."])
def test_a_script_that_cannot_be_read_starts_no_tree(place: Path, script: str) -> None:
    said = ssm(place, "run", "shop.yaml", "--script", script, code=2)
    words = " ".join(said.split())
    assert f"cannot read the script {script}: " in words
    assert "; nothing was started" in words
    assert not (place / "state" / "ssm" / "data").exists()


def test_records_of_a_worker_that_is_misspelt_are_refused_with_those_that_there_are(
    place: Path,
) -> None:
    run(place, "snap Store a 1", "book Store b 2")
    assert '"worker":"book"' in ssm(place, "data", "export", "--worker", "book").replace(" ", "")
    assert ssm(place, "data", "export", "--worker", "snap") == ""
    said = " ".join(ssm(place, "data", "export", "--worker", "boko", code=74).split())
    assert "nothing is kept of boko; expected one of" in said
    assert "book" in said.partition("one of")[2]


def test_verify_does_not_send_to_itself_where_a_journal_is_damaged(place: Path) -> None:
    run(place, "book Store b 2")
    journal = place / "state" / "ssm" / "data" / "shop" / "journal.db"
    data = journal.read_bytes()
    journal.write_bytes(data[:100] + bytes(len(data) - 100))
    said = ssm(place, "data", "verify", code=74)
    assert "restore a backup" in said
    assert "ssm data verify" not in said
