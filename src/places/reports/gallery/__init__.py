"""gallery.html: the answers of `places predict` as a page to look at, in one file."""

from places.reports.gallery.gallery import Gallery
from places.reports.gallery.sheets import thumbnail, thumbnails

__all__ = ["Gallery", "thumbnail", "thumbnails"]
