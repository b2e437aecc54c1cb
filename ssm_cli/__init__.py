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
        Demonitor,
        Down,
        Effect,
        Exit,
        Info,
        Join,
        Leave,
        Link,
        Monitor,
        Publish,
        StartTimer,
        Unlink,
    )
    from ssm_cli.behaviour.event import Event
    from ssm_cli.behaviour.gen_server import GenServer
    from ssm_cli.behaviour.handlers import (
        AddHandler,
        CallHandler,
        DeleteHandler,
        EventHandler,
        ForHandler,
        GenEventExit,
        PureHandler,
        Raised,
        RemoveHandler,
        SwapHandler,
        Swapped,
        SwapTo,
        WhichHandlers,
    )
    from ssm_cli.behaviour.machine import StateMachine
    from ssm_cli.behaviour.partition import partition
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
    from ssm_cli.behaviour.runs import CancelRun, Done, Failed, Run, RunError
    from ssm_cli.behaviour.state_loop import InState, StateData
    from ssm_cli.behaviour.statem import PureStatem, Statem
    from ssm_cli.behaviour.transitions import (
        CancelTimeout,
        ChangeCallbackModule,
        KeepState,
        KeepStateAndData,
        Next,
        NextEvent,
        PopCallbackModule,
        Postpone,
        PushCallbackModule,
        RepeatState,
        RepeatStateAndData,
        SetTimeout,
        StateEvent,
        StopAndReply,
        UpdateTimeout,
    )
    from ssm_cli.cli.embedded import OpenNode
    from ssm_cli.cluster.link.client import ClusterLinks
    from ssm_cli.errors import (
        Busy,
        CalledFromStep,
        CalleeCrashed,
        CalleeStopped,
        CallError,
        CallTimeout,
        CodeRefused,
        DecodeError,
        Denied,
        Fenced,
        Forgotten,
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
    from ssm_cli.runtime.calling.refs import Ref
    from ssm_cli.runtime.calling.request_ids import MultiCall, RequestIds, Response, multi_call
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
        SupervisorSpec,
        Worker,
        WorkerSpec,
        sharded,
    )
    from ssm_cli.storage.folder import FolderStore
    from ssm_cli.storage.memory import MemoryStore

__version__ = "0.1.0"

_HOME = {
    "behaviour.effects": "Answer CancelTimer Cast Defer Demonitor Down Effect Exit Info Join Leave"
    " Link Monitor Publish StartTimer Unlink",
    "behaviour.event": "Event",
    "behaviour.gen_server": "GenServer",
    "behaviour.handlers": "AddHandler CallHandler DeleteHandler EventHandler ForHandler"
    " GenEventExit PureHandler Raised RemoveHandler SwapHandler SwapTo Swapped WhichHandlers",
    "behaviour.machine": "StateMachine",
    "behaviour.partition": "partition",
    "behaviour.reasons": "Crash ExitReason Killed Normal Other Shutdown",
    "behaviour.runs": "CancelRun Done Failed Run RunError",
    "behaviour.results": "TIMEOUT Caller Continue Error ExitSignal Exited Hibernate Ignore NoReply"
    " Ok Reply Stop TimeoutAfter",
    "behaviour.state_loop": "InState StateData",
    "behaviour.statem": "PureStatem Statem",
    "behaviour.transitions": "CancelTimeout ChangeCallbackModule KeepState KeepStateAndData Next"
    " NextEvent PopCallbackModule Postpone PushCallbackModule RepeatState RepeatStateAndData"
    " SetTimeout StateEvent StopAndReply UpdateTimeout",
    "cli.embedded": "OpenNode",
    "cluster.link.client": "ClusterLinks",
    "errors": "Busy CallError CallTimeout CalledFromStep CalleeCrashed CalleeStopped CodeRefused"
    " DecodeError Denied Fenced Forgotten GaveUp NoConnection NoProc QueueFull SpecError SsmError"
    " StartFailed StepTimeout StorageDamaged StorageError StorageInUse SupervisorError SysError"
    " TreeFileError Unrecovered",
    "http.asgi": "AsgiApp asgi_app",
    "runtime.api": "NodeApi",
    "runtime.calling.refs": "Ref",
    "runtime.calling.request_ids": "MultiCall RequestIds Response multi_call",
    "runtime.clock": "ManualClock SystemClock",
    "runtime.node": "Node",
    "runtime.remote.fake": "FakeLinks",
    "runtime.views": "NodeView Report",
    "spec.load": "load_tree",
    "spec.model": "AutoShutdown Backoff OnCrash OnReplayDifference OnStorageError OnUnrecoverable"
    " Persist Remote Restart Strategy Supervisor SupervisorSpec Worker WorkerSpec sharded",
    "storage.folder": "FolderStore",
    "storage.memory": "MemoryStore",
}
_ROOM = {name: room for room, names in _HOME.items() for name in names.split()}

__all__ = [
    "TIMEOUT",
    "AddHandler",
    "Answer",
    "AsgiApp",
    "AutoShutdown",
    "Backoff",
    "Busy",
    "CallError",
    "CallHandler",
    "CallTimeout",
    "CalledFromStep",
    "CalleeCrashed",
    "CalleeStopped",
    "Caller",
    "CancelRun",
    "CancelTimeout",
    "CancelTimer",
    "Cast",
    "ChangeCallbackModule",
    "ClusterLinks",
    "CodeRefused",
    "Continue",
    "Crash",
    "DecodeError",
    "Defer",
    "DeleteHandler",
    "Demonitor",
    "Denied",
    "Done",
    "Down",
    "Effect",
    "Error",
    "Event",
    "EventHandler",
    "Exit",
    "ExitReason",
    "ExitSignal",
    "Exited",
    "Failed",
    "FakeLinks",
    "Fenced",
    "FolderStore",
    "ForHandler",
    "Forgotten",
    "GaveUp",
    "GenEventExit",
    "GenServer",
    "Hibernate",
    "Ignore",
    "InState",
    "Info",
    "Join",
    "KeepState",
    "KeepStateAndData",
    "Killed",
    "Leave",
    "Link",
    "ManualClock",
    "MemoryStore",
    "Monitor",
    "MultiCall",
    "Next",
    "NextEvent",
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
    "OpenNode",
    "Other",
    "Persist",
    "PopCallbackModule",
    "Postpone",
    "Publish",
    "PureHandler",
    "PureStatem",
    "PushCallbackModule",
    "QueueFull",
    "Raised",
    "Ref",
    "Remote",
    "RemoveHandler",
    "RepeatState",
    "RepeatStateAndData",
    "Reply",
    "Report",
    "RequestIds",
    "Response",
    "Restart",
    "Run",
    "RunError",
    "SetTimeout",
    "Shutdown",
    "SpecError",
    "SsmError",
    "StartFailed",
    "StartTimer",
    "StateData",
    "StateEvent",
    "StateMachine",
    "Statem",
    "StepTimeout",
    "Stop",
    "StopAndReply",
    "StorageDamaged",
    "StorageError",
    "StorageInUse",
    "Strategy",
    "Supervisor",
    "SupervisorError",
    "SupervisorSpec",
    "SwapHandler",
    "SwapTo",
    "Swapped",
    "SysError",
    "SystemClock",
    "TimeoutAfter",
    "TreeFileError",
    "Unlink",
    "Unrecovered",
    "UpdateTimeout",
    "WhichHandlers",
    "Worker",
    "WorkerSpec",
    "__version__",
    "asgi_app",
    "load_tree",
    "multi_call",
    "partition",
    "sharded",
]


def __getattr__(name: str) -> object:
    room = _ROOM.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{room}"), name)
    globals()[name] = value
    return value
