"""The list of data sets: whether each is present, where it was looked for, its size, licence and citation."""

import textwrap
from pathlib import Path
from typing import NamedTuple

from zoo.lab.data import SOURCES, data_folder
from zoo.lab.data.cache import cache_folder
from zoo.lab.data.celeba import ATTRIBUTES, PARTITION
from zoo.lab.data.celeba import FOLDER as CELEBA
from zoo.lab.data.chairs import FOLDER as CHAIRS
from zoo.lab.data.decoded_images import decoded_folder
from zoo.lab.data.dsprites import FILE as DSPRITES
from zoo.lab.data.mnist import FILES as IDX
from zoo.lab.data.newsgroups import ARCHIVE
from zoo.lab.data.newsgroups import FILE as NEWSGROUPS
from zoo.lab.data.yale import SUBJECTS


class About(NamedTuple):
    """A description of a set, without reading its files.

    Attributes:
        holds: number and shape of datapoints, and the factors or labels.
        licence: its name, or what is known about it.
        citation: the paper, and where the data come from.
        files: the required files, relative to the data folder; empty where the set is rendered or bundled.
        instead: a single file that can take the place of all `files`; empty where there is none.
    """

    holds: str
    licence: str
    citation: str
    files: tuple[str, ...] = ()
    instead: str = ""


class Entry(NamedTuple):
    """A set as it is found on this machine.

    Attributes:
        name: the name for `load`.
        about: its description.
        present: whether it can be loaded without a download.
        where: the places that were searched; empty where no files are needed.
        size: of the files found, in bytes.
    """

    name: str
    about: About
    present: bool
    where: tuple[Path, ...]
    size: int


_DSPRITES = "Matthey, Higgins, Hassabis, Lerchner, dSprites, 2017; https://github.com/google-deepmind/dsprites-dataset"

ABOUT = {
    "celeba": About(
        "162,770 + 19,962 colour images 3 x 64 x 64, 40 factors (its attributes); 19,867 more for validation",
        "for research that is not commercial",
        "Liu, Luo, Wang, Tang, Deep learning face attributes in the wild, ICCV 2015, arXiv:1411.7766; "
        "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        (CELEBA, ATTRIBUTES, PARTITION),
    ),
    "chairs": About(
        "809 chairs in 62 views, grey images or masks 1 x 64 x 64, a fifth of the chairs held out, 809 labels, 3 "
        "factors (model, elevation, azimuth)",
        "none stated",
        "Aubry, Maturana, Efros, Russell, Sivic, Seeing 3D chairs, CVPR 2014; "
        "https://www.di.ens.fr/willow/research/seeing3Dchairs/",
        (CHAIRS,),
    ),
    "digits": About(
        "1,500 + 297 images 1 x 8 x 8, 17 grey levels, 10 labels",
        "CC BY 4.0",
        "Alpaydin, Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998; https://archive.ics.uci.edu/dataset/80",
    ),
    "dsprites": About(
        "737,280 binary images 1 x 64 x 64, 5 factors (3 x 6 x 40 x 32 x 32); tested on all of them, as the papers do",
        "zlib",
        _DSPRITES,
        (DSPRITES,),
    ),
    "fashion-mnist": About(
        "60,000 + 10,000 grey images 1 x 28 x 28, 10 labels",
        "MIT",
        "Xiao, Rasul, Vollgraf, Fashion-MNIST, 2017, arXiv:1708.07747; https://github.com/zalandoresearch/fashion-mnist",
        tuple(f"FashionMNIST/raw/{file}" for file in IDX),
    ),
    "mnist": About(
        "60,000 + 10,000 grey images 1 x 28 x 28, 10 labels",
        "CC BY-SA 3.0",
        "LeCun, Bottou, Bengio, Haffner, Gradient-based learning applied to document recognition, Proc. IEEE 86(11), "
        "1998; http://yann.lecun.com/exdb/mnist",
        tuple(f"MNIST/raw/{file}" for file in IDX),
    ),
    "newsgroups": About(
        "11,314 + 7,532 posts as counts of 2,000 words, empty ones dropped, 20 labels",
        "none stated; the posts are their authors'",
        "Lang, NewsWeeder: learning to filter netnews, ICML 1995; http://qwone.com/~jason/20Newsgroups",
        (NEWSGROUPS,),
        ARCHIVE,
    ),
    "pinwheel": About(
        "400 + 400 points in the plane, 4 labels",
        "as this project",
        "Johnson, Duvenaud, Wiltschko, Datta, Adams, Composing graphical models with neural networks, NIPS 2016, "
        "arXiv:1603.06277; numbers of Mathieu, Rainforth, Siddharth, Teh, ICML 2019, arXiv:1812.02833",
    ),
    "procedural-chairs": About(
        "64,000 grey images or masks 1 x 64 x 64, rendered by this project and not 3D Chairs; a fifth of the chairs "
        "held out, 4 labels, 6 factors (type, leg length, width, back height, elevation, azimuth: 4 x 5 x 5 x 5 x 4 x "
        "32)",
        "as this project",
        "none: a stand-in for 3D Chairs (here `chairs`); never report its results as results on 3D Chairs",
    ),
    "shapes": About(
        "737,280 binary images 1 x 64 x 64, 5 factors (3 x 6 x 40 x 32 x 32), rendered; tested on all of them, as the "
        "papers do",
        "as this project",
        _DSPRITES,
    ),
    "yale-b": About(
        "1,442 grey images 1 x 64 x 64, a tenth of them held out, 28 labels, 3 factors (subject, azimuth, elevation)",
        "free for research",
        "Georghiades, Belhumeur, Kriegman, From few to many, PAMI 23(6), 2001; Lee, Ho, Kriegman, PAMI 27(5), 2005; "
        "http://vision.ucsd.edu/~iskwak/ExtYaleDatabase/ExtYaleB.html",
        tuple(f"CroppedYale/yaleB{subject}" for subject in SUBJECTS),
    ),
}


def catalogue(folder: str | Path | None = None) -> list[Entry]:
    """Every set by name, looked for where `load` looks for it; only names and sizes of files are read."""
    root = data_folder(folder)
    entries = []
    for name in sorted(SOURCES):
        about = ABOUT[name]
        instead = about.instead and (root / about.instead).exists()
        places = [root / file for file in ((about.instead,) if instead else about.files)]
        files = [f for place in places for f in (place.rglob("*") if place.is_dir() else [place]) if f.is_file()]
        present = all(place.exists() for place in places)
        where = tuple(dict.fromkeys(place if len(places) == 1 else place.parent for place in places))
        entries.append(Entry(name, about, present, where, sum(file.stat().st_size for file in files)))
    return entries


def print_catalogue(folder: str | Path | None = None) -> None:
    """Prints the catalogue, the folders, and the size of the caches."""
    root = data_folder(folder)
    for entry in catalogue(root):
        if not entry.where:
            state = "present: needs no files"
        else:
            places = ", ".join(map(str, entry.where))
            state = f"present: {entry.size / 1e6:,.1f} MB in {places}" if entry.present else f"absent: not in {places}"
        print(entry.name)
        for line in (entry.about.holds, state, f"licence: {entry.about.licence}", f"cite: {entry.about.citation}"):
            print(textwrap.fill(line, 110, initial_indent="    ", subsequent_indent="        ", break_on_hyphens=False))
    folders = cache_folder(), decoded_folder(root)
    caches = [cache for where in dict.fromkeys(folders) if where.is_dir() for cache in where.iterdir()]
    files = [file for cache in caches for file in (cache.iterdir() if cache.is_dir() else [cache])]
    print(f"\ndata folder: {root.resolve()} (--data-dir, else ZOO_DATA, else ./data)")
    print(
        f"caches: {sum(file.stat().st_size for file in files) / 1e6:,.1f} MB in {len(files)} files in "
        f"{folders[0]} (ZOO_CACHE) and {folders[1]}"
    )
    print("your own: --data PATH of a folder of images, an .npz or a .pt; in a notebook Dataset.from_arrays")
