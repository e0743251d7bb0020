"""pkilint's validators over a document, each node shown only to those that could take it.

pkilint asks every validator of a container at every node of the document, and a certificate takes some six thousand
such questions: a third of its time (docs/adr/0013). Nearly all validators name a class of ASN.1 value, and of those
that do not name the node's nothing is to be asked.
"""

from typing import Any

from pkilint.document import PDUNode
from pkilint.validation import ValidationResult, Validator, ValidatorContainer


class ByClass(ValidatorContainer):  # type: ignore[misc]  # pkilint says nothing of types
    """A container with the same validators as another, and the same results in the same order.

    Containers among them are treated likewise, unless they are of a class of their own. Used by several threads.
    """

    def __init__(self, of: ValidatorContainer) -> None:
        self.__dict__.update(of.__dict__)
        self.validators = [ByClass(inner) if type(inner) is ValidatorContainer else inner for inner in of.validators]
        self._of_class: dict[type, list[Validator]] = {}

    def _validate_rec(self, node: PDUNode, results: list[ValidationResult]) -> None:
        """As in pkilint, where `match` is False for a value that is not of the validator's class."""
        of_class = self._of_class
        kind = type(node.pdu)
        asked = of_class.get(kind)
        if asked is None:
            asked = of_class[kind] = self._asked_about(kind)
        for validator in asked:
            if validator.match(node):
                result: Any = validator.validate_wrapper(node)
                if isinstance(result, list):
                    results += result
                else:
                    results.append(result)
        for child in node.children.values():  # a validator that decodes may have added some
            if child.children or of_class.get(type(child.pdu), True):
                self._validate_rec(child, results)

    def _asked_about(self, kind: type) -> list[Validator]:
        return [one for one in self.validators if one._pdu_class is None or issubclass(kind, one._pdu_class)]
