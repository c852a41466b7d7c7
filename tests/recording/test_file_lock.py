"""Lock files: one writer, on one machine and on several, and no row lost."""

import multiprocessing
import os

import pytest

from snnssl_mm.recording.file_lock import ResultsInUse, single_writer
from snnssl_mm.recording.results_file import ResultsFile

FORK = multiprocessing.get_context("fork")
ROWS = 5


def hold(results, pipe):
    """Write to the results file until the other end says otherwise."""
    with single_writer(results):
        pipe.send("held")
        pipe.recv()


@pytest.fixture
def results(tmp_path):
    return tmp_path / "folder" / "transfer.json"


@pytest.fixture
def other(results):
    """Start another process that writes to the file."""
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=hold, args=(results, theirs))
    process.start()
    assert ours.recv() == "held"
    yield process
    process.kill()
    process.join()


def test_a_second_run_is_refused_and_the_first_named(other, results):
    with pytest.raises(ResultsInUse, match=str(other.pid)), single_writer(results):
        pass


def test_a_killed_run_of_this_machine_does_not_block(other, results):
    other.kill()
    other.join()
    with single_writer(results):
        note = results.with_name("transfer.json.lock").read_text()
        assert note.startswith(f"process {os.getpid()} on ")
    assert not list(results.parent.iterdir())


def test_a_run_on_another_machine_blocks_until_its_note_is_deleted(results):
    note = results.with_name("transfer.json.lock")
    note.parent.mkdir()
    note.write_text("process 7 on node-3\n")
    with pytest.raises(ResultsInUse) as found, single_writer(results):
        pass
    assert "node-3" in str(found.value)
    assert f"delete {note}" in str(found.value)
    assert note.exists()
    note.unlink()
    with single_writer(results):
        pass


def append(path, number):
    """Append rows, as one of several processes."""
    results = ResultsFile(path, "transfer", ("writer", "index"))
    for index in range(ROWS):
        results.append(dict(writer=number, index=index))


def test_processes_that_append_at_once_lose_no_row(results):
    writers = [FORK.Process(target=append, args=(results, i)) for i in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    rows = ResultsFile(results, "transfer", ("writer", "index")).rows
    found = sorted((row["writer"], row["index"]) for row in rows)
    assert found == [(w, i) for w in range(4) for i in range(ROWS)]
    assert [file.name for file in results.parent.iterdir()] == [results.name]
