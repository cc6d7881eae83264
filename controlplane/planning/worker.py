"""The process that computes placements, as the global leader's node speaks to it.

Solving takes seconds and both hands: it has no place in a process that renews leases. The worker is
started when it is first needed, answers one question after the other, and ends with its stdin.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE, Process
from typing import Any, Final

import orjson

from controlplane.planning.errors import NoPlacement, QuestionRefused, WorkerFailed

ANSWER_BYTES_MAX: Final = 1 << 30
SLACK_S: Final = 60.0
"""For reading a question and writing an answer, beside the time that may be spent on it."""
COMMAND: Final = (sys.executable, "-m", "shards.placement.worker")


class PlanningWorker:
    """At most one process, and one question at a time."""

    def __init__(self, command: tuple[str, ...] = COMMAND) -> None:
        self._command = command
        self._process: Process | None = None
        self._turn = asyncio.Lock()
        self._number = 0

    async def ask(self, time_limit_s: float, *questions: dict[str, Any]) -> Any:
        """Have questions answered that belong together; the answer to the last one.

        The first one that is refused ends it. Raises QuestionRefused, WorkerFailed.
        """
        answer: Any = None
        async with self._turn:
            for question in questions:
                self._number += 1
                words = {"id": self._number, "time_limit_s": time_limit_s, **question}
                line = await asyncio.to_thread(orjson.dumps, words)
                try:
                    async with asyncio.timeout(time_limit_s + SLACK_S):
                        answer = await self._exchange(line + b"\n")
                except TimeoutError:
                    await self._kill()
                    raise WorkerFailed(f"no plan was found in {time_limit_s:g} s") from None
                except BaseException:
                    await self._kill()  # what it would answer next is an answer to this
                    raise
                answer = await asyncio.to_thread(_read, answer)
        return answer

    async def close(self) -> None:
        """Let the process end."""
        await self._kill()

    async def _exchange(self, line: bytes) -> bytes:
        process = await self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(line)
            await process.stdin.drain()
            answer = await process.stdout.readline()
        except (ConnectionError, ValueError) as error:
            raise WorkerFailed(f"the planning process broke off: {error}") from error
        if not answer.endswith(b"\n"):
            raise WorkerFailed(f"the planning process ended with status {await process.wait()}")
        return answer

    async def _running(self) -> Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=PIPE, stdout=PIPE, limit=ANSWER_BYTES_MAX
            )
        return self._process

    async def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _read(answer: bytes) -> Any:
    document = orjson.loads(answer)
    error = document.get("error")
    if error is not None:
        raise QuestionRefused(error["message"], error["hint"], error["findings"])
    found = document["ok"]
    if isinstance(found, dict) and found.get("feasible") is False:
        raise NoPlacement(found["conflict"])
    return found
