"""Damages an index in many ways and uses it: ``python damage.py INDEX SEED COUNT``.

Before each case its description goes to standard output, so that a crash names its cause; an
error that is none of ours follows with its traceback. The index is left as it was found.
"""

from __future__ import annotations

import json
import random
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xxhash

from encoders.errors import EncoderError
from indexer.builder import delete_documents
from indexer.errors import IndexerError
from indexer.verification import verify
from retriever.errors import SearchError
from retriever.query import SparseVector
from retriever.searcher import Searcher

Damage = Callable[[random.Random, bytes], bytes]

QUERIES = ("red planet", "query weight table unknownword", "überall 20 26", "[MASK] red")
FILTERS = (
    None,
    {"field": "year", "gte": 2000},
    {"field": "tags", "in": ["red", "mars"]},
    {"not": {"field": "added", "lt": "2024-01-15"}},
    {"any": [{"field": "colour", "eq": "red"}, {"field": "price", "lt": 3}]},
    {"all": [{"field": "sold", "eq": True}, {"field": "colour", "exists": True}]},
)


def flip_a_bit(rng: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    changed[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def overwrite_a_range(rng: random.Random, content: bytes) -> bytes:
    start = rng.randrange(len(content))
    end = min(len(content), start + rng.randrange(1, 64))
    value = rng.choice([b"\0", b"\xff", b"\x7f", None])
    piece = rng.randbytes(end - start) if value is None else value * (end - start)
    return content[:start] + piece + content[end:]


def overwrite_the_data(rng: random.Random, content: bytes) -> bytes:
    """Random bytes behind what may be the header of an array."""
    start = min(len(content), 128)
    return content[:start] + rng.randbytes(len(content) - start)


def change_elements(rng: random.Random, content: bytes) -> bytes:
    """Other numbers in an array: extreme ones, neighbours, or the same in another order."""
    if not content.startswith(b"\x93NUMPY"):
        return overwrite_a_range(rng, content)
    header = 10 + int.from_bytes(content[8:10], "little")
    kind = content[10:header].partition(b"'descr': '")[2].partition(b"'")[0].decode()
    values = np.frombuffer(content[header:], kind).copy()
    if not len(values):
        return flip_a_bit(rng, content)
    at = [rng.randrange(len(values)) for _ in range(rng.choice([1, 1, 3, len(values)]))]
    way = rng.randrange(5)
    if way == 0:
        rng.shuffle(at)
        values[sorted(at)] = values[at]
    elif way == 1:
        values[::-1].sort()
    elif way == 2:
        values[at] = values[rng.randrange(len(values))]
    elif values.dtype.kind == "f":
        values[at] = [rng.choice([np.nan, np.inf, -1.0, 1e38, 0.0]) for _ in at]
    else:
        limits = np.iinfo(values.dtype)
        extreme = [limits.max, limits.min, 0, 1, limits.max // 2, len(values)]
        if way == 3:
            values[at] = [min(rng.choice(extreme), limits.max) for _ in at]
        else:
            with np.errstate(over="ignore"):
                values[at] += values.dtype.type(1)
    return content[:header] + values.tobytes()


def cut(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.choice([0, 1, len(content) // 2, len(content) - 1])]


def garbage(rng: random.Random, content: bytes) -> bytes:
    return rng.choice([b"", b"PK\3\4", b"\x93NUMPY", b"{", b"ARROW1\0\0"]) + rng.randbytes(300)


def append(rng: random.Random, content: bytes) -> bytes:
    return content + rng.randbytes(rng.choice([1, 8, 64]))


def change_json(rng: random.Random, content: bytes) -> bytes:
    """Another value somewhere in a JSON document, or one left out."""
    document = json.loads(content)
    place = document
    while True:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        if not keys:
            break
        key = rng.choice(list(keys))
        inner = place[key]
        if isinstance(inner, dict | list) and inner and rng.random() < 0.9:
            place = inner
            continue
        if rng.random() < 0.2:
            del place[key]
        elif isinstance(inner, int) and rng.random() < 0.7:
            place[key] = inner + rng.choice([1, -1, 7, 1000, -inner, 2**40])
        else:
            values = [None, "", "x", -1, 0, 2**70, 1e308, True, [], {}, "../../x", inner]
            place[key] = rng.choice(values)
        break
    return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"


SAME_FILE: tuple[Damage, ...] = (flip_a_bit, overwrite_a_range, overwrite_the_data)
OTHER_SIZE: tuple[Damage, ...] = (cut, garbage, append)


def sealed(index: Path) -> None:
    """Gives the manifest the sizes and checksums that files have, and itself a checksum."""
    path = index / "manifest.json"
    payload = json.loads(path.read_bytes())
    groups = [(index, payload.get("files"))]
    for segment in payload.get("segments") or []:
        groups.append((index / "segments" / str(segment.get("name")), segment.get("files")))
    for folder, files in groups:
        for name in files if isinstance(files, dict) else ():
            if (folder / name).is_file():
                content = (folder / name).read_bytes()
                files[name] = {"size": len(content), "xxh3": xxhash.xxh3_64_hexdigest(content)}
    payload.pop("~checksum", None)
    body = json.dumps(payload, indent=1, sort_keys=True, ensure_ascii=True)
    payload["~checksum"] = xxhash.xxh3_64_hexdigest(body.encode())
    path.write_text(json.dumps(payload, indent=1, sort_keys=True, ensure_ascii=True) + "\n")


def allowed(action: Callable[[], object]) -> object:
    """The result of an action that may fail by our own errors only."""
    try:
        return action()
    except (IndexerError, SearchError, EncoderError):
        return None


def use(index: Path, rng: random.Random) -> None:
    """Everything that reads an index, and a deletion in a copy of it."""
    if rng.random() < 0.1:
        allowed(lambda: verify(index))
    searcher = allowed(lambda: Searcher(index, memory_map=rng.random() < 0.8))
    if not isinstance(searcher, Searcher):
        return
    allowed(searcher.description)
    for space in (None, "both"):
        for query in (*QUERIES, SparseVector({"red": 2.0, "planet": 1.5})):
            options = {"filter": rng.choice(FILTERS), "space": space}
            options |= {"count_total": rng.random() < 0.5, "offset": rng.choice([0, 0, 3])}
            k = rng.choice([1, 10, 10_000])
            if k < 100:
                options |= {"explain": rng.random() < 0.5, "highlight": rng.random() < 0.5}
            allowed(lambda q=query, k=k, o=options: searcher.search(q, k, **o))
    for number in (0, 5, 9, 100, 149):
        allowed(lambda n=number: searcher.document(f"s0d{n}"))
    if rng.random() < 0.1:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(shutil.copytree(index, Path(folder) / "copy"))
            allowed(lambda: delete_documents(copy, ["s0d1", "s0d3", "s1d5", "nobody"]))


def kind_of(name: str) -> str:
    """Groups files, so that the few of one kind are damaged as often as the many of another."""
    if name.endswith(".arrow"):
        return name
    if name.endswith(".json") or ".table." in name:
        return name.rpartition(".g")[2]
    words = {"postings": ".postings.", "strings": ".terms.", "ids": "doc_ids."}
    return next((kind for kind, word in words.items() if word in name), "marks")


def main(index: Path, seed: int, count: int) -> int:
    rng = random.Random(seed)
    originals = {
        path: path.read_bytes()
        for path in sorted(index.rglob("*"))
        if path.is_file() and path.name != "write.lock"
    }
    manifest = index / "manifest.json"
    kinds: dict[str, list[Path]] = {}
    for path in originals:
        kinds.setdefault(kind_of(path.name), []).append(path)
    failures = 0
    for number in range(count):
        path = rng.choice(kinds[rng.choice(sorted(kinds))])
        ways = [*SAME_FILE, change_elements, change_elements, *OTHER_SIZE]
        if path.suffix == ".json":
            ways = [*SAME_FILE, *OTHER_SIZE, *[change_json] * 6]
        damage = rng.choice(ways)
        seal = rng.random() < 0.8
        case = f"{seed}/{number}: {damage.__name__} {path.relative_to(index)} sealed={seal}"
        print(case, flush=True)
        path.write_bytes(damage(rng, originals[path]))
        try:
            if seal:
                sealed(index)
        except (ValueError, AttributeError, TypeError):
            pass  # no JSON object is left to seal
        try:
            use(index, rng)
        except BaseException:
            failures += 1
            print(f"FAILED {case}\n{traceback.format_exc()}", flush=True)
        for changed in {path, manifest}:
            changed.write_bytes(originals[changed])
    return failures


if __name__ == "__main__":
    found = main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    print(f"{found} failures")
    sys.exit(found > 0)
