"""Tell the listener, once for each change and in the sentences of `problem`, how certificates stand."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from autocert.certificate import Certificate
from autocert.errors import StorageError
from autocert.explain import explain
from autocert.listener import Listener
from autocert.problem import Kind, Problem, problem
from autocert.settings import Authority
from autocert.shelf import Damage


class Reports:
    """The one who talks to the listener; `storage_problem` is what is wrong with the storage folder now."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._warned: set[str] = set()
        self.storage_problem: Problem | None = None

    def available(self, names: Iterable[str], certificate: Certificate) -> None:
        """Tell which certificate to serve for the names."""
        for name in names:
            self._listener.certificate_available(name, certificate)

    def problem(self, names: Iterable[str], found: Problem) -> None:
        """Tell of a problem with every name that it keeps from a certificate."""
        for name in names:
            self._listener.problem(name, found)

    def storage(self, error: StorageError) -> None:
        """Tell of a storage folder that fails, once as long as it fails in the same way."""
        found = explain(error, "", Authority(), error.path, 0.0)
        if self.storage_problem is None or self.storage_problem.kind is not found.kind:
            self._listener.problem("", found)
        self.storage_problem = found

    def storage_is_well(self) -> None:
        """Know that the storage folder works again."""
        self.storage_problem = None

    def local_ca(self, name: str, root: Path) -> None:
        """Warn, once, that the local CA stands in for a public one."""
        if name not in self._warned:
            self._warned.add(name)
            self._listener.problem(name, problem(Kind.LOCAL_CA, name, path=str(root)))

    def damage(self, name: str, damage: Sequence[Damage], *, served: bool, replaced: bool = False) -> None:
        """Tell which stored files of a certificate were damaged, and what is in their place."""
        if served:
            instead = "the certificate in memory goes on being served and is written again"
        elif replaced:
            instead = "the version before it is in use"
        else:
            instead = "a new certificate is ordered"
        for one in damage:
            self._listener.problem(name, problem(Kind.STORE_DAMAGED, name, _words(one), instead=instead))

    def found(self, damage: Iterable[Damage], openings: Iterable[str]) -> None:
        """Tell of damage to files that belong to no certificate, and of files that others could read."""
        for one in damage:
            name = f"the storage ({Path(one.path).parent.name})"
            instead = "the version before it, or a new one, is in use"
            self._listener.problem("", problem(Kind.STORE_DAMAGED, name, _words(one), instead=instead))
        for path in openings:
            self._listener.problem("", problem(Kind.STORE_MODES, "NAME", path=path))


def _words(damage: Damage) -> str:
    kept = f", kept as {damage.set_aside_as}" if damage.set_aside_as else ""
    return f"{damage.path}: {damage.reason}{kept}"
