from refl.models.generators import Generator
from refl.models.loop import StepRefusal
from refl.models.sampling import SamplingRun
from refl.models.studies import StoredRate, Study, StudyConfig, StudyGenerator, StudyTask
from refl.models.tuning import TuningPoint, TuningPolicy, TuningRun

__all__ = [
    "Generator",
    "SamplingRun",
    "StepRefusal",
    "StoredRate",
    "Study",
    "StudyConfig",
    "StudyGenerator",
    "StudyTask",
    "TuningPoint",
    "TuningPolicy",
    "TuningRun",
]
