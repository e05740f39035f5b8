"""Trains the learned part of an index on the index's own titles and sentences.

A title is a question that the documents of this title answer, and a sentence one that the rest of
its document answers. The run starts from the weights that the index was encoded with. Titles are
divided by their hashes: eight tenths teach, one tenth chooses between trained and initial weights
and the weight of the part, and the last tenth, asked once, decides whether the model is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from encoders.checkpoint import Activation
from encoders.exported import is_exported, read_exported
from encoders.expression import PartExpression, format_expression
from encoders.onnx_export import export_encoder
from encoders.onnx_weights import restore_checkpoint
from encoders.pruning import Pruning
from encoders.splade_options import SpladeOptions, split_argument
from encoders.training.configuration import (
    LossSettings,
    ScheduleSettings,
    SparsitySettings,
    TeacherSettings,
    TrainingConfig,
)
from encoders.training.errors import TrainingError
from encoders.training.loop import LOG, load_student, train
from encoders.training.pool import prepare
from encoders.training.selection import SELECTED, select
from encoders.training.sources import Source
from encoders.training.student import Student
from eval.adaptation import FEWEST_TITLES, named_space, sample_documents
from eval.compare import Comparison, Pair, compare
from eval.corpus_titles import TENTHS, by_title, write_titles
from eval.development import MEASURE, DevSets
from eval.errors import TuningError
from eval.mining import NegativeMiner
from eval.tune import Progress
from indexer.format.manifest import PartEntry, SpaceEntry
from indexer.spaces import vectors_argument
from retriever.snapshot import open_snapshot

MODEL = "model"
"""Folder of the exported model in the run's directory, if it is kept."""

_INITIAL = "initial"
_TITLES = "titles"
_SENTENCES = "sentences"


@dataclass(frozen=True, slots=True)
class CorpusTraining:
    """What a run did.

    Attributes:
        documents: Documents of the sample.
        titles: Different titles among them.
        held_back: NDCG@10 of the trained part (A) and the index's own (B), each beside BM25 at
            its weight, on titles that nothing was chosen by.
        base: Encoder expression of the BM25 parts, the first at 1.
        part_weight: Weight of the trained part beside them.
        vectors: The static vectors of the index, as ``indexer build --vectors`` takes them.
        model: The exported model, if it is better than the index's own; ``None`` also where the
            initial weights were chosen.
    """

    documents: int
    titles: int
    held_back: Comparison
    base: str
    part_weight: float
    vectors: str
    model: Path | None


def train_on_corpus(
    index: Path,
    output: Path,
    *,
    space: str | None = None,
    dense_teacher: Path | None = None,
    documents: int = 20_000,
    steps: int = 400,
    seed: int = 0,
    threads: int = 1,
    resume: bool = False,
    progress: Progress = lambda line: None,
) -> CorpusTraining:
    """Trains a part beside BM25 and keeps it if it is better on titles that were held back.

    The index stays as it is: documents have to be encoded by the new model, in another index.

    Args:
        index: Directory of an index.
        output: Directory of the run; ``model/`` in it is the encoder, if it is kept.
        space: A space of BM25 and one SPLADE-type part; the default one otherwise.
        dense_teacher: Directory of a sentence-embedding model, which teaches besides BM25 and the
            initial weights.
        documents: Most documents of the sample, drawn by a hash of their ids.
        steps: Of training.
        seed: Of everything random.
        threads: Of torch.
        resume: Go on with a run that was stopped.
        progress: Told each step in a line.

    Raises:
        TuningError: The space has other parts, or the index has too few titles.
        TrainingError: ``output`` holds a run and ``resume`` is not set, or the model collapsed.
        EncoderError: The part's encoder cannot be loaded or restored.
    """
    snapshot = open_snapshot(index)
    name = named_space(snapshot, space)
    words, learned = _parts(name, snapshot.manifest.spaces[name])
    sample = sample_documents(snapshot, documents)
    titles = len(by_title(sample))
    if titles < FEWEST_TITLES * len(TENTHS):
        raise TuningError(
            f"{index} has {titles} different titles of documents with a text; training needs "
            f"{FEWEST_TITLES * len(TENTHS)}. indexer adapt without --train needs fewer."
        )
    if (output / LOG).exists() and not resume:
        raise TrainingError(
            f"{output} holds a run; go on with --resume, or give another directory."
        )
    write_titles(sample, output / _TITLES, output / _SENTENCES)
    unit = words[0].weight  # rankings by parts depend on ratios only
    present = learned.weight / unit
    initial, activation = _initial(learned, output)
    config = TrainingConfig(
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
        sources=(
            Source(name="titles", kind="judged", path=output / _TITLES),
            Source(
                name="sentences",
                kind="sentences",
                path=output / _SENTENCES,
                documents=max(2, documents // 4),
                weight=0.5,
            ),
        ),
        dev=(_titles("dev", output, 500, 5000),),
    )
    student = load_student(config)
    sets = DevSets(config, student)
    pool = prepare(config, student, NegativeMiner(config, progress), frozenset(), progress)
    train(config, pool, student=student, evaluate=sets, resume=resume, progress=progress)
    best = select(config, sets.at_weights, progress)[0]
    weight = best.developments[0].part_weight
    held_back = _held_back(config, present, weight)
    model = None
    if best.share > 0 and held_back.difference > 0:
        model = output / MODEL
        export_encoder(
            output / SELECTED,
            model,
            options=SpladeOptions(
                max_length=learned.encoder.max_length,
                activation=config.activation,
                prune=Pruning.parse(str(learned.encoder.parameters.get("prune", "none"))),
                query_table="content" if learned.query.table == "content-idf" else "auto",
            ),
            precision="int8",
            part_weight=weight,
            overwrite=True,
        )
    vectors = vectors_argument(snapshot.manifest.rerank)
    return CorpusTraining(len(sample), titles, held_back, config.base, weight, vectors, model)


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


def _initial(part: PartEntry, output: Path) -> tuple[Path, Activation | None]:
    """Checkpoint that the part was encoded with, and its activation where that does not say."""
    directory, _ = split_argument(part.encoder.argument)
    if not is_exported(directory):
        return directory, None
    restored = output / _INITIAL
    if not restored.is_dir():
        restore_checkpoint(directory, restored)
    return restored, read_exported(directory)[0].activation


def _teachers(dense: Path | None, sparse: Path, output: Path) -> TeacherSettings:
    groups: tuple[dict[str, float], ...] = ({"lexical": 1.0, "sparse": 0.7},)
    if dense is not None:
        groups = ({"dense": 1.0}, *groups)
    cache = output / "teachers"
    return TeacherSettings(groups=groups, dense=dense, sparse=sparse, scale=20, cache=cache)


def _titles(split: str, output: Path, queries: int, distractors: int) -> Source:
    return Source(
        name=split,
        kind="judged",
        path=output / _TITLES,
        split=split,
        queries=queries,
        distractors=distractors,
    )


def _held_back(config: TrainingConfig, present: float, trained: float) -> Comparison:
    """The selected model against the initial one on the tenth that decides."""
    check = _titles("check", config.output, 1000, 10_000)
    config = config.model_copy(update={"dev": (check,)})
    initial = load_student(config)
    [held_back] = DevSets(config, initial).sets
    values = [
        held_back.per_query(held_back.base + weight * held_back.learned(student))
        for student, weight in (
            (Student(config.output / SELECTED, initial.pooling), trained),
            (initial, present),
        )
    ]
    [row] = compare([Pair("titles", *values)], [str(MEASURE)])
    return row
