"""Where Lucene is: the jar that pyserini ships, a JDK, and our program compiled against them.

pyserini 1.6.0 ships Lucene 9.9, the source distribution of 2.4.0 Lucene 10, which is faster.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from eval.peers.lucene import find_java_home

SOURCES = Path(__file__).parent / "java"
_FIND_JAR = (
    "import importlib.util, pathlib; print(next(pathlib.Path(importlib.util.find_spec('pyserini')"
    ".origin).parent.glob('resources/jars/anserini-*-fatjar.jar')))"
)


class LuceneNotFoundError(Exception):
    """There is no jar, no JDK, or the program does not compile."""


def java_command(interpreter: str, work: Path) -> list[str]:
    """The command line of the Lucene engine, compiled into ``work`` when its source is newer.

    Args:
        interpreter: A Python interpreter with pyserini, which ships the jar; the variable
            ``WINNOW_LUCENE_JAR`` names another one.
        work: Folder for the classes.

    Raises:
        LuceneNotFoundError: The message says what is missing.
    """
    home = find_java_home()
    if home is None:
        raise LuceneNotFoundError("no JDK from version 21 on: set JAVA_HOME")
    jar = find_jar(interpreter)
    classes = work / "java-classes" / Path(jar).stem
    sources = sorted(SOURCES.glob("*.java"))
    made = [classes / f"{source.stem}.class" for source in sources]
    if not all(
        path.exists() and path.stat().st_mtime > source.stat().st_mtime
        for path, source in zip(made, sources, strict=True)
    ):
        compiler = [str(home / "bin" / "javac"), "-cp", jar, "-d", str(classes)]
        answer = subprocess.run(
            [*compiler, *map(str, sources)], capture_output=True, text=True, check=False
        )
        if answer.returncode:
            raise LuceneNotFoundError(f"javac: {answer.stderr.strip().splitlines()[0]}")
    return [
        str(home / "bin" / "java"),
        "-Xms3g",
        "-Xmx3g",
        "-XX:+UseSerialGC",
        "--add-modules=jdk.incubator.vector",
        "--enable-native-access=ALL-UNNAMED",
        "-cp",
        f"{classes}:{jar}",
        "LuceneEngine",
    ]


def find_jar(interpreter: str) -> str:
    """Path of the jar that has Lucene.

    Raises:
        LuceneNotFoundError: No variable names it, and the interpreter has no pyserini.
    """
    named = os.environ.get("WINNOW_LUCENE_JAR")
    if named:
        return named
    answer = subprocess.run([interpreter, "-c", _FIND_JAR], capture_output=True, text=True)
    if answer.returncode:
        raise LuceneNotFoundError(
            f"{interpreter} has no pyserini: set WINNOW_LUCENE_PYTHON or WINNOW_LUCENE_JAR"
        )
    return answer.stdout.strip()
