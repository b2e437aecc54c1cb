"""The MessagePack codec: the data of the JSON codec, in fewer bytes."""

from __future__ import annotations

from typing import Any

import msgspec

from ssm_cli.codec.json import DataCodec, safe_repr


class MsgpackCodec(DataCodec):
    """Inputs and outputs as MessagePack; bytes stay bytes."""

    def __init__(self, inputs: Any) -> None:
        encode = msgspec.msgpack.Encoder(enc_hook=safe_repr).encode
        super().__init__(inputs, "MessagePack", msgspec.msgpack.Decoder().decode, encode)
