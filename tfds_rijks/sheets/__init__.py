"""Workbooks of spreadsheet programs as people see them: `read.read(path, sheet)`."""
