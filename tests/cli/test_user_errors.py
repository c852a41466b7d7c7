"""Errors of the user are messages; errors of the program keep their traceback."""

import argparse
import errno
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from snnssl_mm.cli.shared import children, config_files, options, user_errors
from snnssl_mm.cli.shared.children import ChildError, run_child
from snnssl_mm.cli.shared.user_errors import run_tool, user_message
from snnssl_mm.datasets.data_error import DataError


def raising(error):
    def main():
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(errno.ENOENT, "gone", "/a/b.json"), "/a/b.json"),
        (PermissionError(errno.EACCES, "denied", "/a/c"), "/a/c"),
        (OSError(errno.ENOSPC, "No space left on device", "/a/d"), "/a/d: No space"),
        (FileNotFoundError("the folder a has no images"), "has no images"),
        (DataError("three classes"), "three classes"),
        (KeyError("Cat is not in the mmdet::model registry. Please ..."), "Cat is not"),
        (KeyError("'Cat is not in the mmdet::task util registry. P"), "Cat is not in"),
        (ModuleNotFoundError("none", name="mmcv._ext"), "compiled operators"),
    ],
)
def test_an_error_that_the_user_can_fix_is_a_message(error, words):
    with pytest.raises(SystemExit, match=f"error: .*{words}"):
        run_tool(raising(error))


@pytest.mark.parametrize("kind", [ValueError, KeyError, TypeError, AttributeError])
def test_errors_of_the_program_keep_their_traceback(kind):
    with pytest.raises(kind):
        run_tool(raising(kind("x")))


def test_what_the_package_itself_raises_is_for_the_user():
    from snnssl_mm.cli.shared.cfg_options import read_value

    with pytest.raises(SystemExit, match=r"error: .*\["):
        run_tool(lambda: read_value("[1, 2"))
    with pytest.raises(AttributeError):  # Python raises it, inside the package
        run_tool(lambda: read_value(3))


def test_exit_codes_of_a_tool_are_passed_on():
    run_tool(lambda: None)
    run_tool(lambda: 0)
    with pytest.raises(SystemExit) as ended:
        run_tool(lambda: 3)
    assert ended.value.code == 3


@pytest.mark.parametrize(
    ("again", "arguments", "command"),
    [
        (None, ["x y"], None),
        ("", ["x y"], "tool.py 'x y'"),
        ("--resume", ["x y"], "tool.py 'x y' --resume"),
        ("--resume", ["c.py", "--resume"], "tool.py c.py --resume"),
        ("--resume", ["c.py", "--resume", "e.pth"], "tool.py c.py --resume"),
        ("--resume", ["--resume=e.pth", "c.py"], "tool.py c.py --resume"),
        ("--resume", ["--resume", "--amp", "c.py"], "tool.py --amp c.py --resume"),
    ],
)
def test_ctrl_c_ends_with_130_and_the_command_that_continues(
    again, arguments, command, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "argv", ["tool.py", *arguments])
    with pytest.raises(SystemExit) as ended:
        run_tool(raising(KeyboardInterrupt()), again)
    assert ended.value.code == user_errors.INTERRUPTED == 130
    last = capsys.readouterr().err.splitlines()[-1]
    if command is None:
        assert last == "interrupted"
    else:
        assert last.endswith(f"python {command}")


def test_an_interruption_that_a_bare_except_swallowed_is_detected():
    def main():
        try:
            raise KeyboardInterrupt
        except:  # noqa: E722  (as mmengine's Config does when it is dumped)
            raise SyntaxError("cannot be formatted")  # noqa: B904

    with pytest.raises(SystemExit) as ended:
        run_tool(main)
    assert ended.value.code == user_errors.INTERRUPTED


def test_a_child_that_starts_as_the_signal_comes_is_ended(monkeypatch):
    started = []

    class Popen(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            started.append(self)
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(subprocess, "Popen", Popen)
    monkeypatch.setattr(children, "GRACE_SECONDS", 0.01)
    with pytest.raises(SystemExit) as ended:
        run_tool(lambda: run_child(["demo"], stdin=subprocess.PIPE))
    assert ended.value.code == user_errors.TERMINATED
    assert started[0].poll() is not None


@pytest.mark.parametrize("again", [None, "", "--resume"])
def test_sigterm_is_an_interruption_with_its_own_exit_code(again, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["tool.py", "x"])
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        run_tool(lambda: signal.raise_signal(signal.SIGTERM), again)
    assert ended.value.code == user_errors.TERMINATED == 143
    assert "interrupted" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_distributed_process_ends_on_sigterm_at_once(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    before = signal.getsignal(signal.SIGTERM)
    run_tool(lambda: None if signal.getsignal(signal.SIGTERM) is before else 1)


def test_settings_that_a_class_does_not_take_are_the_configs():
    from mmengine.registry import Registry

    class Thing:
        def __init__(self, size): ...

    registry = Registry("thing")
    registry.register_module(module=Thing)
    with pytest.raises(SystemExit, match="error: Thing .*config.*colour"):
        run_tool(lambda: registry.build(dict(type="Thing", colour=1)))


def test_a_failed_child_is_named_with_code_and_log(tmp_path):
    (tmp_path / "run.log").touch()
    with pytest.raises(ChildError) as failed:
        run_child(["train", "nowhere.py"], log=tmp_path)
    message = user_message(failed.value)
    assert "snnssl train" in message
    assert "exit code 1" in message
    assert str(tmp_path / "run.log") in message


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a = 1\nb = ", "line 2"),
        ("a = 1\n\nb = c", "line 3"),
        ("_base_ = 'nowhere.py'", "nowhere.py"),
        ("custom_imports = dict(imports=['no_such_module'])", "no_such_module"),
    ],
)
def test_configs_that_cannot_be_read_are_named(text, place, tmp_path):
    config = tmp_path / "config.py"
    config.write_text(text)
    with pytest.raises(SystemExit, match=f"error: .*{place}"):
        config_files.read_config(config)


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("text", ["a = 1\n\nb = = 2", "a = 1\n\nb = nothing"])
def test_the_file_with_the_mistake_is_named_of_those_inherited(
    text, relative, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("base.py").write_text(text)
    Path("config.py").write_text("_base_ = ['base.py']\nc = 1")
    config = "config.py" if relative else tmp_path / "config.py"
    with pytest.raises(SystemExit, match=r"error: \S*base.py, line 3: "):
        config_files.read_config(config)


@pytest.mark.parametrize("way", [["a.py"], ["b.py", "a.py"], ["b.py", "c.py", "b.py"]])
def test_circular_inheritance_is_named(way, tmp_path):
    for name, base in zip(["a.py", *way], way, strict=False):
        (tmp_path / name).write_text(f"_base_ = '{base}'")
    with pytest.raises(SystemExit, match="_base_") as refused:
        config_files.read_config(tmp_path / "a.py")
    assert all(name in str(refused.value) for name in way)


def test_a_missing_base_is_named_with_the_file_that_asks_for_it(tmp_path):
    (tmp_path / "a.py").write_text("_base_ = 'b.py'")
    (tmp_path / "b.py").write_text("_base_ = 'gone.py'")
    with pytest.raises(SystemExit, match=r"gone\.py.*b\.py"):
        config_files.read_config(tmp_path / "a.py")


@pytest.mark.parametrize(
    ("key", "value"),
    [("model", 3), ("model.backbone", "ResNet"), ("optim_wrapper", [])],
)
def test_a_section_that_is_no_dict_is_named(key, value, tmp_path):
    config = tmp_path / "config.py"
    config.write_text("model = dict(backbone=dict(depth=18))")
    options = {key: value}
    args = argparse.Namespace(config=str(config), cfg_options=options)
    with pytest.raises(SystemExit, match=f"error: .*{key}.*{re.escape(repr(value))}"):
        config_files.load_config(args)


def test_bytes_that_are_no_config_are_refused(tmp_path):
    config = tmp_path / "config.py"
    config.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SystemExit, match=r"error: .*config\.py"):
        config_files.read_config(config)


@pytest.mark.parametrize(
    ("checkpoint", "config", "folder"),
    [
        ("/data/work_dirs/demo/seed0/epoch_9.pth", "c/a.py", "work_dirs/demo/seed0"),
        ("work_dirs/x/epoch_9.pth", "c/a.py", "work_dirs/x"),
        ("work_dirs/epoch_9.pth", "c/a.py", "work_dirs/a"),
        ("/data/epoch_9.pth", "c/a.py", "work_dirs/a"),
        ("/data/epoch_9.pth", None, "work_dirs/epoch_9"),
        (None, "c/a.py", "work_dirs/a"),
    ],
)
def test_outputs_go_below_work_dirs(checkpoint, config, folder):
    assert options.run_folder(checkpoint, config) == Path(folder)


def test_a_former_name_of_out_still_works_and_is_not_shown(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("a.py").touch()
    parser = argparse.ArgumentParser()
    parser.add_argument("config")
    options.add_out_argument(parser, "predictions", "folder", "--out-dir")
    assert "--out-dir" not in parser.format_help()
    for arguments, out in (
        (["a.py"], "work_dirs/a/predictions"),
        (["a.py", "--out", "x"], "x"),
        (["a.py", "--out-dir", "y"], "y"),
    ):
        read = options.complete(parser.parse_args(arguments))
        assert read.out == Path(out)
