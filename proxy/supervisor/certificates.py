"""Certificates, seen from the supervisor: from a configuration and the CAs to the workers and the operator.

Theory of operation. `follow` takes a configuration at once: files are read and names that went are forgotten.
What needs a CA or the storage is applied by `run`, one configuration after the other, by a keeper for each
storage folder. Keepers and files tell the workers of certificates (`certificate_push`) and the log of problems
(`certificate_problems`). A worker whose handshake lacks a certificate asks; all who ask for a name share one
wait, which ends in the certificate itself or in a word that it cannot be had.
"""

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from proxy.config.schema import Config
from proxy.control.channel import PackedCommand
from proxy.control.messages import CertificateUnusable, CertificateWanted
from proxy.supervisor.certificate_files import FileCertificate, FileCertificates
from proxy.supervisor.certificate_problems import CertificateProblem, CertificateProblems
from proxy.supervisor.certificate_push import CertificatePush, Workers
from proxy.supervisor.certificate_rows import CertificateRow
from proxy.supervisor.certificate_wishes import Probing, Wishes, storages, wishes_of
from proxy.supervisor.certificates_any_name import ANY_NAME, Asking, NamesUnderAny
from proxy.supervisor.moments import moment
from proxy.telemetry import process_log

if TYPE_CHECKING:
    from proxy.supervisor.certificate_keeper import CertificateKeeper

_log = process_log.logger("certificates")

# Workers ask again at most this often (proxy/downstream/tls_certificates.py): a wait that began since the last
# question must not be cut short.
_ASK_INTERVAL: Final = 1.0


class Certificates:
    """One object between the CAs, the files and the workers; all methods belong to one event loop."""

    def __init__(self, workers: Workers, probing: Probing | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._push = CertificatePush(workers)
        self._probing = probing or Probing()
        self._config: Config | None = None
        self._wishes = Wishes()
        self._files = FileCertificates(self._from_files, self._about_files)
        self._keepers: dict[Path, CertificateKeeper] = {}
        self._news = asyncio.Event()
        self.applied = asyncio.Event()
        self._asked: dict[str, float] = {}
        self._waits: dict[str, asyncio.Task[None]] = {}
        self._under_any = NamesUnderAny(self._keeper_of_any)
        self.problems = CertificateProblems(lambda name: name in self._wishes.names)

    # Life

    def follow(self, config: Config) -> None:
        """Use a configuration from now on; whatever needs a CA or a disk goes on in `run`."""
        self._config = config
        self._wishes = wishes_of(config)
        self._push.keep_only(self._wishes.names)
        self.problems.forget_all_but(self._wishes.names)
        self._files.follow(self._wishes.files, time.time())
        self._push.resend()
        self.applied.clear()
        self._news.set()

    async def run(self) -> None:
        """Apply one configuration after the other, for ever."""
        while True:
            await self._news.wait()
            self._news.clear()
            try:
                await self._apply()
            except Exception:
                self._news.set()  # whoever runs this runs it again
                raise

    def poll(self) -> None:
        """Look for changed files; call it every few seconds."""
        self._files.poll(time.time())

    async def close(self) -> None:
        """End everything that is under way."""
        for wait in self._waits.values():
            wait.cancel()
        await asyncio.gather(*self._waits.values(), return_exceptions=True)
        await self._under_any.close()
        await asyncio.gather(*(keeper.close() for keeper in self._keepers.values()))

    async def _apply(self) -> None:
        config, wishes = self._config, self._wishes
        if config is None:
            return
        for storage in [known for known in self._keepers if known not in storages(config)]:
            await self._keepers.pop(storage).close()
        for storage in dict.fromkeys((*wishes.managed, *self._keepers)):
            if storage in wishes.managed and storage not in self._keepers:
                self._keepers[storage] = await self._open(storage)
            await self._keepers[storage].want(wishes.managed.get(storage, ()))
        if wishes is self._wishes:
            self.applied.set()

    async def _open(self, storage: Path) -> "CertificateKeeper":
        # Imported here: who needs no such certificate shall not pay for it.
        from proxy.supervisor.certificate_keeper import CertificateKeeper

        def is_ours(name: str) -> bool:
            return self._wishes.storage_of.get(name) == storage

        keeper = CertificateKeeper(storage, self._push, self.problems, is_ours, self._probing)
        await keeper.start()
        return keeper

    # Workers

    def briefing(self) -> tuple[PackedCommand, ...]:
        """Return what a new worker has to be told."""
        return self._push.briefing()

    def reported(self, worker: Asking, report: CertificateWanted | CertificateUnusable) -> None:
        """Take a worker's question or complaint."""
        match report:
            case CertificateWanted(name=name):
                self._wanted(worker, name)
            case CertificateUnusable(name=name, reason=reason):
                self._is_unusable(name, reason)

    def _wanted(self, worker: Asking, name: str) -> None:
        if name not in self._wishes.hold:
            if ANY_NAME in self._wishes.hold:
                self._under_any.wanted(worker, name)
            return  # or it is of a snapshot that is being replaced, or of a worker that has been taken over
        known = self._push.certificate(name)
        if self._push.is_unusable(name):
            self._push.fail(name)
        elif known is not None:
            worker.send(known)
        else:
            self._asked[name] = self._loop.time()
            if name not in self._waits:
                self._waits[name] = asyncio.create_task(self._wait(name))

    async def _wait(self, name: str) -> None:
        try:
            if not await self._obtained(name):
                self._push.fail(name)
        except Exception:
            _log.exception("failed inside while a handshake waited", extra=process_log.fields(name=name))
            self._push.fail(name)
        finally:
            del self._waits[name]
            self._asked.pop(name, None)

    async def _obtained(self, name: str) -> bool:
        """Wait as long as anybody does; return whether there is a certificate, or early that there will be none."""
        while (hold := self._wishes.hold.get(name)) is not None:
            ends = self._asked[name] + hold + _ASK_INTERVAL
            if ends <= self._loop.time():
                return False
            if not self.applied.is_set():
                await self._applied_before(ends)
                continue
            storage = self._wishes.storage_of.get(name)
            keeper = None if storage is None else self._keepers.get(storage)
            if keeper is None:
                return False
            if await keeper.wait_for(name, ends - self._loop.time()) is None:
                return True
            if self._loop.time() < ends:
                return False
        return False

    async def _applied_before(self, moment: float) -> None:
        try:
            async with asyncio.timeout_at(moment):
                await self.applied.wait()
        except TimeoutError:
            pass  # the caller looks at the clock

    def _is_unusable(self, name: str, reason: str) -> None:
        if name not in self._wishes.names or self._push.is_unusable(name):
            return
        self._push.mark_unusable(name)
        self._push.fail(name)
        cure = "Order a new one with foregate certs renew, or write the files anew."
        wrong = f"The certificate for {name} cannot be served: {reason}."
        self.problems.report(
            name, CertificateProblem(reason="unusable", what_is_wrong=wrong, what_to_do=cure)
        )

    # Files

    def _from_files(self, names: tuple[str, ...], certificate: FileCertificate) -> None:
        for name in names:
            self._push.serve(name, certificate.chain, certificate.key)
        words = {"name": names[0], "issuer": certificate.issuer, "until": moment(certificate.not_after)}
        _log.info("certificate in use", extra=process_log.fields(**words))

    def _about_files(self, names: tuple[str, ...], problem: CertificateProblem | None) -> None:
        for name in names:
            if problem is None:
                self.problems.solved(name)
            else:
                self.problems.report(name, problem)

    # What is known

    def rows(self) -> list[CertificateRow]:
        """Return how every certificate stands, those that no site wants any more last."""
        rows = [row for keeper in self._keepers.values() for row in keeper.rows()]
        rows += self._files.rows(time.time())
        rows += [_passed_through(name) for name in self._wishes.passed_through]
        rows = [self._with_complaint(row) for row in rows]
        return sorted(rows, key=lambda row: (row.removed_at is not None, row.names))

    def storage_problems(self) -> list[CertificateProblem]:
        """Return what is wrong with the storage folders."""
        found = (keeper.storage_problem for keeper in self._keepers.values())
        return [problem for problem in found if problem is not None]

    def keeper_of(self, name: str) -> "CertificateKeeper | None":
        """Return who gets a domain's certificate, or has kept it since the domain was removed."""
        storage = self._wishes.storage_of.get(name)
        if storage is not None:
            return self._keepers.get(storage)
        return next((keeper for keeper in self._keepers.values() if keeper.has_removed(name)), None)

    def _keeper_of_any(self) -> "CertificateKeeper | None":
        storage = self._wishes.storage_of.get(ANY_NAME)
        return None if storage is None else self._keepers.get(storage)

    def _with_complaint(self, row: CertificateRow) -> CertificateRow:
        """Show first of all that workers cannot serve it."""
        unusable = next((name for name in row.names if self._push.is_unusable(name)), None)
        return row if unusable is None else replace(row, problem=self.problems.latest(unusable))


def _passed_through(name: str) -> CertificateRow:
    problem = CertificateProblem(
        reason="challenges-passed-through",
        what_is_wrong=f"The CA's challenges for {name} go to the app, so Foregate itself gets no certificate.",
        what_to_do="Set tls.passthrough_challenges to false, or give the site a certificate with mode files.",
    )
    return CertificateRow(names=(name,), mode="acme", state="absent", problem=problem)
