"""What the screen shows, kept apart from how: the tree, the restart log, the output.

One owner: the session's event loop. Reports come in as they happen; `refresh` turns them into
what is seen, at the pace of the ticker. Every buffer has a bound.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from rich.text import Text

from ssm_cli.commands.voice import in_restart_log, report_line
from ssm_cli.errors import SsmError, counted, is_number, message_of
from ssm_cli.render.sanitize import one_line
from ssm_cli.render.theme import Theme
from ssm_cli.repl.timeline import TimelineRow
from ssm_cli.repl.tree.detail import detail_of
from ssm_cli.repl.tree.source import Listed, source_of
from ssm_cli.repl.tree.view import TreeView
from ssm_cli.repl.tree.welcome import welcome_lines
from ssm_cli.runtime.api import NodeApi
from ssm_cli.runtime.views import NodeView, Report

STARTED = frozenset(("started", "start_failed", "ignored"))  # a start has come to its end

OUTPUT_LINES = 2_000  # of the output pane; older ones go
LOG_REPORTS = 2_000  # of the restart log; older ones go
LAST_REPORTS = 10  # of the restart log, repeated when the screen is gone
FLASH_S = 1.2  # how long a row that was just restarted is shown in reverse
FLASHING = 1_000  # rows that are shown in reverse at a time
UPTIME_S = 1.0  # with nothing else to show, the times are brought up to date this often
IDLE_S = 2.0  # the same while nothing happens; from afar a first input is seen so late
BUSY_S = 0.25  # the same while inputs wait, or a restart is counted down


class Restarts:
    """Counts restarts: a node and all that starts with it, by its supervisor or by hand, is one.

    Attributes:
        count: how many there were.
    """

    def __init__(self) -> None:
        self.count = 0
        self._under_way: set[str] = set()  # paths that are counted, until they have started

    def on_report(self, report: Report) -> None:
        """Take a report, in the order in which things happened."""
        path = report.path
        if report.event == "restarting":
            self.count += 1
            self._under_way |= {f"{path}/{child}" for child in report.detail.get("children", ())}
        elif report.event == "starting" and report.detail.get("n", 1) > 1:
            if not self._is_counted(path):
                self.count += 1
                self._under_way.add(path)
        elif report.event in STARTED:
            self._under_way.discard(path)

    def _is_counted(self, path: str) -> bool:
        """Return whether a node starts as a part of a restart that is under way."""
        while path and path not in self._under_way:
            path = path.rpartition("/")[0]
        return bool(path)


class Model:
    """What is seen. `now` is a monotonic clock in seconds.

    Attributes:
        title: what the status line begins with.
        tree: the rows of the tree.
        root: the root of the tree, as of the last refresh.
        log: the reports of the restart log, oldest first, as of the last refresh.
        output: the lines of the output, oldest first; `output_seq` counts all there ever were.
        detail: what there is to know of the chosen node; None: it is not asked for.
        flashing: the names of what was just restarted, whose rows are shown in reverse.
        frozen: the view stands still while the tree goes on.
        theme: the colours it is shown in.
        welcome: the lines of the output before there is any.
        needle: what the reports of the restart log contain; empty: all are shown.
        followers: called with each report, as it happens.
        printed: lines of the output are printed, and cannot be taken back.
        output_taken: how often lines of the output were taken back.
        place: the place in time that tree and log show: a record, a fork; "" for now.
        timeline: the row above the prompt that shows where that is.
    """

    def __init__(self, api: NodeApi, title: str, now: Callable[[], float]) -> None:
        self.title = title
        self.log: tuple[Report, ...] = ()
        self.output: deque[Text] = deque(maxlen=OUTPUT_LINES)
        self.output_seq = 0
        self.detail: tuple[Text, ...] | None = None
        self.flashing: frozenset[str] = frozenset()
        self.frozen = False
        self._restarts = self._then = Restarts()
        self.theme: Theme = "dark"
        self.welcome: tuple[Text, ...] = ()
        self.needle = ""
        self.printed = False
        self.followers: list[Callable[[Report], None]] = []
        self.output_taken = 0
        self.place = ""
        self.timeline = TimelineRow(api, now)
        self._past: tuple[Report, ...] = ()
        self.tree = TreeView(source_of(api, now), now)
        self.root: NodeView = self.tree.root()
        self._api = self._seen = api
        self._now = now
        self._reports: deque[Report] = deque(maxlen=LOG_REPORTS)
        self._shown: deque[Report] = deque(maxlen=LOG_REPORTS)
        self._flash_until_s: dict[str, tuple[float, str]] = {}
        self._dirty = True
        self._refreshed_s = 0.0
        self._moved = -1  # the source, when it was refreshed last
        for report in api.reports():
            self._keep(report)
        self.refresh()

    @property
    def leaving(self) -> str:
        """What Ctrl-D does."""
        if isinstance(self._api, Listed):
            return "Ctrl-D stops the tree in order and leaves"
        return "Ctrl-D leaves; the tree runs on"

    @property
    def restarts(self) -> int:
        """How many restarts there were at the place, by supervisors and by hand."""
        return (self._then if self.place else self._restarts).count

    @property
    def workers(self) -> int:
        """How many there are, by the last count."""
        return self.tree.rates.census.workers

    @property
    def queue(self) -> int:
        """How many inputs wait for all of them; those held for a worker by the last count."""
        return self.tree.source.queue + self.tree.rates.census.held

    def on_report(self, report: Report) -> None:
        """Take a report of the node, as it happens. Cheap: it is called in the node's loop."""
        if report.event == "starting":
            if report.detail.get("n", 1) == 1:
                self.tree.changed()
            else:
                above = report.path.removesuffix(f"/{report.id}").rpartition("/")[2]
                if len(self._flash_until_s) < FLASHING:
                    self._flash_until_s[report.id] = (self._now() + FLASH_S, above)
        self._keep(report)
        for follower in self.followers:
            follower(report)
        self._dirty = True

    def _keep(self, report: Report) -> None:
        self._restarts.on_report(report)
        if in_restart_log(report):
            self._reports.append(report)
            if self._is_sought(report):
                self._shown.append(report)

    def _is_sought(self, report: Report) -> bool:
        return not self.needle or self.needle.casefold() in report_line(report).casefold()

    def filter_log(self, needle: str) -> None:
        """Show the restart log, of it only the reports that contain a text; empty: all."""
        self.needle, self.detail = needle, None
        self._shown = deque(filter(self._is_sought, self._reports), LOG_REPORTS)
        self._dirty = True

    def say(self, lines: Iterable[Text]) -> None:
        """Add lines to the output."""
        for line in lines:
            self.output.append(line)
            self.output_seq += 1
        self._dirty = True

    def clear(self) -> None:
        """Empty the output."""
        self.output.clear()
        self.output_taken += 1
        self._dirty = True

    def take_back(self, since: int) -> None:
        """Take the lines out of the output that were added after its line `since`, if they can."""
        if self.printed:
            return
        for _ in range(min(self.output_seq - since, len(self.output))):
            self.output.pop()
        self.output_taken += 1
        self._dirty = True

    def notice(self, text: str, style: str = "warn") -> None:
        """Add one line of our own to the output."""
        self.say([Text.assemble((f"  {one_line(text)}", style))])

    def defect(self, error: BaseException | None, message: str = "") -> None:
        """Say that something failed that should not have; the tree lives on."""
        what = message if error is None else f"{type(error).__name__}: {message_of(error)}"
        told = f"a defect, not of your tree, which lives on: {what}; please report it"
        if not self.output or told not in self.output[-1].plain:  # not ten times a second
            self.notice(told, "bad")

    def stand(self, place: str) -> None:
        """Show tree and log as they are at a place in time; "" for now."""
        self.timeline.stand(place)
        if place == self.place and (not place or is_number(place)):
            return  # a fork has another tree after each command
        try:
            api = self._api.perform("standing", place, reading=True) if place else self._api
            reports = api.reports() if place else ()
            self.tree.show(source_of(api, None if place else self._now))
        except SsmError as error:
            self.notice(message_of(error), "bad")
            return
        self._then = Restarts()
        for report in reports:
            self._then.on_report(report)
        self._past = tuple(filter(in_restart_log, reports))[-LOG_REPORTS:]
        self._seen, self.place = api, place
        self._dirty = True

    def freeze(self) -> None:
        """Let the view stand still, or go on."""
        self.frozen = not self.frozen
        self._dirty = True

    def is_due(self) -> bool:
        """Whether there is something new to draw."""
        now = self._now()
        if self._dirty or now - self._refreshed_s >= self._every_s():
            return True
        return not self.frozen and any(until <= now for until, _ in self._flash_until_s.values())

    def count(self) -> None:
        """Go on counting what concerns the whole tree; a step of it takes less than a frame."""
        before = self.tree.rates.total
        if not self.frozen and self.tree.count():
            total = self.tree.rates.total
            self._dirty = self._dirty or bool(self.tree.sort) or total != before

    def _every_s(self) -> float:
        """How often times, queues and rates are brought up to date."""
        source = self.tree.source
        if source.queue or self.tree.counts_down:
            return BUSY_S
        return IDLE_S if source.moved() == self._moved else UPTIME_S

    def refresh(self) -> None:
        """Take over what has happened since the last frame, unless the view is frozen."""
        now = self._now()
        self._refreshed_s, self._dirty = now, False
        self.timeline.refresh()
        if self.frozen:
            return
        for name in [n for n, (until, _) in self._flash_until_s.items() if until <= now]:
            del self._flash_until_s[name]
        self.flashing = frozenset(self._flash_until_s)
        restarted: dict[str, list[str]] = {}
        for name, (_, above) in self._flash_until_s.items():
            restarted.setdefault(above, []).append(name)
        self._moved = self.tree.source.moved()
        self.tree.refresh(self.flashing, restarted)
        self.root = self.tree.root()
        self.log = tuple(filter(self._is_sought, self._past)) if self.place else tuple(self._shown)
        if self.detail is not None:
            self.detail = detail_of(self._seen, self.tree)

    def show_detail(self) -> None:
        """Show what there is to know of the chosen node, or no longer."""
        self.detail = detail_of(self._seen, self.tree) if self.detail is None else None
        self._dirty = True

    def recount(self) -> None:
        """The tree has started: count anew."""
        self.tree.rates.recount()
        self.tree.changed()
        self.refresh()
        self.welcome = welcome_lines(self._api, self.tree, self.leaving)

    def touch(self) -> None:
        """Something is to be drawn anew."""
        self._dirty = True

    def last_words(self) -> list[str]:
        """The last of the restart log, for when the screen is gone."""
        return [report_line(report) for report in list(self._reports)[-LAST_REPORTS:]]

    def summary(self, *, gave_up: bool) -> str:
        """How the tree ended, on one line."""
        how = "gave up: the root reached its restart intensity" if gave_up else "stopped in order"
        return f"{self.title} {how} ({counted(self.restarts, 'restart')})"
