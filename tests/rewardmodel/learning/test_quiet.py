"""What libraries print while a model is loaded, and afterwards."""

from contextlib import suppress

import pytest
from diffusers.utils import logging as diffusers_logging
from transformers import logging as transformers_logging

from rewardmodel.learning.quiet import quiet

LIBRARIES = (transformers_logging, diffusers_logging)


@pytest.mark.parametrize("drawn", [True, False])
def test_libraries_print_as_before_however_the_loading_ends(drawn):
    with quiet(*LIBRARIES):  # whatever is set here is undone
        for library in LIBRARIES:
            library.set_verbosity_info()
            (library.enable_progress_bar if drawn else library.disable_progress_bar)()
        with suppress(OSError), quiet(*LIBRARIES):
            assert not any(library.is_progress_bar_enabled() for library in LIBRARIES)
            assert {library.get_verbosity() for library in LIBRARIES} == {transformers_logging.ERROR}
            raise OSError
        assert [library.is_progress_bar_enabled() for library in LIBRARIES] == [drawn, drawn]
        assert {library.get_verbosity() for library in LIBRARIES} == {transformers_logging.INFO}
