"""Each workaround: it cures the bug, and the bug still exists without it."""

import os
import socket
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from snnssl_mm import compat
from snnssl_mm.compat import cpu, distributions

APPLY = "from snnssl_mm import compat; compat.apply()"
WITHOUT_MM = """if True:
    import sys

    class Hiding:
        names = ("mmengine", "mmcv", "mmdet", "mmseg", "mmpretrain", "spikingjelly")

        def __init__(self, finder):
            self.finder = finder

        def __getattr__(self, name):
            return getattr(self.finder, name)

        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] not in self.names:
                return self.finder.find_spec(name, path, target)

    sys.meta_path = [Hiding(finder) for finder in sys.meta_path]
"""


def python(code: str, folder: Path, **env: str) -> str:
    """Run code in a fresh interpreter that finds the package under test."""
    root = str(Path(__file__).resolve().parents[2])
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, **env, "PYTHONPATH": root},
        timeout=600,  # of a hang; a busy machine takes minutes
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "row", compat.WORKAROUNDS, ids=lambda row: row.function.__name__
)
def test_every_workaround_documents_cause_and_removal_and_is_idempotent(
    row: compat.Workaround,
) -> None:
    text = row.function.__doc__ or ""
    assert "Cause:" in text
    assert "Removable:" in text
    assert row.function() == row.function()


def test_neurons_work_with_torch_alone(tmp_path: Path) -> None:
    code = """
    import torch
    from snnssl_mm.neurons import MixedLIF
    spikes = MixedLIF(tau=2.0, backend="torch")(torch.ones(3, 1, 1))
    print(spikes.flatten().tolist())
    """
    assert python(WITHOUT_MM + code, tmp_path).strip() == "[1.0, 1.0, 1.0]"


@pytest.mark.parametrize("name", ["_C", "_C_stable"])
def test_torchvisions_library_is_loaded_before_its_operators_are_declared(
    name: str, tmp_path: Path
) -> None:
    """If declared first, loading it later aborts the process (torchvision 0.29)."""
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / f"{name}.so").touch()
    code = """if True:
        import torch
        loaded = []
        torch.ops.load_library = loaded.append
        from snnssl_mm import compat
        print(loaded, compat.torchvision_operators().state)
    """
    said = python(code, tmp_path)
    assert said.strip() == f"['{package / name}.so'] cured"


def test_mmseg_configs_can_be_inherited_only_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mmseg")
    from mmengine import Config
    from mmengine.config.utils import MODULE2PACKAGE

    config = tmp_path / "config.py"
    config.write_text("_base_ = ['mmseg::_base_/default_runtime.py']\n")
    monkeypatch.setitem(MODULE2PACKAGE, "mmseg", "mmsegmentation")
    with pytest.raises(ModuleNotFoundError, match="mmsegmentation"):
        Config.fromfile(config)
    assert compat.mmseg_configs().state == "cured"
    assert Config.fromfile(config).default_scope == "mmseg"


def test_configs_are_found_without_metafiles_only_with_the_cure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("mmdet")
    from mmengine.config import Config, config, utils

    read, load, cured = [], utils.load, config._get_external_cfg_path

    def recording_load(file: str) -> object:
        read.append(file)
        return load(file)

    monkeypatch.setattr(utils, "load", recording_load)
    name = "mmdet::retinanet/retinanet_r50_fpn_1x_coco.py"
    found = Config._get_cfg_path(name, "")
    assert not read
    monkeypatch.setattr(config, "_get_external_cfg_path", cured.__wrapped__)
    assert Config._get_cfg_path(name, "") == found
    assert read
    assert compat.metafiles().state == "cured"
    with pytest.raises(FileNotFoundError):
        Config._get_cfg_path("mmdet::retinanet/nothing.py", "")


def test_activation_checkpointing_trains_only_with_the_cure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("mmengine.runner")
    from mmengine.runner import activation_checkpointing
    from torch.utils.checkpoint import checkpoint

    def has_gradients() -> list[bool]:
        model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
        activation_checkpointing.turn_on_activation_checkpointing(model, ["0"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model(torch.randn(2, 3)).sum().backward()
        return [parameter.grad is not None for parameter in model.parameters()]

    monkeypatch.setattr(activation_checkpointing, "checkpoint", checkpoint)
    assert has_gradients() == [False, False, True, True]
    assert compat.activation_checkpointing().state == "cured"
    assert has_gradients() == [True, True, True, True]


@pytest.mark.parametrize(
    ("installed", "named"),
    [
        ({"onedl-mmcv", "onedl-mmengine"}, None),
        ({"mmcv", "mmengine"}, None),
        ({"onedl-mmcv", "mmcv-lite"}, "mmcv-lite and onedl-mmcv"),
        (
            {"onedl-mmdetection", "mmdet", "onedl-mmengine", "mmengine"},
            "mmengine and onedl-mmengine, mmdet and onedl-mmdetection",
        ),
    ],
)
def test_mixed_distributions_are_named_with_the_fix(
    installed: set[str], named: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributions, "installed", lambda name: name in installed)
    if named is None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert distributions.mixed_distributions().state == "absent"
    else:
        with pytest.warns(RuntimeWarning, match=f"{named}.*pip uninstall"):
            assert distributions.mixed_distributions().state == "broken"


def test_training_checkpoints_load_safely(tmp_path: Path) -> None:
    """They contain mmengine's own classes, which resuming needs."""
    pytest.importorskip("mmengine.runner")
    import numpy as np
    from mmengine.logging import MessageHub
    from mmengine.runner import load_checkpoint, save_checkpoint

    hub = MessageHub("test_training_checkpoints_load_safely")
    hub.update_scalar("train/loss", 0.5)
    hub.update_scalar("train/grad_norm", np.float64(0.5))
    hub.update_scalar("train/lr", torch.tensor(0.5))
    hub.update_info("iter", 3)
    model = nn.Linear(2, 1)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    file = tmp_path / "epoch_1.pth"
    state = {
        "state_dict": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "message_hub": hub.state_dict(),
        "meta": {"epoch": 1, "dataset_meta": {"classes": ("0", "1")}},
    }
    save_checkpoint(state, str(file))
    loaded = load_checkpoint(nn.Linear(2, 1), str(file))
    history = loaded["message_hub"]["log_scalars"]["train/loss"]
    assert history.current() == history.statistics("mean", window_size=1) == 0.5


@pytest.mark.parametrize("when", ["before the import", "after it"])
def test_checkpoints_run_code_only_without_the_cure(tmp_path: Path, when: str) -> None:
    """The cure works in any order of imports."""
    pytest.importorskip("mmengine.runner")
    first = when == "before the import"
    code = f"""if True:
    import os
    {APPLY if first else ""}
    import mmengine.runner
    import torch

    class Hostile:
        def __reduce__(self):
            return os.mkdir, ("made",)

    torch.save(Hostile(), "file.pth")
    torch.hub.download_url_to_file = lambda url, to, *_, **__: os.link("file.pth", to)
    os.environ["TORCH_HOME"] = "cache"

    def load():
        for file in ("file.pth", "https://nowhere.invalid/file.pth"):
            try:
                mmengine.runner.CheckpointLoader.load_checkpoint(file, logger="silent")
            except ValueError as error:
                print(type(error).__name__, os.path.exists("made"))
            else:
                print("loaded", os.path.exists("made"))
                os.rmdir("made")

    load()
    if not {first}:
        {APPLY}
        import shutil
        shutil.rmtree("cache")
        load()
    """
    out = python(code, tmp_path).split("\n")
    lines = [line for line in out if line.startswith(("loaded", "Unsafe"))]
    uncured = [] if first else 2 * ["loaded True"]
    assert lines == uncured + 2 * ["UnsafeCheckpointError False"]


def test_amp_on_a_cpu_computes_in_bf16_and_keeps_float32_parameters() -> None:
    pytest.importorskip("mmengine")
    from mmengine.optim import build_optim_wrapper

    if torch.cuda.is_available():
        pytest.skip("there is a GPU: --amp takes mmengine's own wrapper")
    from snnssl_mm.engine import amp

    model = nn.Linear(8, 1)
    config = {**compat.amp_optim_wrapper_cfg(), "optimizer": {"type": "SGD", "lr": 0.1}}
    wrapper = build_optim_wrapper(model, config)
    assert isinstance(wrapper, amp.CpuAmpOptimWrapper)
    before = model.weight.detach().clone()
    inputs = torch.randn(4, 8)
    with wrapper.optim_context(model):
        output = model(inputs)
    assert output.dtype == torch.bfloat16
    wrapper.update_params(output.float().mean())
    assert model.weight.dtype == torch.float32
    # The gradient of the mean is the mean input, up to bf16's 8 bits.
    step = (before - model.weight.detach()) / 0.1
    torch.testing.assert_close(step, inputs.mean(0)[None], rtol=0.02, atol=0.02)


def test_amp_on_a_cpu_refuses_detectors_by_name() -> None:
    pytest.importorskip("mmengine")
    from snnssl_mm.engine.amp import CpuAmpOptimWrapper

    detector = type("MaskRCNN", (nn.Linear,), {"__module__": "mmdet.models.x"})(2, 1)
    wrapper = CpuAmpOptimWrapper(optimizer=torch.optim.SGD(detector.parameters(), 0.1))
    with (
        pytest.raises(RuntimeError, match="MaskRCNN.*--amp"),
        wrapper.optim_context(detector),
    ):
        pass


def transformers_5(folder: Path) -> Path:
    """Make a place with a transformers 5 as if nothing were left of 4.28."""
    info = folder / "site" / "transformers-5.17.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Name: transformers\nVersion: 5.17.0\n")
    package = folder / "site" / "transformers"
    package.mkdir()
    (package / "__init__.py").touch()
    return folder / "site"


@pytest.mark.parametrize("cured", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_mmpretrain_imports_beside_transformers_5(tmp_path: Path, cured: bool) -> None:
    pytest.importorskip("mmpretrain")
    site = transformers_5(tmp_path)
    code = f"""if True:
    import sys
    sys.path.insert(0, {str(site)!r})
    {APPLY}
    import torchvision  # would not import either, on some machines
    from mmpretrain.utils import dependency
    if not {cured}:
        dependency.WITH_MULTIMODAL = dependency.satisfy_requirement("transformers")
    try:
        import mmpretrain.models
    except (ImportError, TypeError) as error:
        print(error)
    """
    out = python(code, tmp_path)
    assert (out.strip() == "") == cured, out


def test_our_import_of_mmpretrain_changes_none_of_its_settings(tmp_path: Path) -> None:
    """Beside transformers 5, where its own import fails."""
    pytest.importorskip("mmpretrain")
    site = transformers_5(tmp_path)
    code = f"""if True:
    import sys
    sys.path.insert(0, {str(site)!r})
    from mmpretrain.utils import dependency
    before = dependency.WITH_MULTIMODAL = True
    import snnssl_mm.models
    print(before is dependency.WITH_MULTIMODAL)
    """
    assert python(code, tmp_path) == "True\n"


def test_debug_messages_without_a_logger_are_not_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logging = pytest.importorskip("mmengine.logging")
    for level in (10, 20, 30):
        logging.print_log(f"level {level}", level=level)
    assert capsys.readouterr().out == "level 20\nlevel 30\n"


def test_the_error_of_a_failed_download_names_folder_file_and_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    utils = pytest.importorskip("mmpretrain.datasets.utils")

    def offline(*_: object) -> None:
        raise OSError("the network is closed")

    monkeypatch.setattr(utils, "download_url_to_file", offline)
    with pytest.raises(FileNotFoundError) as refused:
        utils.download_url("https://a.invalid/b.tar.gz", str(tmp_path))
    for part in (str(tmp_path), "https://a.invalid/b.tar.gz"):
        assert part in str(refused.value)
    assert str(refused.value).startswith("b.tar.gz ")


@pytest.mark.parametrize("kind", ["Runner", "FlexibleRunner"])
def test_any_default_hook_is_removed_only_with_the_cure(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = getattr(pytest.importorskip("mmengine.runner"), kind)
    cured = runner.register_default_hooks
    registered: list[str] = []
    recorder = SimpleNamespace(
        register_hook=lambda hook: registered.append(hook["type"])
    )
    hooks = dict(timer=None, knn=None, extra=dict(type="Extra"))
    with pytest.raises(AssertionError):
        cured.__wrapped__(recorder, hooks)
    registered.clear()
    cured(recorder, hooks)
    assert "IterTimerHook" not in registered
    assert registered[-1] == "Extra"
    monkeypatch.setattr(runner, "register_default_hooks", cured.__wrapped__)
    assert compat.removed_hooks().state == "cured"
    recorder.register_hook = lambda hook: None
    runner.register_default_hooks(recorder, hooks)


TWO_PROCESSES = """
import os

import mmengine.model
import torch
from mmengine.registry import MODEL_WRAPPERS
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from snnssl_mm import compat

launcher = "slurm" if "SLURM_PROCID" in os.environ else "pytorch"
assert compat.init_cpu_process_group(launcher)
assert compat.init_cpu_process_group(launcher)  # again is harmless
torch.manual_seed(0)
model = nn.Linear(3, 1)
inputs = torch.randn(4, 3)
wrapped = MODEL_WRAPPERS.build(dict(compat.cpu_model_wrapper_cfg(), module=model))
half = inputs[2 * distributed.get_rank():][:2]
DistributedDataParallel.forward(wrapped, half).pow(2).mean().backward()
parallel = model.weight.grad.clone()
model.weight.grad = None
model(inputs).pow(2).mean().backward()
torch.testing.assert_close(parallel, model.weight.grad)
assert (distributed.get_backend(), distributed.get_world_size()) == ("gloo", 2)
# The first process holds the store that the other uses: it leaves last.
store = distributed.distributed_c10d._get_default_store()
store.set(f"done{distributed.get_rank()}", "yes")
if distributed.get_rank() == 0:
    store.wait(["done1"])
os._exit(0)
"""


RANK_AND_WORLD = {
    "pytorch": ("RANK", "WORLD_SIZE"),
    "slurm": ("SLURM_PROCID", "SLURM_NTASKS"),
}


@pytest.mark.parametrize("launcher", RANK_AND_WORLD)
def test_two_cpu_processes_train_like_one(tmp_path: Path, launcher: str) -> None:
    pytest.importorskip("mmengine")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU: processes use NCCL")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    world = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "SLURM_LOCALID": "0"}
    rank_name, world_name = RANK_AND_WORLD[launcher]
    world[world_name] = "2"
    with ThreadPoolExecutor() as pool:
        runs = [
            pool.submit(
                python, TWO_PROCESSES, tmp_path / rank, **world, **{rank_name: rank}
            )
            for rank in ("0", "1")
        ]
        for run in runs:
            run.result()


@pytest.mark.parametrize("launcher", ["none", "pytorch", "slurm"])
def test_no_process_group_without_its_launcher(
    monkeypatch: pytest.MonkeyPatch, launcher: str
) -> None:
    for name in cpu.TORCHRUN_VARIABLES | {*cpu.SLURM_VARIABLES.values()}:
        monkeypatch.delenv(name, raising=False)
    assert not compat.init_cpu_process_group(launcher)
    assert not torch.distributed.is_initialized()
