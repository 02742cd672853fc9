"""Price lists: the built-in one, and one's own."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from pinakes.embedders.remote.prices import price_of
from pinakes.errors import SettingsError
from pinakes.spaces import Space

SPACE = Space("azure", "vision-multimodal", "v1", 4, "p1")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "prices.toml"


def test_the_example_of_the_docs_is_a_price_list(own: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text("utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    own.write_text(example)
    space = Space("gemini", "gemini-embedding-2", "v1", 4, "p1")
    price = price_of(space, str(own))
    assert (price.per_image, price.per_text) == (0.00011, 0.000004)
    assert price.per_image != price_of(space).per_image


def test_ones_own_price_comes_before_the_built_in_one(own: Path) -> None:
    own.write_text(
        '["azure/vision-multimodal"]\nper_image = 0.5\nas_of = "2026-11-01"\n["mine/model"]\nper_image = 1\n'
    )
    price = price_of(SPACE, str(own))
    assert (price.per_image, price.as_of) == (0.5, "2026-11-01")
    assert price_of(SPACE).per_image != 0.5
    assert price_of(Space("mine", "model", "v1", 4, "p1"), str(own)).per_image == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('["azure/vision-multimodal"]\nper_image = "x"', "per_image is 'x', not a number of dollars"),
        ('["azure/vision-multimodal"]\nper_image = nan', "per_image is nan, not a number of dollars"),
        ('["azure/vision-multimodal"]\nper_image = inf', "per_image is inf, not a number of dollars"),
        (
            '["azure/vision-multimodal"]\nprice = 1',
            "'price' is none of per_image, per_text, per_million_text_tokens, as_of, source",
        ),
        ('"azure/vision-multimodal" = 5', "it is 5, and a table of per_image, "),
        (
            '["azure/vision"]\nper_image = 1',
            "names 'azure/vision', which is not a model; there are: .*vision-multimodal",
        ),
        ("azure", "cannot be read"),
    ],
)
def test_a_price_that_cannot_be_used_is_named(own: Path, text: str, said: str) -> None:
    own.write_text(text)
    with pytest.raises(SettingsError, match=said) as caught:
        price_of(SPACE, str(own))
    assert str(own) in str(caught.value)


def test_a_text_of_gemini_costs_its_tokens() -> None:
    price = price_of(Space("gemini", "gemini-embedding-2", "ga", 768, "a1"))
    description = "A ship at sea under a clouded sky. " * 20
    assert price.of_text(description) == pytest.approx(0.20 * math.ceil(len(description) / 3) / 1e6)
    assert price.of_text("red") < price.of_text(description) < price.per_image
    assert price.doubt is None


def test_a_price_that_nobody_has_compared_is_said_to_be_so(own: Path) -> None:
    doubt = price_of(SPACE).doubt
    assert doubt is not None
    assert "nobody has compared it with azure.microsoft.com" in doubt
    assert doubt.startswith("the price is not known: USD 0.0001 an image is what Pinakes reckons with")
    assert "PINAKES_PRICES" in doubt
    own.write_text('["azure/vision-multimodal"]\nper_image = 0.5\n')
    assert price_of(SPACE, str(own)).doubt is None
