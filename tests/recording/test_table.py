"""A table is the same in the terminal and in Markdown."""

import sys

from snnssl_mm.recording.table import Table

TABLE = Table(["layer", "kind", "µJ"], [["stem", "spikes", "1.5"]], "energy", words=2)


def test_markdown_aligns_numbers_to_the_right():
    assert TABLE.markdown() == [
        "| layer | kind | µJ |",
        "| --- | --- | ---: |",
        "| stem | spikes | 1.5 |",
    ]


def test_terminal_shows_every_cell_of_a_wide_table(capsys):
    heads = [f"a long heading {number}" for number in range(6)]
    Table(heads, [[f"cell{number}" for number in range(6)]], "caption").print()
    out = capsys.readouterr().out
    assert "caption" in out
    assert all(f"cell{number}" in out for number in range(6))


def test_narrow_terminal_gets_long_lines_not_cut_cells(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    rows = [
        [f"layer{row}", *(f"{row}{step}.25" for step in range(9))] for row in (1, 2)
    ]
    Table(["layer", *(f"step {step}" for step in range(9))], rows).print()
    out = capsys.readouterr().out
    assert "…" not in out
    assert all(cell in out for row in rows for cell in row)


def test_pipe_of_a_notebook_gets_plain_text(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as Jupyter does
    TABLE.print()
    assert "\x1b" not in capsys.readouterr().out


def test_forced_colours_do_not_cut_a_table_in_a_file(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as Jupyter does for commands
    monkeypatch.delenv("COLUMNS", raising=False)
    head = [f"column {index}, %" for index in range(8)]
    Table(head, [["1.0"] * 8]).print()
    shown = capsys.readouterr().out
    assert all(name in shown for name in head)


def test_narrow_terminals_break_heads_and_do_not_cut_them(capsys, monkeypatch):
    monkeypatch.setattr("snnssl_mm.recording.table.WIDTH", 40)
    monkeypatch.setenv("COLUMNS", "40")
    Table(["probe", *["pretrained, %"] * 4], [["a"] + ["1.0"] * 4]).print()
    assert "…" not in capsys.readouterr().out
