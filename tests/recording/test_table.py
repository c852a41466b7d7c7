"""A table is the same in the terminal and in Markdown."""

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
