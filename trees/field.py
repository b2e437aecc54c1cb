"""A field of simulated devices for gateway.yaml. Run: python trees/field.py [PORT]; 0 is any port.

A line is `NAME read` or `NAME switch NUMBER`; the answer is the number of that device.
"""  # noqa: INP001 - run by its path

import asyncio
import sys
from collections import defaultdict

BACKLOG = 5_000  # connections that may wait to be taken: a whole field may ask at once


class Field:
    """The numbers of all devices, by their names; and the texts of those that answer nonsense."""

    def __init__(self) -> None:
        self.numbers: defaultdict[str, int] = defaultdict(lambda: 20)
        self.nonsense: dict[str, str] = {}

    async def listen(self, port: int) -> asyncio.Server:
        """Listen on a port of this machine."""
        return await asyncio.start_server(self.answer, "127.0.0.1", port, backlog=BACKLOG)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one line."""
        match (await reader.readline()).decode().split():
            case [name, "switch", number]:
                self.numbers[name] = int(number)
            case [name, "read"]:
                pass
            case _:
                name = "nobody"
        writer.write(f"{self.nonsense.get(name, self.numbers[name])}\n".encode())
        writer.close()


async def main(port: int) -> None:
    """Serve until interrupted; the first line says where."""
    server = await Field().listen(port)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 7700))
