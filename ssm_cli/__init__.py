"""`ssm`: supervised state machines on one thread. The public API is what this module names.

Names are imported at first use, so that a program pays for what it uses only.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ssm_cli.behaviour.effects import (
        Answer,
        CancelTimer,
        Cast,
        Defer,
        Effect,
        Exit,
        Info,
        StartTimer,
    )
    from ssm_cli.behaviour.gen_server import GenServer
    from ssm_cli.behaviour.machine import StateMachine
    from ssm_cli.behaviour.reasons import Crash, ExitReason, Killed, Normal, Other, Shutdown
    from ssm_cli.behaviour.results import (
        TIMEOUT,
        Caller,
        Continue,
        Error,
        Exited,
        ExitSignal,
        Hibernate,
        Ignore,
        NoReply,
        Ok,
        Reply,
        Stop,
        TimeoutAfter,
    )
    from ssm_cli.cluster.link.client import ClusterLinks
    from ssm_cli.errors import (
        Busy,
        CalledFromStep,
        CalleeCrashed,
        CalleeStopped,
        CallError,
        CallTimeout,
        DecodeError,
        Denied,
        Fenced,
        GaveUp,
        NoConnection,
        NoProc,
        QueueFull,
        SpecError,
        SsmError,
        StartFailed,
        StepTimeout,
        StorageDamaged,
        StorageError,
        StorageInUse,
        SupervisorError,
        SysError,
        TreeFileError,
        Unrecovered,
    )
    from ssm_cli.http.asgi import AsgiApp, asgi_app
    from ssm_cli.runtime.api import NodeApi
    from ssm_cli.runtime.clock import ManualClock, SystemClock
    from ssm_cli.runtime.node import Node
    from ssm_cli.runtime.remote.fake import FakeLinks
    from ssm_cli.runtime.views import NodeView, Report
    from ssm_cli.spec.load import load_tree
    from ssm_cli.spec.model import (
        AutoShutdown,
        Backoff,
        OnCrash,
        OnReplayDifference,
        OnStorageError,
        OnUnrecoverable,
        Persist,
        Remote,
        Restart,
        Strategy,
        Supervisor,
        Worker,
    )
    from ssm_cli.storage.folder import FolderStore
    from ssm_cli.storage.memory import MemoryStore

__version__ = "0.1.0"

_HOME = {
    "behaviour.effects": "Answer CancelTimer Cast Defer Effect Exit Info StartTimer",
    "behaviour.gen_server": "GenServer",
    "behaviour.machine": "StateMachine",
    "behaviour.reasons": "Crash ExitReason Killed Normal Other Shutdown",
    "behaviour.results": "TIMEOUT Caller Continue Error ExitSignal Exited Hibernate Ignore NoReply"
    " Ok Reply Stop TimeoutAfter",
    "cluster.link.client": "ClusterLinks",
    "errors": "Busy CallError CallTimeout CalledFromStep CalleeCrashed CalleeStopped DecodeError"
    " Denied Fenced GaveUp NoConnection NoProc QueueFull SpecError SsmError StartFailed"
    " StepTimeout StorageDamaged StorageError StorageInUse SupervisorError SysError TreeFileError"
    " Unrecovered",
    "http.asgi": "AsgiApp asgi_app",
    "runtime.api": "NodeApi",
    "runtime.clock": "ManualClock SystemClock",
    "runtime.node": "Node",
    "runtime.remote.fake": "FakeLinks",
    "runtime.views": "NodeView Report",
    "spec.load": "load_tree",
    "spec.model": "AutoShutdown Backoff OnCrash OnReplayDifference OnStorageError OnUnrecoverable"
    " Persist Remote Restart Strategy Supervisor Worker",
    "storage.folder": "FolderStore",
    "storage.memory": "MemoryStore",
}
_ROOM = {name: room for room, names in _HOME.items() for name in names.split()}

__all__ = [
    "TIMEOUT",
    "Answer",
    "AsgiApp",
    "AutoShutdown",
    "Backoff",
    "Busy",
    "CallError",
    "CallTimeout",
    "CalledFromStep",
    "CalleeCrashed",
    "CalleeStopped",
    "Caller",
    "CancelTimer",
    "Cast",
    "ClusterLinks",
    "Continue",
    "Crash",
    "DecodeError",
    "Defer",
    "Denied",
    "Effect",
    "Error",
    "Exit",
    "ExitReason",
    "ExitSignal",
    "Exited",
    "FakeLinks",
    "Fenced",
    "FolderStore",
    "GaveUp",
    "GenServer",
    "Hibernate",
    "Ignore",
    "Info",
    "Killed",
    "ManualClock",
    "MemoryStore",
    "NoConnection",
    "NoProc",
    "NoReply",
    "Node",
    "NodeApi",
    "NodeView",
    "Normal",
    "Ok",
    "OnCrash",
    "OnReplayDifference",
    "OnStorageError",
    "OnUnrecoverable",
    "Other",
    "Persist",
    "QueueFull",
    "Remote",
    "Reply",
    "Report",
    "Restart",
    "Shutdown",
    "SpecError",
    "SsmError",
    "StartFailed",
    "StartTimer",
    "StateMachine",
    "StepTimeout",
    "Stop",
    "StorageDamaged",
    "StorageError",
    "StorageInUse",
    "Strategy",
    "Supervisor",
    "SupervisorError",
    "SysError",
    "SystemClock",
    "TimeoutAfter",
    "TreeFileError",
    "Unrecovered",
    "Worker",
    "__version__",
    "asgi_app",
    "load_tree",
]


def __getattr__(name: str) -> object:
    room = _ROOM.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{room}"), name)
    globals()[name] = value
    return value
