"""Contracts of ours for import-linter (see [tool.importlinter] in pyproject.toml)."""

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class PrivateModulesContract(Contract):
    """Modules of certain names are imported by their own feature alone.

    names: last parts of modules ("store": a feature's tables, and so is "crl_store"). A feature is the package that
    holds such a module.
    except_importers: modules that may nonetheless, themselves or by what they contain (where all is wired together).
    """

    names = fields.SetField(subfield=fields.StringField())
    except_importers = fields.SetField(subfield=fields.StringField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        names: set[str] = self.names  # type: ignore[assignment]  # a field stands for its value
        allowed: set[str] = self.except_importers or set()  # type: ignore[assignment]  # likewise
        broken = []
        for private in sorted(graph.modules):
            feature, _, name = private.rpartition(".")
            if name not in names and name.rpartition("_")[2] not in names:
                continue
            homes = {feature, *allowed}
            for importer in sorted(graph.find_modules_that_directly_import(private)):
                if not any(importer == home or importer.startswith(f"{home}.") for home in homes):
                    lines = [d["line_number"] for d in graph.get_import_details(importer=importer, imported=private)]
                    broken.append((importer, private, lines))
        return ContractCheck(kept=not broken, metadata={"broken": broken})

    def render_broken_contract(self, check: ContractCheck) -> None:
        for importer, private, lines in check.metadata["broken"]:
            output.print_error(f"{importer} imports {private} (line {', '.join(map(str, lines))})", bold=False)
        output.print_error("Call the feature's service, or say in your ports.py what you need and let main.py wire it.")
