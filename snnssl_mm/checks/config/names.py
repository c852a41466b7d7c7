"""Check that the types in a config exist and accept its arguments."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from mmengine import registry as root
from mmengine.registry import DefaultScope, Registry
from torch.utils.data import DataLoader

from snnssl_mm.checks.config.problem import Problem, closest, error, warning
from snnssl_mm.checks.settings import LOADERS

SECTIONS: dict[str, tuple[Registry, ...]] = {
    "model": (root.MODELS, root.TASK_UTILS),
    "tta_model": (root.MODELS,),
    "data_preprocessor": (root.MODELS,),
    "optim_wrapper": (root.OPTIM_WRAPPERS,),
    "param_scheduler": (root.PARAM_SCHEDULERS,),
    "default_hooks": (root.HOOKS,),
    "custom_hooks": (root.HOOKS,),
    "visualizer": (root.VISUALIZERS,),
    "log_processor": (root.LOG_PROCESSORS,),
    "train_cfg": (root.LOOPS,),
    "val_cfg": (root.LOOPS,),
    "test_cfg": (root.LOOPS,),
    "val_evaluator": (root.METRICS, root.EVALUATOR),
    "test_evaluator": (root.METRICS, root.EVALUATOR),
    **dict.fromkeys(LOADERS, (root.DATASETS,)),
}
"""Registries for the types in a section."""
NESTED: dict[str, tuple[Registry, ...]] = {
    "optimizer": (root.OPTIMIZERS,),
    "init_cfg": (root.WEIGHT_INITIALIZERS,),
    "pipeline": (root.TRANSFORMS,),
    "transforms": (root.TRANSFORMS,),
    "sampler": (root.DATA_SAMPLERS, root.TASK_UTILS),
    "batch_sampler": (root.DATA_SAMPLERS,),
    "collate_fn": (root.FUNCTIONS,),
    "worker_init_fn": (root.FUNCTIONS,),
    "vis_backends": (root.VISBACKENDS,),
}
"""Registries for the types below certain keys."""
OTHERS = ("nms", "roi_layer", "surrogate")
"""Keys whose types mmcv, or a neuron, looks up without a registry."""
BUILDERS = ("_cfg", "collate_fn", "plugins", "upsample")
"""Ends of keys whose builder removes entries before it calls the class."""
REMOVED_KEYS = {
    "type",
    "_scope_",
    "priority",  # of hooks
    "constructor",  # of optimizer wrappers
    "paramwise_cfg",
    "convert_to_iter_based",  # of schedules
    "by_epoch",  # of loops
}
LOADER_KEYS = {
    *inspect.signature(DataLoader).parameters,
    "num_batch_per_epoch",
    "collate_fn",
    "_scope_",
}


class Place(NamedTuple):
    """A dict with a type, its key in the config, and the registries of the type."""

    key: str
    settings: Mapping[str, Any]
    registries: tuple[Registry, ...]


def places(value: Any, key: str, registries: tuple[Registry, ...]) -> Iterator[Place]:
    """Yield every dict with a ``type`` in ``value``."""
    last = key.rpartition(".")[2].partition("[")[0]
    if last in OTHERS:
        return
    last = "pipeline" if last.endswith("_pipeline") else last  # of a hook
    registries = NESTED.get(last, registries)
    if isinstance(value, Mapping):
        if "type" in value:
            yield Place(key, value, registries)
        foreign = str(value.get("type", "")).startswith("Albu")  # another library's
        for name, part in value.items():
            if foreign and name == "transforms":
                continue
            yield from places(part, f"{key}.{name}", registries)
    elif isinstance(value, (list, tuple)):
        for index, part in enumerate(value):
            yield from places(part, f"{key}[{index}]", registries)


def check_names(cfg: Mapping[str, Any]) -> list[Problem]:
    """Check all types and their arguments.

    Args:
        cfg: Config whose default scope is active.
    """
    problems = []
    for section, registries in SECTIONS.items():
        for place in places(cfg.get(section), section, registries):
            if "strategy" in cfg and place.key == "optim_wrapper.optimizer":
                continue  # DeepSpeed registers its own later
            problems += check_place(place)
    for name, kind in loops(cfg).items():
        settings = cfg.get(name)
        if isinstance(settings, Mapping) and "type" not in settings:
            place = Place(name, {**settings, "type": kind}, (root.LOOPS,))
            problems += check_place(place)
    for name in LOADERS:
        for unknown in set(cfg.get(name) or ()) - LOADER_KEYS:
            if like := closest(unknown, LOADER_KEYS):
                text = f"a data loader has no such setting; is {like} meant?"
                problems.append(error(f"{name}.{unknown}", text))
    constructor = (cfg.get("optim_wrapper") or {}).get("constructor")
    if constructor is not None:
        settings = {"type": constructor}
        registry = (root.OPTIM_WRAPPER_CONSTRUCTORS,)
        where = "optim_wrapper.constructor"
        problems += check_place(Place(where, settings, registry), where)
    return problems


def loops(cfg: Mapping[str, Any]) -> dict[str, str]:
    """Return the loops that a Runner uses if a config does not set their type."""
    by_epoch = (cfg.get("train_cfg") or {}).get("by_epoch")
    train = "EpochBasedTrainLoop" if by_epoch else "IterBasedTrainLoop"
    return {"train_cfg": train, "val_cfg": "ValLoop", "test_cfg": "TestLoop"}


def check_place(place: Place, key: str | None = None) -> list[Problem]:
    """Check one type and its arguments."""
    kind = place.settings["type"]
    found = find(kind, place.registries, place.settings.get("_scope_"))
    if found is None and place.key.startswith("model."):
        found = anywhere(kind)
    if found is None:
        known = [name for r in place.registries for name in registered(r)]
        return [error(key or f"{place.key}.type", unknown_type(kind, known))]
    taken_apart = place.key.endswith(BUILDERS) and place.key not in SECTIONS
    if not inspect.isclass(found) or taken_apart:
        return []
    return check_arguments(found, place)


def find(kind: Any, registries: tuple[Registry, ...], scope: str | None) -> Any:
    """Resolve a type in the scope; a class is returned as it is."""
    if not isinstance(kind, str):
        return kind
    for registry in registries:
        if registry is root.FUNCTIONS:  # the Runner uses it without a scope
            return registry.get(kind)
        with registry.switch_scope_and_registry(scope) as current:
            if (found := current.get(kind)) is not None:
                return found
    return None


def anywhere(kind: str) -> Any:
    """Resolve a name in any registry of its scope, such as tokenizers."""
    scope = DefaultScope.get_current_instance().scope_name
    prefix, _, short = kind.rpartition(".")
    try:
        module = importlib.import_module(f"{prefix or scope}.registry")
    except ImportError:  # a package that is not installed, or no scope at all
        return None
    for registry in filter(lambda r: isinstance(r, Registry), vars(module).values()):
        registry.import_from_location()
        if short in registry.module_dict:
            return registry.module_dict[short]
    return None


def registered(registry: Registry) -> list[str]:
    """List all names of a registry and its children, with their scopes."""
    import snnssl_mm.registry  # noqa: F401  (registers the child of this package)

    names = []
    for child in (registry, *registry.children.values()):
        child.import_from_location()
        scope = "" if child is registry else f"{child.scope}."
        names += [f"{scope}{name}" for name in child.module_dict]
    return names


def unknown_type(kind: str, known: list[str]) -> str:
    """Describe an unknown type, and suggest a similar one."""
    short = kind.rpartition(".")[2]
    elsewhere = [name for name in known if name.rpartition(".")[2] == short]
    if elsewhere:
        ours = [name for name in elsewhere if name.startswith("snnssl_mm.")]
        return (
            f"{kind!r} is not in this config's scope; write {(ours or elsewhere)[0]!r}"
        )
    by_name = {name.rpartition(".")[2]: name for name in known}
    stock = short.removeprefix("Spiking")
    if stock != short and stock in by_name:
        return no_spiking_form(kind, stock, by_name)
    like = closest(short, by_name)
    hint = f"is {by_name[like]!r} meant?" if like else "check custom_imports"
    return f"{kind!r} is not registered; {hint}"


def accepted(kind: type) -> tuple[set[str], bool]:
    """Find the arguments that a class accepts, itself or by its bases.

    Returns:
        Their names, and whether the list is complete.
    """
    names: set[str] = set()
    own: Any = kind  # mypy does not allow to read __init__ from a class
    by_new = own.__new__ is not object.__new__
    if by_new or hasattr(own.__init__, "__wrapped__"):  # or renamed by mmcv
        return names, False
    if not hasattr(own.__init__, "__code__") and own.__init__ is not object.__init__:
        return names, False  # compiled
    for depth, base in enumerate(c for c in kind.__mro__ if "__init__" in vars(c)):
        if base is object:  # it takes no arguments; a subclass passed on **kwargs
            return names, depth == 0
        parameters = inspect.signature(vars(base)["__init__"]).parameters
        names |= parameters.keys()
        if all(p.kind is not p.VAR_KEYWORD for p in parameters.values()):
            return names, depth == 0
    return names, False


def check_arguments(kind: type, place: Place) -> list[Problem]:
    """Find arguments that a class does not accept."""
    problems = []
    names, complete = accepted(kind)
    for given in set(map(str, place.settings)) - names - REMOVED_KEYS:
        like = closest(given, names - {"self", "args", "kwargs"}, 0.8)
        text = f"{kind.__name__} has no argument {given!r}"
        hint = f"is {like!r} meant?" if like else f"it takes {sorted(names - {'self'})}"
        if complete:
            problems.append(error(f"{place.key}.{given}", f"{text}; {hint}"))
        elif like:  # it passes unknown arguments on, maybe to another class
            problems.append(warning(f"{place.key}.{given}", f"{text}; {hint}"))
    return problems


def no_spiking_form(kind: str, stock: str, known: Iterable[str]) -> str:
    """Describe the spiking type of a stock class that has none."""
    heads = sorted(name for name in known if re.fullmatch("Spiking.*Head", name))
    return (
        f"{kind!r} is not registered: {stock} has no spiking form. Use it as it is, "
        "behind time_readout='mean'; derive one from snnssl_mm.models.SpikingMapHead "
        f"or SpikingRegionHead; or take one of {', '.join(heads)}"
    )
