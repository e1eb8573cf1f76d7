from refl.models.generators import Generator
from refl.models.sampling import SamplingRun
from refl.models.tuning import TuningPoint, TuningPolicy, TuningRun

__all__ = ["Generator", "SamplingRun", "TuningPoint", "TuningPolicy", "TuningRun"]
