"""Where Slurm is missing, a sentence and no error; slow tests start clusters."""

import os

import pytest
import slurm_cluster


@pytest.mark.parametrize(
    ("words", "user", "named"),
    [
        (["bash"], 0, "--install"),
        (["--install"], 1000, "slurm-wlm and munge takes root"),
    ],
)
def test_missing_slurm_is_no_error(words, user, named, monkeypatch, capsys):
    monkeypatch.setattr(slurm_cluster, "find", lambda name: None)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    assert slurm_cluster.main(words) == 0
    said = capsys.readouterr().out
    assert named in said
    assert "munged, slurmctld, slurmd not found" in said


def test_a_failing_installation_is_no_error(monkeypatch, tmp_path, capsys):
    command = tmp_path / "apt-get"
    command.write_text("#!/bin/sh\necho no network >&2\nexit 100\n")
    command.chmod(0o755)
    monkeypatch.setattr(slurm_cluster, "find", {"apt-get": str(command)}.get)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert slurm_cluster.main(["--install"]) == 0
    assert "apt-get update failed: no network" in capsys.readouterr().out
