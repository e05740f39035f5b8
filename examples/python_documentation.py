"""Writes a corpus: the documentation of the Python that runs this script.

    python examples/python_documentation.py FOLDER

``FOLDER/documents.jsonl`` gets one line for each module, class, function and method of the
standard library that has a docstring, sorted by name. Sources are parsed, not run; only modules
written in C, which leave nothing to parse, are imported and asked for their docstrings.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import inspect
import json
import re
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

NOT_DOCUMENTED = {  # demonstrations, tests, and what newer versions have dropped
    *("antigravity", "distutils", "idlelib", "lib2to3", "posix", "test", "this", "turtledemo"),
}
NOT_IMPORTED = {"nis", "ossaudiodev", "readline"}  # these touch the terminal and devices
TESTS = {"test", "tests", "__main__"}
PARTLY_IN_C = {  # their sources take some or all definitions from modules written in C
    *("collections", "collections.abc", "contextvars", "csv", "datetime", "decimal", "functools"),
    *("hashlib", "io", "operator", "os", "queue", "random", "re", "signal", "socket", "sqlite3"),
    *("ssl", "struct", "threading", "tracemalloc", "types", "weakref", "zoneinfo"),
}
LONGEST_SIGNATURE = 100
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Entry:
    """One document; the fields after ``text`` become its metadata.

    Attributes:
        doc_id: Dotted name, such as ``subprocess.run``.
        title: Dotted name and signature.
        text: Docstring, and the name in words: ``subprocess run``.
        kind: ``module``, ``class``, ``function`` or ``method``.
        module: Name of the module.
        deprecated: Whether the docstring says so.
    """

    doc_id: str
    title: str
    text: str
    kind: str
    module: str
    deprecated: bool


def entry(module: str, name: str, kind: str, signature: str, text: str) -> Entry:
    """The document of ``name``, a dotted name within ``module`` (empty for the module itself)."""
    doc_id = name if module == "builtins" and name else f"{module}.{name}".removesuffix(".")
    if len(signature) > LONGEST_SIGNATURE:
        signature = signature[:LONGEST_SIGNATURE].rpartition(",")[0] + ", ...)"
    words = re.sub(r"[._]+|(?<=[a-z])(?=[A-Z])", " ", doc_id)
    deprecated = re.search(r"\bdeprecated\b", text, re.IGNORECASE) is not None
    return Entry(doc_id, doc_id + signature, f"{text}\n\n{words}", kind, module, deprecated)


def source_files(library: Path) -> Iterator[tuple[str, Path]]:
    """Names of public modules and the files that define them, private files of a package too."""
    for name in sorted(sys.stdlib_module_names - NOT_DOCUMENTED):
        if name.startswith("_"):
            continue
        for file in [library / f"{name}.py", *sorted((library / name).rglob("*.py"))]:
            parts = file.relative_to(library).with_suffix("").parts
            if file.is_file() and TESTS.isdisjoint(parts):
                yield ".".join(parts).removesuffix(".__init__"), file


def source_entries(module: str, file: Path) -> Iterator[Entry]:
    """Documents of one source file, private names and nested functions left out.

    What a private file defines belongs to its package, where the package offers it:
    ``concurrent.futures._base.Future`` is ``concurrent.futures.Future``.
    """
    tree = ast.parse(file.read_bytes())
    package, _, rest = module.partition("._")
    if not rest:
        if text := ast.get_docstring(tree):
            yield entry(module, "", "module", "", text)
        yield from definitions(tree, module)
    else:
        offered = imported(package)
        for found in definitions(tree, package):
            if found.doc_id.removeprefix(f"{package}.").partition(".")[0] in offered:
                yield found


def definitions(scope: ast.AST, module: str, prefix: str = "") -> Iterator[Entry]:
    """Documents of the classes and functions of a scope, also of those under ``if`` and ``try``."""
    for node in ast.iter_child_nodes(scope):
        if isinstance(node, ast.If | ast.Try | ast.With | ast.ExceptHandler):
            yield from definitions(node, module, prefix)
        elif isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_"):
            name = prefix + node.name
            is_class = isinstance(node, ast.ClassDef)
            if text := ast.get_docstring(node):
                kind = "class" if is_class else "method" if prefix else "function"
                yield entry(module, name, kind, arguments(node), text)
            if is_class:
                yield from definitions(node, module, f"{name}.")


def arguments(node: ast.AST) -> str:
    """Arguments without annotations, of ``__init__`` for a class; empty where there is none."""
    if isinstance(node, ast.ClassDef):
        starts = [part for part in node.body if getattr(part, "name", "") == "__init__"]
        return arguments(starts[0]) if starts else ""
    if not isinstance(node, Function):
        return ""
    for part in ast.walk(node.args):
        if isinstance(part, ast.arg):
            part.annotation = None
    return without_self(f"({ast.unparse(node.args)})")


def without_self(signature: str) -> str:
    """A signature as the caller sees it."""
    return re.sub(r"^\((\$\w+|self|cls)(, /)?(, )?", "(", signature)


def imported(module: str) -> dict[str, Any]:
    """The names in a module; none where the platform lacks it."""
    with warnings.catch_warnings(action="ignore"):
        try:
            return vars(importlib.import_module(module))
        except ImportError:
            return {}


def compiled_entries(module: str) -> Iterator[Entry]:
    """Documents of a module written in C."""
    members = imported(module)
    if text := members.get("__doc__"):
        yield entry(module, "", "module", "", text)
    for name, member in sorted(members.items()):
        origin = (getattr(member, "__module__", None) or module).removeprefix("_")
        if name in members.get("__all__", [name] if origin == module else []):
            yield from member_entries(module, name, member)


def member_entries(module: str, name: str, member: object) -> Iterator[Entry]:
    """Documents of an imported class with its methods, or of an imported function."""
    if name.rpartition(".")[2].startswith("_") or not (text := inspect.getdoc(member)):
        return
    signature = without_self(getattr(member, "__text_signature__", None) or "")
    if inspect.isclass(member):
        yield entry(module, name, "class", signature, text)
        for method_name, method in sorted(vars(member).items()):
            yield from member_entries(module, f"{name}.{method_name}", method)
    elif inspect.isroutine(member):
        yield entry(module, name, "method" if "." in name else "function", signature, text)


def main() -> None:
    """Reads the documentation and writes the corpus."""
    parser = argparse.ArgumentParser(description="Write a corpus of Python's own documentation.")
    parser.add_argument("folder", type=Path, help="where documents.jsonl is written")
    folder = parser.parse_args().folder
    library = Path(sysconfig.get_path("stdlib"))
    files = list(source_files(library))
    if not files:
        sys.exit(f"{library} holds no Python sources; run a Python that came with its library.")
    names = {name for name in sys.stdlib_module_names - NOT_DOCUMENTED if not name.startswith("_")}
    in_c = sorted(PARTLY_IN_C | names - NOT_IMPORTED - {name for name, _ in files})

    entries: dict[str, Entry] = {}
    console = Console(stderr=True)
    for module, file in track(files, "Reading docstrings", console=console):
        for found in source_entries(module, file):
            entries.setdefault(found.doc_id, found)
    for module in in_c:
        for found in compiled_entries(module):
            entries.setdefault(found.doc_id, found)

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "documents.jsonl").open("w", encoding="utf-8") as lines:
        for _, found in sorted(entries.items()):
            lines.write(json.dumps(asdict(found)) + "\n")
    print(f"{len(entries)} docstrings of Python {sys.version.split()[0]} -> {folder}")


if __name__ == "__main__":
    main()
