"""`bin/restore`: never beside a Laurel that runs."""

from config.local.restore import main


def test_nothing_is_restored_while_laurel_runs_in_the_same_folder(capsys):
    assert main(["/backups"]) == 1  # the tests' own services hold LAUREL_VAR
    assert "Laurel is running (a test run): stop it first" in capsys.readouterr().err
