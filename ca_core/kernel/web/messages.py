"""What people read, in Traditional Chinese and English, from gettext catalogues with dotted keys.

Each package keeps `messages/zh-TW.po` and `messages/en.po`. A key that one language lacks stops the start.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from string import Formatter
from typing import Final, Literal

from babel.messages.pofile import PoFileError, read_po
from starlette.requests import Request

from ca_core.kernel.errors import ConfigurationError

Language = Literal["zh-TW", "en"]
LANGUAGES: Final[tuple[Language, ...]] = ("zh-TW", "en")
DEFAULT_LANGUAGE: Final[Language] = "zh-TW"
_HEADER_LIMIT = 256
_KEY = re.compile(rb'^msgid "(.+)"\s*$', re.MULTILINE)


class Translator:
    """Looks up texts in one language. A call with a key that no catalogue has is a KeyError: a programming mistake."""

    __slots__ = ("_texts", "lang")

    def __init__(self, lang: Language, texts: Mapping[str, str]) -> None:
        self.lang = lang
        self._texts = texts

    def __call__(self, key: str, **values: str | int) -> str:
        """The text, its `{name}` places filled. The result is text, not markup: templates escape it."""
        text = self._texts[key]
        return text.format(**values) if values else text

    def __contains__(self, key: str) -> bool:
        return key in self._texts

    def error(self, code: str) -> tuple[str, str]:
        """Title and message of an error by its stable code; those of `server_error` where it has none."""
        known = code if f"error.{code}.title" in self._texts else "server_error"
        return self._texts[f"error.{known}.title"], self._texts[f"error.{known}.message"]


class Catalogues:
    """All texts of a process, by language."""

    def __init__(self, texts: Mapping[Language, Mapping[str, str]]) -> None:
        self._translators = {lang: Translator(lang, texts[lang]) for lang in LANGUAGES}
        self.keys = frozenset(texts[DEFAULT_LANGUAGE])

    @classmethod
    def load(cls, folders: Sequence[Path]) -> "Catalogues":
        """Reads both languages from each folder. Raises: ConfigurationError that names every fault."""
        faults: list[str] = []
        texts: dict[Language, dict[str, str]] = {lang: {} for lang in LANGUAGES}
        for folder in folders:
            for lang in LANGUAGES:
                _read_into(texts[lang], folder / f"{lang}.po", faults)
        faults.extend(_differences(texts["zh-TW"], texts["en"]))
        if faults:
            raise ConfigurationError("\n".join(faults))
        return cls(texts)

    def translator(self, lang: Language) -> Translator:
        return self._translators[lang]


def negotiate(request: Request, *, cookie_name: str | None = None, ui_locales: str = "") -> Language:
    """The language of a page: the query's `lang` or `ui_locales`, the cookie, the authorization request's
    `ui_locales`, Accept-Language, and else Traditional Chinese. All of them untrusted."""
    if request.scope["query_string"]:  # not request.url: it fails on octets that are not UTF-8
        query = request.query_params
        asked = match_language(query.get("lang", "")) or match_language(query.get("ui_locales", ""))
        if asked:
            return asked
    if cookie_name:
        chosen = match_language(request.cookies.get(cookie_name, ""))
        if chosen:
            return chosen
    preferred = match_language(ui_locales) or _match_header(request.headers.get("accept-language", "")[:_HEADER_LIMIT])
    return preferred or DEFAULT_LANGUAGE


def match_language(tags: str) -> Language | None:
    """The first of space-separated language tags (BCP 47) that we speak; any Chinese is zh-TW."""
    if not tags:
        return None
    return _first_match(tags[:_HEADER_LIMIT].split())


@lru_cache(maxsize=512)
def _match_header(header: str) -> Language | None:
    weighted: list[tuple[float, str]] = []
    for item in header.split(","):
        tag, _, parameter = item.strip().partition(";")
        name, _, weight = parameter.strip().partition("=")
        try:
            quality = float(weight) if name == "q" else 1.0
        except ValueError:
            quality = 0.0
        if 0.0 < quality <= 1.0:
            weighted.append((quality, tag.strip()))
    weighted.sort(key=lambda pair: -pair[0])
    return _first_match(tag for _, tag in weighted)


def _first_match(tags: Iterable[str]) -> Language | None:
    for tag in tags:
        primary = tag.partition("-")[0].lower()
        if primary == "zh":
            return "zh-TW"
        if primary == "en":
            return "en"
    return None


def _read_into(texts: dict[str, str], path: Path, faults: list[str]) -> None:
    try:
        octets = path.read_bytes()
        catalogue = read_po(BytesIO(octets), locale=path.stem.replace("-", "_"), abort_invalid=True)
    except (OSError, PoFileError) as error:
        faults.append(f"{path}: {error}")
        return
    repeated = [key for key, count in Counter(_KEY.findall(octets)).items() if count > 1]  # babel keeps one in silence
    faults.extend(f"{path}: {key.decode()}: given twice" for key in repeated)
    for message in catalogue:
        if not message.id:
            continue
        if not isinstance(message.id, str) or not isinstance(message.string, str):
            faults.append(f"{path}: {message.id}: plural forms are not used")
        elif not message.string or message.fuzzy:
            faults.append(f"{path}: {message.id}: no text, or a doubtful one")
        elif message.id in texts:
            faults.append(f"{path}: {message.id}: a second catalogue has this key")
        else:
            texts[message.id] = message.string


def _differences(chinese: Mapping[str, str], english: Mapping[str, str]) -> list[str]:
    faults = [f"{key}: not in English" for key in sorted(chinese.keys() - english.keys())]
    faults += [f"{key}: not in Chinese" for key in sorted(english.keys() - chinese.keys())]
    for key in sorted(chinese.keys() & english.keys()):
        if _places(chinese[key]) != _places(english[key]):
            faults.append(f"{key}: the languages fill different places")
    return faults


def _places(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}
