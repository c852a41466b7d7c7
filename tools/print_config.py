#!/usr/bin/env python3
"""Print a config with everything it inherits.

usage: python tools/print_config.py CONFIG [--cfg-options KEY=VALUE ...]
"""

from __future__ import annotations

import argparse

from mmengine.config import Config, DictAction

import snnssl_mm  # noqa: F401  (makes mmseg:: and snnssl_mm:: bases work)


def main() -> None:
    """Print the merged config as text that is itself a config."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("config", help="config file")
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, metavar="KEY=VALUE"
    )
    args = parser.parse_args()
    cfg = Config.fromfile(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    print(cfg.pretty_text)


if __name__ == "__main__":
    main()
