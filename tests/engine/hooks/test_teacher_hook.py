"""The teacher follows the student once per optimizer step, along the schedule."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from snnssl_mm.checks.config.problem import ConfigError
from snnssl_mm.engine import TeacherHook
from snnssl_mm.engine.hooks.teacher_hook import require_updates
from snnssl_mm.models import Teacher

EXPECTED = [0.9, 0.9146446609, 0.95, 0.9853553391]  # of 4 iterations from 0.9


class Student(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone, self.neck = nn.Linear(3, 2), nn.Linear(2, 2)
        self.teacher = Teacher(self, momentum=0.9)


def run_of(model, **wrapper):
    return SimpleNamespace(
        model=model, iter=0, max_iters=4, optim_wrapper=SimpleNamespace(**wrapper)
    )


@pytest.mark.parametrize("first", [0, 2])
def test_momentum_rises_along_a_cosine_also_in_a_resumed_training(first):
    model = Student()
    runner, hook = run_of(model, should_update=lambda: True), TeacherHook()
    hook.before_train(runner)
    for runner.iter in range(first, 4):
        before = copy.deepcopy(model.teacher.neck.weight)
        nn.init.normal_(model.neck.weight)
        hook.after_train_iter(runner, runner.iter)
        torch.testing.assert_close(
            model.teacher.neck.weight,
            before.lerp(model.neck.weight, 1 - EXPECTED[runner.iter]),
        )


def test_constant_momentum():
    hook = TeacherHook(schedule="constant")
    assert [hook.momentum(0.9, share) for share in (0, 0.5, 1)] == [0.9] * 3
    with pytest.raises(ValueError, match="'linear'"):
        TeacherHook(schedule="linear")


def test_no_update_while_gradients_are_accumulated():
    model = Student()
    before = copy.deepcopy(model.teacher.state_dict())
    nn.init.normal_(model.neck.weight)
    TeacherHook().after_train_iter(run_of(model, should_update=lambda: False), 0)
    assert torch.equal(model.teacher.neck.weight, before["neck.weight"])


def test_a_teacher_that_nothing_updates_is_refused():
    runner = run_of(Student())
    runner.hooks = [TeacherHook()]
    require_updates(runner)
    runner.hooks = []
    with pytest.raises(ConfigError):
        require_updates(runner)
    runner.model.teacher = None
    require_updates(runner)


def test_hook_is_off_without_a_teacher():
    runner = run_of(nn.Linear(2, 2))
    TeacherHook().before_train(runner)
    TeacherHook().after_train_iter(runner, 0)


def test_split_weights_are_refused():
    model = Student()
    model.neck.weight = nn.Parameter(torch.zeros(2))
    with pytest.raises(ValueError, match="DDP"):
        TeacherHook().before_train(run_of(model))


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("part", ["neck", "teacher"])
def test_an_average_of_half_precision_is_refused(kind, part):
    """Whose weights would hardly follow: with m = 0.996 a step is 0.4 % of the way."""
    model = Student()
    model.get_submodule(part).to(kind)
    with pytest.raises(ValueError, match=str(kind)):
        TeacherHook().before_train(run_of(model))
    TeacherHook().before_train(run_of(Student().double()))
