"""snnssl doctor: one result a library, whatever happens to its process."""

from snnssl_mm.cli import doctor
from snnssl_mm.compat import Status


def test_a_library_that_crashes_is_named_and_the_rest_is_imported():
    found = doctor.try_imports(
        {
            "first": "import json as m; print('noise', end='')",
            "missing": "import no_such_module as m",
            "crash": "import os; os.kill(os.getpid(), 9)",
            "exit": "import sys; sys.exit(3)",
            "last": "import argparse as m",
        }
    )
    assert found == {
        "first": (True, "2.0.9"),
        "missing": (False, "ModuleNotFoundError: No module named 'no_such_module'"),
        "crash": (False, "killed by signal 9"),
        "exit": (False, "SystemExit: 3"),
        "last": (True, "1.1"),
    }


def test_bugs_that_are_worked_around_are_counted_only(capsys, monkeypatch):
    def cured() -> Status:
        """Something is worked around."""
        return Status("cured", "nothing to do")

    def broken() -> Status:
        """Something does not work."""
        return Status("broken", "mend it")

    monkeypatch.setattr(doctor, "MACHINE", ())
    monkeypatch.setattr(doctor, "WORKAROUNDS", ())
    monkeypatch.setattr(doctor, "stray_packages", cured)
    assert doctor.print_bugs() == 0
    said = capsys.readouterr().out
    assert "1 worked around" in said
    assert "nothing to do" not in said
    assert doctor.print_bugs(every=True) == 0
    assert "nothing to do" in capsys.readouterr().out
    monkeypatch.setattr(doctor, "MACHINE", (broken,))
    assert doctor.print_bugs() == 1
    assert "mend it" in capsys.readouterr().out
