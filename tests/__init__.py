"""Everything here runs on throw-away services, which importing this package starts: pytest does so first."""

from tests.services import set_up

set_up()
