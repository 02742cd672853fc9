"""The work of an operator: to check, inspect and maintain collections, and to export them."""
