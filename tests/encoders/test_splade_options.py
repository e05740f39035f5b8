"""Settings behind a checkpoint's directory."""

from __future__ import annotations

import pytest

from encoders.errors import EncoderError
from encoders.expression import format_expression, parse_expression
from encoders.pruning import Pruning
from encoders.shipped import SHIPPED_MODEL
from encoders.splade_options import SpladeOptions, read_options, split_argument


def test_settings_survive_an_expression_of_several_parts():
    text = "english-bm25 + 0.5*splade:models/a b+c/v3?max_length=256&prune=max_ratio:0.1"
    parts = parse_expression(text)
    assert parse_expression(format_expression(parts)) == parts
    directory, settings = split_argument(parts[1].argument)
    assert str(directory) == "models/a b+c/v3"
    assert read_options(settings) == SpladeOptions(max_length=256, prune=Pruning("max_ratio", 0.1))


def test_a_question_mark_in_the_name_of_a_directory(tmp_path):
    directory = tmp_path / "what?now=1"
    directory.mkdir()
    assert split_argument(str(directory)) == (directory, {})
    assert split_argument(f"{directory}?max_length=9") == (directory, {"max_length": "9"})


def test_every_setting_is_read_from_text_and_from_values():
    text = (
        "D?max_length=9&prune=top_k:5&activation=log1p_relu&zero_special_tokens=false"
        "&query_table=corpus&aggregation=sum&neural_queries=true&device=cpu&batch_tokens=512"
    )
    expected = SpladeOptions(
        max_length=9,
        prune=Pruning("top_k", 5),
        activation="log1p_relu",
        zero_special_tokens=False,
        query_table="corpus",
        aggregation="sum",
        neural_queries=True,
        device="cpu",
        batch_tokens=512,
    )
    assert read_options(split_argument(text)[1]) == expected
    values = {"max_length": 9, "prune": Pruning("top_k", 5), "zero_special_tokens": False}
    assert read_options(values) == SpladeOptions(9, Pruning("top_k", 5), zero_special_tokens=False)
    assert read_options({"max_length": None}) == SpladeOptions()


@pytest.mark.parametrize("argument", [None, "", " ", "?max_length=3"])
def test_without_a_directory_it_is_the_shipped_model(argument):
    settings = {"max_length": "3"} if argument and "?" in argument else {}
    assert split_argument(argument) == (SHIPPED_MODEL, settings)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("D?max_length", "cannot read the setting 'max_length'"),
        ("D?max_length=", "cannot read the setting"),
        ("D?max_length=1&max_length=2", "'max_length' twice"),
        ("D?max_lenght=3", "Did you mean 'max_length'"),
        ("D?zzz=3", "no setting 'zzz'. It knows max_length"),
        ("D?max_length=0", "whole number from 1, got '0'"),
        ("D?max_length=many", "whole number from 1"),
        ("D?activation=gelu", "must be one of relu, log1p_relu"),
        ("D?zero_special_tokens=maybe", "must be 'true' or 'false'"),
        ("D?aggregation=mean", "must be one of binary, sum, got 'mean'"),
        ("D?query_table=mine", "must be one of auto, published, corpus"),
        ("D?prune=max_ratio:2", "needs a number from 0 to below 1"),
    ],
)
def test_bad_settings_are_named(argument, message):
    with pytest.raises(EncoderError, match=message.replace(".", r"\.")):
        read_options(split_argument(argument)[1])
