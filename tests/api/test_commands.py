"""``indexer serve`` on the command line: what it refuses, and how it says so."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from api.commands import serve
from api.settings import ServeSettings
from indexer.cli import cli


@pytest.fixture
def places(index: Path, tmp_path: Path) -> dict[str, str]:
    broken = shutil.copytree(index, tmp_path / "broken.winnow")
    manifest = broken / "manifest.json"
    manifest.write_bytes(manifest.read_bytes()[:-20])
    keys = tmp_path / "keys"
    keys.write_text("# none yet")
    return {"index": str(index), "broken": str(broken), "keys": str(keys)}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none.winnow"], 1, "none.winnow"),
        (["{broken}"], 1, "manifest"),
        (["fine={index}", "broken={broken}"], 1, "manifest"),
        (["{index}", "--host", "0.0.0.0"], 2, "--api-key-file"),
        (["{index}", "--host", "::"], 2, "--insecure"),
        (["{index}", "--host", ""], 1, "no such address"),
        (["{index}", "--host", "no such host"], 1, "no such host"),
        (["{index}", "x={index}", "x={index}"], 2, "'x'"),
        (["bad name={index}"], 2, "bad name"),
        (["name="], 2, "NAME=PATH"),
        (["{index}", "--api-key-file", "none"], 2, "No such file"),
        (["{index}", "--api-key-file", "{keys}"], 2, "no API key"),
    ],
)
def test_what_cannot_be_served_is_told_in_one_line(places, monkeypatch, arguments, code, message):
    monkeypatch.delenv("WINNOW_API_KEYS", raising=False)
    result = CliRunner().invoke(cli, ["serve", *(text.format(**places) for text in arguments)])
    assert result.exit_code == code
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert message in line


@pytest.mark.parametrize(
    "arguments", [[], ["x", "--port", "65536"], ["x", "--threads", "0"], ["x", "--no-such-option"]]
)
def test_wrong_options_are_a_usage_error(arguments):
    result = CliRunner().invoke(cli, ["serve", *arguments])
    assert result.exit_code == 2
    assert "Error: " in result.stderr


def test_a_port_in_use_ends_the_program(index):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = subprocess.run(
            [sys.executable, "-m", "indexer", "serve", str(index), "--port", port],
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert ended.returncode == 1
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert f"port {port}: Address already in use" in line


def test_help_names_every_option():
    result = CliRunner().invoke(cli, ["serve", "--help"])
    assert result.exit_code == 0
    for option in ("--host", "--port", "--threads", "--api-key-file", "--insecure", "--max-top-k"):
        assert option in result.stdout


def test_the_page_for_operators_names_every_option_and_its_default():
    page = (Path(__file__).parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(--[\w-]+)`[^|]*\| ([^|]+?) \|", page, re.MULTILINE))
    for option in serve.params[1:]:
        (name,) = option.opts
        assert f"`{name}" in page
        if type(option.default) is int and name != "--port":
            assert rows[name] == f"{option.default:,}"


def test_options_become_settings(index, monkeypatch):
    monkeypatch.delenv("WINNOW_API_KEYS", raising=False)
    served = []

    def run_server(paths, listener, settings):
        listener.close()
        served.append(settings)

    monkeypatch.setattr("api.server.run_server", run_server)
    given = "--threads 3 --queue 5 --queue-seconds 7 --max-postings 11 --max-top-k 13"
    more = "--max-batch 17 --batch-seconds 19 --max-body 23 --max-answer 29 --access-log"
    for options in ([], [*given.split(), *more.split()]):
        result = CliRunner().invoke(cli, ["serve", str(index), *options, "--port", "0"])
        assert result.exit_code == 0, result.output
    assert served == [
        ServeSettings(),
        ServeSettings(
            threads=3,
            queue=5,
            queue_seconds=7,
            max_postings=11,
            max_top_k=13,
            max_batch_queries=17,
            batch_seconds=19,
            max_body_bytes=23 << 20,
            max_answer_bytes=29 << 20,
            access_log=True,
        ),
    ]
