"""Figures of codes, of what is decoded from them, and of training: matplotlib's, returned and not shown.

latent_map        codes on a plane, coloured by anything
traversals        a row decoded again and again, while one number of its code moves
interpolations    rows decoded on the way from one row to another
atlas             rows decoded all over a plane of codes
reconstructions   rows, what came back, the difference, and the error of every value
code_usage        how often each code of a codebook occurs
training_curve    costs by epoch
picture, save     any of these by its name, of a file; and into one

Needs ``pip install "diabolo[plot]"``. A figure is saved by its ``savefig``; neither the settings nor the windows of
matplotlib are touched. Wherever rows are drawn, those of images are images; rows of a table that are images row by row
are too, with ``shape=(height, width)``, and all other rows are lines, in standard deviations.
"""

from __future__ import annotations

from diabolo.plots.decoded import atlas, interpolations, reconstructions, traversals
from diabolo.plots.maps import latent_map
from diabolo.plots.pictures import PICTURES, check_format, picture, save
from diabolo.plots.tallies import code_usage, number_usage, training_curve

__all__ = [
    "PICTURES",
    "atlas",
    "check_format",
    "code_usage",
    "interpolations",
    "latent_map",
    "number_usage",
    "picture",
    "reconstructions",
    "save",
    "training_curve",
    "traversals",
]
