from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from encoders.base import Document
from indexer.corpus.language import EnglishDetector
from indexer.corpus.reader import open_corpus

FOREIGN = {
    "German": "Nach dem Regen trat der kleine Fluss über seine Ufer, und die Leute aus dem Dorf "
    "trugen ihre Möbel in den ersten Stock. Am Morgen war das Wasser wieder so klar, dass man die "
    "Steine am Grund zählen konnte. Niemand im Ort hatte so etwas je gesehen.",
    "French": "Après la pluie, la petite rivière est sortie de son lit et les gens du village ont "
    "monté leurs meubles au premier étage. Le lendemain, on pouvait de nouveau compter les pierres "
    "au fond de l'eau, et personne ne se souvenait d'une telle nuit.",
    "Spanish": "Después de la lluvia, el pequeño río se salió de su cauce y la gente del pueblo "
    "subió los muebles al primer piso. Por la mañana el agua era otra vez tan clara que se podían "
    "contar las piedras del fondo, y nadie recordaba una noche como esa.",
    "Dutch": "Na de regen trad het riviertje buiten zijn oevers en de mensen uit het dorp droegen "
    "hun meubels naar boven. In de ochtend was het water weer zo helder dat men de stenen op de "
    "bodem kon tellen, en niemand had ooit zo iets gezien of er van gehoord.",
    "Danish": "Efter regnen gik den lille å over sine bredder, og folk i landsbyen bar deres "
    "møbler op på første sal. Om morgenen var vandet igen så klart, at man kunne tælle stenene på "
    "bunden, og ingen kunne huske at have set noget lignende for så længe siden.",
    "Chinese": "雨停以后，小河漫过了堤岸，村里的人把家具搬到楼上。第二天早晨，水又变得清澈见底，"
    "可以数清河底的石头。没有人记得曾经有过这样的夜晚，孩子们在桥上笑着奔跑。",
    "Russian": "После дождя маленькая река вышла из берегов, и жители деревни перенесли мебель на "
    "второй этаж. Утром вода снова стала такой прозрачной, что на дне можно было сосчитать камни.",
    "Hindi": "बारिश के बाद छोटी नदी अपने किनारों से बाहर आ गई और गाँव के लोग अपना सामान ऊपर की "
    "मंज़िल पर ले गए। सुबह पानी फिर इतना साफ़ था कि तल के पत्थर गिने जा सकते थे।",
}

ENGLISH = {
    "prose": "After the rain the small river left its bed, and the people of the village carried "
    "their furniture to the first floor. In the morning the water was so clear again that you "
    "could count the stones, and nobody could remember such a night.",
    "lower case": "measurements of the drag of a flat plate in a supersonic stream are reported . "
    "it is found that the theory holds for thin plates only and that heating of the surface has "
    "no effect on transition in the range of pressures tested .",
    "code": "def open(path, mode='r'): Open the file at path and return a stream. If mode is 'w', "
    "the file is truncated. raises OSError when the file cannot be opened; see io.open for the "
    "list of modes. >>> f = open('x') >>> f.read() # returns str by default, bytes for 'rb' mode",
    "mathematics": "Let α and β be roots of the equation λ² − σλ + ρ = 0. Then the sum α + β is σ, "
    "and the product αβ is ρ. We show that this also holds for matrices which commute with each "
    "other, and give a bound on the norm of the difference for those that do not.",
}


def warning(text: str, copies: int = 3) -> str | None:
    detector = EnglishDetector()
    for number in range(copies):
        detector.add(Document(f"{number}", text))
    return detector.warning()


@pytest.mark.parametrize("language", FOREIGN)
@pytest.mark.parametrize("lower", [False, True])
def test_warns_of_other_languages(language: str, lower: bool) -> None:
    text = FOREIGN[language].lower() if lower else FOREIGN[language]
    message = warning(text)
    assert message is not None
    assert "--analyzer plain" in message


@pytest.mark.parametrize("kind", ENGLISH)
def test_english_passes(kind: str) -> None:
    assert warning(ENGLISH[kind]) is None


def test_says_nothing_about_too_little_text() -> None:
    assert warning("", 1) is None
    assert warning("Hello Königsberg", 1) is None
    assert warning("1234 5678 " * 100) is None


def test_few_letters_of_another_script_are_enough() -> None:
    assert "not Latin" in str(warning("吾輩は猫である。名前はまだ無い。", 1))
    assert "not Latin" in str(warning("Кошка спала", 1))


def test_mostly_english_collections_pass() -> None:
    detector = EnglishDetector()
    for number, text in enumerate([*ENGLISH.values(), FOREIGN["German"], FOREIGN["Russian"]]):
        detector.add(Document(f"{number}", text))
    assert detector.warning() is None


def test_looks_at_titles_where_there_is_no_text_and_only_at_a_sample() -> None:
    detector = EnglishDetector(documents=3, characters=200)
    for number in range(3):
        assert not detector.is_full
        detector.add(Document(f"{number}", title=FOREIGN["German"]))
    assert detector.is_full
    before = detector.warning()
    detector.add(Document("x", ENGLISH["prose"] * 100))
    assert detector.warning() == before is not None


@pytest.mark.parametrize(
    "name", ["scifact", "cranfield", "cacm", "medline", "npl_vaswani", "wordnet_synsets"]
)
@pytest.mark.parametrize("field", ["document", "title"])
def test_real_collections_pass(shared_data: Path, name: str, field: str) -> None:
    if field == "title" and name not in ("scifact", "cranfield", "cacm"):
        pytest.skip("no titles in sentences")
    detector = EnglishDetector()
    for record in itertools.islice(open_corpus(shared_data / name), 1000):
        document = record.document
        if field == "title":
            document = Document(document.doc_id, title=document.title)
        detector.add(document)
    assert detector.warning() is None
