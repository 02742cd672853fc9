"""The names that tables of other museums, in other languages, give to what Pinakes knows under its own."""

from __future__ import annotations

import re

from pinakes.metadata.folding import fold

ALIASES: dict[str, tuple[str, ...]] = {
    "author": (
        *("artist", "artists", "artist display name", "artist name", "creator", "maker", "painter", "attribution"),
        *("Künstler", "Kuenstler", "Künstler/in", "Künstlerin", "KünstlerIn", "Künstlername", "Urheber", "Autor", "Maler"),
        *("Hersteller", "Beteiligte", "artiste", "auteur", "créateur", "peintre", "artista", "autore", "pittore"),
        *("autor", "pintor", "creador", "kunstenaar", "maker", "vervaardiger", "schilder", "auteur"),
    ),
    "title": (
        *("object title", "work title", "Titel", "Werktitel", "Objekttitel", "Objektbezeichnung"),
        *("Bezeichnung", "titre", "titolo", "título", "titulo", "objecttitel"),
    ),
    "date": (
        *("dated", "dating", "object date", "creation date", "date created", "production date", "date text", "year"),
        *("Datierung", "Datum", "Entstehungszeit", "Entstehungsjahr", "Entstehungsdatum", "Jahr", "datation"),
        *("date de création", "année", "millésime", "datazione", "anno", "fecha", "datación", "año"),
        *("datering", "datum", "jaar", "vervaardigingsdatum"),
    ),
    "medium": (
        *("materials", "material", "medium and support", "Materialien", "Material/Technik", "Material und Technik"),
        *("matériau", "matériaux", "matière", "materiale", "materiali", "materia", "materiales", "materia e tecnica"),
        *("materiaal", "materialen", "materiaal/techniek"),
    ),
    "technique": (
        *("techniques", "Technik", "Techniken", "technique de réalisation", "tecnica", "técnica", "techniek", "technieken"),
    ),
    "size": (
        *("dimensions", "measurements", "Maße", "Masse", "Abmessungen", "Größe", "Maßangaben", "mesures"),
        *("taille", "dimensioni", "misure", "dimensiones", "medidas", "afmetingen", "maten"),
    ),
    "description": (
        *("object description", "Beschreibung", "Objektbeschreibung", "Kurzbeschreibung", "descriptif", "descrizione"),
        *("descripción", "beschrijving", "omschrijving"),
    ),
    "type": (
        *("object type", "classification", "category", "genre", "Objektart", "Objekttyp", "Typ", "Gattung", "Sachgruppe"),
        *("Kategorie", "catégorie", "domaine", "type d'objet", "tipo", "tipologia", "genere", "categoria", "categoría"),
        *("clasificación", "objecttype", "soort", "categorie"),
    ),
    "school": (
        *("culture", "Schule", "Kunstschule", "école", "scuola", "escuela", "school/stijl"),
    ),
    "timeframe": (
        *("period", "epoch", "Epoche", "Zeitraum", "Periode", "période", "époque", "periodo", "epoca", "época", "tijdvak"),
    ),
}  # fmt: skip
"""For each column of the images the names that are taken for it; where a file has several, the first counts."""

KEY_ALIASES = (
    *("file name", "image file", "image filename", "Dateiname", "Bilddatei", "Datei", "Bild", "fichier", "nom du fichier"),
    *("nome file", "file immagine", "nombre de archivo", "archivo", "bestandsnaam", "bestand", "afbeelding"),
    *("inventory number", "inventory no", "inventory no.", "inv no", "inv. no.", "accession number", "accession no"),
    *("object number", "object id", "Inventarnummer", "Inventar-Nr.", "Inventarnr", "Inv.-Nr.", "Inv. Nr.", "Objektnummer"),
    *("numéro d'inventaire", "n° inventaire", "no inventaire", "numero di inventario", "numero inventario"),
    *("número de inventario", "n. inv.", "inventarisnummer", "objectnummer", "inventory", "inventar"),
)  # fmt: skip
"""The names of a column that names the pictures, where a file has none of `columns.DEFAULT_KEYS`."""

_NOT_A_LETTER = re.compile(r"[\W_]+")


def spaced(name: str) -> str:
    """A column's name without case, and with spaces for the underscores that a table of BigQuery has in their place."""
    return name.strip().casefold().replace("_", " ")


def plain(name: str) -> str:
    """A column's name without case, accents and punctuation, as two names are compared."""
    return _NOT_A_LETTER.sub(" ", fold(name)).strip()
