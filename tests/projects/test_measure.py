"""The expected duration of a training, from the duration of its steps."""

import pytest
from mmengine.config import Config

from snnssl_mm.projects import measure

STAGES = [
    dict(train_path="analog", train_time_steps=1),
    dict(begin=0.75, train_time_steps=4),
]


def test_stages_of_a_schedule_count_with_their_share(tiny_config, monkeypatch):
    cfg = Config.fromfile(tiny_config)
    iterations = len(measure.train_loader(cfg)) * cfg.train_cfg.max_epochs
    seen = []

    def step_seconds(config, settings):
        seen.append(dict(settings))
        return settings.get("train_time_steps", 2)

    monkeypatch.setattr(measure, "step_seconds", step_seconds)
    assert measure.training_seconds(tiny_config) == 2 * iterations
    hook = dict(type="snnssl_mm.PathScheduleHook", stages=STAGES)
    cfg.merge_from_dict({"default_hooks.schedule": hook})
    scheduled = tiny_config.with_name("scheduled.py")
    cfg.dump(scheduled)
    expected = (0.75 * 1 + 0.25 * 4) * iterations
    assert measure.training_seconds(scheduled) == pytest.approx(expected)
    assert seen[-1] == dict(train_path="analog", train_time_steps=4)


def test_settings_change_the_measured_model(tiny_config, monkeypatch):
    models = []
    build = measure.MODELS.build

    def keep(settings):
        models.append(build(settings))
        return models[-1]

    monkeypatch.setattr(measure.MODELS, "build", keep)
    settings = dict(train_path="analog", train_time_steps=1)
    assert measure.step_seconds(tiny_config, steps=1, settings=settings) > 0
    assert models[0].backbone.time_steps == 1
    assert models[0].train_path == "analog"
