"""`citizenid db …`: the schema."""

from idp.commands.shared import ConfigOption, command_group, opened
from idp.main.histories import upgrade_all

app = command_group("The database's schema.")


@app.command()
def upgrade(config: ConfigOption = None) -> None:
    """Brings the database to this code's schema. Safe to repeat, and on several nodes at once."""
    with opened(config, current=False) as ca:
        upgrade_all(ca.database)
    print("the database is at this code's schema")
