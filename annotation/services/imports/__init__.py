from annotation.services.imports.generations import ImportedGenerations, import_generations
from annotation.services.imports.prompts import ImportedPrompts, import_prompts
from annotation.services.imports.rankings import ImportedRankings, RankingOptions, import_rankings
from annotation.services.imports.references import import_references
from annotation.services.imports.requests import cancel_import, request_import, retry_import, start_project
from annotation.services.imports.rows import ImportRefused
from annotation.services.imports.uploads import import_upload
from annotation.services.imports.worker import run_import

__all__ = [
    "ImportRefused",
    "ImportedGenerations",
    "ImportedPrompts",
    "ImportedRankings",
    "RankingOptions",
    "cancel_import",
    "import_generations",
    "import_prompts",
    "import_rankings",
    "import_references",
    "import_upload",
    "request_import",
    "retry_import",
    "run_import",
    "start_project",
]
