"""What a person at a terminal sees of a table without rows."""

from flows import console


def test_a_table_without_rows_has_its_headings(capsys):
    console.table("", ("request", "status"), [])
    assert "status" in capsys.readouterr().out
