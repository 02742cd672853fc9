"""A museum's own table, the whole way: its folder and its table in, then facets, years, captions and exports."""

from __future__ import annotations

import csv
import datetime
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pytest

from pinakes.cli.render import hits_table
from pinakes.errors import MetadataError, UsageError
from pinakes.metadata.excel import open_excel, write_excel
from pinakes.metadata.profiles import open_profile
from pinakes.operations.export import export
from pinakes.query.query import ask
from pinakes.quota.embedder_pool import Embedders
from pinakes.search.answer import search
from pinakes.search.excel_file import save_hits
from pinakes.settings import Settings
from pinakes.store.bulk_reads import read_images
from pinakes.store.collections import open_collection
from pinakes.store.database import Database
from pinakes.store.facets import Facets, facets
from pinakes.store.images import stored_image
from pinakes.store.restrictions import hide
from pinakes.web.address import Address
from pinakes.web.views import card, facts
from tests.counting import Counting
from tests.running import find, paint, run

MET = (
    "Object Number,Is Highlight,Is Timeline Work,Is Public Domain,Object ID,Gallery Number,Department,AccessionYear,"
    "Object Name,Title,Culture,Period,Dynasty,Reign,Portfolio,Constituent ID,Artist Role,Artist Prefix,Artist Display Name,"
    "Artist Display Bio,Artist Suffix,Artist Alpha Sort,Artist Nationality,Artist Begin Date,Artist End Date,Artist Gender,"
    "Artist ULAN URL,Artist Wikidata URL,Object Date,Object Begin Date,Object End Date,Medium,Dimensions,Credit Line,"
    "Geography Type,City,State,County,Country,Region,Subregion,Locale,Locus,Excavation,River,Classification,"
    "Rights and Reproduction,Link Resource,Object Wikidata URL,Metadata Date,Repository,Tags,Tags AAT URL,Tags Wikidata URL"
)
TATE = (
    "id,accession_number,artist,artistRole,artistId,title,dateText,medium,creditLine,year,acquisitionYear,dimensions,width,"
    "height,depth,units,inscription,thumbnailCopyright,thumbnailUrl,url"
)
RIJKSMUSEUM = (
    "objectInventoryNumber,objectPersistentIdentifier,objectTitle[1],objectType[1],objectCreator[1],"
    "objectCreationDate[1],objectImage"
)
SEMART = "IMAGE_FILE,DESCRIPTION,AUTHOR,TITLE,TECHNIQUE,DATE,TYPE,SCHOOL,TIMEFRAME"


def write(path: Path, header: str, *rows: dict[str, str], separator: str = ",", encoding: str = "utf-8") -> Path:
    with path.open("w", newline="", encoding=encoding) as file:
        table = csv.DictWriter(file, header.split(","), restval="", delimiter=separator)
        table.writeheader()
        table.writerows(rows)
    return path


def pictures(folder: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        paint(folder / name, (40 * number, 90, 200 - 40 * number))
    return folder


def found(database: Database, *where: str) -> list[str]:
    return sorted(hit.image_id for hit in find(database, where=list(where), k=20).hits)


def captions(database: Database) -> dict[str, list[str]]:
    return {
        hit.image_id: [line for line in (hit.caption.title, hit.caption.made) if line]
        for hit in find(database, where=["image_id~."], k=20).hits
    }


def counted(database: Database, *filters: Any) -> dict[str, dict[str, int]]:
    with database.connection() as (conn, _):
        got: Facets = facets(conn, "pictures", filters)
    return {facet.column: dict(facet.values) for facet in got.columns}


def test_the_met(settings: Settings, database: Database, tmp_path: Path) -> None:
    table = write(
        tmp_path / "MetObjects.csv",
        MET,
        {
            "Object ID": "436535",
            "Object Number": "49.30",
            "Title": "Wheat Field with Cypresses",
            "Artist Display Name": "Vincent van Gogh",
            "Object Date": "1889",
            "Object Begin Date": "1889",
            "Object End Date": "1889",
            "Medium": "Oil on canvas",
            "Dimensions": "28 7/8 × 36 3/4 in. (73.2 × 93.4 cm)",
            "Classification": "Paintings",
            "Tags": "Landscapes|Cypresses",
        },
        {
            "Object ID": "12127",
            "Title": "Fan",
            "Artist Display Name": "Peter Paul Rubens|Jan Brueghel the Elder",
            "Object Date": "first half 17th century",
            "Object Begin Date": "1600",
            "Object End Date": "1650",
            "Classification": "Paintings|Fans",
            "Tags": "Flowers|Landscapes|Flowers",
        },
        {
            "Object ID": "547802",
            "Title": "Temple",
            "Object Begin Date": "-15",
            "Object End Date": "10",
            "Tags": "Temples",
        },
        encoding="utf-8-sig",
    )
    source = pictures(tmp_path / "in", "436535/0.png", "436535/1.png", "12127.png", "547802/0.png", "nothing.png")
    ended = run(settings, source, metadata=(str(table),))
    (told,) = [note for note in ended.summary["notes"] if "profile met" in note]
    assert "recognised by the header" in told
    assert "author = Artist Display Name" in told
    assert "years = Object Begin Date to Object End Date" in told
    assert "Tags split at '|'" in told
    assert found(database, "Tags=Landscapes") == ["12127.png", "436535/0.png", "436535/1.png"]
    assert found(database, "Tags=Flowers") == found(database, "author=Jan Brueghel the Elder") == ["12127.png"]
    assert found(database, "author=Vincent van Gogh", "Tags=Flowers") == []
    assert found(database, "Tags~flow") == ["12127.png"]
    assert found(database, "years=1640..1660") == ["12127.png"]
    assert found(database, "years=1889") == ["436535/0.png", "436535/1.png"]
    assert found(database, "years=5") == ["547802/0.png"]
    shown = counted(database)
    assert shown["Tags"] == {"Landscapes": 3, "Cypresses": 2, "Flowers": 1, "Temples": 1}
    assert shown["author"] == {"Vincent van Gogh": 2, "Jan Brueghel the Elder": 1, "Peter Paul Rubens": 1}
    assert shown["type"] == {"Paintings": 3, "Fans": 1}
    assert "Wheat Field with Cypresses" in captions(database)["436535/0.png"][0]


def test_tate(settings: Settings, database: Database, tmp_path: Path) -> None:
    rows = [
        ("A00001", "Blake, Robert", "A Figure Bowing", "date not known", ""),
        ("A00002", "Blake, Robert", "Two Drawings", "date not known", "1785"),
        ("A00003", "Turner, Joseph Mallord William", "A Ship", "1826–7", "1826"),
        ("N00530", "Turner, Joseph Mallord William", "Snow Storm", "exhibited 1842", "1842"),
    ]
    names = ("accession_number", "artist", "title", "dateText", "year")
    table = write(tmp_path / "artwork_data.csv", TATE, *(dict(zip(names, row, strict=True)) for row in rows))
    source = pictures(tmp_path / "in", "A00001_8.png", "A00002_8.png", "A00003.png", "N/N00530_10.png")
    ended = run(settings, source, metadata=(str(table),))
    assert ended.outcome.loaded.join_report is not None
    assert ended.outcome.loaded.join_report.matched == 4
    assert found(database, "years=1700..1800") == ["A00002_8.png"]
    assert found(database, "years=1827") == ["A00003.png"]
    assert found(database, "years=1842") == ["N/N00530_10.png"]
    assert counted(database)["author"] == {"Blake, Robert": 2, "Turner, Joseph Mallord William": 2}
    assert "Snow Storm" in captions(database)["N/N00530_10.png"][0]


def test_the_rijksmuseum(settings: Settings, database: Database, tmp_path: Path) -> None:
    row = (
        "SK-A-4691",
        "http://hdl.handle.net/10934/RM0001.COLLECT.6417",
        "Zelfportret",
        "schilderij",
        "Rembrandt van Rijn",
    )
    table = write(
        tmp_path / "202001-rma-csv-collection.csv",
        RIJKSMUSEUM,
        dict(zip(RIJKSMUSEUM.split(","), (*row, "1628"), strict=False)),
    )
    source = pictures(tmp_path / "in", "SK-A-4691.png")
    notes = run(settings, source, metadata=(str(table),)).summary["notes"]
    assert any("profile rijksmuseum" in note and "type = objectType[1]" in note for note in notes)
    assert found(database, "years=1628", "author=Rembrandt van Rijn", "type=schilderij") == ["SK-A-4691.png"]


def test_semart_has_nothing_to_map(settings: Settings, database: Database, tmp_path: Path) -> None:
    row = (
        "1.png",
        "A text",
        "GOGH, Vincent van",
        "A title",
        "Oil on canvas, 71 x 61 cm",
        "1885",
        "portrait",
        "Dutch",
        "1851-1900",
    )
    table = write(
        tmp_path / "semart_val.csv",
        SEMART,
        dict(zip(SEMART.split(","), row, strict=True)),
        separator="\t",
        encoding="cp1252",
    )
    notes = run(settings, pictures(tmp_path / "in", "1.png"), metadata=(str(table),)).summary["notes"]
    assert not any("profile" in note or "guessed" in note for note in notes)
    assert found(database, "years=1885", "type=portrait") == ["1.png"]


@pytest.mark.parametrize(
    ("header", "own"),
    [
        ("Inventarnummer;Titel;Künstler;Datierung;Material;Maße", "Künstler"),
        ("N° inventaire;Titre;Artiste;Datation;Matériaux;Dimensions", "Artiste"),
        ("Numero di inventario;Titolo;Artista;Datazione;Materiali;Misure", "Artista"),
        ("Número de inventario;Título;Autor;Fecha;Materiales;Medidas", "Autor"),
        ("Inventarisnummer;Titel;Vervaardiger;Datering;Materiaal;Afmetingen", "Vervaardiger"),
        ("Accession Number;Object Title;Artist Name;Object Date;Materials;Dimensions", "Artist Name"),
    ],
)
def test_columns_are_recognised_in_six_languages_and_the_run_says_so(
    header: str, own: str, settings: Settings, database: Database, tmp_path: Path
) -> None:
    names = header.split(";")
    row = ("WRM 1200 a", "Madonna", "Stefan Lochner", "um 1450", "Eiche", "50 x 40 cm")
    table = write(
        tmp_path / "t.csv", ",".join(names), dict(zip(names, row, strict=True)), separator=";", encoding="cp1252"
    )
    notes = run(settings, pictures(tmp_path / "in", "WRM 1200 a.png"), metadata=(str(table),)).summary["notes"]
    (told,) = [note for note in notes if note.startswith("columns guessed")]
    assert f"author = {own}" in told
    assert told.count(" = ") == 5
    assert any("WRM 1200 a = WRM 1200 a.png" in note for note in notes)
    assert found(database, "years=1450", "author=Stefan Lochner", "medium=Eiche", "size~50") == ["WRM 1200 a.png"]
    assert "Madonna" in captions(database)["WRM 1200 a.png"][0]


def test_what_the_user_says_counts_before_guesses_and_profiles(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    table = write(
        tmp_path / "t.csv",
        "file,Künstler,Maler,von,bis,Schlagwort",
        {"file": "a.png", "Künstler": "A", "Maler": "B", "von": "1500", "bis": "1510", "Schlagwort": "x; y"},
    )
    source = pictures(tmp_path / "in", "a.png")
    said = {"map": {"author": "maler"}, "years": "von,bis", "split": {"Schlagwort": ";"}}
    run(settings, source, metadata=(str(table),), **said)
    assert found(database, "author=B", "Künstler=A", "years=1505", "Schlagwort=y") == ["a.png"]
    run(settings, source, metadata=(str(table),), map={"author": ""})
    assert found(database, "Künstler=A", "Maler=B", "Schlagwort=x; y") == ["a.png"]
    profile = tmp_path / "ours.toml"
    profile.write_text('key = "file"\nyears = ["von", "bis"]\n[map]\nauthor = "Künstler"\n[split]\nSchlagwort = ";"\n')
    run(settings, source, metadata=(str(table),), profile=str(profile))
    assert found(database, "author=A", "years=1509", "Schlagwort=x") == ["a.png"]
    with pytest.raises(
        MetadataError, match=r"no column 'Painter' \(--map author=Painter\); its columns are file, Künstler"
    ):
        run(settings, source, metadata=(str(table),), map={"author": "Painter"})


def test_several_values_of_a_cell_are_shown_as_people_write_them(
    settings: Settings, database: Database, tmp_path: Path
) -> None:
    row = {"file": "a.png", "Maler": "Rubens|Brueghel", "title": "Paradise"}
    table = write(tmp_path / "t.csv", "file,Maler,title", row)
    run(
        settings,
        pictures(tmp_path / "in", "a.png"),
        metadata=(str(table),),
        map={"author": "Maler"},
        split={"author": "|"},
    )
    with database.connection() as (conn, _):
        opened = open_collection(conn, "pictures")
        result = search(conn, opened, "pictures", ask(where=["author=Rubens"]), Embedders(settings, database.dsn))
        stored_row = stored_image(conn, "pictures", "a.png")
        (dated,) = read_images(conn, "pictures")
    (hit,) = result.hits
    assert (hit.metadata["author"], hit.several) == ("Rubens|Brueghel", {"author": ["Rubens", "Brueghel"]})
    assert stored_row
    assert {image.shown("author") for image in (hit, stored_row, dated.row)} == {"Rubens; Brueghel"}
    assert (hit.caption.title, hit.caption.author) == ("Paradise", "Rubens; Brueghel")
    assert "Rubens; Brueghel" in hits_table(result)
    assert card(hit, Address(), result.plan).author == "Rubens; Brueghel"
    ((name, text, link),) = [fact for fact in facts(stored_row) if "Rubens" in fact[1]]
    assert (name, text) == ("author", "Rubens; Brueghel")
    assert link == Address(where=("author=Rubens|Brueghel",)).url
    assert found(database, "author=Rubens|Brueghel") == ["a.png"]


def test_a_restriction_goes_on_hiding_what_it_hides(settings: Settings, database: Database, tmp_path: Path) -> None:
    table = write(tmp_path / "t.csv", "file,Künstler", {"file": "a.png", "Künstler": "A"}, {"file": "b.png"})
    source = pictures(tmp_path / "in", "a.png", "b.png")
    run(settings, source, metadata=(str(table),), map={"author": ""})
    with database.connection() as (conn, _):
        hide(conn, "pictures", "Künstler=A")
    assert found(database, "image_id~.") == ["b.png"]
    with pytest.raises(UsageError, match="--map author=, or hide 'author=A' as well"):
        run(settings, source, metadata=(str(table),))
    assert found(database, "image_id~.") == ["b.png"]
    with database.connection() as (conn, _):
        hide(conn, "pictures", "author=A")
    run(settings, source, metadata=(str(table),))
    assert found(database, "image_id~.") == ["b.png"]


def test_a_profile_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "ours.toml").write_text('key = "file"\n', "utf-8-sig")
    assert open_profile(str(tmp_path / "ours.toml")).key == "file"


def test_a_workbook_that_is_damaged_in_the_middle_is_said_so(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for number in range(5000):
        book.active.append([f"{number}.jpg", f"title {number}"] if number else ["file", "title"])
    book.save(tmp_path / "whole.xlsx")
    with zipfile.ZipFile(tmp_path / "whole.xlsx") as whole, zipfile.ZipFile(tmp_path / "half.xlsx", "w") as half:
        for name in whole.namelist():
            data = whole.read(name)
            half.writestr(name, data[: len(data) // 2] if name.endswith("sheet1.xml") else data)
    with pytest.raises(MetadataError, match=r"half\.xlsx cannot be read as an Excel workbook"):
        list(open_excel(tmp_path / "half.xlsx").rows())


def test_a_sheet_that_records_too_small_a_size_is_read_whole(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in (["file", "title", "author"], ["a.jpg", "A", "Zoé"], ["b.jpg", "B"], ["c.jpg", None, "Ada"]):
        book.active.append(row)
    book.save(tmp_path / "whole.xlsx")
    with zipfile.ZipFile(tmp_path / "whole.xlsx") as whole, zipfile.ZipFile(tmp_path / "small.xlsx", "w") as small:
        for name in whole.namelist():
            small.writestr(name, whole.read(name).replace(b'<dimension ref="A1:C4"', b'<dimension ref="A1:B2"'))
    table = open_excel(tmp_path / "small.xlsx")
    assert table.columns == ("file", "title", "author")
    assert list(table.rows()) == [(2, ["a.jpg", "A", "Zoé"]), (3, ["b.jpg", "B", ""]), (4, ["c.jpg", "", "Ada"])]


def test_excel_goes_in_and_out(settings: Settings, database: Database, tmp_path: Path) -> None:
    table = tmp_path / "catalogue.xlsx"
    rows = [
        ["Dateiname", "Titel", "Datierung", "Standort", None],
        ["a.png", "=1+1", 1642, 3.5, None],
        [],
        ["b.png", "Zwei", datetime.datetime(1700, 5, 1), None, None],  # noqa: DTZ001 - as Excel keeps it
    ]
    with table.open("wb") as file:
        write_excel(file, rows)
    source = pictures(tmp_path / "in", "a.png", "b.png")
    notes = run(settings, source, metadata=(str(table),)).summary["notes"]
    assert f"{table}: 2 rows (Excel, sheet Pinakes), key Dateiname" in notes
    assert found(database, "years=1642") == ["a.png"]
    assert found(database, "date=1700-05-01") == ["b.png"]
    out = tmp_path / "out.xlsx"
    exported = export(
        out, collection="pictures", space=Counting().facts.space, checkpoint=settings.checkpoint, metadata=[table]
    )
    assert exported.rows == 2
    read = pd.read_excel(out).set_index("image_id").sort_index()
    assert "vector" not in read
    assert read.loc["b.png", "title"] == "Zwei"
    assert str(read.loc["a.png", "Standort"]) == "3.5"
    hits = tmp_path / "hits.xlsx"
    save_hits(hits, find(database, where=["image_id~."], k=20))
    shown = pd.read_excel(hits)
    assert list(shown.columns) == ["place", "image_id", "title", "date", "Standort", "Dateiname", "uri"]
    assert shown["title"].tolist() == ["=1+1", "Zwei"]
    assert shown["image_id"].tolist() == ["a.png", "b.png"]
    for file in (out, hits):  # a text that looks like a formula is text
        sheet = openpyxl.load_workbook(file).worksheets[0]
        assert {cell.data_type for row in sheet.iter_rows() for cell in row} <= {"s", "n", "inlineStr"}
    with pytest.raises(UsageError, match=r"must end in .xlsx"):
        save_hits(tmp_path / "hits.xls", find(database, where=["image_id~."]))
