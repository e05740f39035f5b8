"""PISA (the native module of pyterrier-pisa) over the same impacts: MaxScore and block-max WAND.

Only the native module is loaded, without PyTerrier and its Java; it needs ``libtbb.so.2``, which
the wheel tbb 2020.3 has (``LD_LIBRARY_PATH``). PISA has no query weights of its own: as in
pyterrier-pisa a term is repeated, here round(8 * weight) times, and counted once with that factor.
The index is written in PISA's own format for inverted lists and compressed by PISA.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import protocol

ENCODING = "block_simdbp"
ALGORITHMS = ("maxscore", "block_max_wand")
SCALE = 8


def native_module() -> ModuleType:
    """``pyterrier_pisa._pisathon``, without importing its package."""
    package = importlib.util.find_spec("pyterrier_pisa")
    assert package is not None
    assert package.origin is not None
    (path,) = Path(package.origin).parent.glob("_pisathon*.so")
    spec = importlib.util.spec_from_file_location("pyterrier_pisa._pisathon", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Lists of ids and of impacts, each with its length in front; then PISA's compression."""
    pisa = native_module()
    with np.load(request["columns"]) as arrays:
        start, rows, impacts = arrays["start"], arrays["rows"], arrays["impacts"]
    lengths = np.diff(start)
    used = np.flatnonzero(lengths)  # PISA knows no empty list
    # PISA finds terms by binary search in their lexicon: names in the order of the lists.
    names = [f"{dimension:08}" for dimension in used.tolist()]
    with (folder / "inv.docs").open("wb") as ids, (folder / "inv.freqs").open("wb") as values:
        np.array([1, request["documents"]], dtype=np.uint32).tofile(ids)
        for dimension in used.tolist():
            one = slice(start[dimension], start[dimension + 1])
            length = np.array([lengths[dimension]], dtype=np.uint32)
            np.concatenate([length, rows[one].astype(np.uint32)]).tofile(ids)
            np.concatenate([length, impacts[one].astype(np.uint32)]).tofile(values)
    sizes = np.bincount(rows, weights=impacts, minlength=request["documents"])
    np.concatenate([[len(sizes)], sizes]).astype(np.uint32).tofile(folder / "inv.sizes")
    numbers = "".join(f"{number}\n" for number in range(request["documents"]))
    for name, text in (("documents", numbers), ("terms", "".join(f"{n}\n" for n in names))):
        (folder / f"fwd.{name}").write_text(text)
        lexicon = folder / f"fwd.{'doclex' if name == 'documents' else 'termlex'}"
        pisa.build_binlex(str(folder / f"fwd.{name}"), str(lexicon))
    _open(pisa, folder)
    size = protocol.folder_bytes(folder, "quantized*")
    return {"version": version("pyterrier-pisa"), "encoding": ENCODING, "index_bytes": size}


def _open(pisa: ModuleType, folder: Path) -> Any:
    context = pisa.RetrievalContext()
    pisa.prepare_index(context, str(folder), ENCODING, "quantized", "")
    return context


def open_cells(request: dict[str, Any], folder: Path) -> dict[str, protocol.Cell]:
    """A cell per algorithm, from a mapping of terms to ids."""
    pisa = native_module()
    context = _open(pisa, folder)
    content = json.loads(Path(request["queries"]).read_text())
    queries = [
        [(0, {f"{d:08}": float(round(SCALE * w) or 1) for d, w in zip(*query, strict=True)})]
        for query in zip(content["dimensions"], content["weights"], strict=True)
    ]

    def searcher(algorithm: str) -> Callable[[Any, int], list[str]]:
        # Room for the results is made once for each k, as a server would.
        room: dict[int, tuple[np.ndarray, ...]] = {}

        def search(query: Any, k: int) -> list[str]:
            if k not in room:
                kinds = (np.int32, object, np.int32, np.float32)
                room[k] = tuple(np.empty(k, dtype=kind) for kind in kinds)
            numbers, ids, ranks, scores = room[k]
            found = pisa.retrieve(
                context,
                algorithm,
                query,
                k=k,
                threads=1,
                query_weighted=1,
                pretokenised=1,
                result_qidxs=numbers,
                result_docnos=ids,
                result_ranks=ranks,
                result_scores=scores,
            )
            names: list[str] = ids[:found].tolist()
            return names

        return search

    return {
        name: protocol.Cell("kernel", searcher(name), queries, f"{name}, weights x{SCALE}")
        for name in ALGORITHMS
    }


protocol.run(build, open_cells)
