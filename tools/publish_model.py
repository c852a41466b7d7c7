#!/usr/bin/env python3
"""Make a checkpoint fit to be given away: weights and plain values, sha in the name.

usage: python tools/publish_model.py CHECKPOINT NAME [--out DIR]

Writes DIR/NAME-<sha>.pth with the whole model and DIR/NAME_backbone-<sha>.pth with its
backbone; <sha> are the first 8 digits of the file's sha256. Optimizer, logs and paths
are left out, and torch.load(weights_only=True) loads both. Prints what a metafile.yml
needs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from snnssl_mm.cli.tooling import (
    add_out_argument,
    add_trust_argument,
    errors_as_sentences,
    parse,
    require_writable,
    run_tool,
)


def main() -> None:
    """Publish."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("checkpoint", help="file or URL")
    parser.add_argument("name", help="of the model, such as spikformer-digits_ctl")
    add_out_argument(parser, "published", "folder for the files", "--out-dir")
    add_trust_argument(parser)
    args = parse(parser)

    from snnssl_mm.checkpoints.publishing import digest, publish

    with errors_as_sentences():
        if not args.name or Path(args.name).name != args.name:
            raise ValueError(f"a model's name has no folders, got {args.name!r}")
        require_writable(args.out / "any")
        for name, only in ((args.name, False), (f"{args.name}_backbone", True)):
            file = publish(args.checkpoint, name, args.out, backbone_only=only)
            size = file.stat().st_size / 1e6
            print(f"{file} ({size:.2f} MB), SHA256: {digest(file.read_bytes())}")


if __name__ == "__main__":
    run_tool(main)
