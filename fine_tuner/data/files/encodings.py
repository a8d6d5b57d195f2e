"""Which encoding text of unknown encoding is in: told by what it would say, said, and asked where that is not clear.

UTF-8 is certain where it fits, since text of another encoding hardly ever happens to be UTF-8. The others are weighed
by how usual the characters are that they would give: of GBK the first level of GB 2312 (3,755 of everyday use), of
Shift-JIS kana and the first level of JIS X 0208, of EUC-KR common syllables (its text is everyday Chinese in GBK, while
Chinese is Korean of rare syllables in EUC-KR), of the Western ones letters with accents in words of mostly plain
letters.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

from fine_tuner.base.errors import DataError
from fine_tuner.data.notices import MendableError, Notice, Remedy

_LEAST = 0.6
_LEAD = 0.25
_WORD = re.compile(r"[^\W\d_]+")
_ASKED = (
    "gbk", "cp932", "big5", "euc_kr", "euc_jp", "cp437", "cp1252", "cp1251", "cp866", "cp1250", "cp852", "cp1253",
    "cp737", "cp1254", "cp857",
)  # fmt: skip
_NAMES = {
    "gbk": "GBK (Chinese)", "cp932": "Shift-JIS (Japanese)", "euc_kr": "EUC-KR (Korean)", "cp437": "cp437 (DOS)",
    "cp1252": "cp1252 (Windows)",
}  # fmt: skip
# Of the 2,350 syllables of KS X 1001 those that make up most of Korean text.
_COMMON_SYLLABLES = frozenset(
    "이다는의에을가하고지기로사은를리서한나도자대어인시과라그정일수해아스있보제만전조들장부성상주여신문중동공오소원면구용생국경학회"
    "선산세비연진안유우계행발당관방식심모마재현결것위실물말적거요영분게김내개된체치양무화군건초교음복본단민점외작남러강두파타카토"
    "크트프드브랑린림운금년월새약권급불검반병폐렴염돼닭끼뇌암종상손폭미빨노초파꽃나무잎벌레곰팡차간판열질환없"
)


def find_encoding(texts: Sequence[bytes], *, given: str, what: str, likely: Sequence[str]) -> tuple[str, Notice | None]:
    """The encoding of ``texts``, and what there is to say of it.

    Args:
        texts: Pieces of text, such as names; those of ASCII tell nothing.
        given: As the user says; empty: told by the text.
        what: For messages: whose text it is.
        likely: Encodings that are usual there: of ``gbk``, ``cp932``, ``euc_kr``, ``cp437``, ``cp1252``.

    Raises:
        DataError: If ``given`` is no encoding or does not fit.
        MendableError: If it cannot be told.
    """
    telling = [text for text in texts if not text.isascii()]
    if given:
        _check(telling, given, what)
        return given, None
    if not telling or _decoded(telling, "utf-8") is not None:
        return "utf-8", None
    scores = {encoding: _score(telling, encoding) for encoding in likely}
    best, *others = sorted(scores, key=lambda e: -scores[e])
    sample = _sample(telling, best)
    if scores[best] >= _LEAST and scores[best] - max((scores[o] for o in others), default=0.0) >= _LEAD:
        fitting = [e for e in dict.fromkeys((*others, *_ASKED)) if e != best and _decoded(telling, e)]
        choices = tuple(
            Remedy(f"read it as {e}, such as {_sample(telling, e)!r}", {"data.encoding": e}) for e in fitting[:2]
        )
        text = f"{what} is not UTF-8 and was read as {_NAMES.get(best, best)}, such as {sample!r}."
        return best, Notice(text, "warning", choices, "encoding")
    fitting = sorted((e for e in _ASKED if _decoded(telling, e)), key=lambda e: -_share_of_words(telling, e))
    raise MendableError(
        f"{what} is in an encoding that cannot be told (it is not UTF-8).",
        remedies=[
            Remedy(f"read it as {e}, such as {_sample(telling, e)!r}", {"data.encoding": e}) for e in fitting[:5]
        ],
    )


def _share_of_words(texts: Sequence[bytes], encoding: str) -> float:
    """Of the characters that are not ASCII the share in words of one script and case, but for a capital in front."""
    text = "\n".join(_decoded(texts, encoding) or [])
    fine = [word for word in _WORD.findall(text) if not word.isascii() and word[1:] in (word[1:].lower(), word.upper())]
    whole = [word for word in fine if len({unicodedata.name(c, "?").split()[0] for c in word}) == 1]
    return sum(sum(not c.isascii() for c in word) for word in whole) / sum(not c.isascii() for c in text)


def _check(texts: Sequence[bytes], given: str, what: str) -> None:
    try:
        "".encode(given)
    except LookupError:
        raise DataError(
            f"data.encoding: {given!r} is no encoding that is known. Give one such as utf-8, gbk, shift_jis or cp1252."
        ) from None
    if _decoded(texts, given) is None:
        raise DataError(f"data.encoding: {what} is not {given}. Give another one, or leave it empty.")


def _decoded(texts: Sequence[bytes], encoding: str) -> list[str] | None:
    try:
        return [text.decode(encoding) for text in texts]
    except (UnicodeDecodeError, LookupError):
        return None


def _sample(texts: Sequence[bytes], encoding: str) -> str:
    """A short piece of the text that is not ASCII."""
    decoded = (_decoded(texts[:1], encoding) or [""])[0]
    pieces = [piece for piece in re.split(r"[\\/\n\r,;\t]", decoded) if not piece.isascii()]
    return pieces[0].strip()[:24] if pieces else decoded[:24]


def _score(texts: Sequence[bytes], encoding: str) -> float:
    """How usual the characters are, 0 to 1; 0 if the text does not fit."""
    decoded = _decoded(texts, encoding)
    if decoded is None:
        return 0.0
    if encoding in ("cp437", "cp1252"):
        weights = [w for text in decoded for w in _of_words(text)]
    else:
        usual = _USUAL[encoding]
        weights = [usual(c.encode(encoding)) for text in decoded for c in text if not c.isascii()]
    return sum(weights) / len(weights) if weights else 0.0


def _of_words(text: str) -> list[float]:
    """For each character beyond ASCII: is it a Latin letter in a word of mostly plain letters."""
    letters: dict[int, float] = {}
    for match in _WORD.finditer(text):
        word = match[0]
        accents = [i for i, c in enumerate(word) if not c.isascii()]
        is_word = len(word) >= 3 * len(accents) and word[1:] in (word[1:].lower(), word[1:].upper())
        for i in accents:
            letters[match.start() + i] = 1.0 if is_word and ord(word[i]) < 0x180 else 0.1
    return [letters.get(i, 0.0) for i, c in enumerate(text) if not c.isascii()]


def _of_gbk(code: bytes) -> float:
    if len(code) != 2 or code[1] < 0xA1:
        return 0.05
    return 1.0 if 0xB0 <= code[0] <= 0xD7 else 0.8 if code[0] in (0xA1, 0xA3) else 0.3 if code[0] >= 0xD8 else 0.1


def _of_shift_jis(code: bytes) -> float:
    if len(code) == 1:
        return 0.05  # half-width katakana: what GBK looks like
    if code[0] in (0x82, 0x83):
        return 1.0
    return 0.9 if 0x88 <= code[0] <= 0x97 else 0.6 if code[0] == 0x81 else 0.2


def _of_euc_kr(code: bytes) -> float:
    return 1.0 if code.decode("euc_kr") in _COMMON_SYLLABLES else 0.2


_USUAL: dict[str, Callable[[bytes], float]] = {"gbk": _of_gbk, "cp932": _of_shift_jis, "euc_kr": _of_euc_kr}
