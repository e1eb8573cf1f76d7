from annotation.services.imports.generations import ImportedGenerations, import_generations
from annotation.services.imports.prompts import ImportedPrompts, import_prompts
from annotation.services.imports.rankings import ImportedRankings, import_rankings
from annotation.services.imports.rows import ImportRefused

__all__ = [
    "ImportRefused",
    "ImportedGenerations",
    "ImportedPrompts",
    "ImportedRankings",
    "import_generations",
    "import_prompts",
    "import_rankings",
]
