#!/bin/sh
# Trains the model that comes with Winnow: three runs, their mean, its export. Paths as in recipe.toml.
# A run that was killed goes on where it was: an hour and a half of one core with AVX-512 in all.
set -eu
recipes=$(dirname "$0")
for run in default-model:recipe default-model-shorter:recipe_shorter default-model-continued:recipe_continued; do
    resume=
    if [ -f "checkpoints/${run%%:*}/state.pt" ]; then resume=--resume; fi
    indexer train sparse "$recipes/${run#*:}.toml" $resume
done
python -m benchmarks.training.mean_of_runs "$recipes/recipe.toml" checkpoints/default-model-shorter \
    checkpoints/default-model-continued --share 0.7 -o checkpoints/default-model/selected
indexer export-encoder 'checkpoints/default-model/selected?max_length=256&prune=max_ratio:0.15&query_table=content' -o encoders/models/english \
    --int8 --part-weight 0.5 --overwrite
