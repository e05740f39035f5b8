"""The English analyzer against the output of Lucene."""

from __future__ import annotations

import pytest

from encoders.query.analyzer import create_analyzer

# Text and terms: output of org.apache.lucene.analysis.en.EnglishAnalyzer, Lucene 9.9.1.
LUCENE_OUTPUT = [
    (
        ("The Archaeologists' theories about Egypt's oldest technologies weren't published."),
        "archaeologist theori about egypt oldest technolog weren't publish",
    ),
    (
        ("C++ and U.S.A. users paid $3,141.59 at 10:30 for snake_case e-mails, didn't they?"),
        "c u.s.a user paid 3,141.59 10 30 snake_cas e mail didn't",
    ),
    (
        "Possibly, assemblies of physiological data are visibly reversible; as is us.",
        "possibl assembl physiolog data visibl revers us",
    ),
    (
        ("Ms. O'Neill's dogs' bowls and the cat’s ties: flies, dying, sky, skies, happily."),
        "ms o'neil dog bowl cat ti fli dy sky ski happili",
    ),
    (
        "İstanbul ΑΣΤΕΡΑΣ Straße Ünlü naïve café ŒUVRE",
        "istanbul αστερασ straße ünlü naïv café œuvr",
    ),
    (
        'हिन्दी में खोज, 日本語 カタカナ ひら 한국어 ภาษาไทย עברית צה"ל',
        'हिन्दी में खोज 日 本 語 カタカナ ひ ら 한국어 ภาษาไทย עברית צה"ל',
    ),
    (
        "flags 🇩🇪🇫🇷, family 👨\u200d👩\u200d👧, rating ★★★ and 1\ufe0f\u20e3 © 2024",
        "flag 🇩🇪 🇫🇷 famili 👨\u200d👩\u200d👧 rate ★ ★ ★ 1\ufe0f\u20e3 © 2024",
    ),
    (
        "a.b 1.2 a.1 1.a 1,000,000 x,y x:y 1:2 _ __ _a_ a_b_ 'quoted' rock'n'roll",
        "a.b 1.2 1 1 1,000,000 x y x:y 1 2 _a_ a_b_ quot rock'n'rol",
    ),
    (
        (
            "relational conditional rationally valenci hesitanci digitizer conformabli "
            "radicalli differentli vileli analogousli vietnamization predication operator "
            "feudalism decisiveness hopefulness callousness formaliti sensitiviti "
            "sensibiliti"
        ),
        (
            "relat condit ration valenc hesit digit conform radic differ vile analog "
            "vietnam predic oper feudal decis hope callous formal sensit sensibl"
        ),
    ),
    (
        (
            "triplicate formative formalize electriciti electrical hopeful goodness revival "
            "allowance inference airliner gyroscopic adjustable defensible irritant "
            "replacement adjustment dependent adoption homologou communism activate "
            "angulariti homologous effective bowdlerize probate rate cease controll roll"
        ),
        (
            "triplic form formal electr electr hope good reviv allow infer airlin gyroscop "
            "adjust defens irrit replac adjust depend adopt homolog commun activ angular "
            "homolog effect bowdler probat rate ceas control roll"
        ),
    ),
    (
        (
            "caresses ponies ties caress cats feed agreed plastered bled motoring sing "
            "conflated troubled sized hopping tanned falling hissing fizzed failing filing "
            "happy sky"
        ),
        (
            "caress poni ti caress cat feed agre plaster bled motor sing conflat troubl "
            "size hop tan fall hiss fizz fail file happi sky"
        ),
    ),
    (
        (
            "logy apology apologies apologised biology theologian bly ably nobly doubly "
            "assembly assembling assemblies yearly 5s ms us"
        ),
        (
            "logi apolog apolog apologis biologi theologian bly abli nobli doubli assembl "
            "assembl assembl yearli 5s ms us"
        ),
    ),
]


@pytest.mark.parametrize(("text", "terms"), LUCENE_OUTPUT)
def test_terms_are_those_of_lucene(text: str, terms: str) -> None:
    assert create_analyzer("english").tokens(text) == terms.split()


def test_all_words_keeps_stop_words() -> None:
    analyzer = create_analyzer("english-all-words")
    assert analyzer.tokens("To be, or not to be?") == ["to", "be", "or", "not", "to", "be"]


def test_stop_words_are_recognised_after_possessive_and_case() -> None:
    assert create_analyzer("english").tokens("THE It's THAT’S theirs") == ["their"]


@pytest.mark.parametrize("length", [254, 255, 256, 300, 511, 700])
def test_long_words_are_cut_as_lucene_cuts_them(length: int) -> None:
    terms = create_analyzer("english-all-words").tokens("x" * length)
    assert [len(term) for term in terms] == [255] * (length // 255) + [length % 255] * (
        length % 255 > 0
    )
