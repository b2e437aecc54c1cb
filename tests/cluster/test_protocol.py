"""The pure parts of the protocol, one claim at a time."""

from __future__ import annotations

from typing import Any

import pytest

from ssm_cli import Remote
from ssm_cli.cluster.protocol import lease, monitor, names, pulse, records, writer
from ssm_cli.cluster.protocol.limits import clashing
from ssm_cli.cluster.protocol.messages import Advert
from ssm_cli.cluster.protocol.placement import fitting, misfit
from ssm_cli.errors import StorageDamaged


def serving(epoch: int = 2) -> writer.Writer:
    state, _ = writer.step_writer(writer.Writer(epoch, "a"), writer.Begin())
    state, _ = writer.step_writer(state, writer.TailIs(0, None))
    state, _ = writer.step_writer(state, writer.Acked(1))
    return state


def only(commands: tuple[writer.Command, ...]) -> writer.Command:
    (command,) = commands
    return command


def test_an_owner_begins_with_an_epoch_record_behind_the_tail() -> None:
    old = records.Record("z", 1, 4, 9, (b"x",))
    state, _ = writer.step_writer(writer.Writer(2, "a"), writer.Begin())
    _, commands = writer.step_writer(state, writer.TailIs(7, old))
    command = only(commands)
    assert isinstance(command, writer.Append)
    assert (command.record.prev, command.record.first, command.record.entries) == (7, 10, ())


def test_an_owner_whose_epoch_is_over_gives_up_before_it_writes() -> None:
    later = records.Record("z", 3, 0, 1)
    state, _ = writer.step_writer(writer.Writer(2, "a"), writer.Begin())
    _, commands = writer.step_writer(state, writer.TailIs(7, later))
    assert isinstance(only(commands), writer.GiveUp)


def test_one_append_is_in_flight_and_the_rest_goes_into_the_next() -> None:
    state, first = writer.step_writer(serving(), writer.Write(1, b"a"))
    state, second = writer.step_writer(state, writer.Write(2, b"b"))
    state, third = writer.step_writer(state, writer.Write(3, b"c"))
    assert (second, third) == ((), ())
    _, commands = writer.step_writer(state, writer.Acked(2))
    told, append = commands
    assert told == writer.Written(1)
    assert isinstance(append, writer.Append)
    assert append.record.entries == (b"b", b"c")
    assert isinstance(only(first), writer.Append)


def test_an_append_without_an_answer_that_is_there_counts() -> None:
    state, _ = writer.step_writer(serving(), writer.Write(1, b"a"))
    assert writer.step_writer(state, writer.AppendUnclear())[1] == (writer.ReadTail(again=True),)
    assert state.flight is not None
    _, commands = writer.step_writer(state, writer.TailIs(2, state.flight))
    assert commands == (writer.Written(1),)


def test_an_append_without_an_answer_that_is_not_there_is_sent_again_as_it_was() -> None:
    state, _ = writer.step_writer(serving(), writer.Write(1, b"a"))
    _, commands = writer.step_writer(state, writer.TailIs(1, None))
    assert commands == (writer.Append(state.flight),) if state.flight else False


def test_a_read_from_the_past_is_read_again() -> None:
    state, _ = writer.step_writer(serving(), writer.Write(1, b"a"))
    assert writer.step_writer(state, writer.TailIs(0, None))[1] == (writer.ReadTail(again=True),)


def test_an_append_behind_the_record_of_another_owner_fences() -> None:
    state, _ = writer.step_writer(serving(), writer.Write(1, b"a"))
    state, commands = writer.step_writer(
        state, writer.TailIs(2, records.Record("z", 3, 1, 1, (), "b"))
    )
    assert isinstance(only(commands), writer.GiveUp)
    assert writer.step_writer(state, writer.Acked(2)) == (state, ())


def test_a_chain_with_a_record_missing_is_damaged() -> None:
    made = [records.Record(str(n), 1, n - 1, n, (b"x",)) for n in (1, 2, 3)]
    data = [(n, records.written(record)) for n, record in enumerate(made, 1)]
    assert len(list(records.chained(data))) == 3
    with pytest.raises(StorageDamaged, match="journal_corrupt"):
        list(records.chained([data[0], data[2]]))


def test_a_record_with_a_flipped_bit_is_damaged() -> None:
    data = bytearray(records.written(records.Record("1", 1, 0, 1, (b"x",))))
    for place in range(len(data)):
        flipped = bytes(data[:place]) + bytes([data[place] ^ 1]) + bytes(data[place + 1 :])
        with pytest.raises(StorageDamaged):
            records.read_record(flipped)


def beating() -> pulse.Pulse:
    """A node that has beaten at 0 s, as revision 7 of its cell."""
    state, commands = pulse.step_pulse(pulse.Pulse(1.0), lease.Tick(0.0))
    assert commands == (pulse.WriteBeat(0, 0.0),)
    state, commands = pulse.step_pulse(state, pulse.BeatWritten(7, sent_s=0.0))
    assert not commands
    return state


def good() -> lease.Holder:
    """A lease of two seconds whose cell was written, and whose node has beaten at 0 s."""
    holder, commands = lease.step_holder(lease.Holder(2.0), lease.Renewed(0.0, 0.1))
    assert commands == (lease.Prove(),)
    assert not holder.is_good(0.1)
    holder, commands = lease.step_holder(holder, lease.Proven(0.2))
    assert commands == (lease.Resume(),)
    return holder


def test_a_lease_counts_from_when_the_beat_was_sent() -> None:
    holder = good()
    assert lease.step_holder(holder, lease.Tick(1.9)) == (holder, ())
    holder, commands = lease.step_holder(holder, lease.Renewed(sent_s=1.0, now_s=1.2))
    assert not commands
    assert holder.is_good(2.9)
    assert not holder.is_good(3.0)


def test_a_node_beats_again_and_again_one_write_at_a_time() -> None:
    state = beating()
    assert pulse.step_pulse(state, lease.Tick(0.9)) == (state, ())
    state, commands = pulse.step_pulse(state, lease.Tick(1.0))
    assert commands == (pulse.WriteBeat(7, 1.0),)
    assert pulse.step_pulse(state, lease.Tick(9.0)) == (state, ())


def test_a_beat_without_an_answer_is_tried_again_at_once() -> None:
    state, _ = pulse.step_pulse(beating(), lease.Tick(4.0))
    state, _ = pulse.step_pulse(state, pulse.BeatUnclear(5.0))
    assert pulse.step_pulse(state, lease.Tick(5.25))[1] == (pulse.WriteBeat(7, 5.25),)


def test_a_beat_that_was_refused_is_written_again_before_it_counts() -> None:
    state, commands = pulse.step_pulse(beating(), pulse.BeatRefused())
    assert commands == (pulse.ReadBeat(),)
    _, commands = pulse.step_pulse(state, pulse.BeatRead(9, "ours", 1.1))
    assert commands == (pulse.WriteBeat(9, 1.1),)


def test_an_old_read_of_a_beat_that_was_refused_is_no_evidence_but_not_for_ever() -> None:
    state, _ = pulse.step_pulse(beating(), pulse.BeatRefused())
    for _ in range(pulse.OLDER_READS):
        state, commands = pulse.step_pulse(state, pulse.BeatRead(7, "ours", 1.0))
        assert not commands
    _, commands = pulse.step_pulse(state, pulse.BeatRead(7, "ours", 1.0))
    assert commands[0] == pulse.Disown("fenced: the adverts of the nodes are lost")


@pytest.mark.parametrize(
    ("whose", "said"),
    [("nobody", "taken out of the directory"), ("other", "another node has our name")],
)
def test_a_node_whose_cell_is_not_its_own_any_more_gives_everything_up(
    whose: pulse.Whose, said: str
) -> None:
    read = pulse.BeatRead(9, whose, 1.0)
    _, commands = pulse.step_pulse(beating(), read)
    disown, again = commands
    assert isinstance(disown, pulse.Disown)
    assert said in disown.reason
    assert disown.named == (whose == "other")
    assert again == pulse.WriteBeat(9, 1.0)
    assert pulse.step_pulse(pulse.Pulse(1.0), read)[1] == (again,)  # of a node that died


def test_a_lease_that_is_over_goes_on_once_its_node_has_beaten_and_its_cell_was_written() -> None:
    holder, commands = lease.step_holder(good(), lease.Tick(2.0))
    assert commands == (lease.Lapse(),)
    assert not holder.is_good(2.0)
    assert lease.step_holder(holder, lease.Tick(30.0)) == (holder, ())
    assert lease.step_holder(holder, lease.Proven(30.0)) == (holder, ())
    holder, commands = lease.step_holder(holder, lease.Renewed(30.0, 30.1))
    assert commands == (lease.Prove(),)
    assert not holder.is_good(30.1)
    holder, commands = lease.step_holder(holder, lease.Proven(30.2))
    assert commands == (lease.Resume(),)
    assert holder.is_good(31.9)


def test_a_beat_after_a_lease_was_over_finds_it_over_though_nobody_has_looked() -> None:
    holder, commands = lease.step_holder(good(), lease.Renewed(sent_s=2.0, now_s=2.1))
    assert commands == (lease.Lapse(), lease.Prove())
    assert not holder.is_good(2.1)


def test_a_lease_that_is_over_and_another_ones_is_an_end() -> None:
    holder, _ = lease.step_holder(lease.Holder(2.0), lease.Tick(2.0))
    holder, commands = lease.step_holder(
        holder, lease.TakenOver("fenced: another owner has the lease")
    )
    assert commands == (lease.Fence("fenced: another owner has the lease"),)
    assert lease.step_holder(holder, lease.Renewed(4.0, 4.0))[1] == ()
    assert not holder.is_good(4.0)


def gives_up(state: writer.Writer, event: writer.Event) -> writer.GiveUp:
    """What comes of the same event, again and again; it must end."""
    for _ in range(2 * writer.MAX_BEHIND):
        state, commands = writer.step_writer(state, event)
        for command in commands:
            if isinstance(command, writer.GiveUp):
                return command
    raise AssertionError("it goes on for ever")


def test_a_journal_that_ends_before_its_witness_is_corrupt_and_not_written_to() -> None:
    state, _ = writer.step_writer(writer.Writer(2, "a", witness=9), writer.Begin())
    old = records.Record("z", 1, 4, 9, (b"x",))
    for tail in (writer.TailIs(0, None), writer.TailIs(8, old)):
        assert gives_up(state, tail).word == "journal_corrupt"
    _, commands = writer.step_writer(state, writer.TailIs(9, old))
    assert isinstance(only(commands), writer.Append)


def test_a_journal_that_ends_before_our_own_appends_is_corrupt() -> None:
    state, _ = writer.step_writer(serving(), writer.Write(1, b"a"))
    given_up = gives_up(state, writer.TailIs(0, None))
    assert given_up.word == "journal_corrupt"
    assert "ends at sequence 0, and had reached 1" in given_up.reason


def test_a_journal_without_answers_is_given_up_after_a_time_of_waiting() -> None:
    state, _ = writer.step_writer(serving(), writer.Write(1, b"a"))
    assert gives_up(state, writer.AppendUnclear(2.0)).word == "storage"
    assert gives_up(state, writer.TailUnclear(2.0)).word == "storage"
    state, _ = writer.step_writer(state, writer.AppendUnclear(10_000.0))  # we were stopped
    assert state.phase == "serving"
    assert state.unclear_s == writer.LONGEST_TRY_S


def test_an_entry_out_of_order_is_an_error_and_not_an_assertion() -> None:
    _, commands = writer.step_writer(serving(), writer.Write(7, b"a"))
    given_up = only(commands)
    assert isinstance(given_up, writer.GiveUp)
    assert "entry 7 was to be written, and the journal expects 1" in given_up.reason


def watched(takeover: lease.Takeover = "fence") -> monitor.Monitor:
    return monitor.Monitor(3, 2.0, takeover, lease.Observed(7, 0.0), revision=7)


def after(state: monitor.Monitor, *events: monitor.Event) -> list[monitor.Command]:
    """All commands that come of events."""
    found: list[monitor.Command] = []
    for event in events:
        state, commands = monitor.step_monitor(state, event)
        found += commands
    return found


def absent(*times_s: float, agent: monitor.Seen = "absent") -> list[monitor.Event]:
    """Nobody answers for the subtree, and its agent is asked."""
    said = monitor.AgentSaid(agent)
    return [event for now_s in times_s for event in (said, monitor.Pinged("absent", now_s))]


def test_a_node_that_does_not_beat_is_over_after_a_margin_and_that_is_no_death() -> None:
    assert not monitor.step_monitor(watched(), monitor.PulseRead(7, 2.4, 2.4))[1]
    gone = [monitor.Exit("noconnection", "silence")]
    assert after(watched(), monitor.PulseRead(7, 2.5, 2.5)) == gone
    assert not monitor.step_monitor(watched("lease"), monitor.PulseRead(7, 2.9, 2.9))[1]
    assert not after(watched(), monitor.PulseRead(8, 2.4, 2.4), monitor.PulseRead(8, 4.8, 4.8))


def test_an_old_answer_that_was_held_up_is_no_evidence() -> None:
    assert not monitor.step_monitor(watched(), monitor.PulseRead(7, asked_s=1.0, heard_s=9.0))[1]


def test_an_older_beat_is_a_stale_read_and_no_evidence() -> None:
    found = after(watched(), monitor.PulseRead(6, 1.0, 1.0), monitor.PulseRead(6, 9.0, 9.0))
    assert found == [monitor.Reach(reachable=False)]


@pytest.mark.parametrize("epoch", [0, 2, 3, 9])
def test_an_older_revision_of_the_lease_is_no_evidence(epoch: int) -> None:
    assert after(watched(), monitor.LeaseRead(6, epoch, "killed")) == []


def test_a_released_lease_tells_the_reason_whose_message_was_lost() -> None:
    assert after(watched(), monitor.LeaseRead(9, 3, "killed")) == [monitor.Exit("killed")]


def test_a_parent_that_cannot_read_the_lease_takes_nothing_over() -> None:
    state, commands = monitor.step_monitor(watched(), monitor.PulseUnread(1.0))
    assert commands == (monitor.Reach(reachable=False),)
    for event in (*absent(2.0, 20.0, 20.1, 20.2), monitor.PulseRead(7, 21.0, 21.0)):
        state, commands = monitor.step_monitor(state, event)
        assert not any(isinstance(command, monitor.Exit) for command in commands)


def test_absence_three_times_running_is_an_exit_only_where_the_journal_fences() -> None:
    gone = monitor.Exit("noconnection", "absence")
    assert gone in after(watched("fence"), *absent(0.1, 0.3, 0.5))
    assert gone not in after(watched("lease"), *absent(0.1, 0.3, 0.5))
    assert gone not in after(watched("fence"), *absent(0.1, 0.2, 0.3))


@pytest.mark.parametrize(
    ("beat_s", "agent", "died"),
    [
        (0.0, "absent", False),  # the servers have let go of it: it may be cut off
        (3.0, "absent", True),
        (0.0, "unknown", True),  # another agent has its name: the computer began anew
    ],
)
def test_absence_that_begins_after_a_time_without_beats_is_silence(
    beat_s: float, agent: monitor.Seen, *, died: bool
) -> None:
    known = monitor.Monitor(
        3, 10.0, "fence", lease.Observed(7, beat_s, beaten_s=beat_s), revision=7
    )
    found = after(known, *absent(4.0, 4.2, 4.4, 9.0, agent=agent))
    assert (monitor.Exit("noconnection", "absence") in found) == died
    dark = monitor.PulseUnread(0.5), monitor.PulseRead(7, 3.9, 3.9)  # that says nothing of it
    blind = after(known, *dark, *absent(4.0, 4.2, 4.4, 9.0, agent=agent))
    assert (monitor.Exit("noconnection", "absence") in blind) == died
    if not died:
        assert after(known, *absent(4.0, 4.2, 4.4), monitor.PulseRead(7, 12.5, 12.5))[-1:] == [
            monitor.Exit("noconnection", "silence")
        ]


def test_an_agent_that_was_started_anew_is_a_node_that_died() -> None:
    gone = monitor.Exit("noconnection", "absence")
    assert gone in after(watched(), *absent(0.1, 0.3, 0.5, agent="unknown"))


def test_an_absent_subtree_whose_agent_hosts_it_is_unreachable_and_lives() -> None:
    found = after(watched(), *absent(0.1, 0.3, 0.5, 5.0, agent="hosted"))
    assert found == [monitor.Reach(reachable=False)]


def test_an_absent_subtree_whose_agent_does_not_answer_is_not_dead() -> None:
    found = after(watched(), *absent(0.1, 0.3, 0.5, 2.0, agent="silent"))
    assert found == [monitor.Reach(reachable=False)]


def test_absence_just_after_the_servers_are_back_is_no_evidence() -> None:
    state, _ = monitor.step_monitor(watched(), monitor.PulseUnread(1.0))
    state, _ = monitor.step_monitor(state, monitor.PulseRead(8, 6.0, 6.0))
    assert not any(isinstance(c, monitor.Exit) for c in after(state, *absent(6.1, 6.3, 6.5, 8.9)))
    assert monitor.Exit("noconnection", "absence") in after(state, *absent(6.1, 6.3, 6.5, 9.1))


def test_silence_is_unreachable_and_an_answer_reachable_again() -> None:
    state, _ = monitor.step_monitor(watched(), monitor.Pinged("silent", 0.5))
    state, commands = monitor.step_monitor(state, monitor.Pinged("silent", 1.0))
    assert commands == (monitor.Reach(reachable=False),)
    _, commands = monitor.step_monitor(state, monitor.Pinged("alive", 1.5))
    assert commands == (monitor.Reach(reachable=True),)


def test_a_lease_with_a_later_epoch_is_an_exit_as_fenced() -> None:
    assert after(watched(), monitor.LeaseRead(9, 4)) == [monitor.Exit("fenced")]


def test_placement_goes_by_labels_load_and_name() -> None:
    nodes = [Advert("n2"), Advert("n1", load=1), Advert("n3", labels={"zone": "b"})]
    assert fitting(nodes, {}) == ["n2", "n3", "n1"]
    assert fitting(nodes, {"zone": "b"}) == ["n3"]
    assert fitting(nodes, {"node": "n1"}) == ["n1"]
    assert fitting([Advert("n1", draining=True)], {}) == []
    assert misfit(Advert("n1"), {"zone": "b"}) == "has no zone, wanted zone=b"
    adverts = [Advert("n1"), Advert("n2")]
    assert fitting(adverts, {}, placed={"n1": 1}) == ["n2", "n1"]


@pytest.mark.parametrize(
    ("more", "servers", "init_s", "said"),
    [
        ({}, 3, 30.0, ""),
        ({"lease": 2.0}, 1, 0.0, ""),
        ({"lease": 10.0}, 3, 0.0, ""),
        ({"lease": 9.9}, 3, 0.0, "a lease of 9.9 s is shorter than an election"),
        ({}, 0, 30.1, "may take 30.1 s to start"),
        ({}, 0, float("inf"), "may take inf s to start"),
        ({"shutdown": 60_000}, 0, 0.0, ""),
        ({"shutdown": "brutal_kill"}, 0, 0.0, ""),
        ({"shutdown": 60_001}, 0, 0.0, "a stop is waited for 60000 ms"),
        ({"shutdown": "infinity"}, 0, 0.0, "a stop is waited for 60000 ms"),
    ],
)
def test_limits_that_do_not_fit_together_are_told(
    more: dict[str, Any], servers: int, init_s: float, said: str
) -> None:
    told = "\n".join(clashing(Remote("billing", "billing.yaml", **more), servers, init_s))
    assert said in told
    assert bool(told) == bool(said)


@pytest.mark.parametrize("tree", ["node", "nobody", "j", "call", "ctl", "=6Eode"])
@pytest.mark.parametrize("other", ["node", "j", "ctl", "call", "parent", "look"])
def test_no_subject_of_a_tree_is_that_of_a_node(tree: str, other: str) -> None:
    """Questions to the node `j` were written into the journal of a subtree of the tree `node`."""
    of_nodes = {make(node) for make in (names.agent, names.looks) for node in NAMES}
    made = (
        names.journal, names.controls, names.asks, names.sees, names.publishes, names.exits,
    )  # fmt: skip
    of_tree = {make(tree, below) for make in made for below in (other, *NAMES)}
    of_tree |= {names.calls(tree, other, below) for below in NAMES} | {names.parent(tree)}
    assert not of_tree & of_nodes
    assert not any(subject.startswith("ssm.node.") for subject in of_tree)


NAMES = ("look", "ctl", "j", "call", "parent", "n1", "node")
