"""A word with a store past every node: what an administrator types, as bytes on a connection.

The adapter for stores carries the fleet's own calls and no others; these are for breaking things.
"""

from __future__ import annotations

import asyncio

ANSWER_S_MAX = 5.0


async def ask_store(host: str, port: int, *words: str) -> bytes:
    """Send one command; give the text of its reply. Raises OSError, ValueError for a refusal."""
    async with asyncio.timeout(ANSWER_S_MAX):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            pieces = [b"*%d\r\n" % len(words)]
            pieces += [b"$%d\r\n%b\r\n" % (len(w.encode()), w.encode()) for w in words]
            writer.write(b"".join(pieces))
            line = await reader.readline()
            if line.startswith(b"-"):
                raise ValueError(f"the store refuses {words[0]}: {line.decode().strip()}")
            if line.startswith(b"$"):
                return await reader.readexactly(int(line[1:]))
            return line[1:].strip()
        finally:
            writer.close()
            await writer.wait_closed()
