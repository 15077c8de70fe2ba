"""Prints all tables anew into README and docs."""

import tests.printed_tables
from tests.printed_tables.pages import main

assert tests.printed_tables.BUILDERS
main()
