"""Where compiled kernels are kept when Winnow's own folder cannot be written.

Numba keeps them beside their source, where the end of a build leaves them; it reads none from a
folder that it may not write to. So that an installation that was warmed up and is read-only now (a
container's image, a package of the system) need not compile again, its compiled files are copied to
where Numba may write: the user's cache or, without one, the folder for temporary files. A service
without any such folder would not even import Numba's kernels. ``NUMBA_CACHE_DIR`` overrides all of
this.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import sys
import tempfile
from pathlib import Path

VARIABLE = "NUMBA_CACHE_DIR"

HERE = Path(__file__).parent


def keep_compiled() -> Path | None:
    """Chooses the folder and names it to Numba, before Numba reads its settings.

    Returns:
        The folder, with what was compiled before in it; ``None`` if Numba's own choice is good.
    """
    beside = HERE / "__pycache__"
    if VARIABLE in os.environ or _writable(beside):
        return None
    folder = _user_cache()
    if folder is None:
        folder = _temporary_cache()
    os.environ[VARIABLE] = str(folder)
    if numba := sys.modules.get("numba.core.config"):  # it was imported before us
        numba.reload_config()
    # Numba's name for the folder of a source file within a cache.
    place = folder / f"{HERE.name}_{hashlib.sha1(str(HERE).encode()).hexdigest()}"  # noqa: S324
    with contextlib.suppress(OSError):  # then they are compiled again
        _copy_compiled(beside, place)
    return folder


def _writable(folder: Path) -> bool:
    """Whether files can be made in a folder, which is made if it is not there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _user_cache() -> Path | None:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    folder = Path(base) / "winnow" / "kernels"
    return folder if folder.is_absolute() and _writable(folder) else None


def _temporary_cache() -> Path:
    """A folder of this user alone: whoever writes there chooses what runs here."""
    folder = Path(tempfile.gettempdir()) / f"winnow-kernels-{os.getuid()}"
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        private = stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o022
        if private and found.st_uid == os.getuid():
            return folder
    return Path(tempfile.mkdtemp(prefix="winnow-kernels-"))


def _copy_compiled(beside: Path, place: Path) -> None:
    """Copies what the place lacks or has older; an index of Numba's after what it names."""
    place.mkdir(parents=True, exist_ok=True)
    for path in [*sorted(beside.glob("*.nbc")), *sorted(beside.glob("*.nbi"))]:
        target = place / path.name
        if not target.exists() or target.stat().st_mtime < path.stat().st_mtime:
            with tempfile.NamedTemporaryFile(dir=place, delete=False) as copy:
                copy.write(path.read_bytes())
            shutil.move(copy.name, target)
