"""A progress bar is for terminals only, and vanishes."""

import sys

from snnssl_mm.recording.progress import progress
from snnssl_mm.recording.terminal import console


def test_nothing_is_written_to_a_pipe(capsys):
    assert list(progress(iter("abc"), "reading", 3)) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")


def test_terminal_shows_the_bar_and_erases_it(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert list(progress(range(3), "reading")) == [0, 1, 2]
    out = capsys.readouterr().out
    assert "reading" in out
    assert out.endswith("\x1b[1A\x1b[2K")  # up a line, and erase it


def test_a_process_without_standard_output_has_no_terminal(monkeypatch):
    monkeypatch.setattr("sys.stdout", None)
    assert not console().is_terminal
