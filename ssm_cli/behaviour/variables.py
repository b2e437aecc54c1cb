"""The type variables of workers: inputs, states and outputs; `Any` where they are not given.

A worker that takes more may stand where one is wanted that takes less (`In_contra`), and what gives
fewer outputs or states where more are expected (`Out_co`, `State_co`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # type checkers know it; `typing` has defaults in 3.13

    In = TypeVar("In", default=Any)
    State = TypeVar("State", default=Any)
    Out = TypeVar("Out", default=Any)
    In_contra = TypeVar("In_contra", default=Any, contravariant=True)
    Out_co = TypeVar("Out_co", default=Any, covariant=True)
    State_co = TypeVar("State_co", default=Any, covariant=True)
else:
    from typing import TypeVar

    In = TypeVar("In")
    State = TypeVar("State")
    Out = TypeVar("Out")
    In_contra = TypeVar("In_contra", contravariant=True)
    Out_co = TypeVar("Out_co", covariant=True)
    State_co = TypeVar("State_co", covariant=True)
