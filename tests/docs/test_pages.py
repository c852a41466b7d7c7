"""README, CONTRIBUTING and the site's pages: their code runs, their commands exist."""

import doctest
import re
import shlex
import textwrap
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.registry import MODELS, VISUALIZERS, init_default_scope
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from snnssl_mm.checks.config import check_config
from snnssl_mm.cli.main import parser_of

ROOT = Path(__file__).parents[2]
GENERATED = ("_build", "zoo", "configs", "commands", "api")
FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>```+)(?P<language>[\w{}-]*)[^\n]*\n(?P<code>.*?)"
    r"^(?P=indent)(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
NAMED_FILE = re.compile(
    r"(?<![\w/.])(?:configs|docs|docker|tools|benchmarks|tests)/[\w/.-]+\.(?:py|json|md|sh)"
)
PLACEHOLDERS = {"PNG": "picture.png"}
"""Names for a file whose suffix the command checks."""
ENDS = ("&&", "||", "|", ";", ">", "2>&1")
TOOLS = {
    str(file.relative_to(ROOT)): re.search(r'main\("(\w+)"', file.read_text())
    for file in (ROOT / "tools").glob("*.py")
}


def written_pages():
    """All pages that are not generated."""
    docs = ROOT / "docs"
    pages = [p for p in docs.rglob("*.md") if p.relative_to(docs).parts[0] != "_build"]
    pages = [p for p in pages if p.relative_to(docs).parts[0] not in GENERATED]
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(pages)]


PAGES = written_pages()


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    language: str
    code: str

    def __str__(self):
        return f"{self.page.stem}: {' '.join(self.code.split())[:40]}"


def blocks(page, *languages):
    """The blocks of a page in these languages, in their order."""
    found = [
        Block(page, match["language"], textwrap.dedent(match["code"]))
        for match in FENCE.finditer(page.read_text())
    ]
    return [block for block in found if block.language in languages]


def name_of(page):
    return str(page.relative_to(ROOT))


PYTHON = {page: blocks(page, "python", "pycon") for page in PAGES}
CONFIGS = [b for found in PYTHON.values() for b in found if b.code.startswith("_base_")]
CODE = [
    page
    for page, found in PYTHON.items()
    if any(not b.code.startswith("_base_") for b in found)
]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_that_a_page_names_exist(page):
    named = NAMED_FILE.findall(
        re.sub(r"https?://\S+?/blob/main/", "", page.read_text())
    )
    assert [name for name in set(named) if not (ROOT / name).exists()] == []


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with what pages assume: some images."""
    monkeypatch.chdir(tmp_path)
    Path("my_images").mkdir()
    for index in range(2):
        image = np.full((20, 30 + index, 3), 80 * index, np.uint8)
        cv2.imwrite(f"my_images/{index}.png", image)
    return tmp_path


def run_doctest(block, namespace):
    flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    test = doctest.DocTestParser().get_doctest(
        block.code, namespace, str(block.page), str(block.page), 0
    )
    test.globs = namespace  # examples of a page build on each other
    report = []
    runner = doctest.DocTestRunner(optionflags=flags)
    assert runner.run(test, out=report.append, clear_globs=False).failed == 0, report


@pytest.mark.parametrize("page", CODE, ids=name_of)
def test_code_of_a_page_runs(page, folder):
    MMLogger.get_instance("mmengine", log_level="ERROR")  # pages do not show log lines
    namespace = {"__name__": "page"}
    for block in PYTHON[page]:
        if ">>> " in block.code:
            run_doctest(block, namespace)
        elif not block.code.startswith("_base_"):
            exec(compile(block.code, str(block), "exec"), namespace)


def read_config(block, folder):
    file = folder / "mine.py"
    file.write_text(re.sub(r"(?<!::)configs/", f"{ROOT}/configs/", block.code))
    return Config.fromfile(file)


@pytest.mark.parametrize("block", CONFIGS, ids=str)
def test_a_config_of_a_page_has_no_mistakes(block, tmp_path):
    problems = check_config(read_config(block, tmp_path), data=False)
    assert [p for p in problems if p.level == "error"] == []


def commands():
    """Arguments of every subcommand that a page shows, with its place."""
    for page in PAGES:
        for block in blocks(page, "bash", "console", "fish"):
            text = block.code.replace("\\\n", " ")
            for line in text.splitlines():
                if block.language == "console":
                    if not line.startswith("$ "):
                        continue
                    line = line.removeprefix("$ ")
                words = shlex.split(line, comments=True)
                yield from ((page, found) for found in subcommands(words))


def subcommands(words):
    """Arguments of the commands in the words of a line."""
    for start, word in enumerate(words):
        rest = words[start + 1 :]
        end = min([rest.index(e) for e in ENDS if e in rest], default=len(rest))
        if word == "snnssl" and end:
            yield rest[:end]
        elif TOOLS.get(word):
            yield [TOOLS[word][1], *rest[:end]]


COMMANDS = {(page, tuple(words)) for page, words in commands()}


@pytest.mark.parametrize(
    ("page", "words"),
    sorted(COMMANDS),
    ids=lambda x: x.stem if isinstance(x, Path) else " ".join(x),
)
def test_a_command_of_a_page_has_these_arguments(page, words, capsys):
    status = 0
    try:
        parser_of(words).parse_args([PLACEHOLDERS.get(word, word) for word in words])
    except SystemExit as end:  # --list and the like are answered by the parser
        status = end.code
    assert status == 0, capsys.readouterr().err


def test_blocks_were_found():
    assert len(PAGES) > 20
    assert len(COMMANDS) > 60
    assert len(CONFIGS) > 5
    assert len(CODE) > 3


def config_of(name, word, folder):
    """The config of a page that has a word."""
    page = ROOT / "docs" / "howto" / name
    (block,) = (block for block in CONFIGS if block.page == page and word in block.code)
    return read_config(block, folder)


def test_own_images_example_has_no_monitor(tmp_path):
    cfg = config_of("own_images.md", "my_images", tmp_path)
    assert cfg.train_dataloader.dataset.data_root == "my_images"
    assert cfg.eval_train_dataloader is None


def test_tensorboard_example_writes_what_tensorboard_reads(tmp_path):
    cfg = config_of("monitoring.md", "TensorboardVisBackend", tmp_path)
    init_default_scope(cfg.default_scope)
    settings = dict(cfg.visualizer, save_dir=str(tmp_path), name="tensorboard")
    visualizer = VISUALIZERS.build(settings)
    visualizer.add_scalars({"firing_rate/stem.stages.0": 0.25}, step=3)
    visualizer.close()
    events = EventAccumulator(str(tmp_path / "vis_data")).Reload()
    (scalar,) = events.Scalars("firing_rate/stem.stages.0")
    assert (scalar.step, scalar.value) == (3, 0.25)


def test_own_detector_example_fits_together(tmp_path):
    cfg = config_of("detection.md", "faster-rcnn", tmp_path)
    init_default_scope("mmdet")
    model = MODELS.build(cfg.model)
    with torch.no_grad():
        maps = model.extract_feat(torch.zeros(1, 3, 64, 64))
    assert [m.shape[-1] for m in maps] == [16, 8, 4, 2, 1]
