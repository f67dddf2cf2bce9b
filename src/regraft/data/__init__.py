"""Read a folder or table of labelled pictures: manifest, splits, pixels, views."""

from regraft.data.corrections import corrected, read_corrections, told
from regraft.data.decode import DECODER, MAX_MEGAPIXELS, Preprocessing, decode, digest
from regraft.data.group_headers import PATIENT, header_namings
from regraft.data.group_names import Naming, in_stretches, named_as_sources, naming_of, namings, plausible
from regraft.data.in_memory import retelling
from regraft.data.kinds import IMAGE_SUFFIXES
from regraft.data.labelled import Labelled, as_source
from regraft.data.listing import each_listed, named_by, read_listing, write_listing
from regraft.data.manifest import Item, Manifest, scan
from regraft.data.named import Named
from regraft.data.naming import match_names
from regraft.data.pictures import Picture, Pictures, gathered, refuse_absent
from regraft.data.reading import THREADS, ahead_of, read_digests, read_picture, read_pixels
from regraft.data.rows import PARTS, Reading, name_some, natural_key
from regraft.data.splits import folds as into_folds
from regraft.data.splits import folds_at_most as into_folds_at_most
from regraft.data.splits import learned_digests, other_pictures, split, split_from, write_split
from regraft.data.survey import Surveyed, adjusted, shares, survey
from regraft.data.synthetic import draw_cells
from regraft.data.thumbnails import THUMBNAIL_SIDE, Thumbnail, read_thumbnails
from regraft.data.tta import Tta
from regraft.data.views import augmentations, draw_view

__all__ = [
    "DECODER",
    "IMAGE_SUFFIXES",
    "MAX_MEGAPIXELS",
    "PARTS",
    "PATIENT",
    "THREADS",
    "THUMBNAIL_SIDE",
    "Item",
    "Labelled",
    "Manifest",
    "Named",
    "Naming",
    "Picture",
    "Pictures",
    "Preprocessing",
    "Reading",
    "Surveyed",
    "Thumbnail",
    "Tta",
    "adjusted",
    "ahead_of",
    "as_source",
    "augmentations",
    "corrected",
    "decode",
    "digest",
    "draw_cells",
    "draw_view",
    "each_listed",
    "gathered",
    "header_namings",
    "in_stretches",
    "into_folds",
    "into_folds_at_most",
    "learned_digests",
    "match_names",
    "name_some",
    "named_as_sources",
    "named_by",
    "naming_of",
    "namings",
    "natural_key",
    "other_pictures",
    "plausible",
    "read_corrections",
    "read_digests",
    "read_listing",
    "read_picture",
    "read_pixels",
    "read_thumbnails",
    "refuse_absent",
    "retelling",
    "scan",
    "shares",
    "split",
    "split_from",
    "survey",
    "told",
    "write_listing",
    "write_split",
]
