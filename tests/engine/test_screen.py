"""The screen shows iterations and warnings; the log file has everything."""

import logging

from mmengine.logging import MMLogger

from snnssl_mm.engine.screen import quiet_runner

DESCRIPTIONS = (
    f"\n{'-' * 60}\nSystem environment:\n    sys.platform: linux",
    "Config:\na = 1",
    "Hooks will be executed in the following order:\nbefore_run:",
    "paramwise_options -- backbone.stem.0.weight:lr=0.001",
)


def test_descriptions_go_to_the_file_and_warnings_to_both(tmp_path, capsys):
    with quiet_runner():
        logger = MMLogger("test_screen", log_file=str(tmp_path / "run.log"))
    for text in DESCRIPTIONS:
        logger.info(text)
    logger.info("Epoch(train) [1][10/62]  loss: 1.0")
    logger.warning("paramwise_options name no parameter")
    screen, kept = capsys.readouterr().out, (tmp_path / "run.log").read_text()
    assert [line.partition(" - ")[0] == line for line in screen.splitlines()] == [0, 0]
    assert "Epoch(train)" in screen
    assert "name no parameter" in screen
    for text in (*DESCRIPTIONS, "Epoch(train)", "name no parameter"):
        assert text in kept


def test_loggers_made_outside_are_not_changed():
    make = MMLogger.__init__
    with quiet_runner():
        pass
    assert MMLogger.__init__ is make
    (handler,) = MMLogger("test_screen_outside").handlers
    assert isinstance(handler, logging.StreamHandler)
