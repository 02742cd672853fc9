"""The requests and answers of the JSON API, as its OpenAPI document shows them."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pinakes.query.filters import MAX_FILTERS
from pinakes.query.query import DEFAULT_K, MAX_EFFORT, MAX_K, MAX_PARTS, MAX_WORDS_LENGTH, Metric, Mode
from pinakes.search.answer import Match
from pinakes.sources import thumbnails
from pinakes.web.uploads import MAX_UPLOAD_BYTES

MAX_TEXT = 50_000
"""The longest cursor, in characters: after a thousand hits it names them all."""

MAX_CONDITION = 6_000
"""The longest condition, in characters: an area of `MAX_CORNERS` corners with all digits of each number takes 5,000."""

Text = Annotated[str, Field(max_length=MAX_WORDS_LENGTH, pattern=r"^[^\u0000]*$")]
"""PostgreSQL's text holds no NUL."""

Condition = Annotated[str, Field(max_length=MAX_CONDITION, pattern=r"^[^\u0000]*$")]
Conditions = Annotated[
    list[Condition], Field(max_length=MAX_FILTERS, description="COLUMN=VALUE, COLUMN~TEXT or years=1650..1700.")
]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Strict(BaseModel):
    """Refuses unknown names: if a misspelt filter were ignored, its answer would look right."""

    model_config = ConfigDict(extra="forbid")


class SearchParameters(Strict):
    """A query; without q, like, upload, plus and minus it lists what passes the filters."""

    q: Text | None = Field(None, description="Words.")
    like: Text | None = Field(None, description="The image_id of a stored image.")
    upload: Text | None = Field(None, description="The token of a picture that was sent to the page.")
    plus: list[Text] = Field(
        [], max_length=MAX_PARTS, description="More: words, or like:IMAGE_ID; a weight as 0.5*WORDS."
    )
    minus: list[Text] = Field([], max_length=MAX_PARTS, description="Less of this; written as plus.")
    crop: Text | None = Field(None, description="The part of the picture that counts: x,y,w,h in fractions of it.")
    where: Conditions = []
    group_by: Text | None = Field(
        None, description="A metadata column; only the best hit for each of its values is returned."
    )
    max_distance: float | None = Field(None, allow_inf_nan=False, description="The largest distance of a hit.")
    k: int = Field(DEFAULT_K, ge=1, le=MAX_K, description="Hits on a page.")
    after: Annotated[str, Field(max_length=MAX_TEXT)] | None = Field(
        None, description="The cursor of the previous page."
    )
    mode: Mode = Field("auto", description="How vectors are compared.")
    effort: int | None = Field(
        None, ge=1, le=MAX_EFFORT, description="How far the index looks: ef_search of HNSW, probes of IVFFlat."
    )
    space: Text | None = Field(None, description="An embedding space; default: the active one.")
    hybrid: Fraction | None = Field(None, description="The share of full text: 0 is only vectors, 1 is only words.")
    metric: Metric = Field("cosine", description="How distances are shown.")
    exclude_query: bool = Field(False, description="Leave out the stored picture that is the very file that was sent.")
    collapse_duplicates: bool = Field(
        False, description="Of copies that are known, only the preferred one, else the nearest."
    )


class SearchBody(SearchParameters):
    """The same with a picture."""

    picture: Annotated[str, Field(max_length=MAX_UPLOAD_BYTES * 4 // 3 + 4)] | None = Field(
        None,
        description="A picture file in base64, instead of `upload`.",
        json_schema_extra={"contentEncoding": "base64"},
    )


class SearchForm(SearchParameters):
    """The same with a picture as a file."""

    # Only for the OpenAPI document: the route reads the file itself.
    picture: bytes | None = Field(None, json_schema_extra={"format": "binary"}, description="A picture file.")


class StoredImage(BaseModel):
    """One image with its metadata."""

    image_id: str
    uri: str | None = Field(description="The address of the picture; null for files of the server.")
    thumbnail: str = Field(description="The path of a small picture.")
    metadata: dict[str, Any]


class Hit(StoredImage):
    """One result."""

    distance: float | None = Field(description="To the query; null if only words were compared, or nothing was.")
    match: Match | None = Field(
        None, description="`file`: the very file of the query's picture; `nearly identical`: it, saved or scaled again."
    )
    region: tuple[float, float, float, float] | None = Field(
        None,
        description="The part of the picture that matches, as x, y, width and height in fractions of the picture, from the"
        " upper left corner; null if the whole picture matches.",
    )


class Plan(BaseModel):
    """How a query was answered."""

    mode: str
    space: str | None
    metric: str
    embedder: str
    scanned: int
    matched_words: int
    calls: int
    milliseconds: float
    notes: list[str]
    hints: list[str]


class SearchAnswer(BaseModel):
    """Hits, best first."""

    collection: str
    hits: list[Hit]
    plan: Plan
    cursor: str | None = Field(description="For `after`; null when there is no further page.")
    scanned: int = Field(description="Vectors that were compared.")
    milliseconds: float


class FacetValue(BaseModel):
    """A value and how many images have it."""

    value: str
    count: int


class FacetColumn(BaseModel):
    """A column's most frequent values; the counts respect the filters on other columns."""

    column: str
    values: list[FacetValue]
    more: bool


class FacetParameters(Strict):
    """Which images are counted."""

    where: Conditions = []


class FacetsAnswer(BaseModel):
    """The values to choose from."""

    total: int
    columns: list[FacetColumn]
    years: tuple[int, int] | None = Field(description="The first and the last year of what passes the filters.")


class Health(BaseModel):
    """The page and its database answer."""

    status: Literal["ok"]


class Error(BaseModel):
    """What went wrong, in a sentence."""

    error: str


# Only these: a visitor who could name any size would have any number of files made.
class ThumbnailSize(IntEnum):
    """Pixels of the long side."""

    SMALL = thumbnails.SIZES[0]
    LARGE = thumbnails.SIZES[1]
    CLOSE = thumbnails.SIZES[2]
