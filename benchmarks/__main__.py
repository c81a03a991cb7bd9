"""Every benchmark, or some: ``python -m benchmarks [--only speed clean] [--seeds 3] [--rows 50000]``.

Writes RESULTS.md beside this file; parts that are not run again keep the figures they had.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import chain, islice
from pathlib import Path

from benchmarks import (
    beside_pythae,
    codes,
    conditions,
    detection,
    dictionary,
    generation,
    imputation,
    latent,
    one_class,
    pictures,
    representation,
    speed,
)
from diabolo.trainer import EPOCHS

PLACE = Path(__file__).with_name("RESULTS.md")
PARTS = (
    "speed", "clean", "contaminated", "imputation", "representation", "conditions", "latent", "dictionary", "codes",
    "images", "pictures", "generation", "convolutional", "pythae",
)  # fmt: skip
USUAL = PARTS[:-4]  # pictures and generation take long, Pythae is no dependency: they run when they are named
SHOWN = ("diabolo", "torch", "numpy", "scikit-learn", "pyarrow", "pyod")
DENSE = generation.Plan()
CONVOLUTIONAL = generation.Plan("convolutional", epochs=100, test=2000)
WEIGHED = generation.Plan("convolutional", epochs=50, test=2000, draws=5)
GAPS, TABLED = 0.3, 2500  # share of hidden values, rows of a table in which they are filled
ROWS = 1000  # images of a class, and test images, where one class is normal
NOTES = {
    "clean": "Trained on normal rows only: AUROC / average precision in %",
    "contaminated": "Trained on all rows without labels, the same rows scored: AUROC / average precision in %",
}


def main() -> None:
    """Run, print and write the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=PARTS, default=USUAL)
    parser.add_argument("--rows", type=int, default=50_000, help="larger sets are cut to as many rows")
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    for part in asked.only:
        keep(part, made(part, asked.rows, asked.seeds))


def made(part: str, rows: int, seeds: int) -> str:
    """The text of one part."""
    if part in NOTES:
        return detection_part(part, rows, seeds)
    if part == "speed":
        return speed_part()
    return SEEDED[part](seeds)


def speed_part() -> str:
    """Every table of speed."""
    return "\n\n".join([heading("Speed"), *(table(title, lines) for title, lines in speed.tables())])


def detection_part(protocol: str, rows: int, seeds: int) -> str:
    """The table of one protocol."""
    told = (
        f"Mean over {seeds} seeds; sets of more than {rows:,} rows are cut to as many; one configuration for all sets."
    )
    lines = detection.table(protocol, rows, range(seeds))
    return "\n\n".join([heading(f"Detection, {protocol}"), told, table(NOTES[protocol], lines)])


def images_part(seeds: int) -> str:
    """The table of images of one class."""
    told = (
        f"Mean and spread over {seeds} seeds, one thread; {ROWS:,} training images of the class that is normal, the "
        f"first {ROWS:,} test images of all."
    )
    title = "One class is normal: AUROC in %"
    return "\n\n".join([heading("Images"), told, table(title, one_class.table(ROWS, ROWS, range(seeds)))])


def pictures_part(seeds: int) -> str:
    """The tables of codes and clusters of images."""
    told = (
        f"Mean and spread over {seeds} seeds, one thread. Small images: the usual {EPOCHS} epochs. "
        f"Large sets: all images, {pictures.LARGE.epochs} epochs, batches of {pictures.LARGE.batch_size}, in bf16."
    )
    small = table("Images of 8 x 8, in %", pictures.table(["digits"], range(seeds)))
    large = table("All images of 28 x 28, in %", pictures.table(["mnist", "fashion"], range(seeds)))
    return "\n\n".join([heading("Pictures"), told, small, large])


def pythae_part(seeds: int) -> str:
    """The table beside Pythae."""
    told = (
        f"Mean over {seeds} seeds, one thread; 20 epochs over 20,000 images; the first 1,000 test images; 1,000 draws."
    )
    title = f"The same VAE by diabolo and by Pythae {version('pythae')}, dynamically binarised MNIST: nats per image"
    lines = beside_pythae.table(20, 20_000, 1000, 1000, range(seeds))
    return "\n\n".join([heading("Beside Pythae"), told, table(title, lines)])


def generation_part(seeds: int) -> str:
    """The table of generation with dense layers."""
    return _generated("Generation", {"VAE,FlowPrior": DENSE}, seeds)


def convolutional_part(seeds: int) -> str:
    """The same with convolutions."""
    plans = {"FlowPrior,LadderVAE": CONVOLUTIONAL, "FlowPrior": WEIGHED}
    return _generated("Generation with convolutions", plans, seeds)


def _generated(name: str, plans: Mapping[str, generation.Plan], seeds: int) -> str:
    whose, plan = "One seed" if seeds == 1 else f"Mean over {seeds} seeds", next(iter(plans.values()))
    told = f"{whose}; {plan.rows:,} training images; {plan.test:,} test images."
    tables = (generation.table(variants, each, range(seeds)) for variants, each in plans.items())
    lines = chain([generation.HEADER], chain.from_iterable(islice(each, 1, None) for each in tables))
    title = f"Dynamically binarised MNIST: bound of one draw and of {plan.samples:,} draws on -log p, in nats per image"
    return "\n\n".join([heading(name), told, table(title, lines)])


def representation_part(seeds: int) -> str:
    """Every table of codes, clusters and new rows."""
    told = (
        f"Mean and standard deviation over {seeds} seeds; one configuration for all sets. MNIST and Fashion: "
        f"{representation.IMAGES:,} training images per seed, all 10,000 test images."
    )
    return "\n\n".join(
        [heading("Representation"), told, *(table(*each) for each in representation.tables(range(seeds)))]
    )


def conditions_part(seeds: int) -> str:
    """Every table of given columns."""
    told = f"Mean over {seeds} seeds; at most {conditions.ROWS:,} rows to train with and to test; one configuration."
    return "\n\n".join([heading("Given columns"), told, *(table(*each) for each in conditions.tables(range(seeds)))])


def imputation_part(seeds: int) -> str:
    """The table of filled gaps."""
    told = (
        f"Mean and standard deviation over {seeds} seeds; {GAPS:.0%} of all values hidden at random; sets of more than "
        f"{TABLED:,} rows are cut to as many; one configuration for all sets. The rank is the mean over the sets."
    )
    title = "Root of the mean squared error of the hidden values, columns scaled to 0 ... 1"
    rows = table(title, imputation.table(GAPS, TABLED, range(seeds)))
    title = "Holes in images: the same in standard deviations of all pixels, 1,000 whole images to learn from"
    return "\n\n".join([heading("Imputation"), told, rows, table(title, imputation.holes(range(seeds)))])


def dictionary_part(seeds: int) -> str:
    """The tables of dictionaries that are known."""
    flat, nested = dictionary.Setting(), dictionary.FAMILIES
    told = f"Mean over {seeds} seeds; every variant with its own defaults, {flat.epochs} epochs, one trainer for all."
    titles = (
        f"Flat: {flat.features} features in {flat.width} dimensions, {flat.active:g} used per row, {flat.rows:,} rows",
        f"Families: {dictionary.GENERAL} general features of {dictionary.SPECIAL} special ones each, "
        f"{nested.width} dimensions, {nested.rows:,} rows",
    )
    lines = (dictionary.flat(dictionary.VARIANTS, flat, range(seeds)), dictionary.nested(range(seeds)))
    tables = (table(*each) for each in zip(titles, lines, strict=True))
    return "\n\n".join([heading("Dictionaries"), told, *tables])


def latent_part(seeds: int) -> str:
    """The table of codes of known factors."""
    told = (
        f"Median over {seeds} seeds; {latent.IMAGES:,} images of {latent.SIDE} x {latent.SIDE} pixels to learn from, "
        f"judged on {latent.JUDGED:,} others; levels of shape, size, rotation, x and y: {latent.LEVELS}; "
        f"{latent.NETWORK['latent']} code numbers, {latent.EPOCHS} epochs, pixels as Bernoulli."
    )
    title = "How far each code number tells one factor; 1 is best"
    return "\n\n".join([heading("Known factors"), told, table(title, latent.factors(range(seeds)))])


def codes_part(seeds: int) -> str:
    """The table of discrete codes."""
    told = (
        f"Mean over {seeds} seeds, one thread; {codes.STEPS} steps of {codes.BATCH} images, 7 x 7 tokens per image, "
        "everything else at its default; judged and counted on all 10,000 test images in [0, 1]."
    )
    title = "How many codes are used, and what of an image comes back"
    return "\n\n".join([heading("Discrete codes"), told, table(title, codes.table(codes.STEPS, range(seeds)))])


SEEDED: dict[str, Callable[[int], str]] = {
    "imputation": imputation_part,
    "representation": representation_part,
    "conditions": conditions_part,
    "latent": latent_part,
    "dictionary": dictionary_part,
    "codes": codes_part,
    "generation": generation_part,
    "convolutional": convolutional_part,
    "images": images_part,
    "pictures": pictures_part,
    "pythae": pythae_part,
}


def keep(part: str, text: str) -> None:
    """Put the part into the file, in its place."""
    mark = "<!-- {} -->".format
    old = PLACE.read_text() if PLACE.exists() else ""
    found = {each: old.split(mark(each))[1] for each in PARTS if old.count(mark(each)) == 2}
    found[part] = f"\n{text}\n"
    body = "\n\n".join(mark(each) + found[each] + mark(each) for each in PARTS if each in found)
    PLACE.write_text(f"# Benchmarks\n\n{body}\n")


def heading(title: str) -> str:
    """What was measured, when and on what."""
    versions = ", ".join(f"{name} {version(name)}" for name in SHOWN)
    machine = f"{os.cpu_count()} cores ({processor()}), {platform.system()}, Python {platform.python_version()}"
    return f"## {title}\n\n{datetime.now(UTC):%Y-%m-%d}, {machine}, {versions}."


def processor() -> str:
    """The processor's name, where the system tells it."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def table(title: str, lines: Iterable[list[str]]) -> str:
    """A table in Markdown, printed as it grows."""
    print(f"\n{title}", file=sys.stderr)
    rows = []
    for line in lines:
        print(" | ".join(line), file=sys.stderr, flush=True)
        rows.append("| " + " | ".join(line) + " |")
        if len(rows) == 1:
            rows.append("|" + " --- |" * len(line))
    return f"### {title}\n\n" + "\n".join(rows)


if __name__ == "__main__":
    main()
