"""`laurel-reward`: what a shell does with the library alone."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from rewardmodel.learning.checkpoints.converting import FORMS as MODEL_FORMS
from rewardmodel.learning.checkpoints.converting import convert
from rewardmodel.learning.cli.listings import ListingError, PromptedImage, images_in, read_listing
from rewardmodel.learning.cli.results import FORMATS, ScoredImage, Tally, rank_rows, score_files, write_rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit status is 1 when anything it was asked for failed."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:1] == ["train"]:
        from rewardmodel.learning.training.__main__ import main as train

        return train(arguments[1:])
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except BrokenPipeError:  # the reader of the output closed it
        sys.stderr.close()
        return 1
    except (OSError, ValueError) as error:  # CheckpointError, UnreadableImage, ... are ValueErrors
        print(f"laurel-reward: {error}", file=sys.stderr)
        return 1


def add_row_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of every command that scores files."""
    parser.add_argument("--format", choices=FORMATS, default="csv", help="of the scores (default: csv)")
    parser.add_argument(
        "--keep-going", action="store_true", help="give unreadable files a row with the error"
    )
    parser.add_argument(
        "--write-png-info", action="store_true", help="also write each score into its file, a PNG"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="laurel-reward", description="Score images for prompts.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    score = commands.add_parser("score", help="print a score for each image")
    score.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="image files, and folders of them")
    score.add_argument("--prompt", help="the text that they are to answer")
    score.add_argument("--list", type=Path, metavar="FILE", help="rows of prompt and file, .jsonl or .csv")
    score.set_defaults(run=_score)

    rank = commands.add_parser("rank", help="print the images of one prompt, best first")
    rank.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="image files, and folders of them")
    rank.add_argument("--prompt", required=True, help="the text that they are to answer")
    rank.set_defaults(run=_rank)

    conversion = commands.add_parser("convert", help="write a reward model in another form")
    conversion.add_argument("source", help="published name, folder, file or hub id")
    conversion.add_argument("target", type=Path, help="folder or file to write; nothing may be there")
    conversion.add_argument(
        "--form", choices=MODEL_FORMS, default="laurel", help="default: laurel, our folder"
    )
    conversion.set_defaults(run=_convert)

    commands.add_parser("train", help="train a reward model: see laurel-reward train --help")

    for command in (score, rank):
        command.add_argument("--model", default="ImageReward-v1.0", help="name, folder, file or hub id")
        command.add_argument("--device", help="default: a GPU if there is one")
        command.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
        add_row_options(command)
    return parser


def _score(options: argparse.Namespace) -> int:
    if options.list is not None:
        if options.prompt is not None or options.paths:
            raise ListingError("--list has the prompts and the files; give nothing beside it")
        images = read_listing(options.list)
    elif options.prompt is None or not options.paths:
        raise ListingError("give a --prompt and images, or a --list")
    else:
        images = [PromptedImage(options.prompt, file) for file in images_in(options.paths)]
    tally = Tally()
    rows = tally.count(_score_images(options, images))
    write_rows(map(asdict, rows), sys.stdout, options.format)
    return _exit_status(tally)


def _rank(options: argparse.Namespace) -> int:
    images = [PromptedImage(options.prompt, file) for file in images_in(options.paths)]
    tally = Tally()
    rows = tally.count(_score_images(options, images))
    write_rows(rank_rows(rows), sys.stdout, options.format)
    return _exit_status(tally)


def _convert(options: argparse.Namespace) -> int:
    print(convert(options.source, options.target, options.form) or f"{options.target}: written")
    return 0


def _score_images(options: argparse.Namespace, images: Sequence[PromptedImage]) -> Iterator[ScoredImage]:
    from rewardmodel.learning import load
    from rewardmodel.learning.scoring import PromptTruncated

    warnings.simplefilter("ignore", PromptTruncated)  # each row says it
    rows = score_files(
        load(options.model, options.device, precision=options.precision),
        images,
        keep_going=options.keep_going,
        png_info=options.write_png_info,
    )
    return iter(tqdm(rows, total=len(images), unit="image", dynamic_ncols=True, disable=None))


def _exit_status(tally: Tally) -> int:
    if tally.truncated:
        print(f"{tally.truncated} rows have a prompt that is not read to its end", file=sys.stderr)
    if tally.failed:
        print(f"{tally.failed} files failed", file=sys.stderr)
    return int(tally.failed > 0)
