"""The verbs: one row each, for the parser, completion, help, `ssm VERB`, HTTP and its client.

A new verb is a row here, and a handler of its effect: a method of `NodeApi`, or one of the requests
to supervisors. A handler in `handlers.py` is for answers that are shown in a way of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from ssm_cli.commands.future_verbs import FUTURE_VERBS
from ssm_cli.commands.past_verbs import PAST_VERBS
from ssm_cli.commands.routes import (
    ADMIN,
    AFTER,
    APPLY,
    CALL,
    GROUPS,
    LAST,
    NODES,
    OF,
    PLAN,
    READ,
    SPECS_ONLY,
    SUP,
    TREE_FILE,
    WORKERS,
    Query,
    Route,
)
from ssm_cli.commands.verb import AT, INTO, LOOKING, ONLY_LAST, OUTPUT, Option, Parameter, Verb

MAX_NAMES_SEARCHED = 10_000  # names; comparing each with the mistyped word costs microseconds

SUPERVISORS = "/v1/supervisors/{name}"
CHILD = f"{SUPERVISORS}/children/{{child}}"
SYS = (404, 409, 500)
TIMEOUT = Query("timeout", "number", "seconds to wait for the outcome, at most 3600; default 5")
TREE_OUTPUT = Option(
    "output", ("-o", "--output"), "FORMAT", "text, json or dot", ("text", "json", "jsonl", "dot")
)
_WAIT = Option(
    "timeout_s", ("--timeout",), "SECONDS", "how long to wait for the output", kind="seconds"
)

_APPLY = (
    Option("dry_run", ("--dry-run",), "", "show the plan, and do nothing", kind="flag"),
    Option("sure", ("--yes",), "", "do it without asking", kind="flag"),
    Option("refused", ("--no",), "", "show it; exit 8 if there is something to do", kind="flag"),
    Option("specs_only", ("--specs",), "", "change specs alone, as OTP's code_change", kind="flag"),
)
_KEEP = Option(
    "keep_remote", ("--keep-remote",), "", "remote children run on, for the next parent",
    kind="flag",
)  # fmt: skip

_WORKER = Parameter("worker", "worker")
_NAME = Parameter("name", "name")
_GROUP = Parameter("group", "group")
_SUPERVISOR = Parameter("sup", "supervisor")
_CHILD = Parameter("id", "child")

_OF_WORKERS: tuple[Verb, ...] = (
    Verb("call", (_WORKER, Parameter("input", "input")),
         "write an input to the queue and print the worker's output", "workers",
         Route("POST", f"{WORKERS}/call", "call", CALL, "Step a worker and answer with its output.",
               "Reply", "input", (TIMEOUT,), (400, 404, 413, 422, 500, 503, 504)),
         (OUTPUT, _WAIT)),
    Verb("cast", (_WORKER, Parameter("input", "input")),
         "write an input to the queue without waiting for an output", "workers",
         Route("POST", f"{WORKERS}/cast", "cast", CALL,
               "Write an input and do not wait for an output.", "Done", "input",
               failures=(400, 413, 503), status=202)),
    Verb("publish", (_GROUP, Parameter("input", "input")),
         "cast an input to each member of a group; print how many there are", "workers",
         Route("POST", f"{GROUPS}/{{name}}/publish", "publish", CALL,
               "Cast an input to each member of a group.", "Published", "input",
               failures=(400, 409, 413, 503), status=202)),
    Verb("groups", (), "list the groups that have members", "workers",
         Route("GET", GROUPS, "groups", READ, "The groups that have members.", "Groups"),
         LOOKING),
    Verb("members", (_GROUP,),
         "list the members of a group and their values, in the order of joining", "workers",
         Route("GET", f"{GROUPS}/{{name}}/members", "members", READ,
               "The members of a group, in the order of joining.", "Members"),
         LOOKING),
    Verb("lookup", (_GROUP,),
         "print the value that each member of a group has joined with, as JSON", "workers",
         Route("GET", f"{GROUPS}/{{name}}/lookup", "member_values", READ,
               "The value of each member of a group, as JSON.", "MemberValues"),
         LOOKING),
    Verb("state", (_WORKER,), "print the worker's state", "workers",
         Route("GET", f"{WORKERS}/state", "get_state", READ, "The worker's state, redacted.",
               "State", failures=(404, 500)),
         LOOKING),
    Verb("set", (_WORKER, Parameter("value", "value")),
         "put another state in the worker's place, given as JSON", "workers",
         Route("PUT", f"{WORKERS}/state", "replace_state", ADMIN, "Put another state in its place.",
               "Done", "json", failures=(400, 404, 409, 413, 500))),
    Verb("suspend", (_NAME,), "hold a worker or supervisor; its inputs queue up", "workers",
         Route("POST", f"{NODES}/suspend", "suspend", ADMIN, "Hold a worker or supervisor.",
               "Done", failures=SYS)),
    Verb("resume", (_NAME,), "let it go on", "workers",
         Route("POST", f"{NODES}/resume", "resume", ADMIN, "Let it go on.", "Done", failures=SYS)),
    Verb("trace", (_WORKER, Parameter("switch", "switch", required=False, choices=("on", "off"))),
         "report every input and output of the worker, or stop doing so", "workers",
         Route("POST", f"{WORKERS}/trace", "trace", ADMIN,
               "Report every input and output, or stop it.", "Done",
               query=(Query("on", "boolean", "false ends the trace"),), failures=SYS)),
    Verb("status", (_WORKER,), "print all there is to know of the worker", "workers",
         Route("GET", f"{WORKERS}/status", "get_status", READ,
               "All there is to know of the worker.", "Status", failures=(404, 500)),
         LOOKING),
    Verb("keep", (_WORKER, Parameter("events", "number")),
         "keep the worker's last EVENTS events, for `status` and `crash`; 0 keeps none", "workers",
         Route("POST", f"{WORKERS}/keep", "keep", ADMIN,
               "Keep the worker's last events; 0 keeps none.", "Done",
               query=(Query("events", "integer", "how many to keep", default=0),), failures=SYS)),
    Verb("change-code",
         (_WORKER, Parameter("old_version", "word"), Parameter("extra", "value", required=False)),
         "have the suspended worker turn its state into that of its present code", "workers",
         Route("POST", f"{WORKERS}/change-code", "change_code", ADMIN,
               "Have a suspended worker run its code_change; the body is its `extra`.", "Done",
               "json", (Query("old_version", "string", "what `code_change` is told; required",
                              default=""),), (404, 409, 413, 500))),
    Verb("crash", (Parameter("worker", "worker", required=False),),
         "print the last crash (of the worker): input, state, stack, what was restarted", "workers",
         Route("GET", "/v1/crashes", "crash_reports", READ, "The last crashes, oldest first.",
               "Crashes", query=(OF, LAST), failures=(404,)),
         (OUTPUT, ONLY_LAST, AT, INTO)),
    Verb("stats", (_WORKER,), "print the worker's counts", "workers",
         Route("GET", f"{WORKERS}/stats", "statistics", READ, "The worker's counts.", "Statistics",
               failures=(404,)),
         LOOKING),
    Verb("kill", (_NAME,), "kill a worker or supervisor; its terminate does not run", "workers",
         Route("POST", f"{NODES}/kill", "kill", ADMIN, "Kill it; its terminate does not run.",
               "Done", failures=SYS),
         ends="name"),
    Verb("stop-process", (_NAME, Parameter("reason", "word", required=False)),
         "end one worker or supervisor in order; its supervisor then decides", "workers",
         Route("POST", f"{NODES}/stop", "stop_process", ADMIN, "End it in an orderly way.", "Done",
               query=(Query("reason", "string", "why; default normal"), TIMEOUT),
               failures=(*SYS, 504)),
         ends="name"),
    Verb("restart", (_NAME,),
         "stop and start a worker or supervisor in order; start it if it is down", "workers",
         Route("POST", f"{NODES}/restart", "restart", ADMIN,
               "Stop it in order and start it again, whatever its restart type; uncounted.",
               "Child", failures=SUP),
         ends="name"),
)  # fmt: skip
_OF_TREE: tuple[Verb, ...] = (
    Verb("tree", (), "print the tree with state, restarts and budget left", "tree",
         Route("GET", "/v1/tree", "tree", READ, "The whole tree, as it stands.", "Node"),
         (TREE_OUTPUT, AT, INTO), finds="something that should run does not"),
    Verb("log", (), "print what happened, oldest first", "tree",
         Route("GET", "/v1/log", "log", READ, "The kept reports, oldest first.", "Reports",
               query=(AFTER, LAST)),
         (OUTPUT, ONLY_LAST, AT, INTO)),
    Verb("apply", (Parameter("tree", "word", required=False),),
         "make the tree that runs that of its file, or of TREE: show the plan, ask, carry it out",
         "tree",
         Route("POST", "/v1/apply", "apply", APPLY,
               "Make the tree that runs that of its file; what did not change is not touched.",
               "Applied", query=(TREE_FILE, SPECS_ONLY, PLAN), failures=SUP),
         (*_APPLY, OUTPUT), finds="something stays down"),
    Verb("stop", (), "stop the whole tree, children in reverse start order", "tree",
         Route("POST", "/v1/stop", "stop", ADMIN, "Stop the whole tree in order.", "Done",
               query=(Query("keep_remote", "boolean",
                            "remote children run on, for the next parent"),)),
         (_KEEP, OUTPUT), ends=""),
)  # fmt: skip
_OF_SUPERVISORS: tuple[Verb, ...] = (
    Verb("start-child", (_SUPERVISOR, Parameter("spec", "spec")),
         "start a child from a label, or from a mapping as in a tree file", "supervisors",
         Route("POST", f"{SUPERVISORS}/children", "start_child", ADMIN,
               "Start a child from a label, or from a mapping as in a tree file.", "Child", "text",
               failures=(400, 413, *SUP))),
    Verb("terminate-child", (_SUPERVISOR, _CHILD), "stop a child and keep its spec", "supervisors",
         Route("POST", f"{CHILD}/terminate", "terminate_child", ADMIN,
               "Stop a child, keep its spec.", "Done",
               query=(Query("starts", "integer",
                            "for a dynamic child: which life of it is meant"),), failures=SUP),
         ends="id"),
    Verb("restart-child", (_SUPERVISOR, _CHILD), "start a child that was stopped", "supervisors",
         Route("POST", f"{CHILD}/restart", "restart_child", ADMIN,
               "Start a child that was stopped.", "Child", failures=SUP)),
    Verb("delete-child", (_SUPERVISOR, _CHILD), "forget a stopped child's spec", "supervisors",
         Route("DELETE", CHILD, "delete_child", ADMIN, "Forget the spec of a stopped child.",
               "Done", failures=SUP)),
    Verb("which-children", (_SUPERVISOR,), "list the children, last started first", "supervisors",
         Route("GET", f"{SUPERVISORS}/children", "which_children", READ,
               "The children, last started first.", "Children", failures=SUP),
         LOOKING),
    Verb("count-children", (_SUPERVISOR,), "count specs, active, supervisors, workers",
         "supervisors",
         Route("GET", f"{SUPERVISORS}/count", "count_children", READ,
               "How many specs, active, supervisors, workers.", "Counts", failures=SUP),
         LOOKING),
    Verb("get-childspec", (_SUPERVISOR, _CHILD), "print the spec of a child", "supervisors",
         Route("GET", CHILD, "get_childspec", READ, "The spec of a child.", "ChildSpec",
               failures=SUP),
         LOOKING),
)  # fmt: skip
_OF_SESSION: tuple[Verb, ...] = (
    Verb("help", (Parameter("verb", "word", required=False, shown="VERB|WORKER"),),
         "list the commands, or explain one, or what a worker takes", "session", aliases=("?",)),
    Verb("quit", (), "leave; a tree that was started here is stopped", "session",
         aliases=("exit",)),
)  # fmt: skip

TABLE = (*_OF_WORKERS, *_OF_TREE, *_OF_SUPERVISORS, *PAST_VERBS, *FUTURE_VERBS, *_OF_SESSION)

VERBS: dict[str, Verb] = {verb.name: verb for verb in TABLE}
"""The verbs by their names, in the order of the help page; aliases are not in it."""

VERB_OF = {verb.route.effect: verb.name for verb in TABLE if verb.route is not None}
"""What people call an effect: `start-child` for `start_child`, `set` for `replace_state`."""

_BY_WORD = VERBS | {alias: verb for verb in TABLE for alias in verb.aliases}


def find_verb(word: str) -> Verb | None:
    """The verb that a word names, also by an alias; None where there is none.

    >>> find_verb("exit").name
    'quit'
    """
    return _BY_WORD.get(word)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like `word`, whatever its case; None where none is near.

    At most `MAX_NAMES_SEARCHED` of the known words are looked at.

    >>> nearest("cal", VERBS), nearest("KV1", ["kv1"]), nearest("xyz", VERBS)
    ('call', 'kv1', None)
    """
    seen = {name.lower(): name for _, name in zip(range(MAX_NAMES_SEARCHED), known, strict=False)}
    found = get_close_matches(word.lower(), seen, n=1, cutoff=0.6)
    return seen[found[0]] if found else None


def help_lines(word: str | None = None) -> tuple[str, ...]:
    """The help page, or that of one verb. Raises nothing: an unknown word gets the page.

    >>> help_lines("quit")[0]
    'quit    leave; a tree that was started here is stopped'
    """
    verb = None if word is None else find_verb(word)
    if verb is not None:
        also = (f"also written: {', '.join(verb.aliases)}",) if verb.aliases else ()
        options = tuple(f"  {', '.join(o.spellings)} {o.metavar}    {o.help}" for o in verb.options)
        return (f"{verb.usage}    {verb.help}", *also, *options)
    width = max(len(verb.usage) for verb in TABLE)
    lines = ["WORKER INPUT".ljust(width) + "  short for `call WORKER INPUT`"]
    section = ""
    for verb in TABLE:
        if verb.section != section:
            section = verb.section
            lines.append(f"{section}:")
        lines.append(f"{verb.usage.ljust(width)}  {verb.help}")
    return tuple(lines)
