"""Batches have the numbers of their iteration, whatever loads and restarts them."""

import copy
import pickle

import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch.utils.data import BatchSampler, DataLoader, IterableDataset
from toy_runs import Noise

from snnssl_mm.engine.seeded_batches import EndlessBatches, seeded_batches

IMAGES, SIZE, TOTAL = 10, 2, 13  # 5 batches a pass, uneven for two workers


class Images(Noise):
    def __len__(self):
        return IMAGES


class OwnBatches(BatchSampler):
    """One that mmengine does not know, such as AspectRatioBatchSampler."""


class Vectorized(Images):
    """Dataset that reads a batch at once, without a loop over the indices."""

    def __getitems__(self, indices):
        order = torch.tensor(indices)
        return [
            {"inputs": x} for x in torch.stack([order, torch.rand(len(indices))], 1)
        ]


class Stream(IterableDataset):
    def __iter__(self):
        return iter(Images())


def loader(
    workers=0, persistent=False, kind=DefaultSampler, batches=None, dataset=None
):
    dataset = dataset or Images()
    sampler = kind(dataset, seed=0)
    options = dict(sampler=sampler, batch_size=SIZE)
    if batches is not None:
        options = dict(batch_sampler=batches(sampler, SIZE, drop_last=True))
    options |= dict(num_workers=workers, persistent_workers=persistent)
    return DataLoader(dataset, **options)


def trained_on(loader, begin=0, seed=3):
    """Batches of a training by iterations that begins at one of them."""
    batches = seeded_batches(loader, seed, 0)
    endless = EndlessBatches(loader, batches)
    if begin:
        endless.skip_iter(begin)
    found = []
    for iteration in range(begin, TOTAL):
        found.append(next(endless)["inputs"])
        torch.rand(1 + iteration)  # a step draws numbers, too
        batches.first = iteration + 1
    return torch.stack(found)


@pytest.fixture(scope="module")
def expected():
    return trained_on(loader())


def test_numbers_never_repeat_and_every_pass_has_all_images_in_its_own_order(expected):
    assert expected[..., :3].unique().numel() == 3 * SIZE * TOTAL
    passes = expected[: 2 * IMAGES // SIZE, :, 3].reshape(2, IMAGES)
    assert passes.sort().values.tolist() == 2 * [list(range(IMAGES))]
    assert not torch.equal(*passes)
    assert not torch.equal(expected, trained_on(loader(), seed=4))


@pytest.mark.parametrize("batches", [None, BatchSampler, OwnBatches])
@pytest.mark.parametrize("begin", [0, 5, 7], ids="from {}".format)
def test_a_resumed_training_has_the_batches_of_an_uninterrupted_one(
    batches, begin, expected
):
    found = trained_on(loader(batches=batches), begin)
    assert torch.equal(found, expected[begin:])


@pytest.mark.parametrize("persistent", [False, True])
def test_workers_make_no_difference(persistent, expected):
    options = dict(workers=2, persistent=persistent)
    assert torch.equal(trained_on(loader(**options)), expected)
    resumed = trained_on(loader(**options, batches=OwnBatches), 7)
    assert torch.equal(resumed, expected[7:])


@pytest.mark.parametrize("workers", [0, 2])
def test_an_infinite_sampler(workers):
    full = trained_on(loader(kind=InfiniteSampler))
    assert full[..., :3].unique().numel() == 3 * SIZE * TOTAL
    resumed = trained_on(loader(workers, kind=InfiniteSampler), 5)
    assert torch.equal(resumed, full[5:])


def test_a_dataset_that_reads_a_batch_at_once():
    full = trained_on(loader(dataset=Vectorized()))
    assert full[..., 1].unique().numel() == SIZE * TOTAL
    assert torch.equal(trained_on(loader(1, dataset=Vectorized())), full)


def test_the_loader_keeps_the_attributes_and_the_type_of_its_indices():
    ours = loader(batches=OwnBatches)
    batches = seeded_batches(ours, 0, 0)
    assert seeded_batches(ours, 0, 0) is batches is ours.batch_sampler
    assert (len(ours), batches.batch_size, batches.drop_last) == (5, SIZE, True)
    assert copy.copy(batches).sampler is batches.sampler
    sent = next(iter(seeded_batches(loader(2), 0, 0)))
    assert type(pickle.loads(pickle.dumps(sent))) is list


@pytest.mark.parametrize(
    ("dataset", "size"), [(Images(), None), (Stream(), SIZE)], ids=["samples", "stream"]
)
def test_what_has_no_batches_of_indices_is_refused(dataset, size):
    with pytest.raises(ValueError, match="IterationSeedHook"):
        seeded_batches(DataLoader(dataset, batch_size=size), 0, 0)
