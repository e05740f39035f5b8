"""Where the training text of a run on an index's own corpus comes from, and what judges it.

The folders lie in the run's directory: ``titles/`` and ``sentences/`` as ``eval.corpus_titles`` and
``eval.corpus_sentences`` write them, ``teaching/`` with the documents that nothing held back asks
for.
"""

from __future__ import annotations

from pathlib import Path

from encoders.training.sources import Source
from eval.corpus_titles import TitledSample

TITLES = "titles"
SENTENCES = "sentences"
LOG = "query log"
TEACHING = "teaching"

DEV, CHECK = "dev", "check"
"""The splits that choose, and that decide."""


def teaching_sources(
    output: Path, documents: int, sample: TitledSample, sentences: int, log: int
) -> tuple[Source, ...]:
    """What teaches.

    Args:
        output: Directory of the run.
        documents: Most documents of the sample.
        sample: The sample.
        sentences: How many there are.
        log: How many queries of a log.
    """
    sources = [Source(name=TITLES, kind="judged", path=output / TITLES)]
    if sentences >= 2:
        sources.append(
            Source(
                name=SENTENCES,
                kind="sentences",
                path=output / TEACHING,
                documents=max(2, documents // 4),
                weight=0.5,
            )
        )
    if log:
        sources.append(
            Source(
                name=LOG,
                kind="unlabelled",
                path=output / TEACHING,
                # The teachers read each of them once more, with its title.
                documents=max(2, len(sample.documents) // 2),
                queries=documents,
                # A query of a short log is drawn as often as a title, not over and over.
                weight=min(1.0, log / len(sample.titles)),
            )
        )
    return tuple(sources)


def held_back_source(
    kind: str, split: str, output: Path, queries: int | None = None, distractors: int = 0
) -> Source:
    """The titles or sentences of a split that does not teach.

    Args:
        kind: ``TITLES`` or ``SENTENCES``.
        split: ``DEV`` or ``CHECK``.
        output: Directory of the run.
        queries: Most of them; ``None`` for all.
        distractors: Further documents.
    """
    return Source(
        name=f"{split} {kind}",
        kind="judged",
        path=output / kind,
        split=split,
        queries=queries,
        distractors=distractors,
    )
