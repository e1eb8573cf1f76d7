"""`python -m rewardmodel.learning`: the same as `laurel-reward`."""

import sys

from rewardmodel.learning.command_line import main

sys.exit(main())
