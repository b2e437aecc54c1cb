"""The verbs of looking into the past: one row each, as in `verbs.py`."""

from __future__ import annotations

from ssm_cli.commands.routes import ADMIN, LAST, LATER_S, OF, PAST, READ, Query, Route, flag
from ssm_cli.commands.verb import AT, FORCE, INTO, ONLY_LAST, OUTPUT, Option, Parameter, Verb

_BAD = (400, 404)
_EXPR = "a question about a record, as `state.x > 1`"
_WORKER = Parameter("worker", "worker")
_BY = Parameter("by", "number", required=False, shown="N")
_STEPS = (
    Option("worker", ("--worker",), "WORKER", "to the next record of this worker"),
    Option("change", ("--change",), "PATH", "that changed this part of the state", kind="path"),
    Option("when", ("--when",), "EXPR", "after which this holds", kind="expr"),
    Option("crash", ("--crash",), "", "to the moment before the next crash", kind="flag"),
    OUTPUT,
    AT,
    INTO,
)
_STEP = (
    Query("by", "integer", "how many records; default 1"),
    OF,
    Query("change", "string", "only those that changed this part of the state"),
    Query("when", "string", "only those after which this holds"),
    flag("crash", "`yes`: to the moment before the next crash"),
)

PAST_VERBS: tuple[Verb, ...] = (
    Verb(
        "history",
        (Parameter("worker", "worker", required=False),),
        "print what was served, one line a record: input, what came of it, what it changed",
        "history",
        Route("GET", PAST, "history", READ, "The last records, oldest first.", "Past",
              query=(OF, LAST), failures=_BAD),
        options=(ONLY_LAST, OUTPUT, AT, INTO),
    ),
    Verb(
        "at",
        (Parameter("where", "word", shown="RECORD|TIME|crash"),),
        "go there: tree, log, state, status and crash show that moment, read only",
        "history",
        Route("GET", f"{PAST}/place", "go", READ, "The place that a word stands for.", "Past",
              query=(Query("where", "string", "a record, `now`, `start`, `crash`, a time",
                           required=True),), failures=_BAD),
        options=(OUTPUT, AT, INTO),
    ),
    Verb("now", (), "come back from the past", "history", options=(OUTPUT,)),
    Verb(
        "back",
        (_BY,),
        "go N records back, or to the N-th record before that the options describe",
        "history",
        Route("GET", f"{PAST}/back", "step_back", READ, "The place so many records back.", "Past",
              query=_STEP, failures=_BAD),
        options=_STEPS,
    ),
    Verb(
        "next",
        (_BY,),
        "go N records on, or to the N-th record behind that the options describe",
        "history",
        Route("GET", f"{PAST}/next", "step", READ, "The place so many records on.", "Past",
              query=_STEP, failures=_BAD),
        options=_STEPS,
    ),
    Verb(
        "diff",
        (Parameter("one", "word", required=False, shown="A"),
         Parameter("other", "word", required=False, shown="B")),
        "print what a record changed, or what differs between two",
        "history",
        Route("GET", f"{PAST}/diff", "diff", READ,
              "What a record changed, or what differs between two.", "Past",
              query=(Query("one", "string", "a record; default: that of the place"),
                     Query("other", "string", "another one")), failures=_BAD),
        options=(OUTPUT, AT, INTO),
    ),
    Verb(
        "blame",
        (_WORKER, Parameter("path", "path")),
        "print the records that wrote this part of the worker's state, newest first",
        "history",
        Route("GET", f"{PAST}/blame", "blame", READ,
              "The records that wrote a part of a worker's state, newest first.", "Past",
              query=(Query("worker", "string", "whose state", required=True),
                     Query("path", "string", "a part of the state", required=True),
                     Query("when", "string", "marks the first record after which this holds"),
                     LAST), failures=_BAD),
        options=(Option("when", ("--when",), "EXPR", "mark the first after which this holds",
                        kind="expr"), ONLY_LAST, OUTPUT, AT, INTO),
    ),
    Verb(
        "when",
        (_WORKER, Parameter("expr", "expr")),
        "print the first record of the worker after which EXPR holds",
        "history",
        Route("GET", f"{PAST}/when", "when", READ,
              "The first record of a worker after which something holds.", "Past",
              query=(Query("worker", "string", "whose records", required=True),
                     Query("expr", "string", _EXPR, required=True)), failures=_BAD),
        options=(OUTPUT, AT, INTO),
    ),
    Verb(
        "why",
        (Parameter("record", "word", required=False),),
        "print the causes of a record: itself first, what came from outside last",
        "history",
        Route("GET", f"{PAST}/why", "why", READ, "The causes of a record, itself first.", "Past",
              query=(Query("record", "string", "a record; default: that of the place"),),
              failures=_BAD),
        options=(OUTPUT, AT, INTO),
    ),
    Verb(
        "timeline",
        (),
        "print the last records as a row: a mark each, crashes and restarts, and where you are",
        "history",
        Route("GET", f"{PAST}/timeline", "timeline", READ,
              "The records around a place, one mark each.", "Past", query=(LAST,), failures=_BAD),
        options=(ONLY_LAST, OUTPUT, AT, INTO),
    ),
    Verb(
        "save",
        (Parameter("file", "word"),),
        "write what is remembered, redacted, to FILE, new or saved before; `ssm open` opens it",
        "history",
        Route("POST", f"{PAST}/save", "save", ADMIN,
              "What is remembered, redacted: the bytes of a file, in base64.", "Past",
              failures=(*_BAD, 500), wait_s=LATER_S),
        options=(FORCE, OUTPUT),
    ),
)  # fmt: skip
