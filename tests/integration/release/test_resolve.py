"""Renewing the lock asks the archive itself; a wish that it does not have is named."""

from __future__ import annotations

import pytest

from alma_image.release.archive import resolve
from alma_runtime.errors import AlmaError

pytestmark = pytest.mark.image


def test_a_package_that_does_not_exist_is_named() -> None:
    with pytest.raises(AlmaError, match="alma-no-such-package"):
        resolve(["alma-no-such-package"], "essential")
