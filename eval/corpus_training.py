"""Trains the learned part of an index on the index's own titles and sentences.

A title is a question that the documents of this title answer, and a sentence one that the rest of
its document answers; a heading does for a document without a title. A query log, where there is
one, teaches how the teachers rank what its queries find. The run starts from the weights that the
index was encoded with. Titles are divided by their hashes, and their documents with them: eight
tenths teach, one tenth chooses between trained and initial weights and the weight of the part, and
the last tenth, asked once, decides whether the model is kept (``eval.kept_model``). Both titles and
sentences choose and decide: where titles tell all documents apart, sentences do not.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from encoders.checkpoint import Activation
from encoders.checkpoint_files import is_exported
from encoders.expression import PartExpression, format_expression
from encoders.onnx_export import export_encoder
from encoders.onnx_weights import restore_checkpoint
from encoders.pruning import Pruning
from encoders.registry import create_encoder
from encoders.splade_options import SpladeOptions, split_argument
from encoders.training.configuration import (
    LossSettings,
    ScheduleSettings,
    SparsitySettings,
    TeacherSettings,
    TrainingConfig,
)
from encoders.training.loop import load_student, refuse_another_run, train
from encoders.training.pool import PoolSource, prepare
from encoders.training.selection import SELECTED, select
from encoders.training.sources import Source, excluded_queries, normalised, read_source
from eval.adaptation import FEWEST_TITLES, named_space, sample_documents
from eval.corpus_sentences import write_sentences
from eval.corpus_sources import (
    CHECK,
    DEV,
    LOG,
    SENTENCES,
    TEACHING,
    TITLES,
    held_back_source,
    teaching_sources,
)
from eval.corpus_titles import (
    TENTHS,
    TitledSample,
    split_of,
    titled_sample,
    write_queries,
    write_titles,
)
from eval.development import DevSets
from eval.errors import TuningError
from eval.kept_model import Verdict, compare_models
from eval.mining import NegativeMiner
from eval.query_log import read_query_log
from eval.tune import Progress
from indexer.format.manifest import PartEntry, SpaceEntry
from indexer.spaces import SpacePart, reopen_vectors, vectors_argument, weight_to_configure
from retriever.snapshot import open_snapshot

MODEL = "model"
"""Folder of the exported model in the run's directory, if it is kept."""

_INITIAL = "initial"


@dataclass(frozen=True, slots=True)
class CorpusTraining:
    """What a run did.

    Attributes:
        documents: Documents of the sample.
        taught: How many queries taught, by where they come from: ``titles``, ``headings``,
            ``sentences``, ``query log``.
        held_back: The space with the trained part (A) and with the index's own (B), on titles and
            headings, and on sentences where there are enough, that nothing was chosen by; ``None``
            where the initial weights were chosen, so that there is nothing to decide.
        base: Encoder expression of the BM25 parts, the first at 1.
        part_weight: Weight of the trained part beside them.
        vectors: The vectors of the index, as ``indexer build --vectors`` takes them.
        rerank: Weight of these beside such parts, where it is not their own.
        model: The exported model, if it is better than the index's own.
    """

    documents: int
    taught: Mapping[str, int]
    held_back: Verdict | None
    base: str
    part_weight: float
    vectors: str
    rerank: float | None
    model: Path | None


def train_on_corpus(
    index: Path,
    output: Path,
    *,
    space: str | None = None,
    dense_teacher: Path | None = None,
    query_log: Path | None = None,
    documents: int = 20_000,
    steps: int = 400,
    seed: int = 0,
    threads: int = 1,
    resume: bool = False,
    progress: Progress = lambda line: None,
) -> CorpusTraining:
    """Trains a part beside BM25 and keeps it if it is better on what was held back.

    The index stays as it is: documents have to be encoded by the new model, in another index.

    Args:
        index: Directory of an index.
        output: Directory of the run; ``model/`` in it is the encoder, if it is kept.
        space: A space of BM25 and one SPLADE-type part; the default one otherwise.
        dense_teacher: Directory of a sentence-embedding model, which teaches besides BM25 and the
            initial weights.
        query_log: A file of queries, one a line, that teach as well. What they should find nobody
            knows, so that they have no part in the decision.
        documents: Most documents of the sample, drawn by a hash of their ids.
        steps: Of training.
        seed: Of everything random.
        threads: Of torch.
        resume: Go on with a run that was stopped.
        progress: Told each step in a line.

    Raises:
        TuningError: The space has other parts, or the index has too few titles.
        DatasetError: The query log cannot be read, or holds no query.
        TrainingError: ``output`` holds a run and ``resume`` is not set, or the model collapsed.
        EncoderError: The part's encoder cannot be loaded or restored, or is not the one that
            encoded the index.
        IndexerError: The same of the vectors.
    """
    snapshot = open_snapshot(index)
    reopen_vectors(snapshot.manifest.rerank)  # What compares models will need is told now.
    name = named_space(snapshot, space)
    words, learned = _parts(name, snapshot.manifest.spaces[name])
    log = [] if query_log is None else read_query_log(query_log)
    sample = titled_sample(sample_documents(snapshot, documents))
    if len(sample.titles) < FEWEST_TITLES * len(TENTHS):
        raise TuningError(
            f"{index} has {sample.counts} that differ, of documents with a text; training needs "
            f"{FEWEST_TITLES * len(TENTHS)}. indexer adapt without --train needs fewer."
        )
    if not resume:
        refuse_another_run(output)
    write_titles(sample, output / TITLES, output / TEACHING)
    sentences = write_sentences(sample, output / SENTENCES)
    write_queries(log, output / TEACHING)
    kinds = [TITLES]
    if min(sentences[DEV], sentences[CHECK]) >= FEWEST_TITLES:
        kinds.append(SENTENCES)
    unit = words[0].weight  # rankings by parts depend on ratios only
    config = _configuration(
        words,
        learned,
        output,
        dense_teacher,
        steps=steps,
        seed=seed,
        threads=threads,
        sources=teaching_sources(output, documents, sample, sentences["train"], len(log)),
        dev=tuple(held_back_source(kind, DEV, output, 500, 5000) for kind in kinds),
    )
    student = load_student(config)
    sets = DevSets(config, student)
    excluded = excluded_queries(
        [held_back_source(kind, split, output) for kind in kinds for split in (DEV, CHECK)]
    )
    pool = prepare(config, student, NegativeMiner(config, progress), excluded, progress)
    train(config, pool, student=student, evaluate=sets, resume=resume, progress=progress)
    best = select(config, sets.at_weights, progress)[0]
    weight = best.developments[0].part_weight
    held_back = model = None
    if best.share > 0:
        with tempfile.TemporaryDirectory(dir=output, prefix=".candidate.") as folder:
            candidate = Path(folder) / MODEL
            _export(output / SELECTED, candidate, learned, config.activation, weight)
            part = SpacePart(
                PartExpression(weight * unit, "splade", str(candidate), learned.name),
                create_encoder("splade", str(candidate)),
            )
            check = {
                kind: read_source(held_back_source(kind, CHECK, output, 1000, 10_000))
                for kind in kinds
            }
            held_back = compare_models(snapshot, name, {learned.name: part}, check, seed, progress)
            if held_back.is_better:
                shutil.rmtree(output / MODEL, ignore_errors=True)  # of the same run, before
                model = candidate.rename(output / MODEL)
    rerank = snapshot.manifest.rerank
    return CorpusTraining(
        documents=len(sample.documents),
        taught=_taught(sample, excluded, pool),
        held_back=held_back,
        base=config.base,
        part_weight=weight,
        vectors=vectors_argument(rerank),
        rerank=weight_to_configure(rerank, rerank.weight / unit) if rerank else None,
        model=model,
    )


def _parts(name: str, entry: SpaceEntry) -> tuple[list[PartEntry], PartEntry]:
    """The BM25 parts of a space, and its learned one."""
    words = [part for part in entry.parts if part.encoder.kind == "bm25"]
    learned = [part for part in entry.parts if part.encoder.kind == "splade"]
    if not words or len(learned) != 1 or len(words) + 1 != len(entry.parts):
        raise TuningError(
            f"space {name!r} has the parts {', '.join(part.name for part in entry.parts)}; only "
            "one SPLADE-type part beside BM25 can be trained."
        )
    return words, learned[0]


def _configuration(
    words: Sequence[PartEntry],
    learned: PartEntry,
    output: Path,
    dense_teacher: Path | None,
    *,
    steps: int,
    seed: int,
    threads: int,
    sources: Sequence[Source],
    dev: Sequence[Source],
) -> TrainingConfig:
    """The recipe of a run that starts from the learned part, beside the BM25 parts."""
    unit = words[0].weight
    present = learned.weight / unit
    initial, activation = _initial(learned, output)
    return TrainingConfig(
        initial=initial,
        activation=activation,
        output=output,
        base=format_expression(
            tuple(
                PartExpression(part.weight / unit, part.encoder.name, part.encoder.argument)
                for part in words
            )
        ),
        part_weight=present,
        temperature=0.6,
        max_length=128,
        seed=seed,
        threads=threads,
        evaluate_every=max(1, steps // 2),
        dev_part_weights=tuple(present * factor for factor in (0.5, 0.7, 1.0, 1.4, 2.0)),
        teachers=_teachers(dense_teacher, initial, output),
        loss=LossSettings(kl=1.0, info_nce=0.1),
        sparsity=SparsitySettings(weight=0.0007, random_dimensions=512),
        schedule=ScheduleSettings(steps=steps, learning_rate=1e-4, negative_depth=16),
        sources=tuple(sources),
        dev=tuple(dev),
    )


def _initial(part: PartEntry, output: Path) -> tuple[Path, Activation]:
    """Checkpoint that the part was encoded with, and the activation in force."""
    directory, _ = split_argument(part.encoder.argument)
    activation = cast("Activation", part.encoder.parameters["activation"])
    if not is_exported(directory):
        return directory, activation
    restored = output / _INITIAL
    if not restored.is_dir():
        # In one step, so that a run that is killed meanwhile does not go on from a half of it.
        with tempfile.TemporaryDirectory(dir=output, prefix=f".{_INITIAL}.") as folder:
            restore_checkpoint(directory, Path(folder) / _INITIAL)
            (Path(folder) / _INITIAL).rename(restored)
    return restored, activation


def _teachers(dense: Path | None, sparse: Path, output: Path) -> TeacherSettings:
    groups: tuple[dict[str, float], ...] = ({"lexical": 1.0, "sparse": 0.7},)
    if dense is not None:
        groups = ({"dense": 1.0}, *groups)
    cache = output / "teachers"
    return TeacherSettings(groups=groups, dense=dense, sparse=sparse, scale=20, cache=cache)


def _taught(
    sample: TitledSample, excluded: frozenset[str], pool: Sequence[PoolSource]
) -> dict[str, int]:
    """How many queries taught, by where they come from."""
    taught = {source.name: len(source.positives) for source in pool}
    headings = sum(
        split_of(title) == "train" and normalised(title) not in excluded
        for title in sample.headings
    )
    return {
        TITLES: taught[TITLES] - headings,
        "headings": headings,
        SENTENCES: taught.get(SENTENCES, 0),
        LOG: taught.get(LOG, 0),
    }


def _export(
    selected: Path, output: Path, learned: PartEntry, activation: Activation | None, weight: float
) -> None:
    """Exports a model as the index has its own: tokens read, pruning, weights of a query."""
    export_encoder(
        selected,
        output,
        options=SpladeOptions(
            max_length=learned.encoder.max_length,
            activation=activation,
            prune=Pruning.parse(str(learned.encoder.parameters.get("prune", "none"))),
            query_table="content" if learned.query.table == "content-idf" else "auto",
            aggregation=learned.encoder.aggregation,
        ),
        precision="int8",
        part_weight=weight,
    )
