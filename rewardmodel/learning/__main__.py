"""`python -m rewardmodel.learning`: the same as `laurel-reward`."""

import sys

from rewardmodel.learning.cli.main import main

sys.exit(main())
