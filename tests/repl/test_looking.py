"""Act where you look: the tree's and the log's keys, the key bar, help, search, and the small ones.

Each claim is read from a real screen: a terminal in memory on which prompt_toolkit draws.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prompt_toolkit.data_structures import Point
from prompt_toolkit.mouse_events import MouseButton, MouseEvent, MouseEventType

from ssm_cli.commands.records import instant
from ssm_cli.machines.kv import kv_store
from ssm_cli.render.theme import THEMES, Theme
from ssm_cli.repl.keymap import BARS, IN_PANES, VIEWS, sequences
from ssm_cli.repl.session import has_glyphs
from ssm_cli.repl.shell.config import Settings
from ssm_cli.runtime.node import Node
from ssm_cli.simulation.asking import with_futures
from ssm_cli.spec.model import Supervisor, Worker
from tests.repl.conftest import Terminal, Typist, many_workers, typing, until

F1, F4, F6, DOWN, UP, ESC, PGDN = (
    "\x1bOP",
    "\x1bOS",
    "\x1b[17~",
    "\x1b[B",
    "\x1b[A",
    "\x1b",
    "\x1b[6~",
)
CTRL_X = "\x18"


class Seen:
    """A session and the screen it is drawn on."""

    def __init__(self, person: Typist, terminal: Terminal) -> None:
        self.person, self.terminal = person, terminal
        self.type = person.type

    async def shows(self, *parts: str) -> None:
        await until(lambda: all(p in self.terminal.text for p in parts), lambda: self.text)

    async def lacks(self, part: str) -> None:
        await until(lambda: part not in self.terminal.text, lambda: self.text)

    async def holds(self, what: Callable[[], object]) -> None:
        await until(what, lambda: self.text)

    @property
    def text(self) -> str:
        return self.terminal.text

    @property
    def prompt(self) -> str:
        return next(line for line in self.terminal.lines if line.startswith("ssm\u276f"))

    def click(self, part: str) -> None:
        """Click at the first place where a text stands."""
        row = next(i for i, line in enumerate(self.terminal.lines) if part in line)
        column = self.terminal.lines[row].index(part)
        for end in "Mm":
            self.type(f"\x1b[<0;{column + 2};{row + 1}{end}")


@asynccontextmanager
async def seen(
    folder: Path,
    rows: int = 24,
    columns: int = 80,
    *,
    node: Node | None = None,
    settings: Settings | None = None,
    ground: str = "",
) -> AsyncIterator[Seen]:
    terminal = Terminal(rows, columns)
    async with typing(
        folder, node=node, output=terminal.output(), settings=settings, COLORFGBG=ground
    ) as person:
        yield Seen(person, terminal)


def run(story: Callable[[], object]) -> None:
    asyncio.run(story())  # type: ignore[arg-type]  # each is a coroutine function


# --- a new user -----------------------------------------------------------------------------------


def test_an_empty_screen_says_what_to_type_in_the_words_of_this_tree(tmp_path: Path) -> None:
    async def story() -> None:
        async with seen(tmp_path) as screen:
            await screen.shows("press Enter:  kv1 Store x 1", "help kv1", "F1", "Ctrl-D stops")
            screen.type("kv1 Store x 1\r")
            await screen.shows("Ok")
            await screen.lacks("press Enter")

    run(story)


def test_an_empty_tree_says_how_to_add_a_worker(tmp_path: Path) -> None:
    async def story() -> None:
        async with seen(tmp_path, node=Node(Supervisor("root", children=[]))) as screen:
            await screen.shows("no worker yet", "help start-child")

    run(story)


@pytest.mark.parametrize("key", [F1, f"{CTRL_X}h"])
@pytest.mark.parametrize("size", [(24, 80), (12, 40), (6, 60)])
def test_the_help_is_paged_with_the_keys_first_and_esc_closes_it(
    tmp_path: Path, size: tuple[int, int], key: str
) -> None:
    async def story() -> None:
        async with seen(tmp_path, *size) as screen:
            screen.type(key)
            await screen.shows("── help, page 1 of ", "everywhere:", "F1, Ctrl-X h")
            screen.type(" " * 250)
            await screen.shows("settings")
            await screen.lacks("page 1 of ")
            screen.type(ESC)
            await screen.lacks("── help")

    run(story)


def test_what_is_typed_under_the_help_is_carried_out_and_seen(tmp_path: Path) -> None:
    async def story() -> None:
        async with seen(tmp_path) as screen:
            screen.type(F1 + "kv1 Store")
            await screen.shows("── help", "ssm\u276f kv1 Store")
            screen.type(" x 1\r")
            await screen.shows("  Ok ")
            await screen.lacks("── help")

    run(story)


@pytest.mark.parametrize("endless", ["log -f", "watch tree"])
@pytest.mark.parametrize("face", ["full", "inline", "plain"])
def test_lines_typed_while_the_prompt_is_busy_are_shown_below_it(
    tmp_path: Path, endless: str, face: str
) -> None:
    async def story() -> None:
        async with seen(tmp_path) as screen:
            if face != "full":
                screen.type(f"ui {face}\r")
            screen.type(f"{endless}\r")
            screen.type("kv1 Lookup x\rhelp\r")
            behind = "and drops what waits behind it"
            await screen.shows(f"{endless} ... Ctrl-C stops waiting {behind}: kv1")
            screen.type("\x03")
            await screen.shows("2 lines were not carried out")
            await screen.lacks(behind)

    run(story)


def test_how_far_a_search_is_stands_behind_its_line_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    async def story() -> None:
        node = with_futures(Node(Supervisor("root", children=[Worker("kv1", kv_store)])), instant)
        async with seen(tmp_path, columns=120, node=node) as screen:
            screen.type("chaos --steps 1000000 --late 0.1%\r")
            await screen.shows(" of 1,000,000 steps; Ctrl-C stops waiting")
            screen.type("\x03")
            await screen.shows("not waited for any longer")
            screen.type("kv1 Store x 1\r")
            await screen.shows("Ok")

    run(story)


def test_help_of_a_worker_shows_its_inputs_with_types_and_docstrings(tmp_path: Path) -> None:
    async def story() -> None:
        async with seen(tmp_path) as screen:
            screen.type("help kv2\r")
            await screen.shows("kv2 Store key:str value:int", "Keep `value` under `key`.")
            screen.type("help kv22\r")
            await screen.shows("did you mean `kv2`?")

    run(story)


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("help KV1", "did you mean `kv1`?"),
        ("KV1", "did you mean `kv1`?"),
        ("KV1 Lookup x", "did you mean `kv1`?"),
        ("detail nosuch", "there is no node `nosuch`"),
        ("detail KV3", "did you mean `kv3`?"),
        ("find nowhere", "no line contains `nowhere`"),
    ],
)
def test_a_mistyped_name_gets_the_hint_that_helps(tmp_path: Path, line: str, hint: str) -> None:
    async def story() -> None:
        async with seen(tmp_path, 24, 120) as screen:
            screen.type(f"{line}\r")
            await screen.shows(hint)

    run(story)


# --- themes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("theme", THEMES)
def test_the_screen_has_the_colours_of_its_theme_and_no_other(tmp_path: Path, theme: Theme) -> None:
    async def story() -> None:
        async with seen(tmp_path, settings=Settings(theme=theme)) as screen:
            screen.type("kv2 Lookup crash\r")
            await screen.shows("storage restarting rest")
            screen.type("kv1 Store x a ")
            await screen.shows("expected an integer")
            words = " ".join(THEMES[theme].values()).replace("bright_", "bright").split()
            allowed = {"default", *words} | ({"brown"} if "yellow" in words else set())
            terminal = screen.terminal
            cells = [terminal.screen.buffer[y][x] for y in range(24) for x in range(80)]
            assert {cell.fg for cell in cells} <= allowed
            assert {cell.bg for cell in cells} == {"default"}
            assert "red" in {c.fg.removeprefix("bright") for c in cells}

    run(story)


def test_the_theme_follows_the_terminal_and_can_be_changed_at_any_time(tmp_path: Path) -> None:
    async def story() -> None:
        async with seen(tmp_path, ground="0;15") as screen:
            await screen.shows("● kv1")

            def colour() -> str:
                row = next(i for i, line in enumerate(screen.terminal.lines) if "● kv1" in line)
                cells = screen.terminal.screen.buffer[row]
                return cells[screen.terminal.lines[row].index("●")].fg

            assert colour() == "blue"
            screen.type("theme dark\r")
            await screen.holds(lambda: colour() == "green")

    run(story)


# --- the tree -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("s", "\u276f state kv1"),
        ("t", "\u276f trace kv1 on"),
        ("tt", "\u276f trace kv1 off"),
        ("u", "‖ kv1"),
        ("d", "── detail"),
        ("e", "\u276f crash kv1"),
    ],
)
def test_a_key_on_a_row_of_the_tree_acts_on_it_at_once(
    tmp_path: Path, keys: str, said: str
) -> None:
    async def story() -> None:
        async with seen(tmp_path) as screen:
            screen.type(F6 + DOWN)
            await screen.shows("c call  s state")
            screen.type(keys)
            await screen.shows(said)
            assert screen.person.session.screen.place == "tree"

    run(story)


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("c", "call kv2 "),
        ("k", "kill kv2"),
        ("x", "terminate-child storage kv2"),
        ("\r", "call kv2 "),
    ],
)
def test_what_ends_something_stands_in_the_prompt_until_enter(
    tmp_path: Path, key: str, line: str
) -> None:
    async def story() -> None:
        async with seen(tmp_path) as screen:
            screen.type(F6 + DOWN * 3 + key)
            await screen.holds(lambda: screen.prompt == f"ssm\u276f {line}".rstrip())
            assert screen.person.session.screen.place == "prompt"
            assert screen.person.node.tree().children[1].children[0].state == "running"

    run(story)


def test_suspend_is_resume_on_a_suspended_row(tmp_path: Path) -> None:
    async def story() -> None:
        async with seen(tmp_path) as screen:
            screen.type(F6 + DOWN + "u")
            await screen.shows("‖ kv1")
            screen.type("u")
            await screen.shows("● kv1")

    run(story)


def test_a_key_that_is_for_workers_says_so_on_a_supervisor(tmp_path: Path) -> None:
    async def story() -> None:
        async with seen(tmp_path) as screen:
            screen.type(F6 + "t")
            await screen.shows("root is a supervisor; `trace` is for workers")

    run(story)


def test_a_click_chooses_a_row_and_one_at_the_key_bar_acts_on_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with seen(tmp_path) as screen:
            await screen.shows("● kv3", "F1 help")
            screen.click("● kv3")
            await screen.shows("s state")
            screen.click("s state")
            await screen.shows("\u276f state kv3")

    run(story)


def test_typing_leads_back_to_the_prompt(tmp_path: Path) -> None:
    async def story() -> None:
        async with seen(tmp_path) as screen:
            screen.type(F6)
            await screen.shows("c call")
            screen.type("Help")
            await screen.shows("ssm\u276f Help", "F1 help")

    run(story)


def test_every_function_key_has_another_way() -> None:
    by_action: dict[str, list[tuple[str, ...]]] = {}
    for sequence, action in sequences(VIEWS):
        by_action.setdefault(action, []).append(sequence)
    for action, ways in by_action.items():
        if any(way[0][0] == "f" and way[0][1:].isdigit() for way in ways):
            assert any(way[0] == "c-x" for way in ways), action


def test_no_key_stands_twice_in_a_place_and_every_action_of_the_bars_is_bound(
    tmp_path: Path,
) -> None:
    for place in IN_PANES:
        bound = [sequence for sequence, _ in sequences(IN_PANES[place])]
        assert len(bound) == len(set(bound)), place

    async def story() -> None:
        async with seen(tmp_path) as screen:
            actions = screen.person.session.actions
            for keys in BARS.values():
                for key in keys:
                    assert not key.action or callable(actions.named(key.action))

    run(story)


# --- the restart log and the output ---------------------------------------------------------------


def test_a_crash_takes_the_rows_of_the_log_that_are_idle(tmp_path: Path) -> None:
    async def story() -> None:
        async with seen(tmp_path, 24, 60) as screen:
            screen.type("kv2 Lookup crash\r")
            await screen.shows("  integer division or modulo by zero", "storage restarting rest")

    run(story)


def test_w_wraps_the_log_when_it_is_chosen_and_f_filters_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with seen(tmp_path, 24, 60) as screen:
            for worker in ("kv1", "kv2"):
                screen.type(f"{worker} Lookup crash\r")
                await screen.shows(f"✖ {worker} ")
            screen.type(F6 + F6)
            await screen.shows("w wrap")
            screen.type("f")
            await screen.holds(lambda: screen.prompt == "ssm\u276f filter-log")
            screen.type("storage\r")
            await screen.shows("restarts 2 with `storage`")
            await screen.lacks("✖ kv1 crashed Zero")
            await screen.shows("storage restarting rest")
            screen.type("filter-log\r")
            await screen.shows("root restarting one_for_one: kv1")

    run(story)


def test_find_log_seeks_in_the_reports_that_are_left_where_no_frame_has_shown_them_yet(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with seen(tmp_path) as screen:
            screen.type("kv2 Lookup crash\r" * 2)
            model, log = screen.person.session.model, screen.person.session.screen.log
            await screen.holds(lambda: log._count > log._height)
            model.filter_log("Zero")
            model.refresh()
            assert log.find("crash")
            assert not log.find("restarting")
            model.filter_log("")
            model.refresh()
            assert log.find("restarting")

    run(story)


def test_a_click_where_a_line_was_is_none_at_another(tmp_path: Path) -> None:
    async def story() -> None:
        async with seen(tmp_path) as screen:
            screen.type("kv2 Lookup crash\r" * 2)
            model, log = screen.person.session.model, screen.person.session.screen.log
            await screen.holds(lambda: log._count > log._height)
            model.filter_log("no report says this")
            model.refresh()
            place = Point(0, 0)
            log.mouse_handler(
                MouseEvent(place, MouseEventType.MOUSE_UP, MouseButton.LEFT, frozenset())
            )
            assert "crash" not in screen.prompt

    run(story)


def test_in_the_place_of_the_log_a_detail_has_keys_of_its_own_and_is_searched(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with seen(tmp_path) as screen:
            screen.type("kv2 Store needle 1\rdetail kv2\r")
            await screen.shows("── detail", '"needle"')
            screen.type(F6 + F6)
            await screen.shows("/ find", "d restarts")
            assert "f filter" not in screen.text
            assert "w wrap" not in screen.text
            screen.type("/")
            await screen.holds(lambda: screen.prompt == "ssm\u276f find-log")
            screen.type("queue\r")
            await screen.holds(lambda: "queue" in lit_in(screen))
            assert "no line contains" not in screen.text
            screen.type(f"{F6}{F6}d")
            await screen.shows("── restarts")
            await screen.lacks("── detail")

    run(story)


def lit_in(screen: Seen) -> str:
    """Return all that stands in reverse."""
    cells = screen.terminal.screen.buffer
    rows = range(screen.terminal.size.rows)
    return "".join(cells[y][x].data for y in rows for x in range(80) if cells[y][x].reverse)


def test_filter_log_brings_the_log_back_from_behind_a_detail(tmp_path: Path) -> None:
    async def story() -> None:
        async with seen(tmp_path) as screen:
            screen.type("kv2 Lookup crash\rdetail kv2\r")
            await screen.shows("── detail")
            screen.type("filter-log storage\r")
            await screen.shows("restarts 1 with `storage`", "storage restarting rest")
            screen.type("detail kv2\r")
            await screen.shows("── detail")
            await screen.lacks("with `storage`")

    run(story)


@pytest.mark.parametrize("size", [(24, 80), (24, 120), (16, 80), (10, 40)])
@pytest.mark.parametrize("face", ["full", "inline"])
def test_rows_that_have_no_room_are_told_in_the_tree_and_in_the_detail(
    tmp_path: Path, size: tuple[int, int], face: str
) -> None:
    async def story() -> None:
        async with seen(tmp_path, *size, node=many_workers(19)) as screen:
            panes = screen.person.session.screen
            screen.type(f"ui {face}\rw0001 Lookup crash\rdetail w0001\r")
            await screen.shows("── detail: ", " more ")
            await screen.holds(
                lambda: (
                    f" tree: {panes._tree._count - panes._tree._height} more ─" in screen.text
                    and f"detail: {panes._detail._count - panes._detail._height} more"
                    in screen.text
                )
            )

    run(story)


def test_a_screen_with_room_for_all_says_nothing_of_more(tmp_path: Path) -> None:
    async def story() -> None:
        async with seen(tmp_path, 60, 120) as screen:
            screen.type("kv1 Store a 1\rdetail kv2\r")
            await screen.shows("── detail ─", "queue 0")
            assert " more " not in screen.text

    run(story)


def test_find_goes_up_in_the_output_and_lights_what_it_found(tmp_path: Path) -> None:
    async def story() -> None:
        async with seen(tmp_path) as screen:
            screen.type("kv1 Store needle 1\r" + "kv1 Lookup x\r" * 20)
            await screen.shows("$21")
            assert "needle" not in screen.text
            screen.type("find NEEDLE\r")
            await screen.shows("kv1 Store needle 1", "(scrolled)")
            row = next(i for i, line in enumerate(screen.terminal.lines) if "needle" in line)
            cells = screen.terminal.screen.buffer[row]
            lit = "".join(cells[x].data for x in range(80) if cells[x].reverse)
            assert lit == "needle"
            screen.type("kv1 Lookup x\r")
            await screen.shows("$22")

    run(story)


def test_find_again_goes_on_upwards(tmp_path: Path) -> None:
    async def story() -> None:
        async with seen(tmp_path) as screen:
            screen.type("kv1 Lookup first\r" + "kv1 Lookup x\r" * 20 + "kv1 Lookup first\r")
            await screen.shows("$22")
            screen.type("find first\r")
            await screen.holds(lambda: screen.person.session.screen.output._found)
            screen.type(f"{CTRL_X}n")
            await screen.shows("\u276f kv1 Lookup first", "(scrolled)")
            assert "$22" not in screen.text

    run(story)


def test_what_a_key_prints_is_shown_where_the_output_is_scrolled(tmp_path: Path) -> None:
    async def story() -> None:
        async with seen(tmp_path) as screen:
            screen.type("kv1 Lookup crash\rkv1 Store needle 1\r" + "kv1 Lookup x\r" * 20)
            await screen.shows("$21")
            screen.type("find NEEDLE\r")
            await screen.shows("(scrolled)")
            screen.type(F4)
            await screen.lacks("(scrolled)")
            await screen.shows("budget")

    run(story)


def test_what_the_log_is_searched_for_from_it_goes_on_there_with_n(tmp_path: Path) -> None:
    async def story() -> None:
        async with seen(tmp_path) as screen:
            screen.type("kv2 Lookup crash\r" * 2)
            panes = screen.person.session.screen
            await screen.holds(lambda: panes.log._count > panes.log._height)
            screen.type("find-log kv2\r")
            await screen.holds(lambda: panes.log._found is not None)
            assert panes.place == "prompt"
            screen.type(F6 + F6 + "/storage\r")
            await screen.holds(lambda: panes.place == "log")
            found = panes.log._found
            screen.type("n")
            await screen.holds(lambda: panes.log._found != found)
            assert not screen.person.session.buffer.text

    run(story)


def test_the_end_of_the_help_says_where_its_beginning_is(tmp_path: Path) -> None:
    async def story() -> None:
        async with seen(tmp_path) as screen:
            screen.type("help\r")
            await screen.shows("F1 shows this in pages, from its beginning")

    run(story)


def test_log_f_prints_the_reports_of_one_worker_until_ctrl_c(tmp_path: Path) -> None:
    async def story() -> None:
        async with seen(tmp_path, 40, 100) as screen:
            before = [*screen.person.session.model.followers]
            screen.type("log -f kv3\r")
            await screen.shows("kv3 started", "log -f kv3 ... Ctrl-C")
            screen.person.node.kill("kv3")
            await screen.holds(lambda: screen.person.output.count("kv3 started") == 2)
            assert "kv1" not in screen.person.output
            screen.type("\x03")
            await screen.shows("not waited for any longer")
            assert screen.person.session.model.followers == before

    run(story)


def test_clear_empties_the_output(tmp_path: Path) -> None:
    async def story() -> None:
        async with seen(tmp_path) as screen:
            screen.type("kv1 Lookup x\r")
            await screen.shows("Result None")
            screen.type("clear\r")
            await screen.lacks("Result None")
            screen.type("kv1 Lookup y\r")
            await screen.shows("\u276f kv1 Lookup y", "Result None")

    run(story)


class Keeping(Terminal):
    """A terminal that keeps what was written to it."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__(rows, columns)
        self.kept = ""

    def write(self, data: str) -> None:
        self.kept += data
        super().write(data)


def test_copy_hands_a_result_to_the_clipboard_of_the_terminal(tmp_path: Path) -> None:
    async def story() -> None:
        terminal = Keeping(24, 80)
        async with typing(tmp_path, output=terminal.output()) as person:
            person.type("kv1 Lookup x\r")
            await until(lambda: "$1" in terminal.text, lambda: terminal.text)
            person.type("copy $1 done\r")
            await until(lambda: "copied 16 bytes" in terminal.text, lambda: terminal.text)
        data = b64encode(b"Result None done").decode()
        assert f"\x1b]52;c;{data}\x07" in terminal.kept

    run(story)


def test_up_finds_what_began_like_the_line(tmp_path: Path) -> None:
    async def story() -> None:
        async with seen(tmp_path) as screen:
            screen.type("kv1 Store x 1\rtree\r")
            await screen.shows("$2")
            screen.type("kv" + UP)
            await screen.holds(lambda: screen.prompt == "ssm\u276f kv1 Store x 1")

    run(story)


def test_the_tree_is_entered_again_at_the_row_that_was_left(tmp_path: Path) -> None:
    async def story() -> None:
        async with seen(tmp_path) as screen:
            screen.type(F6 + DOWN + "k")
            await screen.holds(lambda: screen.prompt == "ssm\u276f kill kv1")
            screen.type("\r")
            await screen.shows("restarting one_for_one: kv1")
            screen.type(F6 + "x")
            await screen.holds(lambda: screen.prompt.endswith(" kv1"))

    run(story)


# --- the small ones -------------------------------------------------------------------------------


def test_watch_redraws_in_place_and_survives_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ssm_cli.repl.local.WATCH_S", 0.01)

    async def story() -> None:
        async with seen(tmp_path, 40, 100) as screen:
            node, model = screen.person.node, screen.person.session.model
            node.terminate_child("root", "kv1")
            screen.type("watch state kv1\r")
            await screen.holds(lambda: model.output_seq > 12)
            await screen.holds(lambda: screen.text.count("✖") == 1)
            node.restart_child("root", "kv1")
            await screen.shows("\u276f watch state kv1\n  {}")
            await screen.holds(lambda: "✖" not in screen.text.partition("output")[2])
            screen.type("\x03")
            await screen.shows("not waited for any longer")

    run(story)


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 7])
def test_a_screen_of_few_rows_has_a_prompt_that_works(tmp_path: Path, rows: int) -> None:
    async def story() -> None:
        async with seen(tmp_path, rows, 80) as screen:
            screen.type("kv1 Lookup x")
            await screen.shows("ssm\u276f kv1 Lookup x")
            screen.type("\r")
            await screen.holds(lambda: "Result None" in screen.person.output)
            if rows > 2:
                await screen.shows("Result None")
            assert "Window too small" not in screen.text

    run(story)


def test_the_queue_counts_what_is_held_for_a_suspended_worker(tmp_path: Path) -> None:
    async def story() -> None:
        async with seen(tmp_path) as screen:
            screen.type("suspend kv1\rcast kv1 Store x 1\rcast kv1 Store y 1\r")
            await screen.shows("queue 2")

    run(story)


class Coded:
    def __init__(self, encoding: str) -> None:
        self.encoding = encoding


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "iso8859-15"])
def test_an_output_that_cannot_write_our_characters_gets_ascii(encoding: str) -> None:
    assert not has_glyphs(Coded(encoding))  # type: ignore[arg-type]  # as much of a stream as is used
    assert has_glyphs(Coded("utf-8"))  # type: ignore[arg-type]  # the same


def test_a_frozen_tree_of_many_workers_still_takes_keys(tmp_path: Path) -> None:
    async def story() -> None:
        async with seen(tmp_path, node=many_workers(100)) as screen:
            await screen.shows("● w0001")
            screen.type(F6 + DOWN * 2 + "s")
            await screen.shows("\u276f state w0001")

    run(story)
